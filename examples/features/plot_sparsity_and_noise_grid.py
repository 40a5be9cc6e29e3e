"""
==============================================
How sparse, how noisy: a search, and two goals
==============================================

How few units should be active, how much noise should be on the input, how much may the
code move? :class:`~sklearn.model_selection.GridSearchCV` answers without ``scoring=``:
by the error of held-out rows. Here are the answers for four methods, and those that the
same parameters get when the codes are to be classified.
"""

# %%
# Four grids
# ----------
# All codes have 64 units, for 64 pixels. The rows are few and the fits short, so that
# the searches take less than a minute.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import shuffle

from sklearn_ae import (
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    KSparseAutoencoder,
    SparseAutoencoder,
)

X, y = shuffle(*load_digits(return_X_y=True), random_state=0)
X, y = X[:500], y[:500]

shared = {
    "n_components": 64,
    "learning_rate_init": 1e-2,
    "max_iter": 60,
    "random_state": 0,
}
# in alphabetical order, which is that of the search's results
grids = {
    SparseAutoencoder(**shared): {
        "sparsity": [0.05, 0.1, 0.2],
        "sparsity_weight": [0.01, 0.03, 0.1],
    },
    DenoisingAutoencoder(linear_path=False, **shared): {
        "noise": ["gaussian", "masking", "salt_and_pepper"],
        "noise_level": [0.1, 0.3, 0.5],
    },
    KSparseAutoencoder(**shared): {"k": [2, 4, 8, 16, 32]},
    ContractiveAutoencoder(**shared): {"contraction": [0.0, 0.001, 0.003, 0.01]},
}

# %%
# By held-out error, and by accuracy
# ----------------------------------
# In a :class:`~sklearn.pipeline.Pipeline` the same parameters are reached by the name
# of the step, and the score is the classifier's.

error, accuracy = {}, {}
for model, grid in grids.items():
    name = type(model).__name__
    shape = [len(values) for values in grid.values()]

    search = GridSearchCV(model, grid, cv=2).fit(X)
    error[name] = -search.cv_results_["mean_test_score"].reshape(shape)
    print(f"{name}\n  error    {-search.best_score_:5.2f}  {search.best_params_}")

    steps = [
        ("compress", model),
        ("scale", StandardScaler()),
        ("classify", LogisticRegression(max_iter=1000)),
    ]
    grid = {f"compress__{parameter}": values for parameter, values in grid.items()}
    search = GridSearchCV(Pipeline(steps), grid, cv=2, refit=False).fit(X, y)
    accuracy[name] = search.cv_results_["mean_test_score"].reshape(shape)
    best = {key.partition("__")[2]: value for key, value in search.best_params_.items()}
    print(f"  accuracy {search.best_score_:5.3f}  {best}")

pixels = Pipeline(steps[1:])
on_pixels = cross_val_score(pixels, X, y, cv=2).mean()
print(f"LogisticRegression on the pixels: accuracy {on_pixels:.3f}")

# %%
# What is best for what
# ---------------------
# The error wants a code that may do as it likes: much activity, many units, no
# contraction, and noise that leaves most of a row. Accuracy need not agree. It falls
# where too little gets through (k of 2 and 4), and elsewhere hardly depends on the
# parameters: of 500 rows it has a standard error of about one point, so most of the
# differences below are chance, and so is which one comes out best.
#
# Brighter is better, on one scale per row; the best are framed or starred.

figure, axes = plt.subplots(2, 4, figsize=(13, 6), layout="constrained")
for row, results in zip(axes, (error, accuracy), strict=True):
    by_error = results is error
    goal, digits = ("error", 2) if by_error else ("accuracy", 3)
    everything = np.concatenate([values.ravel() for values in results.values()])
    low, high = everything.min(), everything.max()
    for ax, (model, grid) in zip(row, grids.items(), strict=True):
        values = results[type(model).__name__]
        best = np.isclose(values, values.min() if by_error else values.max())
        names = list(grid)
        levels = [[str(level).replace("_", "\n") for level in v] for v in grid.values()]
        if len(grid) == 1:
            places = np.arange(len(values))
            ax.plot(places, values, "o-", color="#31688e")
            ax.plot(places[best], values[best], "*", color="#c8374f", markersize=16)
            ax.set_xticks(places, levels[0])
            margin = 0.08 * (high - low)
            ax.set(xlabel=names[0], ylabel=goal, ylim=(low - margin, high + margin))
            ax.grid(alpha=0.3)
            ax.spines[["top", "right"]].set_visible(False)
        else:
            colors = "viridis_r" if by_error else "viridis"
            ax.imshow(values, cmap=colors, vmin=low, vmax=high, aspect="auto")
            for (i, j), value in np.ndenumerate(values):
                bright = (value < (low + high) / 2) == by_error
                color = "black" if bright else "white"
                text = f"{value:.{digits}f}"
                ax.text(j, i, text, ha="center", va="center", color=color)
                if best[i, j]:
                    place = (j - 0.46, i - 0.46)
                    frame = plt.Rectangle(place, 0.92, 0.92, fill=False)
                    frame.set(edgecolor="#c8374f", linewidth=3)
                    ax.add_patch(frame)
            ax.set_xticks(range(len(levels[1])), levels[1])
            ax.set_yticks(range(len(levels[0])), levels[0])
            ax.set(xlabel=names[1], ylabel=names[0])
        title = type(model).__name__ if by_error else None
        ax.set_title(f"{title}\nheld-out {goal}" if title else f"held-out {goal}")
