"""loss="multinomial": the counts of a row are draws from one distribution of words."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from estimators import counts
from scipy.stats import multinomial
from sklearn.metrics import log_loss
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline

from sklearn_ae import (
    Autoencoder,
    ConvolutionalAutoencoder,
    DenoisingAutoencoder,
    GaussianNoise,
    GeneralizedAutoencoder,
    KSparseAutoencoder,
    SplitBrainAutoencoder,
    StackedAutoencoderPretrainer,
    VariationalAutoencoder,
)
from sklearn_ae.engine.rows import Batch

SMALL = {
    "hidden_layer_sizes": (6,),
    "loss": "multinomial",
    "max_iter": 3,
    "random_state": 0,
    "dtype": "float64",
}
EMPTY = 3  # the row of `counts` that is


def small(**params):
    return Autoencoder(2, **{**SMALL, **params})


def denoising(**params):
    noise = {"noise": "masking", "noise_level": 0.5}
    return DenoisingAutoencoder(2, **{**SMALL, **noise, **params})


@pytest.fixture
def words():
    return counts()


# -- the objective -----------------------------------------------------------------


@pytest.mark.parametrize("container", [sp.csr_array, sp.csr_array.toarray])
def test_objective_and_scores_in_nats(container, words):
    """−Σ x log p, summed over words; as a mean over features where it is a score."""
    still = {"solver": "sgd", "learning_rate_init": 1e-300, "max_iter": 1}
    X = container(words)
    model = small(**still).fit(X)
    assert model._fit.units.scale == 1.0
    shares, dense = model.inverse_transform(model.transform(X)), words.toarray()
    nats = -dense * np.log(shares)
    assert model.loss_ == pytest.approx(nats.sum(axis=1).mean(), rel=1e-9)
    by_feature = model.reconstruction_error(X, per_feature=True)
    np.testing.assert_allclose(by_feature, nats, rtol=1e-9)
    np.testing.assert_allclose(model.score_samples(X), -nats.mean(axis=1), rtol=1e-9)
    word = np.repeat(np.arange(dense.shape[1]), dense[0].astype(int))
    told = log_loss(word, np.tile(shares[0], (len(word), 1)), labels=range(12))
    assert nats[0].sum() / len(word) == pytest.approx(told, rel=1e-6)


@pytest.mark.parametrize(
    "model",
    [
        small(),
        small(hidden_layer_sizes=(), tied_weights=True),
        small(solver="lbfgs"),
        KSparseAutoencoder(5, k=2, **{**SMALL, "hidden_layer_sizes": ()}),
    ],
    ids=["deep", "tied", "lbfgs", "k-sparse"],
)
@pytest.mark.filterwarnings("ignore:Maximum number of epochs")  # few are enough
def test_sparse_rows_are_trained_on_as_dense_ones(model, words):
    """The same objective from the same weights, up to the order of its sums."""
    sparse = model.fit(words).transform(words)
    dense = model.fit(words.toarray()).transform(words.toarray())
    np.testing.assert_allclose(sparse, dense, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("noise", ["masking", GaussianNoise(), "salt_and_pepper"])
@pytest.mark.parametrize("emphasis", [0.0, 0.7])
def test_a_changed_word_may_count_for_more(noise, emphasis, words):
    """Of sparse rows as of dense ones: each entry's error times its weight."""
    X = words[:8]
    model = denoising(noise=noise, emphasis=emphasis).fit(X)
    module = model.module_
    rows = torch.tensor(X.toarray()).to_sparse_csr()
    batch = Batch(rows, rows)
    found = module.loss(batch, torch.Generator().manual_seed(0))["reconstruction"]
    noisy = module.corrupted(rows, torch.Generator().manual_seed(0))
    with torch.no_grad():
        shares = module.decode(module.encode(noisy)).numpy()
    noisy = noisy.to_dense().numpy() if noisy.layout == torch.sparse_csr else noisy
    weight = 1 - emphasis * (X.toarray() == np.asarray(noisy))
    expected = -(weight * X.toarray() * np.log(shares)).sum(axis=1).mean()
    assert found.item() == pytest.approx(expected, rel=1e-9)


def test_the_target_is_never_dense(words, monkeypatch):
    models = [
        denoising(),
        denoising(emphasis=1.0),
        denoising(hidden_layer_sizes=(), code_activation="relu", tied_weights=True),
        StackedAutoencoderPretrainer(
            estimators=[
                ("words", denoising()),
                ("above", Autoencoder(2, max_iter=2, dtype="float64")),
            ],
            fine_tune="reconstruction",
            max_iter=2,
        ),
    ]

    def refuse(*given, **named):
        raise AssertionError("a row was made dense")

    for owner, name in (
        (torch.Tensor, "to_dense"),
        (sp.csr_array, "toarray"),
        (sp.csr_array, "todense"),
    ):
        monkeypatch.setattr(owner, name, refuse)
    for model in models:
        assert np.isfinite(model.fit(words).score(words))


