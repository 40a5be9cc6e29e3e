"""What Ctrl-C does to a training: whether what was learned is kept.

It is kept, as in scikit-learn's MLPRegressor, where somebody waits for this one fit and
has no earlier one. A search, an ensemble or a stack that is interrupted ends: what it
makes of its other fits would not be what was asked for.
"""

from __future__ import annotations

import sys

__all__ = ["is_one_of_many"]

#: Modules that fit an estimator among others. A Pipeline fits its last step by itself,
#: and those before it by way of joblib.
_OF_MANY = ("joblib.", "sklearn.", "sklearn_ae.meta.")
_OF_ONE = ("sklearn.base", "sklearn.callback.", "sklearn.pipeline", "sklearn.utils.")


def is_one_of_many() -> bool:
    """Tell whether who called us is called by what fits several estimators."""
    frame = sys._getframe(1)
    while True:
        name = f"{frame.f_globals.get('__name__', '')}"
        if name.startswith(_OF_MANY) and not name.startswith(_OF_ONE):
            return True
        if frame.f_back is None:
            return False
        frame = frame.f_back
