"""
==============================================================
Outliers: which tumours are unusual, and in which measurements
==============================================================

An :class:`~sklearn_ae.AutoencoderOutlierDetector` learns what benign tumours look like
from their measurements alone. Then it says of other tumours how usual they are, and
which of the 30 measurements it could not restore. The data are scikit-learn's
breast_cancer.
"""

# %%
# Learning from the usual
# -----------------------
# The detector sees 250 benign tumours and no malignant one. The measurements have
# different units, so a ``StandardScaler`` stands before it, as it would before PCA.
# ``contamination="auto"``, the default, sets the threshold by rows held out of
# training, here a fifth of them: about 5 % of benign tumours are to fall below it. From
# 50 rows that is a rough estimate.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from sklearn_ae import AutoencoderOutlierDetector, ErrorDisplay

X, benign = load_breast_cancer(return_X_y=True, as_frame=True)
learned = X.index[benign == 1][:250]
new = X.index.drop(learned)
scaler = StandardScaler().set_output(transform="pandas").fit(X.loc[learned])
clean, rows = scaler.transform(X.loc[learned]), scaler.transform(X.loc[new])
is_benign = benign[new].to_numpy() == 1

detector = AutoencoderOutlierDetector(validation_fraction=0.2, random_state=0)
detector.fit(clean)
usual = detector.predict(rows) == 1
print(f"malignant ones found: {(~usual[~is_benign]).mean():.0%}")
print(f"false alarms among benign ones: {(~usual[is_benign]).mean():.0%}")

# %%
# The ranking is compared with those of PCA's reconstruction error, with as many
# components, and of an isolation forest, fitted to the same rows:

pca = PCA(detector.estimators_[0].n_components).fit(clean)
residual = rows - pca.inverse_transform(pca.transform(rows))
forest = IsolationForest(random_state=0).fit(clean)
for name, scores in {
    "AutoencoderOutlierDetector": detector.score_samples(rows),
    "PCA, error": -np.square(residual).mean(axis=1),
    "IsolationForest": forest.score_samples(rows),
}.items():
    print(f"{name:27s} ROC AUC {roc_auc_score(is_benign, scores):.3f}")

# %%
# The scores, and the threshold
# -----------------------------

labels = np.where(is_benign, "benign", "malignant")
display = ErrorDisplay.from_estimator(detector, rows, labels)
display.ax_.set_title("Rows that the detector has not seen")

# %%
# Which measurements are unusual
# ------------------------------
# ``explain`` returns each feature's share of a row's reconstruction error, as a frame
# since it was given one; here the error is in squared standard deviations. These are
# the means over benign and over malignant tumours:

ErrorDisplay.from_estimator(detector, rows, labels, kind="features", n_features=12)

# %%
# Now three single tumours: the least usual one, one in the middle of the malignant
# ones, and the benign one that it finds the least usual, which is a false alarm. Beside
# each bar stands the measurement itself, in standard deviations of benign tumours. The
# largest share need not be the largest number: what counts is whether it goes with the
# others.

shares = detector.explain(rows)
order = np.argsort(detector.score_samples(rows))
malignant, harmless = order[~is_benign[order]], order[is_benign[order]]
places = [malignant[0], malignant[len(malignant) // 2], harmless[0]]
figure, axes = plt.subplots(3, 1, figsize=(6.4, 7), layout="constrained")
for ax, place in zip(axes, places, strict=True):
    share = shares.iloc[place] / shares.iloc[place].sum()
    first = share.nlargest(5)
    bars = ax.barh(first.index, first)
    ax.bar_label(bars, [f"{rows.iloc[place][name]:+.1f}" for name in first.index])
    ax.invert_yaxis()
    ax.margins(x=0.12)
    ax.set_title(f"tumour {rows.index[place]}, {labels[place]}")
axes[-1].set_xlabel("share of the row's error")

# %%
# A share tells of the error, and a row is unusual for its code as well: where the whole
# tumour is large, each measurement follows from the others, and the network restores
# them all. Such a row has a low score and a small error.

error = shares.sum(axis=1)
small = (error < error[is_benign].quantile(0.95)) & ~usual
print(f"flagged, though their error is no larger than most: {small.sum()} rows")

plt.show()