@pytest.mark.parametrize("container", [sp.csr_array, sp.csr_array.toarray])
def test_it_begins_at_the_shares_of_all_rows(container, words):
    """A hundredth of a word's mean is added to each, for those that never occur."""
    words.data[words.indices == 4] = 0
    model = small()._begin(container(words))
    total = words.sum(axis=0)
    expected = total + 0.01 * total.mean()
    bias = model.module_.decoder.readout()[1].detach()
    np.testing.assert_allclose(bias.softmax(0), expected / expected.sum(), rtol=1e-9)


# -- what comes out ------------------------------------------------------------------


STACK = StackedAutoencoderPretrainer(
    estimators=[("words", small()), ("above", Autoencoder(2, max_iter=2))],
    fine_tune="reconstruction",
    max_iter=2,
)
STACK.set_params(above__dtype="float64")


@pytest.mark.parametrize(
    "model",
    [
        small(),
        denoising(),
        STACK,
        ConvolutionalAutoencoder(
            2, image_shape=(3, 4), channels=(2,), **{**SMALL, "unpooling": "repeat"}
        ),
        VariationalAutoencoder(
            2, likelihood="multinomial", max_iter=3, dtype="float64", random_state=0
        ),
    ],
    ids=["plain", "denoising", "stack", "convolutional", "variational"],
)
def test_shares_and_expected_counts(model, words):
    """Codes decode to shares; of a row it is also known how much there is of it."""
    X = words.toarray()
    model.fit(X)
    shares, restored = model.inverse_transform(model.transform(X)), model.reconstruct(X)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-9)
    assert (shares > 0).all()
    np.testing.assert_allclose(restored, shares * X.sum(axis=1)[:, None], rtol=1e-9)
    np.testing.assert_allclose(model.sample(3, 0).sum(axis=1), 1.0, rtol=1e-9)


def test_rows_without_a_word(words):
    """They have codes, no error, and no part in the gradient."""
    model = small().fit(words)
    assert words[[EMPTY]].nnz == 0
    assert np.isfinite(model.transform(words)).all()
    assert model.reconstruction_error(words)[EMPTY] == 0
    assert (model.reconstruct(words)[EMPTY] == 0).all()
    nothing = small().fit(words[[EMPTY] * 5])
    assert nothing.loss_ == 0
    np.testing.assert_allclose(nothing.sample(2, 0), 1 / 12, rtol=0.5)


def test_variational_bound_is_of_the_counts(words):
    """Without a code (a decoder that ignores it) it is the multinomial's log p."""
    model = VariationalAutoencoder(2, likelihood="multinomial", max_iter=1)
    model.set_params(dtype="float64", random_state=0).fit(words)
    with torch.no_grad():
        model.module_.decoder.readout()[0].zero_()
        model.module_.encoder.readout()[0].zero_()
        model.module_.encoder.readout()[1].zero_()
        head = model.module_.spread_head
        head.kernel.zero_()
        head.bias.fill_(np.log(np.e - 1))  # softplus: σ = 1, so that the KL is 0
    shares = model.inverse_transform(np.zeros((1, 2)))[0]
    X = words.toarray()
    expected = multinomial.logpmf(X, X.sum(axis=1), shares)
    found = model.score_samples(words)
    # σ is at least 1e-6 above it, which is of second order in the KL
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10)


def test_documents_of_one_topic_are_found():
    """With masked words, no hidden layer, and cosine between codes."""
    rng = np.random.default_rng(0)
    topic = np.arange(90) % 3
    spoken = rng.dirichlet(np.full(30, 0.2), size=3)
    X = sp.csr_array([rng.multinomial(15, spoken[t]) for t in topic]).astype(float)
    search = make_pipeline(
        denoising(hidden_layer_sizes=(), max_iter=200, learning_rate_init=1e-2),
        NearestNeighbors(n_neighbors=6, metric="cosine"),
    ).fit(X)
    codes = search[:-1].transform(X)
    found = search[-1].kneighbors(codes, return_distance=False)[:, 1:]
    assert (topic[found] == topic[:, None]).mean() > 0.95


# -- what it is not defined on -------------------------------------------------------


@pytest.mark.parametrize("container", [sp.csr_array, sp.csr_array.toarray])
def test_negative_counts(container, words, no_steps):
    words[0, 0] = -1
    message = r"loss='multinomial' needs values in \[0, inf\]. Got .*\[-1, "
    for train in (small().fit, small().partial_fit):
        with pytest.raises(ValueError, match=message):
            train(container(words))


def test_missing_counts(words, no_steps):
    X = words.toarray()
    X[0, 0] = np.nan
    with pytest.raises(ValueError, match="multinomial' does not support missing"):
        denoising().fit(X)


@pytest.mark.parametrize("model", [SplitBrainAutoencoder(), GeneralizedAutoencoder()])
def test_methods_that_restore_no_whole_row(model, words, no_steps):
    model.set_params(loss="multinomial")
    with pytest.raises(ValueError, match=r"'loss' parameter .* Got 'multinomial'"):
        model.fit(words.toarray())


def test_output_is_the_softmax(words, no_steps):
    with pytest.raises(ValueError, match=r"Use 'softmax' or 'auto'"):
        small(output_activation="sigmoid").fit(words)
