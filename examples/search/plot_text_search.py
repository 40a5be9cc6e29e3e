"""
=================================================================
Text search: documents by topic, against latent semantic analysis
=================================================================

A search by topic compares codes, a few numbers for each document, and not words. This
example searches the docstrings of numpy, scipy and scikit-learn, by the codes of a
:class:`~sklearn_ae.DenoisingAutoencoder` and by latent semantic analysis
(:class:`~sklearn.decomposition.TruncatedSVD`). With ``loss="multinomial"`` the
autoencoder takes the words of a document for draws from one distribution, as Hinton and
Salakhutdinov (2006) did. The search itself is scikit-learn's.
"""

# %%
# The documents
# -------------
# They are the docstrings of numpy, scipy and scikit-learn, which are installed; the
# topic of each is the module that it is from. With ``python plot_text_search.py
# newsgroups`` they are the posts of 20 Newsgroups, which are downloaded.

import importlib
import sys
from collections import Counter

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import fetch_20newsgroups
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline

from sklearn_ae import CodeDisplay, DenoisingAutoencoder

MODULES = {
    "numpy": "fft linalg random strings",
    "scipy": "cluster.hierarchy fft integrate interpolate linalg ndimage optimize "
    "signal sparse spatial special stats",
    "sklearn": "cluster datasets decomposition ensemble feature_selection "
    "linear_model metrics model_selection preprocessing",
}


def docstrings():
    """Return names, texts and topics of what these modules offer, each text once."""
    found = {}
    for package, parts in MODULES.items():
        for topic in (f"{package}.{part}" for part in parts.split()):
            members = vars(importlib.import_module(topic))
            for name in sorted(members["__all__"]):
                text = getattr(members.get(name), "__doc__", None) or ""
                if len(text) > 300:
                    found.setdefault(text, (f"{topic}.{name}", topic))
    names, topics = zip(*found.values(), strict=True)
    return np.array(names), np.array(list(found)), np.array(topics)


if "newsgroups" in sys.argv[1:]:
    posts = fetch_20newsgroups(subset="all", remove=("headers", "footers", "quotes"))
    texts, topics = np.array(posts.data), np.array(posts.target_names)[posts.target]
    names = np.array([f"post {i} of {topic}" for i, topic in enumerate(topics)])
else:
    names, texts, topics = docstrings()
kept, queries = train_test_split(
    np.arange(len(texts)), test_size=0.25, stratify=topics, random_state=0
)
print(f"{len(kept)} documents to search in, {len(queries)} to ask with,", end=" ")
print(f"{len(set(topics))} topics")

# %%
# Codes
# -----
# Words are weighted by tf-idf and stay sparse: the network reads few numbers of a row,
# and the likelihood asks for no others. In each step half of the words of a document
# are hidden, and are to be told from the rest. Without a hidden layer a code is a sum
# over the words of a document, as in latent semantic analysis; what differs is the
# likelihood.


def autoencoder(k, **params):
    return DenoisingAutoencoder(
        k,
        loss="multinomial",
        noise="masking",
        noise_level=0.5,
        **{"hidden_layer_sizes": (), "learning_rate_init": 1e-2, **params},
        batch_size=100,
        max_iter=15,
        random_state=0,
    )


def pipeline(encode):
    words = TfidfVectorizer(
        sublinear_tf=True,
        min_df=3,
        stop_words="english",
        # not numbers, which scipy draws again for some docstrings
        token_pattern=r"[a-z]{2,}",
        dtype=np.float32,
    )
    return make_pipeline(words, encode)


k = 32
models = {
    "autoencoder": pipeline(autoencoder(k)),
    "LSA": pipeline(TruncatedSVD(k, random_state=0)),
}
codes = {method: model.fit_transform(texts[kept]) for method, model in models.items()}
asked = {method: model.transform(texts[queries]) for method, model in models.items()}

# %%
# A query
# -------
# One of the documents that were left out, and the nearest ones of the others.

for method in models:
    search = NearestNeighbors(n_neighbors=6, metric="cosine").fit(codes[method])
    found = search.kneighbors(asked[method][:1], return_distance=False)[0]
    print(f"\n{names[queries[0]]}, by {method}:")
    for place in kept[found]:
        print("    ", names[place])

# %%
# All queries
# -----------
# What is found is right where it is of the query's topic. Precision is the share of
# that in the documents down to a rank; recall is the share of the topic's documents
# that are among them. The nearest documents are right by either code, since a module
# has words of its own; further away the autoencoder's go on to be right for longer.


def precision_at(levels, right):
    """Return each query's precision at these levels of recall."""
    found = right.cumsum(axis=1)
    needed = np.maximum(1, np.ceil(levels[:, None] * found[:, -1])).astype(int)
    rank = [np.searchsorted(f, n) for f, n in zip(found, needed.T, strict=True)]
    precision = found / np.arange(1, found.shape[1] + 1)
    return np.take_along_axis(precision, np.array(rank), axis=1)


levels = np.linspace(0, 1, 21)
curves = {}
for method in models:
    nearness = cosine_similarity(asked[method], codes[method])
    order = np.argsort(-nearness, axis=1, kind="stable")
    right = topics[kept][order] == topics[queries][:, None]
    curves[method] = precision_at(levels, right).mean(axis=0)
    ranks = right.cumsum(axis=1) / np.arange(1, right.shape[1] + 1)
    mean_average = ((ranks * right).sum(axis=1) / right.sum(axis=1)).mean()
    print(
        f"\n{method}: {right[:, :10].mean():.3f} of the ten nearest are right;", end=""
    )
    print(f" mean average precision {mean_average:.3f}")

figure, ax = plt.subplots(figsize=(6, 4.2), layout="constrained")
for method, color in (("LSA", "#7f7f7f"), ("autoencoder", "#c8374f")):
    label = f"{method}, {k} components"
    ax.plot(levels, curves[method], color=color, linewidth=3, label=label)
ax.set_xlabel("recall", fontsize=14)
ax.set_ylabel("precision", fontsize=14)
ax.set(xlim=(0, 1), ylim=(0, 1))
ax.legend(frameon=False, fontsize=13)
ax.grid(alpha=0.3)

# %%
# Two numbers
# -----------
# A map needs codes of two components. One hidden layer makes up for how few they are.
# Topics are rays: the likelihood, like the cosine, tells documents apart by direction.
# Eight of the largest are shown.

largest = [topic for topic, _ in Counter(topics).most_common(8)]
shown = np.isin(topics[kept], largest)
planes = {}
for method, encode in {
    "autoencoder": autoencoder(2, hidden_layer_sizes=(128,), learning_rate_init=5e-3),
    "LSA": TruncatedSVD(2, random_state=0),
}.items():
    planes[method] = pipeline(encode).fit_transform(texts[kept])[shown]

figure, axes = plt.subplots(1, 2, figsize=(9.6, 4.2), layout="constrained")
CodeDisplay(codes=planes, y=topics[kept][shown]).plot(ax=axes, s=6)

plt.show()
