"""
==================================================
Edges in photographs: what penalties make units do
==================================================

A code larger than the input can copy it, and then says nothing about the data. A
penalty, or noise, keeps it from copying. This example draws the weights that six
autoencoders of one layer learn from patches of photographs, and measures how far each
of them copies.
"""

# %%
# Patches of photographs
# ----------------------
# Patches of 10 × 10 grey pixels, from photographs that come with scikit-image. Each has
# its own mean subtracted, and its contrast set to one. Flat ones are left out.

import matplotlib.pyplot as plt
import numpy as np
from skimage import data
from skimage.transform import downscale_local_mean

from sklearn_ae import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    FeatureDisplay,
    KSparseAutoencoder,
    SparseAutoencoder,
)

SIDE = 10
rng = np.random.default_rng(0)


def patches(photograph, n):
    if photograph.ndim == 3:
        photograph = photograph.mean(axis=2)
    photograph = downscale_local_mean(photograph / 255, (2, 2))
    tops, lefts = (rng.integers(0, size - SIDE + 1, n) for size in photograph.shape)
    pairs = zip(tops, lefts, strict=True)
    return np.array([photograph[i:, j:][:SIDE, :SIDE].ravel() for i, j in pairs])


photographs = (
    data.camera(),
    data.astronaut(),
    data.coffee(),
    data.chelsea(),
    data.coins(),
    data.brick(),
)
X = np.concatenate([patches(photograph, 700) for photograph in photographs])
X = X - X.mean(axis=1, keepdims=True)
contrast = X.std(axis=1, keepdims=True)
X = rng.permutation((X / np.maximum(contrast, 0.02))[contrast.ravel() > 0.02])
X_train, X_test = X[:2500], X[2500:]

# %%
# Six autoencoders
# ----------------
# All have a code of 100 units for 100 pixels. Apart from what keeps them from copying
# they are the same: a layer of sigmoid units (in the k-sparse one linear units, of
# which the largest are kept), and its transpose as decoder. All penalties are
# combined with some decay of the weights, so one more autoencoder has that alone.

shared = {
    "n_components": 100,
    "learning_rate_init": 1e-2,
    "max_iter": 40,
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
        sparsity=0.1, sparsity_weight=0.3, alpha=0.1, tied_weights=True, **shared
    ),
    "k-sparse (k = 6)": KSparseAutoencoder(k=6, alpha=0.1, **shared),
    "denoising": DenoisingAutoencoder(
        noise="masking", noise_level=0.5, alpha=0.1, **shared, **one_layer
    ),
    "contractive": ContractiveAutoencoder(contraction=0.012, alpha=0.1, **shared),
}

# %%
# Patches and noise
# -----------------
# Shuffling each pixel over the rows gives rows that have every pixel's distribution,
# and nothing of what pixels have to do with each other. An autoencoder that has learned
# what photographs look like cannot restore these rows. One that has learned to copy
# can. The errors below are shares of the variance, of which the mean alone would leave
# 100 %.

X_noise = np.random.default_rng(0).permuted(X_test, axis=0)
variance = X_test.var(axis=0).mean()

left = {}
print("                      patches    noise")
for name, model in models.items():
    model.fit(X_train)
    left[name] = [-model.score(rows) / variance for rows in (X_test, X_noise)]
    print(f"{name:20s}  {left[name][0]:7.1%}  {left[name][1]:7.1%}")

# %%
# What the units look for
# -----------------------
# Each small picture is what one unit weighs the pixels by, from blue (negative) to red
# (positive), each on its own scale: the 16 units with the largest weights. Without a
# penalty they look like noise. Sparse and k-sparse units look for edges and lines, as
# cells in the visual cortex do; noise and contraction give spots of some width.

figure, axes = plt.subplots(2, 3, figsize=(8, 5.8), layout="constrained")
figure.get_layout_engine().set(w_pad=0.15, h_pad=0.1)
for ax, (name, model) in zip(axes.flat, models.items(), strict=True):
    FeatureDisplay.from_estimator(
        model, units=16, n_columns=4, image_shape=(SIDE, SIDE), ax=ax
    )
    ax.set_title(name, fontsize=13)

# %%
# Which ones copy
# ---------------
# Without a penalty the autoencoder restores more than half of the noise too. With one
# it gives up some of the patches and most of the noise. Weight decay alone goes part of
# the way.

figure, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
places = np.arange(len(models))
values = np.array(list(left.values()))
for column, (label, color) in enumerate((("patches", "#c8374f"), ("noise", "#7f7f7f"))):
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
