"""
=========================
Filling in missing values
=========================

A :class:`~sklearn_ae.DenoisingAutoencoder` takes NaN for what it is: a value that is
not there. It learns from the rows as they are, gaps and all, and ``impute`` says what
stood in the gaps. Here they are holes in handwritten digits, and the answers can be
compared with what was there, and with those of scikit-learn's imputers.

Run as a script it prints the table and writes ``imputation.png`` to the current
directory, or to the file that is named on the command line.
"""

# %%
# Digits with holes
# -----------------
# From each of scikit-learn's digits a square of 4 × 4 pixels, anywhere in the picture,
# is taken away. No digit is left whole: there is no clean data to learn from. Another
# copy loses as many pixels, one here and one there.

import sys
import time
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

from sklearn_ae import DenoisingAutoencoder

digits = load_digits()
X = digits.data
rng = np.random.default_rng(0)

square = np.zeros((len(X), 8, 8), dtype=bool)
for lost, (top, left) in zip(square, rng.integers(0, 5, (len(X), 2)), strict=True):
    lost[top : top + 4, left : left + 4] = True
missing = {
    "squares": square.reshape(X.shape),
    "single pixels": rng.random(X.shape) < 0.25,
}

# %%
# Four ways to fill them
# ----------------------
# The error is the root of the mean squared error of the lost pixels, whose values go
# from 0 to 16. ``emphasis=1`` lets only the hidden pixels count while training.
# :class:`~sklearn.impute.IterativeImputer` fits one regression per pixel and round; it
# has the 10 rounds of its default, and says that it wants more: that warning is
# left out.

imputers = {
    "mean": SimpleImputer(),
    "neighbours": KNNImputer(),
    "iterative": IterativeImputer(random_state=0),
    "autoencoder": DenoisingAutoencoder(
        32, noise="masking", emphasis=1, max_iter=200, random_state=0
    ),
}
error, filled = {}, {}
warnings.simplefilter("ignore", ConvergenceWarning)
print("lost            imputer               error   seconds")
for kind, lost in missing.items():
    X_missing = np.where(lost, np.nan, X)
    for name, imputer in imputers.items():
        start = time.perf_counter()
        if name == "autoencoder":
            restored = imputer.fit(X_missing).impute(X_missing)
        else:
            restored = imputer.fit_transform(X_missing)
        seconds = time.perf_counter() - start
        filled[kind, name] = restored
        error[kind, name] = np.sqrt(np.mean((restored - X)[lost] ** 2))
        print(f"{kind:15s} {name:20s} {error[kind, name]:6.2f} {seconds:9.1f}")

# %%
# What they put there
# -------------------
# Ten digits, with what is lost in yellow, and the errors. Squares are filled best by
# the autoencoder, closely followed by the nearest neighbours, which are the best at
# single pixels.

chosen = [np.flatnonzero(digits.target == digit)[3] for digit in range(10)]
X_missing = np.where(missing["squares"], np.nan, X)
rows = {"original": X, "squares lost": X_missing}
rows |= {name: filled["squares", name] for name in imputers}
tiles = np.stack([X[chosen] for X in rows.values()]).reshape(len(rows), 10, 8, 8)
picture = np.zeros((len(rows) * 10, 100))  # a white frame around each
for i, line in enumerate(tiles):
    for j, tile in enumerate(line):
        picture[10 * i + 1 : 10 * i + 9, 10 * j + 1 : 10 * j + 9] = tile

figure, (left, right) = plt.subplots(
    1, 2, figsize=(11, 3.8), width_ratios=[1.75, 1], layout="constrained"
)
colours = plt.get_cmap("gray_r").with_extremes(bad="#f2c14e")
left.imshow(picture, cmap=colours, vmin=0, vmax=16)
left.set_title("A square of 4 × 4 pixels lost and filled in")
left.set_xticks([])
left.set_yticks(10 * np.arange(len(rows)) + 4.5, rows)
left.tick_params(length=0)
left.spines[:].set_visible(False)

height = np.arange(len(imputers))
for kind, shift, color in (
    ("squares", -0.19, "#c8374f"),
    ("single pixels", 0.19, "#7f7f7f"),
):
    errors = [error[kind, name] for name in imputers]
    bars = right.barh(height + shift, errors, 0.36, color=color, label=kind)
    right.bar_label(bars, fmt="%.2f", padding=3)
right.set_yticks(height, imputers)
right.invert_yaxis()
right.set(xlabel="root mean squared error of lost pixels")
right.set_title("Error of what was filled in")
right.set_xlim(0, 8.5)
right.tick_params(axis="y", length=0)
right.spines[["top", "right"]].set_visible(False)
right.legend(frameon=False, loc="lower right")

if "sphinx_gallery" not in sys.modules:  # run as a script
    path = sys.argv[1] if len(sys.argv) > 1 else "imputation.png"
    figure.savefig(path, dpi=150)
    print(f"\nThe picture is in {path}.")
