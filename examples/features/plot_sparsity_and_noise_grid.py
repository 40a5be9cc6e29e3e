"""
==============================================================
Grid search over sparsity, noise and contraction for two goals
==============================================================

How few units should be active, how much noise should be on the input, how much may the
code move? :class:`~sklearn.model_selection.GridSearchCV` answers without ``scoring=``:
by the error of held-out rows. With ``scoring=`` it answers for another goal too: here,
how well a linear classifier reads the codes. The two goals can want different codes.
"""

# %%
# Four grids
# ----------
# Measurements of 569 tumours, 30 each, are turned into codes of 64 units.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
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

X, y = shuffle(*load_breast_cancer(return_X_y=True), random_state=0)
X = StandardScaler().fit_transform(X)

shared = {
    "n_components": 64,
    "learning_rate_init": 1e-2,
    "max_iter": 30,
    "random_state": 0,
}
# in alphabetical order, which is that of the search's results
grids = {
    SparseAutoencoder(**shared): {
        "sparsity": [0.05, 0.1, 0.2],
        "sparsity_weight": [0.01, 0.1],
    },
    DenoisingAutoencoder(linear_path=False, **shared): {
        "noise": ["gaussian", "masking"],
        "noise_level": [0.1, 0.3, 0.5],
    },
    KSparseAutoencoder(**shared): {"k": [1, 2, 4, 8, 16]},
    ContractiveAutoencoder(**shared): {"contraction": [0.0, 0.003, 0.01, 0.03]},
}

# %%
# One search, two goals
# ---------------------
# In a :class:`~sklearn.pipeline.Pipeline` the parameters are reached by the name of the
# step, and the score would be the classifier's accuracy. ``scoring`` with two entries
# measures both goals in the same fits.


def reconstruction(pipeline, X, y):
    return pipeline[0].score(X)  # minus the error


def accuracy_of(pipeline, X, y):
    return pipeline.score(X, y)


goals = {"error": reconstruction, "accuracy": accuracy_of}
error, accuracy = {}, {}
for model, grid in grids.items():
    name = type(model).__name__
    shape = [len(values) for values in grid.values()]
    steps = [
        ("compress", model),
        ("scale", StandardScaler()),
        ("classify", LogisticRegression(max_iter=1000)),
    ]
    reached = {f"compress__{parameter}": values for parameter, values in grid.items()}
    search = GridSearchCV(Pipeline(steps), reached, scoring=goals, cv=2, refit=False)
    results = search.fit(X, y).cv_results_
    error[name] = -results["mean_test_error"].reshape(shape)
    accuracy[name] = results["mean_test_accuracy"].reshape(shape)
    for goal, best in (
        ("error", error[name].min()),
        ("accuracy", accuracy[name].max()),
    ):
        place = results[f"mean_test_{goal}"].argmax()
        chosen = {
            key.partition("__")[2]: value
            for key, value in results["params"][place].items()
        }
        print(f"{name:22s} {goal:8s} {best:5.3f}  {chosen}")

on_rows = cross_val_score(Pipeline(steps[1:]), X, y, cv=2).mean()
print(f"{'LogisticRegression':22s} accuracy {on_rows:5.3f}  on the measurements")

# %%
# What is best for what
# ---------------------
# The error wants a code that may do as it likes: much activity, many units, no
# contraction, and little noise. It depends on the parameters a lot. Accuracy falls
# where too little gets through (k of 1 and 2), and elsewhere hardly depends on the
# parameters: of 569 rows it has a standard error of almost one point, so most of the
# differences below are chance, and so is which one comes out best. None is clearly
# better than the same classifier on the measurements themselves, since a line separates
# these tumours well.
#
# Brighter is better, on one scale for each goal; the best are framed or starred.

for results in (error, accuracy):
    figure, axes = plt.subplots(2, 2, figsize=(7, 5.6), layout="constrained")
    by_error = results is error
    goal, digits = ("error", 2) if by_error else ("accuracy", 3)
    everything = np.concatenate([values.ravel() for values in results.values()])
    low, high = everything.min(), everything.max()
    for ax, (model, grid) in zip(axes.flat, grids.items(), strict=True):
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
        ax.set_title(type(model).__name__)
    figure.suptitle(f"held-out {goal}", fontsize=14)
