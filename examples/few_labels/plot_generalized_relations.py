"""
=================================================================
Classes and neighbours: generalized autoencoders of six relations
=================================================================

A :class:`~sklearn_ae.GeneralizedAutoencoder` restores, from a row's code, the rows that
it is related to: its neighbours, or rows of its class. So related rows get similar
codes, as with LDA or Isomap. This example compares six relations, by the codes and by
what is restored from them.
"""

# %%
# Six relations
# -------------
# Each digit gets a code of two numbers. "identity" relates a row to itself, and is the
# plain autoencoder; "laplacian", "lle" and "isomap" are three ways to relate
# neighbours; "class" and "mfa" read the labels, and the others do not. PCA and
# scikit-learn's Isomap are there to compare with. Each row has seven neighbours.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.manifold import Isomap, trustworthiness
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from sklearn_ae import GeneralizedAutoencoder

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=1 / 3, random_state=0
)

models = {"PCA": PCA(2), "scikit-learn's Isomap": Isomap(n_neighbors=7)}
for relation in ("identity", "laplacian", "lle", "isomap", "class", "mfa"):
    models[relation] = GeneralizedAutoencoder(
        2, relation=relation, n_neighbors=7, max_iter=40, random_state=0
    )

codes, error, trust = {}, {}, {}
for name, model in models.items():
    codes[name] = model.fit(X_train, y_train).transform(X_test)
    nearest = KNeighborsClassifier(1).fit(model.transform(X_train), y_train)
    error[name] = 1 - nearest.score(codes[name], y_test)
    trust[name] = trustworthiness(X_test, codes[name], n_neighbors=5)

# %%
# Codes of held-out digits
# ------------------------
# No row in the pictures was trained on. The error is that of the nearest training
# row's label; trustworthiness says how far neighbours in the picture are neighbours
# among the digits too, and is 1 at most.


def draw(ax, name):
    z = codes[name]
    ax.scatter(*z.T, c=y_test, cmap="tab10", s=7, alpha=0.8, linewidths=0)
    for digit in range(10):
        ax.annotate(
            str(digit),
            np.median(z[y_test == digit], axis=0),
            ha="center",
            va="center",
            fontsize=9,
            fontweight="bold",
            bbox={"boxstyle": "circle,pad=0.15", "fc": "white", "alpha": 0.75, "lw": 0},
        )
    ax.set_title(
        f"{name}\nerror {error[name]:.0%}, trustworthiness {trust[name]:.2f}",
        fontsize=10,
    )
    ax.set(xticks=[], yticks=[])


figure, axes = plt.subplots(1, 2, figsize=(8, 4.4), layout="constrained")
for ax, name in zip(axes, ("PCA", "class"), strict=True):
    draw(ax, name)

# %%
# The other six:

others = [name for name in codes if name not in ("PCA", "class")]
figure, axes = plt.subplots(2, 3, figsize=(9, 6.6), layout="constrained")
for ax, name in zip(axes.flat, others, strict=True):
    draw(ax, name)

# %%
# What a relation is good for
# ---------------------------
# "class" tells the classes apart and nothing else: among the rows of a class its
# neighbours are hardly those of the pixels, and it is hardly more trustworthy than PCA.
# "mfa" wants a row near the nearest of its class, and far from the nearest others. It
# errs more, and loses little of what the plain autoencoder has.
#
# Without labels there is less to gain. All these networks begin at PCA's codes, and the
# plain one already puts neighbours together. "laplacian" and "lle" err a little less,
# and are about as trustworthy. "isomap" is less so, and still more than scikit-learn's
# Isomap. That one also has no function from rows to codes: it needs the training rows
# to place a new one, and a network does not.

# %%
# What is restored
# ----------------
# From eight components, and by four of the relations: the first two of each digit,
# none picked.

restored = {"held-out digits": X_test}
for relation in ("identity", "laplacian", "class", "isomap"):
    model = GeneralizedAutoencoder(
        8, relation=relation, n_neighbors=7, max_iter=40, random_state=0
    ).fit(X_train, y_train)
    restored[relation] = model.reconstruct(X_test)

means = np.array([X_train[y_train == digit].mean(axis=0) for digit in range(10)])
print("mean squared error        of the digit  of the mean of its class")
for name, rows in restored.items():
    errors = [np.mean((rows - other) ** 2) for other in (X_test, means[y_test])]
    print("{:25s}{:13.2f}{:26.2f}".format(name, *errors))

shown = np.concatenate([np.flatnonzero(y_test == digit)[:2] for digit in range(10)])
tiles = np.stack([rows[shown].reshape(-1, 8, 8) for rows in restored.values()])
tiles = np.pad(tiles, ((0, 0), (0, 0), (1, 1), (1, 1)))  # a white frame
picture = tiles.transpose(0, 2, 1, 3).reshape(10 * len(restored), -1)
figure, ax = plt.subplots(figsize=(11, 2.9), layout="constrained")
ax.imshow(picture, cmap="gray_r", vmin=0, vmax=16)
ax.set_yticks(np.arange(len(restored)) * 10 + 4.5, list(restored))
ax.set_xticks([])
ax.tick_params(length=0)
ax.spines[:].set_visible(False)

# %%
# "identity" restores the digit. "laplacian" restores the mean of its neighbours: the
# error of the digit is higher, and what comes out is nearer to what its class has in
# common. "class" restores the mean of the class, or of the one that it takes the digit
# for, whoever wrote it.
#
# "isomap" restores nothing: a row is to be like those that are near and unlike those
# that are far, and whatever sets it apart from the mean comes out exaggerated. It is
# there for its codes, and its reconstruction error chooses nothing. With more
# ``self_weight``, such as 1, it restores digits too, and is nearer to the plain
# autoencoder.
