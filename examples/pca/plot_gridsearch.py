"""
===================================================
Grid search: how many components, and which penalty
===================================================

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
# list as ``penalties__l2__weight``. In a :class:`~sklearn.pipeline.Pipeline` the name
# of the step stands before it. The rows are measurements of 569 tumours.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ae import L2, Autoencoder, GaussianNoise

X = load_breast_cancer(as_frame=True).data
sizes, noise_levels, weights = [2, 4, 8], [0.0, 0.1, 0.3], [0.0, 0.01]
search = GridSearchCV(
    make_pipeline(
        StandardScaler(),
        Autoencoder(
            penalties=[L2()], corruption=GaussianNoise(), max_iter=25, random_state=0
        ),
    ),
    {
        "autoencoder__n_components": sizes,
        "autoencoder__corruption__noise_level": noise_levels,
        "autoencoder__penalties__l2__weight": weights,
    },
    cv=2,
)
search.fit(X)
for name, value in search.best_params_.items():
    print(f"{name.removeprefix('autoencoder__'):24s} {value}")
print(f"held-out error           {-search.best_score_:.3f}")

# %%
# What the search found
# ---------------------
# The error is the mean of (x − x̂)², in squared standard deviations, over the rows that
# were held out. More components always reconstruct better, and at each size the
# autoencoder is ahead of PCA. Noise and penalty make next to no difference on this
# table: the six settings lie on one line. scikit-learn's ``score`` of PCA is a log
# density, so its error is computed here from the same two folds.


def error_of_pca(k):
    parts = np.array_split(np.arange(len(X)), 2)
    errors = []
    for held_out in parts:
        scaler = StandardScaler().fit(X.drop(index=held_out))
        pca = PCA(k).fit(scaler.transform(X.drop(index=held_out)))
        rows = scaler.transform(X.iloc[held_out])
        restored = pca.inverse_transform(pca.transform(rows))
        errors.append(np.mean((rows - restored) ** 2))
    return np.mean(errors)


# the grid varies its parameters in alphabetical order, the last one fastest
names = sorted(search.param_grid)
scores = search.cv_results_["mean_test_score"]
error = -scores.reshape([len(search.param_grid[name]) for name in names])

error = np.moveaxis(error, names.index("autoencoder__n_components"), -1)
error = error.reshape(-1, len(sizes))

figure, ax = plt.subplots(figsize=(6, 4.2), layout="constrained")
ax.plot(
    sizes, [error_of_pca(k) for k in sizes], "s-", color="#7f7f7f", lw=3, label="PCA"
)
ax.plot(sizes, error.T, "o-", color="#c8374f", alpha=0.5)
ax.plot([], [], "o-", color="#c8374f", lw=3, label="Autoencoder, six settings")
ax.set_xticks(sizes)
ax.set_ylim(0)
ax.tick_params(labelsize=13)
ax.set_xlabel("components", fontsize=14)
ax.set_ylabel("held-out error", fontsize=14)
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False, fontsize=14)

# %%
# The search refits the best on all rows, and transforms like any transformer.

codes = search.transform(X)
print(codes.shape)
