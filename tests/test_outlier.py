"""Outliers: scores, thresholds, and what they are explained by."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from estimators import counts, table
from scipy.stats import multivariate_normal, spearmanr
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from sklearn_ae import (
    Autoencoder,
    AutoencoderOutlierDetector,
    DenoisingAutoencoder,
    GeneralizedAutoencoder,
    StackedAutoencoderPretrainer,
    VariationalAutoencoder,
)
from sklearn_ae.meta.row_density import MOST_COMPONENTS, NOISE_VARIANCES, RowDensity

QUICK = Autoencoder(2, max_iter=3, random_state=0, dtype="float64")


def plane(n_samples, seed=0):
    """Return rows near a plane in six dimensions."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(np.random.default_rng(7).normal(size=(6, 2)))[0]
    rows = rng.normal(size=(n_samples, 2)) @ axes.T * 3
    return rows + 0.1 * rng.normal(size=(n_samples, 6)), axes


@pytest.fixture(scope="module")
def on_plane():
    """Return a detector that was fitted to clean rows near a plane."""
    X, _ = plane(1000)
    return AutoencoderOutlierDetector(random_state=0).fit(X)


# -- scores ----------------------------------------------------------------------


def test_affine_autoencoder_ranks_as_the_error_of_pca():
    X = StandardScaler().fit_transform(load_wine().data)
    affine = Autoencoder(4, hidden_layer_sizes=(), solver="lbfgs", tol=1e-7)
    affine.set_params(max_iter=1000)
    detector = AutoencoderOutlierDetector(affine, criterion="score", random_state=0)
    detector.set_params(contamination=0.1).fit(X)
    pca = PCA(4).fit(X)
    errors = np.square(X - pca.inverse_transform(pca.transform(X))).mean(axis=1)
    assert spearmanr(-detector.score_samples(X), errors).statistic > 0.99


def test_score_is_the_networks_own_by_that_criterion():
    X = table(40)
    for network in (QUICK, VariationalAutoencoder(2, max_iter=2, random_state=0)):
        detector = AutoencoderOutlierDetector(
            network, criterion="score", contamination=0.1
        ).fit(X)
        own = detector.estimators_[0].score_samples(X)
        np.testing.assert_array_equal(detector.score_samples(X), own.astype(float))
        assert detector.score_samples(X).dtype == np.float64


def test_rows_off_the_plane_and_rows_far_out_on_it_are_both_found(on_plane):
    """The error alone finds the first kind only: a network restores the second."""
    clean, axes = plane(200, seed=1)
    off = clean.copy()
    normal = np.linalg.qr(np.column_stack([axes, np.eye(6)[:, :4]]))[0][:, 5]
    off[:50] += 2.0 * normal  # no farther from the middle than many clean rows are
    far = clean.copy()
    far[:50] = 15.0 * axes[:, 0] + 0.1 * far[:50]
    odd = np.arange(200) < 50
    for rows in (off, far):
        assert roc_auc_score(odd, -on_plane.score_samples(rows)) > 0.99
        assert (on_plane.predict(rows[:50]) == -1).mean() > 0.9


def test_usualness_is_the_mean_of_standardised_log_densities():
    X = table(60)
    model = Autoencoder(2, max_iter=3, random_state=0, dtype="float64").fit(X)
    usual = RowDensity().fit(model, X, seed=0)
    restored = model.reconstruct(X)
    unit = np.sqrt(X.var(axis=0).mean())
    views = np.hstack(
        [
            PCA(5, svd_solver="full").fit_transform(half / unit)
            for half in (restored, X - restored)
        ]
    )
    # an axis may be found the other way round
    views *= np.sign((usual._views((restored, X - restored)) * views).sum(axis=0))
    expected = 0.0
    assert len(usual._levels) == len(NOISE_VARIANCES) == 2
    for noise, level in zip(NOISE_VARIANCES, usual._levels, strict=True):
        mixture, mean, deviation = level
        assert mixture.reg_covar == noise
        likelihoods = mixture.score_samples(views)
        assert likelihoods.mean() == pytest.approx(mean, rel=1e-6)
        assert likelihoods.std() == pytest.approx(deviation, rel=1e-6)
        expected = expected + (likelihoods - mean) / deviation / 2
    np.testing.assert_allclose(usual.score_samples(model, X), expected, atol=1e-6)


