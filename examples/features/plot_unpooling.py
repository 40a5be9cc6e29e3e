"""
=====================================================
Convolutional autoencoder: three ways to undo pooling
=====================================================

The encoder of a :class:`~sklearn_ae.ConvolutionalAutoencoder` makes images smaller by
max-pooling: it keeps the largest number of each window, and forgets where it was. The
decoder has to make them large again, and can do so in three ways. One of them is told
where the maxima were, so its reconstructions are better than its codes.
"""

# %%
# Three decoders
# --------------
# All are trained on the same digits with a code of 8 numbers, and nothing else differs
# but ``unpooling``. "repeat" puts each number everywhere in its window, "deconv" learns
# a transposed convolution, and "switches" puts numbers back where the row's own maxima
# were.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from sklearn_ae import ConvolutionalAutoencoder

X, y = load_digits(return_X_y=True)
X_train, X_test, _, y_test = train_test_split(X, y, test_size=1 / 3, random_state=0)
models = {
    unpooling: ConvolutionalAutoencoder(
        8, unpooling=unpooling, max_iter=10, batch_size=40, random_state=0
    ).fit(X_train)
    for unpooling in ("repeat", "deconv", "switches")
}

# %%
# With the row, and from the code alone
# -------------------------------------
# ``reconstruct`` has the row, and with "switches" it uses more of it than the code.
# ``inverse_transform`` has the code alone, as whoever stores codes or draws new ones
# has; there "switches" takes the mean over all places where a maximum may have been. So
# its ``score``, which is that of ``reconstruct``, is no measure of its codes.

restored = {"digits": X_test}
pca = PCA(8).fit(X_train)
restored["PCA(8)"] = pca.inverse_transform(pca.transform(X_test))
for unpooling, model in models.items():
    restored[unpooling] = model.reconstruct(X_test)
    if unpooling == "switches":
        codes = model.transform(X_test)
        restored["switches, code alone"] = model.inverse_transform(codes)

errors = {name: ((rows - X_test) ** 2).mean() for name, rows in restored.items()}
for name, error in errors.items():
    print(f"{name:22} {error:6.2f}")

shown = [np.flatnonzero(y_test == label)[0] for label in range(6)]
fig, axes = plt.subplots(len(restored), 6, figsize=(6.6, 6), layout="constrained")
for (name, rows), line in zip(restored.items(), axes, strict=True):
    for ax, row in zip(line, rows[shown], strict=True):
        ax.imshow(row.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    label = name if name == "digits" else f"{name}\n{errors[name]:.1f}"
    line[0].set_ylabel(label, rotation=0, ha="right", va="center")
fig.suptitle("Held-out digits from 8 numbers, and their error")
plt.show()
