"""
====================================
Choosing an autoencoder by its score
====================================

:class:`~sklearn.model_selection.GridSearchCV` needs no ``scoring=``: the score of an
:class:`~sklearn_ae.Autoencoder` is minus its reconstruction error on held-out rows, in
the units of the data and without penalties and noise. So scores compare across
penalties and corruptions, and with PCA's.
"""

# %%
# The grid
# --------
# Penalties and corruptions are parameters like any other: the noise level is reached
# as ``corruption__noise_level``, the weight of an :class:`~sklearn_ae.L2` penalty in a
# list as ``penalties__l2__weight``.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.utils import shuffle

from sklearn_ae import L2, Autoencoder, GaussianNoise

X = shuffle(load_digits().data, random_state=0)[:600]

search = GridSearchCV(
    Autoencoder(penalties=[L2()], corruption=GaussianNoise(), random_state=0),
    {
        "n_components": [4, 8, 16],
        "corruption__noise_level": [0.0, 0.2, 0.5],
        "penalties__l2__weight": [0.0, 0.01],
    },
    cv=2,
    n_jobs=2,
)
search.fit(X)
print(f"best: {search.best_params_}")
print(f"held-out error: {-search.best_score_:.2f}")

# %%
# What the search found
# ---------------------
# Each number is the error (x − x̂)² per pixel, averaged over the folds. More components
# always reconstruct better; the colour compares within each row.

scores = search.cv_results_["mean_test_score"]
noise_levels, sizes, weights = (
    search.param_grid["corruption__noise_level"],
    search.param_grid["n_components"],
    search.param_grid["penalties__l2__weight"],
)
# the grid varies its parameters in alphabetical order, the last one fastest
error = -scores.reshape(len(noise_levels), len(sizes), len(weights))
excess = error / error.min(axis=(0, 2), keepdims=True) - 1

figure, axes = plt.subplots(
    1, len(weights), figsize=(8.5, 3.4), sharey=True, layout="constrained"
)
for panel, (ax, weight) in enumerate(zip(axes, weights, strict=True)):
    image = ax.imshow(
        excess[:, :, panel].T, cmap="viridis_r", vmin=0, vmax=excess.max()
    )
    for (row, column), value in np.ndenumerate(error[:, :, panel].T):
        dark = excess[column, row, panel] > excess.max() / 2
        color = "white" if dark else "black"
        ax.text(column, row, f"{value:.2f}", ha="center", va="center", color=color)
    ax.set_xticks(range(len(noise_levels)), noise_levels)
    ax.set_yticks(range(len(sizes)), sizes)
    ax.set(xlabel="noise level", title=f"L2 on the code: weight {weight:g}")
axes[0].set_ylabel("components")
figure.colorbar(image, ax=axes, label="error above the row's best", format="{x:.0%}")

# %%
# The search refits the best on all rows, and transforms like any transformer.

codes = search.transform(X)
print(codes.shape)