def usualness_by_hand(model, X, new):
    """Return u of new rows: of one Gaussian, what the class says that it is.

    Of each half 32 principal components, and the length of what both leave; noise of
    variance 0.01 and of 1, where the mean variance of a feature is 1.
    """
    unit, views, rest = np.sqrt(X.var(axis=0).mean()), [], 0.0
    restored, fresh = model.reconstruct(X), model.reconstruct(new)
    for learned, asked in ((restored, fresh), (X - restored, new - fresh)):
        mean = learned.mean(axis=0)
        both = np.concatenate([learned - mean, asked - mean]) / unit
        axes = np.linalg.svd(both[: len(X)], full_matrices=False)[2][:32]
        views.append(both @ axes.T)
        rest = rest + np.square(both - both @ axes.T @ axes).sum(axis=1)
    if X.shape[1] > 32:
        views.append(np.sqrt(rest)[:, None])
    views, scores = np.hstack(views), 0.0
    mean, covariance = views[: len(X)].mean(axis=0), np.cov(views[: len(X)].T, ddof=0)
    for noise in (0.01, 1.0):
        gaussian = multivariate_normal(mean, covariance + noise * np.eye(len(mean)))
        likelihoods = gaussian.logpdf(views)
        of_learned = likelihoods[: len(X)]
        scores = scores + (likelihoods - of_learned.mean()) / of_learned.std()
    return scores[len(X) :] / 2


@pytest.mark.parametrize(
    ("n_rows", "n_features", "n_components"), [(39, 5, 2), (150, 40, 38)]
)
def test_usualness_by_hand(n_rows, n_features, n_components):
    """So few rows have one Gaussian. Of 40 features, what the 38 components restore
    has more than 32 directions, and so has what they leave."""
    rng = np.random.default_rng(0)
    X, new = rng.normal(size=(2, n_rows, n_features))
    network = Autoencoder(n_components, max_iter=3, random_state=0, dtype="float64")
    detector = AutoencoderOutlierDetector(network, contamination=0.1).fit(X)
    (model,) = detector.estimators_
    for rows in (X, new, 3.0 * new):
        expected = usualness_by_hand(model, X, rows)
        np.testing.assert_allclose(detector.score_samples(rows), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("n_rows", "n_gaussians"), [(30, 1), (39, 1), (40, 2), (60, 3), (400, 3)]
)
def test_a_mixture_has_as_many_gaussians_as_there_are_rows_for(n_rows, n_gaussians):
    """Three, where for each there are two rows to a number in the view: here ten."""
    detector = AutoencoderOutlierDetector(QUICK, contamination=0.1).fit(table(n_rows))
    assert detector._densities[0].n_gaussians == n_gaussians


