"""What the classes here take from scikit-learn, with types for mypy.

scikit-learn comes without types. To mypy a class with an untyped base is nearly untyped
itself: it takes any keyword, and what `fit` returns is unknown. mypy therefore reads
the declarations here. Everything else, pyright among it, sees scikit-learn's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, TypeVar

from numpy.typing import NDArray

__all__ = [
    "BaseEstimator",
    "CallbackSupportMixin",
    "ClassNamePrefixFeaturesOutMixin",
    "ClassifierMixin",
    "OutlierMixin",
    "TransformerMixin",
    "with_callbacks",
]

#: True for mypy alone, which knows the name.
MYPY = False

if MYPY:
    Method = TypeVar("Method", bound=Callable[..., Any])
    Request = bool | str | None

    class BaseEstimator:
        def get_params(self, deep: bool = True) -> dict[str, Any]: ...
        def set_params(self, **params: Any) -> Self: ...
        def get_metadata_routing(self) -> Any: ...
        def set_fit_request(self, **requests: Request) -> Self: ...
        def set_inverse_transform_request(self, **requests: Request) -> Self: ...
        def set_partial_fit_request(self, **requests: Request) -> Self: ...
        def set_predict_request(self, **requests: Request) -> Self: ...
        def set_score_request(self, **requests: Request) -> Self: ...
        def set_transform_request(self, **requests: Request) -> Self: ...
        def __sklearn_tags__(self) -> Any: ...

    class TransformerMixin:
        def __init_subclass__(
            cls, auto_wrap_output_keys: tuple[str, ...] | None = ("transform",)
        ) -> None: ...
        def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> Any: ...
        def set_output(self, *, transform: str | None = None) -> Self: ...
        def __sklearn_tags__(self) -> Any: ...

    class ClassNamePrefixFeaturesOutMixin:
        def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]: ...

    class ClassifierMixin:
        def score(self, X: Any, y: Any, sample_weight: Any = None) -> float: ...
        def __sklearn_tags__(self) -> Any: ...

    class OutlierMixin:
        def fit_predict(self, X: Any, y: Any = None, **kwargs: Any) -> NDArray[Any]: ...
        def __sklearn_tags__(self) -> Any: ...

    class CallbackSupportMixin:
        def set_callbacks(self, *callbacks: Any) -> Self: ...
        def _init_callback_context(self, **options: Any) -> Any: ...

    def with_callbacks(method: Method) -> Method: ...

else:
    from sklearn.base import (
        BaseEstimator,
        ClassifierMixin,
        ClassNamePrefixFeaturesOutMixin,
        OutlierMixin,
        TransformerMixin,
    )
    from sklearn.callback import CallbackSupportMixin, with_callbacks
