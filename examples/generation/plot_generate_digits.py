"""
==============================================
New rows: digits drawn from three autoencoders
==============================================

Every autoencoder here can draw new rows: ``sample`` draws codes and decodes them. How
good the rows are depends on the distribution of these codes. Three are compared: a
mixture fitted to the codes of training rows, a prior that training pulls the codes to,
and a prior of which each digit has a part of its own.
"""

# %%
# Three models
# ------------
# An :class:`~sklearn_ae.Autoencoder` with small codes (``penalties=L2()``) fits a
# mixture to them once it is trained. A :class:`~sklearn_ae.VariationalAutoencoder`
# draws from N(0, 1), to which its objective pulls the codes. An
# :class:`~sklearn_ae.AdversarialAutoencoder` learns to pass its codes off as draws from
# a mixture, here one Gaussian for each digit, and for that it is told the labels.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from sklearn_ae import (
    L2,
    AdversarialAutoencoder,
    Autoencoder,
    VariationalAutoencoder,
)

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=1 / 3, random_state=0
)

autoencoder = Autoencoder(
    8, penalties=L2(), density=GaussianMixture(10), max_iter=50, random_state=0
)
variational = VariationalAutoencoder(8, max_iter=50, random_state=0)
adversarial = AdversarialAutoencoder(
    4, prior="mixture", batch_size=64, max_iter=50, random_state=0
)
models = [autoencoder, variational, adversarial]
for model in models:
    model.fit(X_train, y_train)  # which the adversarial one alone reads


def show(ax, rows, names):
    """Draw digits, each of the rows of the picture with its name."""
    tiles = rows.reshape(len(names), -1, 8, 8)
    tiles = np.pad(tiles, ((0, 0), (0, 0), (1, 1), (1, 1)))  # a white frame
    picture = tiles.transpose(0, 2, 1, 3).reshape(10 * len(names), -1)
    ax.imshow(picture, cmap="gray_r", vmin=0, vmax=16)
    ax.set_xticks([])
    ax.set_yticks(np.arange(len(names)) * 10 + 4.5, names)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


# %%
# Draws
# -----
# Ten of each, none picked. They are means of p(x|z): the noise of each pixel, which
# the models have too, is left out. Most are digits, some are two at once, and all are
# softer than the real ones.

names = ["held-out digits", *(type(model).__name__ for model in models)]
drawn = [model.sample(10, random_state=0) for model in models]
figure, ax = plt.subplots(figsize=(8, 2.8), layout="constrained")
show(ax, np.concatenate([X_test[:10], *drawn]), names)

# %%
# How good are they?
# ------------------
# The Fréchet distance compares the means and covariances of features of rows, here of
# the hidden units of a small classifier. 0 is the least; between training rows and
# held-out ones it is what can be hoped for. In the other columns the same decoders get
# codes drawn from one Gaussian, or ten, fitted to those of the training rows.

classifier = MLPClassifier(64, alpha=1e-2, max_iter=200, tol=1e-3, random_state=0)
classifier.fit(X_train / 16, y_train)


def moments(rows):
    hidden = rows / 16 @ classifier.coefs_[0] + classifier.intercepts_[0]
    hidden = np.maximum(hidden, 0.0)
    return hidden.mean(axis=0), np.cov(hidden, rowvar=False)


def frechet(rows):
    (mean, covariance), (other_mean, other) = moments(rows), moments(X_test)
    # the trace of the root of a product of covariances
    root = np.sqrt(np.linalg.eigvals(covariance @ other).real.clip(0.0)).sum()
    apart = np.square(mean - other_mean).sum()
    return apart + np.trace(covariance) + np.trace(other) - 2.0 * root


print(f"Fréchet distance from held-out digits; training rows: {frechet(X_train):.2f}")
print("                          sample  one Gaussian     ten")
for model in models:
    results = [frechet(model.sample(1000, random_state=1))]
    codes = model.transform(X_train).astype(np.float64)
    for n in (1, 10):
        density = GaussianMixture(n, random_state=0).fit(codes)
        results.append(frechet(model.inverse_transform(density.sample(1000)[0])))
    print(f"{type(model).__name__:24s}" + "{:8.2f}{:14.2f}{:8.2f}".format(*results))

# %%
# Ten Gaussians on the codes draw the best digits of the plain autoencoder and of the
# variational one. It is they who do it: one Gaussian draws far worse, and without the
# penalty on the codes the plain one's figure is the same here, within what the seed
# changes. From its own prior the variational one draws the worst of all, since its
# codes are not quite N(0, 1); a mixture mends that, as its ``density=`` can. For the
# adversarial one its prior does as well as what is fitted to its codes. That has a
# price: with half of the components, and pulled to the prior all the time, it restores
# digits far worse than the others. With eight components the label says less of the
# digit, unless it is trained for longer.

for model in models:
    error = np.mean((X_test - model.reconstruct(X_test)) ** 2)
    print(f"{type(model).__name__:24s} held-out reconstruction error {error:5.2f}")

# %%
# A digit of one's choice
# -----------------------
# ``sample(label=...)`` draws from the part of one class. All rows begin with the same
# ``random_state``, so a column is the same place within each part: along a column the
# digit changes and the hand stays much the same. The place of the first column is clear
# in hardly any row: no code of a real digit may be near it.

labels = adversarial.classes_
by_label = [adversarial.sample(200, random_state=0, label=label) for label in labels]
right = np.mean([classifier.predict(r / 16) == d for d, r in enumerate(by_label)])
print(f"the classifier reads {right:.0%} of them as the label that was asked for")

figure, ax = plt.subplots(figsize=(9, 5.6), layout="constrained")
show(ax, np.concatenate([rows[:16] for rows in by_label]), labels)

# %%
# From one digit to another
# -------------------------
# ``interpolate`` decodes the codes on the straight way between those of two rows. Mixed
# pixels are both digits at once, half way. So is much of what the plain autoencoder
# makes of it, whose linear path mixes as PCA does. The variational one has a sharp
# stroke on all of its way, of which one end bends round; the adversarial one hardly
# knows this seven, and begins with a blur.

start, end = X_test[y_test == 7][0], X_test[y_test == 9][0]
share = np.linspace(0.0, 1.0, 12)[:, None]
ways = {"pixels": (1 - share) * start + share * end}
for model in models:
    ways[type(model).__name__] = model.interpolate(start, end, n=12)
figure, ax = plt.subplots(figsize=(8, 2.6), layout="constrained")
show(ax, np.concatenate(list(ways.values())), list(ways))