@pytest.mark.parametrize(
    ("shape", "n_rows"),
    [
        ((20001, 2), 20000),
        ((20001, 838), 20000),
        ((20001, 840), 2**24 // 840),
        ((1001, 20000), 1000),
        ((900, 20000), 900),
    ],
)
def test_densities_are_of_some_rows_where_there_are_many(shape, n_rows, monkeypatch):
    """20000, but of wide ones as many as hold 2²⁴ numbers, or 1000."""

    def halves(self, model, X):
        raise RuntimeError(X.shape[0])

    class Rows(np.ndarray):
        """Rows that are counted, and not copied."""

        def __getitem__(self, chosen):
            assert len(np.unique(chosen)) == len(chosen)
            return np.broadcast_to(0.0, (len(chosen), self.shape[1]))

    monkeypatch.setattr(RowDensity, "_halves", halves)
    X = np.broadcast_to(0.0, shape).view(Rows)
    with pytest.raises(RuntimeError, match=f"^{n_rows}$"):
        RowDensity().fit(None, X, seed=0)


def test_what_the_components_leave_out_counts():
    """Of 40 features, 32 directions are taken: the others by their length."""
    rng = np.random.default_rng(0)
    scales = np.r_[np.full(MOST_COMPONENTS, 1.0), np.full(8, 0.01)]
    X = rng.normal(size=(400, 40)) * scales
    network = Autoencoder(2, max_iter=1, random_state=0, dtype="float64")
    detector = AutoencoderOutlierDetector(network, random_state=0).fit(X)
    odd = X[:20].copy()
    odd[:, -1] += 3.0
    assert detector.score_samples(odd).max() < detector.score_samples(X).min()


# -- thresholds ------------------------------------------------------------------


@pytest.mark.parametrize("criterion", ["density", "score"])
@pytest.mark.parametrize("contamination", [0.01, 0.1, 1 / 3, 0.5])
def test_as_many_training_rows_are_outliers_as_was_said(criterion, contamination):
    X = table(90)
    detector = AutoencoderOutlierDetector(
        QUICK, contamination=contamination, criterion=criterion
    )
    found = detector.fit_predict(X)
    assert (found == -1).sum() == round(contamination * 90)
    assert set(found) <= {-1, 1} and np.issubdtype(found.dtype, np.integer)
    decisions = detector.decision_function(X)
    np.testing.assert_array_equal(
        decisions, detector.score_samples(X) - detector.offset_
    )
    np.testing.assert_array_equal(found == 1, decisions >= 0)


def test_auto_lets_one_in_twenty_clean_rows_be_taken_for_an_outlier(on_plane):
    """100 rows were held out: 5 of them leave as many in 100 within four deviations."""
    clean, _ = plane(2000, seed=2)
    assert 0.01 < (on_plane.predict(clean) == -1).mean() < 0.14


@pytest.fixture
def spy():
    """Return an autoencoder, and the list of what its copies are fitted to."""
    seen = []

    class Spy(Autoencoder):
        def fit(self, X, y=None):
            seen.append(np.array(X))
            return super().fit(X, y)

    return Spy(2, max_iter=1, dtype="float64"), seen


@pytest.mark.parametrize(
    ("contamination", "n_rows", "sizes"),
    [
        ("auto", 200, [150]),  # 50 are held out
        ("auto", 197, [197, 157, 157, 158, 158, 158]),
        ("auto", 40, [40, 32, 32, 32, 32, 32]),
        (0.1, 40, [40]),
    ],
)
def test_what_networks_learn_from(contamination, n_rows, sizes, spy):
    network, seen = spy
    AutoencoderOutlierDetector(
        network, contamination=contamination, validation_fraction=0.25, random_state=0
    ).fit(table(n_rows))
    assert [len(rows) for rows in seen] == sizes


@pytest.mark.parametrize("n_rows", [500, 530, 999])
@pytest.mark.parametrize("criterion", ["density", "score"])
def test_threshold_is_by_the_rows_that_were_held_out(criterion, n_rows, spy):
    """★ At their 5 % quantile, and a tenth of all rows are; by hand."""
    network, seen = spy
    X = table(n_rows) + np.arange(n_rows)[:, None] / n_rows  # no row twice
    detector = AutoencoderOutlierDetector(network, criterion=criterion, random_state=1)
    detector.fit(X)
    (learned,) = ({row.tobytes() for row in rows} for rows in seen)
    held_out = np.array([row for row in X if row.tobytes() not in learned])
    assert len(held_out) == round(n_rows / 10) == n_rows - len(learned)
    scores, n_below = detector.score_samples(held_out), round(0.05 * len(held_out))
    below, above = np.sort(scores)[n_below - 1 : n_below + 1]
    assert detector.offset_ == pytest.approx((below + above) / 2)
    assert below < detector.offset_ < above


def test_share_of_less_than_one_row_makes_no_outlier():
    """Nor does rounding: of a row alone the last digits are others."""
    X = table(60)
    detector = AutoencoderOutlierDetector(QUICK, contamination=0.005).fit(X)
    scores = detector.score_samples(X)
    assert (detector.predict(X) == 1).all()
    margin = (scores.min() - detector.offset_) / np.abs(scores).max()
    assert 30 * np.finfo(np.float32).eps < margin < 1e-3


@pytest.mark.parametrize("n_estimators", [1, 2])
@pytest.mark.parametrize("criterion", ["density", "score"])
def test_few_rows_are_scored_by_what_did_not_see_them(criterion, n_estimators, spy):
    """★ The threshold by hand: the scores of each fold by a fit to the others."""
    X = table(83)
    params = {"criterion": criterion, "n_estimators": n_estimators, "random_state": 3}
    network, seen = spy
    detector = AutoencoderOutlierDetector(network, **params).fit(X)
    number = {row.tobytes(): i for i, row in enumerate(X)}
    learned = [{number[row.tobytes()] for row in rows} for rows in seen]
    assert len(learned) == 6 * n_estimators
    scores = np.full(83, np.nan)  # of so many, folds have three Gaussians too
    alone = clone(detector).set_params(contamination=0.1)
    for rows in learned[n_estimators::n_estimators]:
        others = sorted(set(range(83)) - rows)
        assert np.isnan(scores[others]).all()
        fitted = alone.fit(X[sorted(rows)])
        scores[others] = fitted.score_samples(X[others])
    first, second = np.sort(scores)[3:5]  # four of 83 are below
    assert detector.offset_ == pytest.approx((first + second) / 2, rel=1e-6)
    of_all = alone.fit(X).score_samples(X)
    np.testing.assert_array_equal(detector.score_samples(X), of_all)


@pytest.mark.slow
@pytest.mark.parametrize("criterion", ["density", "score"])
def test_few_rows_suffice_for_about_one_false_alarm_in_twenty(criterion):
    """A tenth of 40 rows flagged every third; of 60, every fifth."""
    axes = np.random.default_rng(0).normal(size=(3, 8))

    def draw(n, seed):
        rng = np.random.default_rng(seed)
        return rng.normal(size=(n, 3)) @ axes + 0.5 * rng.normal(size=(n, 8))

    network = Autoencoder(3, max_iter=5, dtype="float64")
    for n_rows in (40, 60, 100):
        shares = []
        for seed in range(4):
            detector = AutoencoderOutlierDetector(
                network, criterion=criterion, random_state=seed
            )
            found = detector.fit(draw(n_rows, seed)).predict(draw(1000, 99))
            shares.append((found == -1).mean())
        assert 0.01 < np.mean(shares) <= 0.1


def test_folds_have_as_many_gaussians_as_all_rows():
    """With fewer their scores would not compare."""
    axes = np.random.default_rng(0).normal(size=(5, 60))

    def draw(n, seed):
        rng = np.random.default_rng(seed)
        return rng.normal(size=(n, 5)) @ axes + 0.5 * rng.normal(size=(n, 60))

    network = Autoencoder(5, max_iter=3, dtype="float64")
    detector = AutoencoderOutlierDetector(network, random_state=0).fit(draw(300, 0))
    assert detector._densities[0].n_gaussians == 2  # of 240 rows there would be one
    assert (detector.predict(draw(1000, 1)) == -1).mean() < 0.1


def test_few_rows_are_told_of():
    X = table(24)
    detector = AutoencoderOutlierDetector(QUICK, random_state=0)
    detector.fit(X[:20])
    for n_rows in (1, 2, 3, 19):
        with pytest.warns(
            UserWarning, match=rf"needs at least 20 .* {n_rows}:"
        ) as told:
            detector.fit(X[:n_rows])
        assert [warning.filename for warning in told] == [__file__]
        assert np.isfinite(detector.decision_function(X)).all()
    detector.set_params(contamination=0.1).fit(X[:3])


def test_row_that_alone_has_a_feature_is_learned_from():
    X = table(40)
    X[np.arange(40) != 7, 2] = np.nan
    X[20:23, 4] = np.nan
    network = DenoisingAutoencoder(2, max_iter=2, random_state=0)
    detector = AutoencoderOutlierDetector(network, random_state=0).fit(X)
    assert np.isfinite(detector.offset_)
    assert np.isfinite(detector.score_samples(X)).all()


class Tasks:
    """Keep the names of tasks, and how many there are to be."""

    def __init__(self):
        self.names, self.most = [], None

    def setup(self, estimator, context):
        self.most = context.max_subtasks

    def teardown(self, estimator, context):
        assert len(self.names) == self.most

    def on_fit_task_begin(self, estimator, context):
        if context.parent is not None:
            self.names.append(context.task_name)

    def on_fit_task_end(self, estimator, context):
        pass


def test_tasks_of_all_folds_are_announced():
    tasks = Tasks()
    detector = AutoencoderOutlierDetector(QUICK, n_estimators=2, random_state=0)
    detector.set_callbacks(tasks).fit(table(40))
    names = [f"network {i}" for i in (1, 2)]
    folds = [f"{name}, fold {j}" for j in range(1, 6) for name in names]
    assert tasks.most == 12 and tasks.names == names + folds


def test_interrupted_fold_leaves_the_earlier_fit():
    X, n_fits = table(40), []

    class Tired(Autoencoder):
        def fit(self, X, y=None):
            n_fits.append(len(X))
            if len(n_fits) == 10:  # in the third fold of the second fit
                raise KeyboardInterrupt
            return super().fit(X, y)

    detector = AutoencoderOutlierDetector(Tired(2, max_iter=1), random_state=0)
    before = detector.fit(X).decision_function(X)
    with pytest.raises(KeyboardInterrupt):
        detector.fit(X + 1.0)
    np.testing.assert_array_equal(detector.decision_function(X), before)


# -- several networks ------------------------------------------------------------


def test_several_networks_differ_and_are_averaged():
    X = table(40)
    detector = AutoencoderOutlierDetector(
        QUICK, n_estimators=3, criterion="score", contamination=0.1
    ).fit(X)
    networks = detector.estimators_
    assert [network.n_components for network in networks] == [2, 3, 4]
    assert len({network.random_state for network in networks}) == 3
    mean = np.mean([network.score_samples(X) for network in networks], axis=0)
    np.testing.assert_allclose(detector.score_samples(X), mean, rtol=1e-12)
    shares = np.mean([network._error_shares(X) for network in networks], axis=0)
    np.testing.assert_allclose(detector.explain(X), shares, rtol=1e-12)


def test_one_network_keeps_its_own_seed_where_none_is_given():
    X = table(40)
    detector = AutoencoderOutlierDetector(QUICK, contamination=0.1).fit(X)
    np.testing.assert_array_equal(
        detector.estimators_[0].transform(X), QUICK.fit(X).transform(X)
    )


def test_stacks_of_one_size_differ_by_their_seeds():
    stack = StackedAutoencoderPretrainer(Autoencoder(max_iter=1), layer_sizes=(3, 2))
    detector = AutoencoderOutlierDetector(stack, n_estimators=2).fit(table(40))
    assert [network.n_components_ for network in detector.estimators_] == [2, 2]


@pytest.mark.parametrize(("n_features", "size"), [(3, 1), (10, 2), (200, 32)])
def test_size_of_the_default_code(n_features, size):
    detector = AutoencoderOutlierDetector(contamination=0.1)
    (network,) = detector._declared(n_features, seed=0)
    assert network.n_components == size


def test_what_none_is_has_no_parameters():
    with pytest.raises(ValueError, match=r"estimator=None has no .*Autoencoder\(8\)"):
        AutoencoderOutlierDetector().set_params(estimator__max_iter=3)


# -- explanations ----------------------------------------------------------------


def test_shares_add_up_to_the_error_in_the_units_of_x():
    X = table(40)
    detector = AutoencoderOutlierDetector(QUICK).fit(X)
    error = detector.estimators_[0].reconstruction_error(X)
    np.testing.assert_allclose(detector.explain(X).sum(axis=1), error, rtol=1e-9)


def test_explains_by_the_feature_that_is_wrong(on_plane):
    rows, _ = plane(30, seed=3)
    wrong = np.arange(30) % 6
    rows[np.arange(30), wrong] += 4.0
    blamed = on_plane.explain(rows).argmax(axis=1)
    assert (blamed == wrong).mean() > 0.8


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_explains_in_frames(frame):
    X = table(40)
    names = list("abcde")
    given = frame(dict(zip(names, X.T, strict=True)))
    detector = AutoencoderOutlierDetector(QUICK, random_state=0).fit(given)
    if frame is pd.DataFrame:
        given.index = [f"row {i}" for i in range(40)]
    shares = detector.explain(given)
    assert type(shares) is frame and list(shares.columns) == names
    if frame is pd.DataFrame:
        assert list(shares.index) == list(given.index)
    detector = AutoencoderOutlierDetector(QUICK, random_state=0).fit(X)
    # sums of columns in another order, through a fit
    np.testing.assert_allclose(shares.to_numpy(), detector.explain(X), atol=1e-5)


def test_missing_entries():
    X = table(40)
    X[3, 2] = np.nan
    network = DenoisingAutoencoder(2, max_iter=2, random_state=0)
    detector = AutoencoderOutlierDetector(network, contamination=0.1).fit(X)
    assert np.isfinite(detector.score_samples(X)).all()
    shares = detector.explain(X)
    assert np.isnan(shares[3, 2]) and np.isnan(shares).sum() == 1
    error = detector.estimators_[0].reconstruction_error(X)
    np.testing.assert_allclose(np.nansum(shares, axis=1), error, rtol=1e-5)


# -- sparse rows -----------------------------------------------------------------


@pytest.mark.parametrize("criterion", ["density", "score"])
def test_sparse_rows_are_never_made_dense(criterion, monkeypatch):
    X = counts(60, 30)
    odd = sp.csr_array(
        np.random.default_rng(0).poisson(6.0, size=(5, 30)).astype(float)
    )
    detector = AutoencoderOutlierDetector(
        Autoencoder(3, max_iter=3), criterion=criterion, random_state=0
    )
    with monkeypatch.context() as patch:
        patch.setattr(sp.csr_array, "toarray", lambda *given, **named: 1 / 0)
        scores = detector.fit(X).score_samples(X)
        assert detector.score_samples(odd).max() < scores.min()
        assert (detector.predict(odd) == -1).all()
    assert detector.explain(X).shape == (60, 30)
    error = detector.estimators_[0].reconstruction_error(X)
    np.testing.assert_allclose(detector.explain(X).sum(axis=1), error, rtol=1e-3)


@pytest.mark.parametrize("criterion", ["density", "score"])
def test_dense_and_sparse_rows_are_scored_alike_whatever_the_fit_saw(criterion):
    X = counts(60, 12)
    for learned, other in ((X, X.toarray()), (X.toarray(), X)):
        detector = AutoencoderOutlierDetector(
            Autoencoder(3, max_iter=2, dtype="float64"), criterion=criterion
        ).fit(learned)
        scores = detector.score_samples(learned)
        # two orders of summation
        np.testing.assert_allclose(detector.score_samples(other), scores, rtol=1e-6)


def test_output_of_transform_has_no_say():
    X = counts(60, 12)
    network = Autoencoder(3, max_iter=2, random_state=0)
    expected = AutoencoderOutlierDetector(network, random_state=0).fit(X)
    for frames in ("pandas", "polars"):
        with config_context(transform_output=frames):
            detector = AutoencoderOutlierDetector(network, random_state=0).fit(X)
            np.testing.assert_array_equal(
                detector.score_samples(X), expected.score_samples(X)
            )


# -- far out, all alike, far from zero, unknown ----------------------------------


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_what_is_farthest_out_has_the_lowest_score(loss, sparse):
    """Also where its reconstruction overflows."""
    X = np.random.default_rng(0).poisson(3.0, (100, 6)).astype(float)
    kind = sp.csr_array if sparse else np.asarray
    network = Autoencoder(2, max_iter=3, loss=loss)
    detector = AutoencoderOutlierDetector(network, random_state=0).fit(kind(X))
    far = detector.score_samples(kind(X[:3] * [[1e3], [1e6], [1e30]]))
    assert np.isfinite(far).all()
    assert far.max() < detector.score_samples(kind(X)).min()


def test_rows_that_are_all_alike_are_all_usual():
    X = np.full((60, 5), 0.1)
    detector = AutoencoderOutlierDetector(random_state=0).fit(X)
    scores = [detector.score_samples(X), detector.score_samples(X[:1])]
    np.testing.assert_allclose(np.concatenate(scores), 0.0, atol=1e-6)
    assert (detector.predict(X) == 1).all()


def test_single_precision_suffices_far_from_zero():
    X, axes = plane(500)
    clean, _ = plane(200, seed=1)
    normal = np.linalg.qr(np.column_stack([axes, np.eye(6)[:, :4]]))[0][:, 5]
    odd = np.arange(200) < 50
    clean[odd] += normal
    network = Autoencoder(2, max_iter=20, random_state=0)
    areas = []
    for offset in (0.0, 1e8):
        detector = AutoencoderOutlierDetector(network, random_state=0).fit(X + offset)
        areas.append(roc_auc_score(odd, -detector.score_samples(clean + offset)))
    assert areas[1] > areas[0] - 0.005  # float64 rows have eight digits left there


@pytest.mark.parametrize("criterion", ["density", "score"])
def test_of_a_row_that_is_missing_nothing_is_said(criterion):
    X = table(40)
    X[3] = np.nan
    network = DenoisingAutoencoder(2, max_iter=2, random_state=0)
    detector = AutoencoderOutlierDetector(
        network, contamination=0.1, criterion=criterion
    ).fit(X)
    missing = np.isnan(detector.score_samples(X))
    assert missing[3] and missing.sum() == 1 and detector.predict(X)[3] == -1
    assert (detector.predict(X) == -1).sum() == 1 + round(0.1 * 39)
    with pytest.raises(ValueError, match="No row has a score"):
        AutoencoderOutlierDetector(network, criterion=criterion, random_state=0).fit(
            np.r_[X[:1], np.full((9, 5), np.nan)][::-1]
        )


@pytest.mark.parametrize("contamination", ["auto", 0.001, 0.1])
def test_a_row_alone_is_predicted_as_among_others(contamination):
    X = np.random.default_rng(0).normal(size=(210, 6))
    for seed in range(2):
        detector = AutoencoderOutlierDetector(
            Autoencoder(2, max_iter=2),
            contamination=contamination,
            random_state=seed,
            criterion="score",
        ).fit(X)
        # those nearest to the threshold, where the last digits decide
        near = np.argsort(np.abs(detector.decision_function(X)))[:40]
        alone = [detector.predict(X[i : i + 1])[0] for i in near]
        np.testing.assert_array_equal(alone, detector.predict(X)[near])


def test_refuses_what_learns_from_labels(untrained):
    X, y = table(40), np.arange(40) % 2
    network = GeneralizedAutoencoder(2, relation="class")
    untrained()
    with pytest.raises(ValueError, match=r"estimator=.* is not supported: it needs y"):
        AutoencoderOutlierDetector(network).fit(X, y)


# -- images of one digit ---------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("digit", [3, 8])
def test_other_digits_are_novelties(digit):
    X, y = load_digits(return_X_y=True)
    clean = X[y == digit]
    model = AutoencoderOutlierDetector(random_state=0).fit(clean[:120])
    rows = np.r_[clean[120:], X[y != digit]]
    other = np.arange(len(rows)) >= len(clean) - 120
    pca = PCA(16).fit(clean[:120])
    errors = np.square(rows - pca.inverse_transform(pca.transform(rows))).sum(axis=1)
    area = roc_auc_score(other, -model.score_samples(rows))
    assert area > 0.9 and area > roc_auc_score(other, errors) - 0.02
