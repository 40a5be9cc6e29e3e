"""
================================================================
A density of digits: a variational autoencoder in two dimensions
================================================================

A :class:`~sklearn_ae.VariationalAutoencoder` is a density: it says how likely a row is,
in nats, as ``PCA.score`` does. With two components it also lays digits out on a plane,
where every place can be decoded.
"""

# %%
# How likely are held-out digits?
# -------------------------------
# The score is a lower bound on the mean log p(x) of rows. ``PCA.score`` is the mean
# log p(x) itself, under a Gaussian; so they compare, and higher is better. The more
# draws of a code, the closer the bound: what the ELBO lacks is how ill a Gaussian along
# the axes fits what a row tells of its code.

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import EllipseCollection
from matplotlib.patheffects import withStroke
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from sklearn_ae import ManifoldDisplay, VariationalAutoencoder

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=1 / 3, random_state=0
)

model = VariationalAutoencoder(
    2, activation="gelu", alpha=0.03, max_iter=60, random_state=0
)
model.fit(X_train)

print("mean log p(x) of held-out rows, in nats")
for k in (2, 7, 10):
    print(f"PCA({k})".ljust(40), f"{PCA(k).fit(X_train).score(X_test):.1f}")
print("VariationalAutoencoder(2)".ljust(40), f"{model.score(X_test):.1f}  (ELBO)")
for n in (10, 100):
    bound = model.score_samples(X_test, n_samples=n).mean()
    print(f"  with {n} draws for each row".ljust(40), f"{bound:.1f}")

# %%
# Two components that bend are worth about seven straight ones. PCA with ten is better
# again: what two numbers do not say is noise to the model, the same for every
# pixel.
#
# The map
# -------
# First comes what the decoder makes of a grid of codes, whose nodes are at equal
# shares of the prior N(0, 1). Digits pass into each other, and on the way are neither
# the one nor the other. Then come the codes of held-out digits, coloured by the
# digit, of which the model was not told. Each is an ellipse of one standard deviation:
# the smaller, the more is known of where the row belongs. The dashed frame is what the
# grid shows.

mean, std = model.transform(X_test, return_std=True)

figure, ax = plt.subplots(figsize=(6, 6), layout="constrained")
display = ManifoldDisplay.from_estimator(model, n=12, ax=ax, cmap="gray_r", vmin=0)
ax.set_title("what codes decode to")

figure, right = plt.subplots(figsize=(6, 6), layout="constrained")

colors = plt.get_cmap("tab10")(np.arange(10))
ellipses = EllipseCollection(
    *(2 * std.T),
    angles=np.zeros(len(std)),
    units="xy",
    offsets=mean,
    offset_transform=right.transData,
    facecolors=colors[y_test],
    alpha=0.5,
)
right.add_collection(ellipses)
for digit in range(10):
    label = right.text(
        *np.median(mean[y_test == digit], axis=0),
        str(digit),
        color=colors[digit],
        fontsize=20,
        weight="bold",
        ha="center",
        va="center",
    )
    label.set_path_effects([withStroke(linewidth=4, foreground="white")])
low, high = display.first[[0, -1]], display.second[[0, -1]]
frame = plt.Rectangle((low[0], high[0]), np.ptp(low), np.ptp(high), fill=False)
frame.set(linestyle="--", edgecolor="0.5")
right.add_patch(frame)
right.set(
    title="codes of held-out digits, with their spread",
    xlim=(-3.3, 3.3),
    ylim=(-3.3, 3.3),
    aspect="equal",
    xlabel="component 0",
    ylabel="component 1",
)
right.spines[["top", "right"]].set_visible(False)

inside = ((abs(mean) < display.first[-1]).all(axis=1)).mean()
print(f"{inside:.0%} of the codes are in the frame")

# %%
# Most digits have a country of their own; fives and ones have several. The frame has 81
# % of the draws from the prior, and far fewer of the codes: the model lays its digits
# out farther than the prior asks, and leaves much of the middle to mixtures of them.
# What that means for digits drawn from the prior is shown by
# :ref:`sphx_glr_auto_examples_generation_plot_generate_digits.py`.
