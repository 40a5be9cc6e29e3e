"""
========================================================
Split-brain autoencoder: colour from lightness, and back
========================================================

A :class:`~sklearn_ae.SplitBrainAutoencoder` with ``split="channels"`` has two networks.
One sees how light each pixel of an image is and predicts its colour. The other sees the
colour and predicts the lightness. To do so, they have to find out what is in the image,
and both codes together say more about it than either does.
"""

# %%
# Patches of photographs
# ----------------------
# Seven photographs that come with scikit-learn and scikit-image, at half their size.
# Patches of 16 × 16 pixels for training are from their left halves, those for testing
# from the right ones.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from skimage import data
from skimage.color import lab2rgb, rgb2lab
from skimage.transform import downscale_local_mean
from sklearn.datasets import load_sample_image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ae import ConvolutionalAutoencoder, SplitBrainAutoencoder

SIDE = 16
photographs = {
    "temple": load_sample_image("china.jpg"),
    "flower": load_sample_image("flower.jpg"),
    "astronaut": data.astronaut(),
    "cat": data.chelsea(),
    "coffee": data.coffee(),
    "rocket": data.rocket(),
    "galaxies": data.hubble_deep_field(),
}
halves = {
    name: np.array_split(downscale_local_mean(photograph / 255, (2, 2, 1)), 2, axis=1)
    for name, photograph in photographs.items()
}


def patches(photograph, n, seed):
    """Return patches from places drawn at random, as flat rows."""
    rng = np.random.default_rng(seed)
    height, width, _ = photograph.shape
    tops = rng.integers(0, height - SIDE + 1, n)
    lefts = rng.integers(0, width - SIDE + 1, n)
    pairs = zip(tops, lefts, strict=True)
    drawn = [photograph[top:, left:][:SIDE, :SIDE] for top, left in pairs]
    return np.reshape(drawn, (n, -1))


X_train = np.concatenate([patches(left, 250, 0) for left, _ in halves.values()])
X_test = np.concatenate([patches(right, 200, 1) for _, right in halves.values()])
y_train, y_test = (np.repeat(list(halves), n) for n in (250, 200))

# %%
# Two networks
# ------------
# Rows are RGB, flat, and the split turns them to CIE Lab: lightness L, and a and b,
# between green and red and between blue and yellow. The convolutions lead right to the
# code, of which each network has 32 components.

settings = {
    "image_shape": (SIDE, SIDE, 3),
    "hidden_layer_sizes": (),
    "max_iter": 20,
    "random_state": 0,
}
model = SplitBrainAutoencoder(64, split="channels", **settings).fit(X_train)

# %%
# What is predicted
# -----------------
# The right halves of two photographs, a tile at a time; no tile knows of its
# neighbours. Both predictions are in what ``reconstruct`` returns, and each is shown
# here with what it was made from: predicted colours with the true lightness, then the
# predicted lightness with the true colours.
#
# Sky, wood and cup get colours that are theirs. The saucer is blue metal to the first
# network, and trees come in autumn colours: what lightness does not tell, it cannot
# know, and with squared error it hedges. The other one finds light and dark places by
# their colours, but hardly any of what is drawn there.


def tiles(photograph):
    """Return the tiles of a photograph as flat rows, and how many lie side by side."""
    height, width = (n // SIDE for n in photograph.shape[:2])
    cut = photograph[: height * SIDE, : width * SIDE]
    cut = cut.reshape(height, SIDE, width, SIDE, 3).swapaxes(1, 2)
    return cut.reshape(height * width, -1), width


def joined(rows, width):
    cut = np.reshape(rows, (-1, width, SIDE, SIDE, 3)).swapaxes(1, 2)
    return cut.reshape(-1, width * SIDE, 3)


# a tint that cannot be shown is clipped, and scikit-image warns of it
warnings.filterwarnings("ignore", message=".*negative Z")

titles = ["original", "lightness", "colour from it", "colour", "lightness from it"]
figure, axes = plt.subplots(2, 5, figsize=(10, 6), layout="constrained")
for line, name in zip(axes, ("temple", "coffee"), strict=True):
    rows, width = tiles(halves[name][1])
    true, predicted = (
        rgb2lab(joined(part, width)) for part in (rows, model.reconstruct(rows))
    )
    grey, even = np.zeros_like(true), true.copy()
    grey[..., 0], even[..., 0] = true[..., 0], 60
    coloured = np.dstack([true[..., :1], predicted[..., 1:]])
    lit = np.dstack([predicted[..., :1], true[..., 1:]])
    for ax, lab, title in zip(
        line, (true, grey, coloured, even, lit), titles, strict=True
    ):
        ax.imshow(lab2rgb(lab))
        ax.set_title(title)
        ax.set_axis_off()

# %%
# What the codes are good for
# ---------------------------
# No label was needed so far. Which photograph is a patch from? A linear classifier of
# the codes is asked, of those of both networks, of either one, and of a plain
# autoencoder of the same size, which sees all three channels and restores them.

plain = ConvolutionalAutoencoder(64, **settings).fit(X_train)
both = [model.transform(X) for X in (X_train, X_test)]
codes = {
    "split-brain": both,
    "its lightness alone": [z[:, :32] for z in both],
    "its colour alone": [z[:, 32:] for z in both],
    "plain autoencoder": [plain.transform(X) for X in (X_train, X_test)],
}
for name, (z_train, z_test) in codes.items():
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    right = classifier.fit(z_train, y_train).score(z_test, y_test)
    print(f"{name:20s} {right:.1%} of test patches")

# %%
# Colour says more of it than lightness, and both together more than either. A plain
# autoencoder keeps the mean colours, which are of use here: with other settings it does
# as well. Where it matters what is in the picture the difference is clearer, see
# ``benchmarks/relational.py``.
