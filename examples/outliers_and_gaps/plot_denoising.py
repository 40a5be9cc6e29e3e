"""
======================================================
Noise removed from a photograph, and a density's score
======================================================

A :class:`~sklearn_ae.DenoisingAutoencoder` learns to restore clean rows from noisy
ones. Here a row is a small patch of a photograph. The autoencoder learns from five
photographs and cleans a sixth, better than :class:`~sklearn.decomposition.PCA` can.
The second part shows, in two dimensions, what it knows of the density of its rows.
"""

# %%
# Patches of photographs
# ----------------------
# The photographs come with scikit-image. Rows are patches of 8 × 8 grey pixels, at
# random places. The photograph to clean is not among those to learn from.

import matplotlib.pyplot as plt
import numpy as np
from skimage import data
from skimage.transform import downscale_local_mean
from sklearn.datasets import make_moons
from sklearn.decomposition import PCA
from sklearn.neighbors import KernelDensity

from sklearn_ae import DenoisingAutoencoder

SIDE = 8
rng = np.random.default_rng(0)


def grey(photograph):
    """Return a photograph in grey, in [0, 1], at half its size."""
    if photograph.ndim == 3:
        photograph = photograph.mean(axis=2)
    return downscale_local_mean(photograph / 255, (2, 2))


def patches(photograph, n):
    tops, lefts = (rng.integers(0, size - SIDE + 1, n) for size in photograph.shape)
    pairs = zip(tops, lefts, strict=True)
    return np.array([photograph[i:, j:][:SIDE, :SIDE].ravel() for i, j in pairs])


sources = [data.coins(), data.moon(), data.astronaut(), data.coffee(), data.chelsea()]
X = np.concatenate([patches(grey(photograph), 600) for photograph in sources])
clean = grey(data.camera())
noisy = {
    "Gaussian noise": clean + rng.normal(scale=0.15, size=clean.shape),
    "salt and pepper": np.where(
        rng.random(clean.shape) < 0.15, rng.integers(0, 2, clean.shape), clean
    ),
}

# %%
# One network for each kind of noise
# ----------------------------------
# The autoencoder draws its own noise while it is fitted, of the kind and level that it
# will meet. The level of Gaussian noise is in average (root mean square) standard
# deviations of the pixels. To clean the photograph, all patches of it, two pixels
# apart, are restored, and each pixel is the mean over the patches that it is in.

spread = np.sqrt(X.var(axis=0).mean())
models = {
    "Gaussian noise": DenoisingAutoencoder(
        32,
        hidden_layer_sizes=(256,),
        noise_level=0.15 / spread,
        max_iter=25,
        random_state=0,
    ),
    "salt and pepper": DenoisingAutoencoder(
        64,
        hidden_layer_sizes=(256,),
        noise="salt_and_pepper",
        noise_level=0.15,
        max_iter=40,
        random_state=0,
    ),
}
corners = [
    (top, left)
    for top in range(0, clean.shape[0] - SIDE + 1, 2)
    for left in range(0, clean.shape[1] - SIDE + 1, 2)
]


def cleaned(photograph, restore):
    rows = [photograph[i:, j:][:SIDE, :SIDE].ravel() for i, j in corners]
    total, count = np.zeros_like(photograph), np.zeros_like(photograph)
    for (i, j), patch in zip(corners, restore(np.array(rows)), strict=True):
        total[i : i + SIDE, j : j + SIDE] += patch.reshape(SIDE, SIDE)
        count[i : i + SIDE, j : j + SIDE] += 1
    return total / count


def decibels(photograph):
    """Return the peak signal-to-noise ratio: the higher, the better."""
    return -10 * np.log10(np.mean((photograph - clean) ** 2))


# %%
# PCA knows nothing of noise: all it can do is to leave directions out. It is given the
# number of components that turns out best on this very photograph.

restored = {}
print("peak signal-to-noise ratio in dB  noisy  PCA at its best  autoencoder")
for kind, photograph in noisy.items():
    linear = [PCA(k, random_state=0).fit(X) for k in (2, 4, 6, 8, 12, 16)]
    by_pca = max(
        (
            cleaned(
                photograph, lambda rows, p=p: p.inverse_transform(p.transform(rows))
            )
            for p in linear
        ),
        key=decibels,
    )
    ours = cleaned(photograph, models[kind].fit(X).reconstruct)
    restored[kind] = {"noisy": photograph, "PCA": by_pca, "autoencoder": ours}
    levels = [decibels(picture) for picture in restored[kind].values()]
    print("{:32s} {:6.1f} {:16.1f} {:12.1f}".format(kind, *levels))

# %%
# A part of the photograph, in the same order:

figure, axes = plt.subplots(2, 3, figsize=(8, 5.6), layout="constrained")
for line, (kind, pictures) in zip(axes, restored.items(), strict=True):
    for ax, (name, picture) in zip(line, pictures.items(), strict=True):
        ax.imshow(picture[20:130, 50:190], cmap="gray", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
        name = kind if name == "noisy" else name
        ax.set_title(f"{name}\n{decibels(picture):.1f} dB", fontsize=13)

# %%
# The score of a density
# ----------------------
# With Gaussian noise of variance σ², the best restoration of x is x plus σ² times the
# gradient of the log density of noisy rows, which is called their score.
# ``score_field`` returns it, at any row. Here the true score is known, since two half
# moons with Gaussian noise on them are a kernel density of bandwidth σ.

moons, _ = make_moons(1000, noise=0.05, random_state=0)
model = DenoisingAutoencoder(32, noise_level=0.2, max_iter=100, random_state=0)
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
# ``sample`` walks along this field, with noise in each step, and removes the noise at
# the end. What remains is a curve, narrower than the data: a restored row is the mean
# of the clean rows that it may have been. Some samples are still on their way between
# the moons. Arrows are as long as the square root of the score.

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
plt.show()
