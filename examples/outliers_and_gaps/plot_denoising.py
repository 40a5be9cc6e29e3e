"""
==============================
Taking noise away from digits
==============================

A :class:`~sklearn_ae.DenoisingAutoencoder` learns to restore clean rows from noisy
ones. First three kinds of noise on handwritten digits, restored by it and by
:class:`~sklearn.decomposition.PCA`; then, in two dimensions, what such an autoencoder
knows of the density of its data.
"""

# %%
# Noisy digits
# ------------
# Noise for the held-out digits, on the same scale as the noise to train with: a
# Gaussian's standard deviation is in average (root mean square) standard deviations of
# the pixels; what is masked is set to the pixel's mean, and salt and pepper are its
# highest and lowest value.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits, make_moons
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KernelDensity

from sklearn_ae import DenoisingAutoencoder, ReconstructionDisplay

X = load_digits().data
X_train, X_test = train_test_split(X, test_size=1 / 3, random_state=0)
levels = {"gaussian": 0.8, "masking": 0.4, "salt_and_pepper": 0.2}

rng = np.random.default_rng(0)
spread = np.sqrt(X_train.var(axis=0).mean())
draw = rng.random(X_test.shape)
low, high = levels["salt_and_pepper"] / 2, levels["salt_and_pepper"]
noisy = {
    "gaussian": X_test + levels["gaussian"] * spread * rng.normal(size=X_test.shape),
    "masking": np.where(draw < levels["masking"], X_train.mean(axis=0), X_test),
    "salt_and_pepper": np.where(
        draw < low,
        X_train.min(axis=0),
        np.where(draw < high, X_train.max(axis=0), X_test),
    ),
}

# %%
# Restored by PCA and by the autoencoder
# --------------------------------------
# Both have 16 components and are fitted to the same clean rows. The autoencoder draws
# its own noise while it is fitted, of the kind and level that it will meet. PCA does
# not know of noise: its only means is to leave directions out. The last column is its
# error at the number of components that turns out best on these held-out rows.


def error(restored):
    return np.mean((X_test - restored) ** 2)


pca = PCA(random_state=0).fit(X_train)


def by_pca(rows, k):
    components = pca.components_[:k]
    return pca.mean_ + (rows - pca.mean_) @ components.T @ components


k = 16
pictures = {}
print("noise            noisy  PCA(16)  autoencoder  PCA at its best")
for noise, rows in noisy.items():
    model = DenoisingAutoencoder(
        k, noise=noise, noise_level=levels[noise], max_iter=120, random_state=0
    )
    ours = model.fit(X_train).reconstruct(rows)
    linear = by_pca(rows, k)
    best = min(error(by_pca(rows, n)) for n in range(1, 65))
    pictures[noise] = {"noisy": rows, f"PCA({k})": linear, "autoencoder": ours}
    print(
        f"{noise:15s} {error(rows):6.2f} {error(linear):8.2f} {error(ours):12.2f} "
        f"{best:16.2f}"
    )

# %%
# Six held-out digits, with the mean of (x − x̂)² over all that are held out.

figure, axes = plt.subplots(1, 3, figsize=(12, 2.8), layout="constrained")
for ax, (noise, rows) in zip(axes, pictures.items(), strict=True):
    versions = {"clean": X_test[:6]}
    for name, restored in rows.items():
        versions[f"{name}\n{error(restored):.1f}"] = restored[:6]
    display = ReconstructionDisplay(versions=versions, image_shape=(8, 8))
    display.plot(ax, cmap="gray_r", vmin=0, vmax=16)
    ax.set_title(f"{noise.replace('_', ' ')}, {levels[noise]:g}")

# %%
# The density behind it
# ---------------------
# With Gaussian noise of variance σ², the best restoration of x is x + σ² times the
# gradient of the log density of noisy rows: their score. So ``score_field`` has it,
# wherever it is asked. Here the density is known: that of training rows with noise on
# them is a kernel density, of bandwidth σ.

moons, _ = make_moons(1000, noise=0.05, random_state=0)
model = DenoisingAutoencoder(32, noise_level=0.2, max_iter=200, random_state=0)
model.fit(moons)

sigma = model.noise_level * np.sqrt(moons.var(axis=0).mean())
density = KernelDensity(bandwidth=sigma).fit(moons)


def true_score(rows):
    away = moons - rows[:, None]
    weight = np.exp(-0.5 * (away**2).sum(axis=2) / sigma**2)[..., None]
    return (weight * away).sum(axis=1) / weight.sum(axis=1) / sigma**2


fresh, _ = make_moons(1000, noise=0.05, random_state=1)
fresh = fresh + sigma * rng.normal(size=fresh.shape)
truth, estimate = true_score(fresh), model.score_field(fresh)
share = np.sum((truth - estimate) ** 2) / np.sum(truth**2)
print(f"score_field explains {1 - share:.0%} of the true score at fresh noisy rows")

# %%
# ``sample`` walks along this field, with noise in each step, and takes the noise away
# at the end. That leaves a curve, narrower than the data: a restored row is the mean of
# the clean rows that it may have been. Some samples are still on their way between the
# moons. Arrows are as long as the square root of the score.

samples = model.sample(1000, random_state=0)
x, y = np.linspace(-1.6, 2.6, 85), np.linspace(-1.15, 1.65, 57)
grid = np.stack(np.meshgrid(x, y), axis=-1)
log_density = density.score_samples(grid.reshape(-1, 2)).reshape(grid.shape[:2])
places = grid[::4, ::4].reshape(-1, 2)
arrows = model.score_field(places)
arrows = arrows / np.sqrt(np.linalg.norm(arrows, axis=1, keepdims=True))

figure, (left, right) = plt.subplots(
    1, 2, figsize=(11, 4), sharex=True, sharey=True, layout="constrained"
)
left.contourf(x, y, np.exp(log_density), levels=12, cmap="Blues")
left.quiver(*places.T, *arrows.T, color="#c8374f", width=0.003)
left.set_title("density of noisy rows, and score_field")
right.plot(*moons.T, ".", color="0.75", markersize=3, label="data")
right.plot(*samples.T, ".", color="#c8374f", markersize=3, label="sample")
right.set_title("where the walk ends")
right.legend(frameon=False, loc="upper right", markerscale=3)
for ax in (left, right):
    ax.set_aspect("equal")
    ax.spines[["top", "right"]].set_visible(False)
