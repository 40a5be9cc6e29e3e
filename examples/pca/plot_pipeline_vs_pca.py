"""
================================================
PCA against an autoencoder, in the same pipeline
================================================

Two pipelines on the handwritten digits that come with scikit-learn, on their raw
pixels: one compresses with :class:`~sklearn.decomposition.PCA`, the other with
:class:`~sklearn_ae.Autoencoder`. Nothing else differs, and nothing is tuned.

Run as a script it prints the table and writes ``pipeline_vs_pca.png`` to the current
directory, or to the file that is named on the command line.
"""

# %%
# The two pipelines
# -----------------
# A classifier reads the codes. One third of the digits is held out; all numbers below
# are measured there.

import sys
import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ae import Autoencoder

digits = load_digits()
X_train, X_test, y_train, y_test = train_test_split(
    digits.data, digits.target, test_size=1 / 3, stratify=digits.target, random_state=0
)


def pipeline(compress):
    return make_pipeline(compress, StandardScaler(), LogisticRegression(max_iter=1000))


# %%
# Both at the same number of components
# -------------------------------------
# ``inverse_transform`` takes codes back to pixels, for both. The error is the mean of
# (x − x̂)² over the pixels of the held-out digits, whose values go from 0 to 16.

sizes = [2, 4, 8, 16, 32]
error = {"PCA": [], "Autoencoder": []}
restored = {}

print(
    f"digits: {len(X_train)} to fit, {len(X_test)} held out, {X_test.shape[1]} pixels"
)
print()
print(" components  transformer   error   accuracy   fit seconds")
for k in sizes:
    for compress in (PCA(k, random_state=0), Autoencoder(k, random_state=0)):
        name = type(compress).__name__
        model = pipeline(compress)
        start = time.perf_counter()
        model.fit(X_train, y_train)
        seconds = time.perf_counter() - start
        compress = model[0]
        X_back = compress.inverse_transform(compress.transform(X_test))
        error[name].append(np.mean((X_test - X_back) ** 2))
        restored[name, k] = X_back
        accuracy = model.score(X_test, y_test)
        print(
            f"{k:11d}  {name:12s} {error[name][-1]:6.2f}   {accuracy:8.3f}   "
            f"{seconds:11.2f}"
        )

# %%
# What is lost
# ------------
# Six held-out digits from 8 numbers each, and the error for every size of the code.

k = 8
chosen = [np.flatnonzero(y_test == digit)[0] for digit in range(6)]
rows = {
    "original": X_test,
    f"PCA({k})\nerror {error['PCA'][sizes.index(k)]:.1f}": restored["PCA", k],
    f"Autoencoder({k})\nerror {error['Autoencoder'][sizes.index(k)]:.1f}": restored[
        "Autoencoder", k
    ],
}
tiles = np.stack([X[chosen] for X in rows.values()]).reshape(3, 6, 8, 8)
tiles = np.pad(tiles, ((0, 0), (0, 0), (1, 1), (1, 1)))  # a white frame around each
picture = tiles.transpose(0, 2, 1, 3).reshape(30, 60)

figure, (left, right) = plt.subplots(
    1, 2, figsize=(9.6, 3.6), width_ratios=[1.5, 1], layout="constrained"
)
left.imshow(picture, cmap="gray_r", vmin=0, vmax=16)
left.set_title(f"Held-out digits from {k} numbers each")
left.set_xticks([])
left.set_yticks([4.5, 14.5, 24.5], rows, fontsize=12)
left.tick_params(length=0)
left.spines[:].set_visible(False)

for name, color in (("PCA", "#7f7f7f"), ("Autoencoder", "#c8374f")):
    right.plot(sizes, error[name], "o-", color=color, label=name, linewidth=2.5)
right.set_xscale("log", base=2)
right.set_yscale("log")
right.set_xticks(sizes, sizes)
right.set_yticks([0.5, 1, 2, 5, 10], ["0.5", "1", "2", "5", "10"])
right.minorticks_off()
right.set(xlabel="components", ylabel="mean squared error per pixel")
right.set_title("Held-out reconstruction error")
right.grid(alpha=0.3)
right.spines[["top", "right"]].set_visible(False)
right.legend(frameon=False, loc="lower left")

if "sphinx_gallery" not in sys.modules:  # run as a script
    path = sys.argv[1] if len(sys.argv) > 1 else "pipeline_vs_pca.png"
    figure.savefig(path, dpi=150)
    print(f"\nThe picture is in {path}.")
