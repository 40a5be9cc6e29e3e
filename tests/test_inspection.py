"""Pictures: what is drawn, where, and by which data."""

import math
import runpy
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from estimators import STACK, counts, table
from scipy.stats import norm
from sklearn import config_context
from sklearn.base import clone
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import OneClassSVM

import sklearn_ae
from sklearn_ae import (
    Autoencoder,
    AutoencoderOutlierDetector,
    CodeDisplay,
    ConvolutionalAutoencoder,
    DenoisingAutoencoder,
    ErrorDisplay,
    FeatureDisplay,
    KSparseAutoencoder,
    ManifoldDisplay,
    ReconstructionDisplay,
    SparseAutoencoder,
    SplitBrainAutoencoder,
    StackedAutoencoderClassifier,
    StackedAutoencoderPretrainer,
    TrainingDisplay,
    VariationalAutoencoder,
)
from sklearn_ae.inspection import manifold

plt.switch_backend("Agg")

# So few epochs are not meant to converge.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

DISPLAYS = [
    getattr(sklearn_ae, name) for name in sklearn_ae.__all__ if name.endswith("Display")
]
#: What each is given after the estimator.
GIVEN = {
    CodeDisplay: lambda X: {"X": X},
    ErrorDisplay: lambda X: {"X": X},
    FeatureDisplay: lambda X: {},
    ManifoldDisplay: lambda X: {"image_shape": (3, 4), "n": 2},
    ReconstructionDisplay: lambda X: {"X": X, "image_shape": (3, 4)},
    TrainingDisplay: lambda X: {},
}
of_every_display = pytest.mark.parametrize(
    "display", DISPLAYS, ids=lambda display: display.__name__
)


@pytest.fixture(autouse=True)
def no_figure_is_left():
    yield
    plt.close("all")


def small(kind=Autoencoder, n_components=2, **params):
    given = {"hidden_layer_sizes": (6,), "max_iter": 3, "dtype": "float64"}
    return kind(n_components, **{**given, "random_state": 0, **params})


@pytest.fixture(scope="module")
def wide():
    """Return rows that may be images of 3 × 4, and what is fitted to them."""
    X = table(60, 12)
    return small().fit(X), X


def frame(X):
    return pd.DataFrame(X, columns=[f"feature {i}" for i in range(X.shape[1])])


def texts(labels):
    return [label.get_text() for label in labels]


def axes_of(display):
    return np.ravel(getattr(display, "axes_", getattr(display, "ax_", None)))


# -- every display ----------------------------------------------------------------


def test_every_display_is_tested():
    assert set(DISPLAYS) == set(GIVEN) and len(DISPLAYS) == 6


@of_every_display
def test_drawn_where_it_is_told_to_be(display, wide):
    model, X = wide
    figure, ax = plt.subplots()
    drawn = display.from_estimator(model, **GIVEN[display](X), ax=ax)
    assert isinstance(drawn, display)
    assert list(axes_of(drawn)) == [ax] and drawn.figure_ is figure
    assert plt.get_fignums() == [figure.number]
    assert ax.lines or ax.images or ax.collections or ax.patches
    again = drawn.plot()
    assert again is drawn and drawn.figure_ is not figure
    figure.canvas.draw()
    drawn.figure_.canvas.draw()  # no warning of what does not fit


@of_every_display
def test_of_a_pipeline_and_of_a_search(display):
    X = table(60, 12)
    pipeline = make_pipeline(StandardScaler(), small()).fit(X)
    search = GridSearchCV(pipeline, {"autoencoder__alpha": [0.1]}, cv=2).fit(X)
    seen = pipeline[:-1].transform(X)
    nested = make_pipeline(FunctionTransformer(), pipeline)
    within = make_pipeline(StandardScaler(), GridSearchCV(small(), {}, cv=2)).fit(X)
    for ours, theirs in (
        (pipeline, pipeline[-1]),
        (search, search.best_estimator_[-1]),
        (nested, pipeline[-1]),
        (within, within[-1].best_estimator_),
    ):
        first = display.from_estimator(ours, **GIVEN[display](X))
        second = display.from_estimator(theirs, **GIVEN[display](seen))
        for name, value in vars(second).items():
            if isinstance(value, np.ndarray) and value.dtype.kind == "f":
                np.testing.assert_array_equal(vars(first)[name], value)


@of_every_display
def test_what_cannot_be_drawn(display, wide):
    model, X = wide
    given = GIVEN[display](X)
    with pytest.raises(NotFittedError):
        display.from_estimator(small(), **given)
    scaler = StandardScaler().fit(X)  # neither codes nor scores
    for other in (scaler, make_pipeline(scaler)):
        with pytest.raises(TypeError, match=f"{display.__name__} draws an .*Scaler"):
            display.from_estimator(other, **given)
    with pytest.raises(TypeError, match="'ax' parameter must be a matplotlib Axes"):
        display.from_estimator(model, **given, ax="here")
    _, axes = plt.subplots(1, 3)
    with pytest.raises(ValueError, match=r"has 1 panel and needs.*'ax'.*Got 3"):
        display.from_estimator(model, **given, ax=axes)
    assert not any(ax.has_data() for ax in axes)


@of_every_display
def test_without_matplotlib(display, wide, monkeypatch):
    """Said before anything is computed."""
    model, X = wide
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    monkeypatch.setattr(type(model), "_apply", None)
    with pytest.raises(ImportError, match=r"pip install 'sklearn_ae\[plot\]'"):
        display.from_estimator(model, **GIVEN[display](X))


def test_matplotlib_is_imported_only_to_draw(monkeypatch):
    """Copies of the modules are made without it; no other package may import it."""
    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.setitem(sys.modules, name, None)
    folder = Path(manifold.__file__).parent
    paths = sorted(folder.glob("*.py"))
    assert len(paths) > len(DISPLAYS)
    for path in paths:
        runpy.run_path(str(path))


def test_what_is_handed_on_goes_before_ours(wide):
    """By whatever name matplotlib has for it."""
    model, X = wide
    red = plt.matplotlib.colors.to_rgba("red")
    for y in (None, np.arange(60) % 3, X[:, 0]):
        for name in ("c", "color"):
            display = CodeDisplay.from_estimator(model, X, y, **{name: "red"})
            np.testing.assert_array_equal(display.scatter_[0].get_facecolors(), [red])
            # they would tell of colours that are not there
            assert not {"legend_", "colorbar_"} & vars(display).keys()
    for name in ("lw", "linewidth", "linewidths"):
        display = CodeDisplay.from_estimator(model, X, **{name: 2.0})
        np.testing.assert_array_equal(display.scatter_[0].get_linewidths(), [2.0])
    lines = TrainingDisplay.from_estimator(model, ls=":", c="red").axes_[0].lines
    assert {(line.get_linestyle(), line.get_color()) for line in lines} == {
        (":", "red")
    }
    for kind in ("histogram", "features"):
        bars = ErrorDisplay.from_estimator(model, X, kind=kind, color="red").bars_
        assert bars[0][0].get_facecolor()[:3] == red[:3]
    display = ReconstructionDisplay.from_estimator(model, X, color="red")
    assert display.bars_[0]["original"][0].get_facecolor() == red
    scale = plt.Normalize(-5.0, 5.0)  # which has its own vmin and vmax
    given = {"image_shape": (3, 4), "norm": scale}
    assert FeatureDisplay.from_estimator(model, **given).image_.norm is scale
    assert ReconstructionDisplay.from_estimator(model, X, **given).image_.norm is scale
    given["norm"] = "linear"
    limits = FeatureDisplay.from_estimator(model, **given).image_.get_clim()
    assert limits == (-1.0, 1.0)


# -- the decoder over a grid ------------------------------------------------------


@pytest.fixture(scope="module")
def painter():
    return small(VariationalAutoencoder, hidden_layer_sizes=()).fit(table(60, 12))


def show(model, **given):
    return ManifoldDisplay.from_estimator(model, **{"image_shape": (3, 4), **given})


def test_rows_of_the_grid(painter):
    """The first component along the columns, the second along the rows."""
    display = show(painter, n=5)
    assert display.rows.shape == (5, 5, 12)
    assert (np.diff(display.first) > 0).all() and (np.diff(display.second) > 0).all()
    for i in range(5):
        for j in range(5):
            code = [[display.first[j], display.second[i]]]
            expected = painter.inverse_transform(code)[0]
            np.testing.assert_allclose(display.rows[i, j], expected, rtol=1e-9)


def test_nodes_are_at_quantiles_of_the_prior(painter):
    """To four standard errors of an empirical quantile."""
    display = show(painter, n=7)
    shares = np.linspace(0.05, 0.95, 7)
    expected = norm.ppf(shares)
    error = np.sqrt(shares * (1 - shares) / manifold.N_DRAWS) / norm.pdf(expected)
    assert (np.abs(display.first - expected) < 4 * error).all()
    assert (np.abs(display.second - expected) < 4 * error).all()
    np.testing.assert_array_equal(show(painter, n=7).rows, display.rows)


def tile(display, i, j, height, width):
    """Return a node's tile in the picture, counted from above and from the left."""
    n = len(display.rows)
    picture = np.asarray(display.image_.get_array())
    steps = [
        (size - side) // (n - 1) for size, side in zip(picture.shape, (height, width))
    ]
    top, left = i * steps[0], j * steps[1]
    return picture[top : top + height, left : left + width]


def test_the_picture_has_the_second_component_upwards(painter):
    display = show(painter, n=4)
    for i in range(4):
        for j in range(4):
            expected = display.rows[3 - i, j].reshape(3, 4)
            np.testing.assert_array_equal(tile(display, i, j, 3, 4), expected)
    height, width = display.image_.get_array().shape
    right, top = (
        axis.get_ticklocs() for axis in (display.ax_.xaxis, display.ax_.yaxis)
    )
    assert (np.diff(right) > 0).all() and 0 <= right.min() < right.max() < width
    assert (np.diff(top) < 0).all() and 0 <= top.min() < top.max() < height
    labels = [label.get_text() for label in display.ax_.get_xticklabels()]
    np.testing.assert_allclose([float(l) for l in labels], display.first, atol=0.051)
    assert display.ax_.get_xlabel() == "component 0"
    assert display.ax_.get_ylabel() == "component 1"


def test_ticks_are_in_the_middle_of_tiles(painter):
    display = show(painter, n=3)
    picture = np.asarray(display.image_.get_array())
    steps = [
        (size - side) / 2 for size, side in zip(picture.shape, (3, 4), strict=True)
    ]
    np.testing.assert_allclose(
        display.ax_.get_xticks(), [1.5 + j * steps[1] for j in range(3)], atol=0.51
    )
    np.testing.assert_allclose(
        display.ax_.get_yticks(), [1 + i * steps[0] for i in (2, 1, 0)], atol=0.51
    )


def test_other_components_stay_at_their_medians():
    model = small(
        VariationalAutoencoder, n_components=4, hidden_layer_sizes=(), max_iter=2
    ).fit(table(60, 12))
    display = show(model, n=3, components=(2, 0))
    assert display.components == (2, 0)
    assert display.ax_.get_xlabel() == "component 2"
    codes = (display.rows.reshape(9, 12) - model.mean_) @ np.linalg.pinv(
        model.components_
    )
    codes = codes.reshape(3, 3, 4)
    np.testing.assert_allclose(codes[:, :, 2], np.tile(display.first, (3, 1)))
    np.testing.assert_allclose(codes[:, :, 0], np.tile(display.second, (3, 1)).T)
    for other in (1, 3):
        assert np.ptp(codes[:, :, other]) < 1e-9
        # four standard errors of a normal median
        error = math.sqrt(math.pi / 2 / manifold.N_DRAWS)
        assert abs(codes[0, 0, other]) < 4 * error


def test_grid_is_of_what_sample_draws():
    """A density where there is one, else the codes' Gaussian."""
    X = table(60, 64)
    model = small(density=GaussianMixture(2)).fit(X)
    codes = model.transform(X)
    display = ManifoldDisplay.from_estimator(model, n=5)
    assert display.image_shape == (8, 8)  # a grey square
    for nodes, column in zip((display.first, display.second), codes.T, strict=True):
        spread = np.ptp(column)
        assert column.min() - 0.2 * spread < nodes[0] < np.quantile(column, 0.2)
        assert np.quantile(column, 0.8) < nodes[-1] < column.max() + 0.2 * spread


def test_image_shape_of_the_model():
    X = table(60, 12)
    for shape, drawn in (((3, 4), (3, 4)), ((2, 6, 1), (2, 6)), ((2, 2, 3), (2, 2, 3))):
        model = small(image_shape=shape, max_iter=1).fit(X / 30)
        display = ManifoldDisplay.from_estimator(model, n=2)
        assert display.image_shape == drawn and display.rows.shape == (2, 2, 12)


def test_images_of_two_channels():
    model = small(image_shape=(3, 2, 2), max_iter=1).fit(table(60, 12))
    with pytest.raises(ValueError, match="channels"):
        ManifoldDisplay.from_estimator(model, n=2)


def test_images_in_colour():
    painter = small(VariationalAutoencoder).fit(table(60, 12) / 30)
    display = show(painter, image_shape=(2, 2, 3), n=3)
    picture = np.asarray(display.image_.get_array())
    assert picture.ndim == 3 and picture.shape[2] == 3
    expected = display.rows[2, 0].reshape(2, 2, 3).clip(0, 1)
    np.testing.assert_array_equal(tile(display, 0, 0, 2, 2), expected)
    grey = show(painter, image_shape=(3, 4, 1), n=3)
    assert np.asarray(grey.image_.get_array()).ndim == 2


def test_what_is_drawn_on(painter):
    _, ax = plt.subplots()
    display = show(painter, ax=ax, n=2, cmap="viridis", vmin=-3)
    assert display.ax_ is ax and display.figure_ is ax.figure
    assert display.image_.get_cmap().name == "viridis"
    assert display.image_.get_clim()[0] == -3
    assert display.plot() is display and display.ax_ is not ax
    assert display.image_.get_cmap().name == "gray"


def test_grid_of_a_stack():
    stack = clone(STACK).set_params(estimator__dtype="float64").fit(table(60, 12))
    display = show(stack, n=3)
    code = [[display.first[2], display.second[0]]]
    np.testing.assert_allclose(
        display.rows[0, 2], stack.inverse_transform(code)[0], rtol=1e-9
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"image_shape": (5, 5)}, r"12 features are no images of shape \(5, 5\)"),
        ({"image_shape": None}, r"12 features have\. Give image_shape=\(height"),
        ({"image_shape": (12,)}, r"no images of shape \(12,\)"),
        ({"components": (0, 0)}, r"'components' parameter .* 0 to 1. Got \(0, 0\)"),
        ({"components": (0, 2)}, r"'components' parameter .* 0 to 1. Got \(0, 2\)"),
        ({"components": (-1, 0)}, r"'components' parameter"),
        ({"components": (0,)}, r"'components' parameter"),
        ({"components": (0, 1, 1)}, r"'components' parameter"),
        ({"components": (0.5, 1)}, r"'components' parameter"),
        ({"components": ("a", 1)}, r"'components' parameter"),
        ({"n": 1}, r"'n' parameter of from_estimator must be an int"),
        ({"n": 2.0}, r"'n' parameter of from_estimator must be an int"),
    ],
)
def test_grids_that_cannot_be(given, message, painter):
    with pytest.raises(ValueError, match=message):
        show(painter, **given)


# -- how training went ------------------------------------------------------------


def curves(display, name):
    return {key: line.get_xydata() for key, line in display.lines_[name].items()}


def test_terms_by_epoch():
    model = small(SparseAutoencoder, early_stopping=True).fit(table())
    display = TrainingDisplay.from_estimator(model)
    drawn = curves(display, "SparseAutoencoder")
    assert set(drawn) == set(model.history_) and "valid_sparsity" in drawn
    for key, points in drawn.items():
        np.testing.assert_array_equal(points[:, 0], [1, 2, 3])
        np.testing.assert_array_equal(points[:, 1], model.history_[key])
    lines = display.lines_["SparseAutoencoder"]
    assert lines["valid_loss"].get_linestyle() == "--"
    assert lines["train_loss"].get_linestyle() == "-"
    assert lines["valid_sparsity"].get_color() == lines["train_sparsity"].get_color()
    colors = {lines[key].get_color() for key in lines if key.startswith("train")}
    assert len(colors) == 4
    shown = texts(display.legend_.get_texts())
    assert {"weight decay", "loss, held out"} < set(shown) and len(shown) == 8
    chosen = display.plot(terms=["sparsity"])
    assert set(chosen.lines_["SparseAutoencoder"]) == {
        "train_sparsity",
        "valid_sparsity",
    }


def test_a_term_that_is_the_loss_is_drawn_once(wide):
    display = TrainingDisplay.from_estimator(wide[0])
    assert list(display.lines_["Autoencoder"]) == ["train_loss"]


def test_training_of_a_stack():
    stack = clone(STACK).set_params(fine_tune="reconstruction", max_iter=2)
    stack.fit(table())
    display = TrainingDisplay.from_estimator(stack)
    names = ["layer1", "layer2", "fine-tuning"]
    assert list(display.lines_) == names and len(display.axes_) == 3
    assert [ax.get_title() for ax in display.axes_] == names
    histories = [*(layer.history_ for layer in stack.estimators_), stack.history_]
    for ax, name, history in zip(display.axes_, names, histories, strict=True):
        line = display.lines_[name]["train_loss"]
        assert line.axes is ax
        np.testing.assert_array_equal(line.get_ydata(), history["train_loss"])
    _, axes = plt.subplots(3)
    assert list(display.plot(ax=axes).axes_) == list(axes)
    not_tuned = clone(STACK).fit(table())
    assert list(TrainingDisplay.from_estimator(not_tuned).lines_) == names[:2]


def test_training_of_a_classifier():
    """Without the scores of held-out rows, which are on another scale."""
    model = StackedAutoencoderClassifier(
        STACK, pretrain=False, max_iter=2, early_stopping=True, random_state=0
    )
    model.set_params(scoring="accuracy")
    model.fit(table(), np.arange(24) % 2)
    display = TrainingDisplay.from_estimator(model)
    assert set(display.lines_["fine-tuning"]) == {"train_loss", "valid_loss"}
    display.plot(terms=["score"])
    assert set(display.lines_["fine-tuning"]) == {"valid_score"}


def test_terms_that_are_not_there(wide):
    with pytest.raises(ValueError, match=r"no term 'los'.*\['loss', .*mean 'loss'\?"):
        TrainingDisplay.from_estimator(wide[0], terms=["los"])
    with pytest.raises(ValueError, match="no epoch was trained"):
        TrainingDisplay(histories={}).plot()


# -- rows and what is restored of them --------------------------------------------


def tiles_of(display, height, width):
    """Return the tiles of the picture, (n_down, n_across, n_features)."""
    picture = np.ma.filled(display.image_.get_array(), np.nan)
    n_down, n_across = (
        (size + 1) // (side + 1) for size, side in zip(picture.shape, (height, width))
    )
    return np.array(
        [
            [
                picture[i * (height + 1) :, j * (width + 1) :][:height, :width].ravel()
                for j in range(n_across)
            ]
            for i in range(n_down)
        ]
    )


def test_images_and_what_is_restored_of_them(wide):
    model, X = wide
    noisy = X + 1
    display = ReconstructionDisplay.from_estimator(
        model, X, X_noisy=noisy, image_shape=(3, 4), n=5
    )
    expected = np.stack([X[:5], noisy[:5], model.reconstruct(noisy)[:5]])
    np.testing.assert_allclose(tiles_of(display, 3, 4), expected, rtol=1e-9)
    (ax,) = display.axes_
    assert texts(ax.get_yticklabels()) == ["original", "noisy", "restored"]
    np.testing.assert_array_equal(ax.get_yticks(), [1, 5, 9])  # the middle of each
    assert display.image_.get_clim() == (X[:5].min(), X[:5].max())
    # a line of nothing between them
    assert np.ma.getmaskarray(display.image_.get_array())[3].all()


def test_images_of_the_model():
    X = table(30, 12)
    model = small(ConvolutionalAutoencoder, image_shape=(4, 3), max_iter=1).fit(X)
    stack = StackedAutoencoderPretrainer(
        estimators=[model, small()], random_state=0
    ).fit(X)
    for fitted in (model, stack):
        display = ReconstructionDisplay.from_estimator(fitted, X)
        assert display.image_shape == (4, 3)
        tiles = tiles_of(display, 4, 3)
        assert tiles.shape == (2, 10, 12)
        np.testing.assert_allclose(tiles[1], fitted.reconstruct(X[:10]), rtol=1e-9)


def test_images_in_colour_are_restored():
    X = table(20, 12) / 30
    model = small().fit(X)
    display = ReconstructionDisplay.from_estimator(model, X, image_shape=(2, 2, 3), n=3)
    picture = np.asarray(display.image_.get_array())
    assert picture.shape == (5, 8, 3)
    np.testing.assert_array_equal(picture[:2, 3:5].ravel(), X[1])
    restored = model.reconstruct(X)[2].clip(0, 1)
    np.testing.assert_allclose(picture[3:, 6:].ravel(), restored, rtol=1e-9)
    assert (picture[2] == 1).all()


def test_rows_as_bars():
    X = frame(table())
    model = small().fit(X)
    display = ReconstructionDisplay.from_estimator(model, X, n=2)
    assert len(display.axes_) == len(display.bars_) == 2
    values, restored = X.to_numpy(), model.reconstruct(X)
    mean, std = values.mean(axis=0), values.std(axis=0)
    for i, bars in enumerate(display.bars_):
        for name, rows in (("original", values), ("restored", restored)):
            lengths = [bar.get_width() for bar in bars[name]]
            np.testing.assert_allclose(lengths, (rows[i] - mean) / std, rtol=1e-6)
            assert all(bar.axes is display.axes_[i] for bar in bars[name])
    assert texts(display.axes_[0].get_yticklabels()) == list(X.columns)
    assert texts(display.legend_.get_texts()) == ["original", "restored"]
    ends = [bar.get_x() + bar.get_width() for bar in display.axes_[1].patches]
    low, high = display.axes_[0].get_xlim()
    assert low < min(ends) and max(ends) < high


def test_bars_of_the_features_restored_worst():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2, 30))
    off = np.zeros(30)
    off[[3, 7, 21]] = 2
    display = ReconstructionDisplay(versions={"a": rows, "b": rows + off})
    display.plot(n_features=3)
    assert texts(display.axes_[0].get_yticklabels()) == ["3", "7", "21"]
    lengths = [bar.get_width() for bar in display.bars_[1]["b"]]
    np.testing.assert_allclose(lengths, rows[1, [3, 7, 21]] + 2)


def test_sparse_rows_and_missing_values():
    X = counts()
    model = small().fit(X)
    display = ReconstructionDisplay.from_estimator(model, X, n=2)
    np.testing.assert_array_equal(display.versions["original"], X[:2].toarray())
    assert (display.center == 0).all()  # as sparse rows are not centred
    gaps = table()
    gaps[0, 1] = np.nan
    model = small(DenoisingAutoencoder).fit(gaps)
    display = ReconstructionDisplay.from_estimator(model, gaps)
    assert np.isnan(display.bars_[0]["original"][1].get_width())
    assert np.isfinite(display.versions["restored"]).all()
    display.figure_.canvas.draw()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n": 0}, "'n' parameter of from_estimator"),
        ({"n_features": 0}, "'n_features' parameter of from_estimator"),
        ({"image_shape": (5, 5)}, "12 features are no images"),
        ({"image_shape": (3, 2, 2)}, "has 1, 3 .* or 4 channels"),
        (
            {"X_noisy": np.zeros((3, 12))},
            r"X_noisy needs a row .*3 and 60",
        ),
        ({"X_noisy": np.zeros((60, 5))}, "X has 5 features, but Autoencoder"),
    ],
)
def test_restorations_that_cannot_be(given, message, wide):
    with pytest.raises(ValueError, match=message):
        ReconstructionDisplay.from_estimator(*wide, **given)


@pytest.mark.parametrize("display", [ErrorDisplay, ReconstructionDisplay])
def test_features_that_cannot_be_counted_are_not_drawn_again(display, wide):
    drawn = display.from_estimator(*wide)
    for n_features in (0, -3, "a"):
        with pytest.raises(ValueError, match="'n_features' parameter of plot"):
            drawn.plot(n_features=n_features)


# -- codes ------------------------------------------------------------------------


def test_codes_by_class():
    X = frame(table())
    y = np.array(["b", "a", "c"])[np.arange(24) % 3]
    model = small(n_components=3).set_output(transform="pandas").fit(X)
    display = CodeDisplay.from_estimator(model, X, y, components=(2, 0), pca=True)
    left, right = display.scatter_
    codes = model.transform(X).to_numpy()
    np.testing.assert_allclose(left.get_offsets(), codes[:, [2, 0]], rtol=1e-9)
    expected = PCA(2).fit_transform(X)
    np.testing.assert_allclose(right.get_offsets(), expected, rtol=1e-9, atol=1e-9)
    labels = [(ax.get_xlabel(), ax.get_ylabel()) for ax in display.axes_]
    assert labels == [("component 2", "component 0"), ("component 0", "component 1")]
    assert [ax.get_title() for ax in display.axes_] == ["Autoencoder", "PCA"]
    # each row in the colour that the legend gives its class
    legend = dict(
        zip(
            texts(display.legend_.get_texts()),
            [handle.get_color() for handle in display.legend_.legend_handles],
        )
    )
    assert list(legend) == ["a", "b", "c"] and len(set(legend.values())) == 3
    for points in (left, right):
        expected = plt.matplotlib.colors.to_rgba_array([legend[name] for name in y])
        np.testing.assert_array_equal(points.get_facecolors(), expected)


def test_codes_on_a_scale(wide):
    model, X = wide
    for y in (X[:, 0] / 7, np.arange(60)):
        display = CodeDisplay.from_estimator(model, X, pd.Series(y))
        np.testing.assert_array_equal(display.scatter_[0].get_array(), y)
        assert display.colorbar_.mappable is display.scatter_[0]
        assert not hasattr(display, "legend_")


def test_classes_are_told_by_their_colours(wide):
    model, X = wide
    for n in (10, 20):
        display = CodeDisplay.from_estimator(model, X, np.arange(60) % n)
        colors = np.unique(display.scatter_[0].get_facecolors(), axis=0)
        assert len(colors) == len(display.legend_.get_texts()) == n


def test_planes_where_transformers_give_frames(wide):
    model, X = wide
    expected = CodeDisplay.from_estimator(model, X, pca=True).codes
    with config_context(transform_output="pandas"):
        codes = CodeDisplay.from_estimator(model, X, pca=True).codes
    for name, plane in codes.items():
        np.testing.assert_array_equal(plane, expected[name])


def test_codes_of_sparse_rows():
    X = counts()
    model = small(KSparseAutoencoder, n_components=4, k=2, sparse_output=True)
    for kind in (sp.csr_array, sp.coo_matrix):
        display = CodeDisplay.from_estimator(model.fit(X), kind(X), pca=True)
        codes = model.transform(X).toarray()[:, :2]
        np.testing.assert_allclose(display.codes["KSparseAutoencoder"], codes)
        expected = TruncatedSVD(2, random_state=0).fit_transform(X)
        np.testing.assert_allclose(display.codes["TruncatedSVD"], expected)


def test_some_of_many_rows(wide):
    model, X = wide
    y = np.arange(60)
    display = CodeDisplay.from_estimator(model, X, y, subsample=20)
    assert len(np.unique(display.y)) == 20
    expected = model.transform(X)[display.y]
    np.testing.assert_allclose(display.codes["Autoencoder"], expected)
    again = CodeDisplay.from_estimator(model, X, y, subsample=20)
    np.testing.assert_array_equal(again.y, display.y)
    whole = CodeDisplay.from_estimator(model, X, subsample=None)
    assert len(whole.codes["Autoencoder"]) == 60


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"components": (0, 2)}, r"'components' parameter .* 0 to 1. Got \(0, 2\)"),
        ({"subsample": 0}, "'subsample' parameter of from_estimator"),
        ({"pca": "yes"}, "'pca' parameter must be a bool"),
        ({"y": np.zeros(59)}, r"inconsistent numbers of samples: \[60, 59\]"),
        ({"y": np.full(60, np.nan)}, "Input y contains NaN"),
        ({"y": np.zeros((60, 2))}, "y should be a 1d array"),
    ],
)
def test_planes_that_cannot_be(given, message, wide):
    with pytest.raises(ValueError, match=message):
        CodeDisplay.from_estimator(*wide, **given)


def test_planes_that_pca_does_not_have(wide):
    model, X = wide
    gaps = np.where(np.eye(60, 12) > 0, np.nan, X)
    for fitted, rows in (
        (model, X[:1]),
        (small().fit(X[:, :1]), X[:, :1]),
        (small(DenoisingAutoencoder).fit(gaps), gaps),
    ):
        with pytest.raises(ValueError, match="pca=True needs two rows or more"):
            CodeDisplay.from_estimator(fitted, rows, pca=True)
        assert len(CodeDisplay.from_estimator(fitted, rows).codes) == 1


@pytest.mark.parametrize("display", [CodeDisplay, ManifoldDisplay])
def test_a_code_of_one_component(display, wide):
    X = wide[1]
    model = small(n_components=1).fit(X)
    with pytest.raises(ValueError, match="a code of two components or more"):
        display.from_estimator(model, **GIVEN[display](X))


# -- what units look for ----------------------------------------------------------


def one_layer(n_components=5, **params):
    given = {"hidden_layer_sizes": (), "code_activation": "sigmoid", **params}
    return small(n_components=n_components, **given)


def weights_of(model):
    return model.module_.encoder.weights()[0].detach().numpy()


def test_weights_as_images(wide):
    X = wide[1]
    model = one_layer(tied_weights=True).fit(X)
    display = FeatureDisplay.from_estimator(
        model, units=4, image_shape=(3, 4), n_columns=3
    )
    weights = weights_of(model)
    order = np.argsort(-np.linalg.norm(weights, axis=1))
    np.testing.assert_array_equal(display.units, order[:4])
    np.testing.assert_array_equal(display.features, weights[order[:4]])
    tiles = tiles_of(display, 3, 4).reshape(-1, 12)
    largest = np.abs(display.features).max(axis=1, keepdims=True)
    np.testing.assert_allclose(tiles[:4], display.features / largest)
    assert np.isnan(tiles[4:]).all() and len(tiles) == 6
    assert display.image_.get_clim() == (-1, 1)


def test_weights_as_a_table():
    X = frame(table())
    model = one_layer().fit(X)
    display = FeatureDisplay.from_estimator(model, units=[3, 0])
    weights = weights_of(model)[[3, 0]]
    expected = (weights / np.abs(weights).max(axis=1, keepdims=True)).T
    np.testing.assert_allclose(display.image_.get_array(), expected)
    assert texts(display.ax_.get_yticklabels()) == list(X.columns)
    assert texts(display.ax_.get_xticklabels()) == ["3", "0"]


def test_weights_of_other_networks(wide):
    X = wide[1]
    deep = small().fit(X)  # along a linear path
    display = FeatureDisplay.from_estimator(deep, kind="weights")
    np.testing.assert_array_equal(display.features, weights_of(deep)[display.units])
    stack = clone(STACK).fit(X)
    display = FeatureDisplay.from_estimator(stack, kind="weights")
    expected = weights_of(stack.estimators_[0])[display.units]
    np.testing.assert_array_equal(display.features, expected)
    images = small(ConvolutionalAutoencoder, image_shape=(2, 2, 3)).fit(X / 30)
    display = FeatureDisplay.from_estimator(images, kind="weights", units=2)
    assert display.image_shape == (3, 3, 3)
    kernel = weights_of(images)[display.units[0]].transpose(1, 2, 0)
    picture = np.asarray(display.image_.get_array())[:3, :3]
    # no colour is no weight
    np.testing.assert_allclose(picture, 0.5 + 0.5 * kernel / np.abs(kernel).max())
    split = small(SplitBrainAutoencoder).fit(X)
    display = FeatureDisplay.from_estimator(split, kind="weights", units=range(12))
    first, second = (n.weights()[0] for n in split.module_.encoder.networks)
    np.testing.assert_array_equal(
        display.features, torch.block_diag(first, second).detach().numpy()
    )


def test_units_of_the_code_are_drawn_by_default(wide):
    """By their weights where they are the first layer's, else by their inputs."""
    X = wide[1]
    model = one_layer().fit(X)
    shown = FeatureDisplay.from_estimator(model)
    weights = FeatureDisplay.from_estimator(model, kind="weights")
    np.testing.assert_array_equal(shown.features, weights.features)
    assert shown.ax_.get_title() == "Weights of the units of the first layer"
    for deep in (small().fit(X), clone(STACK).fit(X)):
        shown = FeatureDisplay.from_estimator(deep)
        inputs = FeatureDisplay.from_estimator(deep, kind="inputs")
        np.testing.assert_array_equal(shown.features, inputs.features)
        assert list(shown.units) == list(range(deep.n_components_))
        assert shown.ax_.get_title() == "Inputs that excite each unit of the code most"
        assert shown.colorbar_.ax.get_ylabel() == "share of the unit's largest"
        assert shown.colorbar_.vmin == -1 and shown.colorbar_.vmax == 1
    own = FeatureDisplay(features=shown.features).plot()
    assert own.ax_.get_title() == ""


@pytest.mark.parametrize("n_features", [9, 13, 63])
def test_rows_of_a_table_are_no_images(n_features):
    model = small().fit(table(60, n_features))
    strip = rf"Give image_shape=.*\(1, {n_features}\) draws a row as a strip"
    with pytest.raises(ValueError, match=f"{n_features} features have. {strip}"):
        ManifoldDisplay.from_estimator(model, n=2)
    shown = ManifoldDisplay.from_estimator(model, n=2, image_shape=(1, n_features))
    assert shown.rows.shape == (2, 2, n_features)


def test_inputs_of_one_layer_are_its_weights(wide):
    X = wide[1]
    model = one_layer(tied_weights=True).fit(X)  # others see no farther than they reach
    weights, scale = weights_of(model), model._fit.units.scale
    display = FeatureDisplay.from_estimator(model, kind="inputs", units=[4, 1])
    expected = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    expected *= math.sqrt(12) * scale
    np.testing.assert_allclose(display.features, expected[[4, 1]], rtol=1e-9)
    # in standard deviations: how much one of each changes
    display = FeatureDisplay.from_estimator(model, X, kind="inputs")
    expected = weights * X.std(axis=0)
    expected *= math.sqrt(12) / np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(display.features, expected, rtol=1e-9)


@pytest.mark.parametrize(
    "model",
    [
        small(hidden_layer_sizes=(8, 6), linear_path=False, max_iter=30),
        small(VariationalAutoencoder, max_iter=30),
        small(ConvolutionalAutoencoder, image_shape=(3, 4), max_iter=10),
        clone(STACK).set_params(max_iter=30, random_state=0),
    ],
    ids=["deep", "variational", "convolutional", "stack"],
)
def test_inputs_excite_more_than_any_row_as_far_out(model, wide):
    X = wide[1]
    model = clone(model).fit(X)
    display = FeatureDisplay.from_estimator(model, kind="inputs")
    units, center = model._fit.units, model._fit.units.shift
    center = np.zeros(12) if center is None else center
    norm = math.sqrt(12) * units.scale
    size = np.linalg.norm(display.features, axis=1)
    assert (size <= norm * (1 + 1e-6)).all()  # to rounding in float32
    away = np.concatenate([X - center, np.random.default_rng(0).normal(size=(200, 12))])
    away *= norm / np.linalg.norm(away, axis=1, keepdims=True)
    others = model.transform(center + away)
    reached = np.diag(model.transform(center + display.features))
    assert (reached >= others.max(axis=0)).all()


def test_inputs_in_other_modes_of_torch(wide):
    model, X = wide
    expected = FeatureDisplay.from_estimator(model, X, kind="inputs").features
    with torch.inference_mode():
        display = FeatureDisplay.from_estimator(model, X, kind="inputs")
    np.testing.assert_array_equal(display.features, expected)
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        display = FeatureDisplay.from_estimator(model, X, kind="inputs")
    finally:
        torch.set_default_dtype(dtype)
    np.testing.assert_array_equal(display.features, expected)


def test_units_that_nothing_moves_are_blank(wide):
    X = wide[1]
    model = one_layer(code_activation="relu").fit(X)
    with torch.no_grad():
        model.module_.encoder.layers[0].bias[2] = -1e6
    display = FeatureDisplay.from_estimator(model, kind="inputs")
    blank = np.isnan(display.features).all(axis=1)
    np.testing.assert_array_equal(blank, [False, False, True, False, False])
    display.figure_.canvas.draw()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"kind": "rows"},
            r"'kind' parameter must be a str among \{'auto', 'weights', 'inp",
        ),
        ({"units": 0}, r"'units' parameter must be an int in the range \[1, inf\) or"),
        ({"kind": "weights", "units": [6]}, r"ints in the range \[0, 6\). Got \[6\]"),
        ({"units": [0.5]}, "'units' parameter"),
        ({"kind": "inputs", "units": [2]}, r"ints in the range \[0, 2\)"),
        ({"n_columns": 0}, "'n_columns' parameter must be an int"),
        ({"image_shape": (5, 5)}, "12 features are no images"),
        ({"kind": "inputs", "X": np.zeros((2, 5))}, "X has 5 features"),
    ],
)
def test_features_that_cannot_be(given, message, wide):
    with pytest.raises(ValueError, match=message):
        FeatureDisplay.from_estimator(wide[0], **given)


def test_features_of_lightness_and_colour():
    X = table(20, 12) / 30
    model = small(SplitBrainAutoencoder, split="channels", image_shape=(2, 2, 3))
    model.fit(X)
    for kind, message in (("weights", "are no pictures"), ("inputs", "mean row")):
        with pytest.raises(ValueError, match=message):
            FeatureDisplay.from_estimator(model, kind=kind)


# -- errors -----------------------------------------------------------------------


def heights(bars):
    return np.array([bar.get_height() for bar in bars])


def edges(bars):
    left = [bar.get_x() for bar in bars]
    return np.array([*left, left[-1] + bars[-1].get_width()])


def test_histogram_of_errors(wide):
    model, X = wide
    display = ErrorDisplay.from_estimator(model, X)
    errors = model.reconstruction_error(X)
    np.testing.assert_array_equal(display.errors, errors)
    (bars,) = display.bars_
    expected, _ = np.histogram(errors, edges(bars))
    np.testing.assert_allclose(heights(bars), expected / 60, atol=1e-12)
    assert display.threshold_ is None and display.ax_.get_legend() is None
    log = display.plot(scale="log")
    (bars,) = log.bars_
    assert log.ax_.get_xscale() == "log"
    ratios = edges(bars)[1:] / edges(bars)[:-1]
    np.testing.assert_allclose(ratios, ratios[0])
    assert heights(bars).sum() == pytest.approx(1.0)


def test_scale_of_a_histogram():
    """Linear unless something is far out; no row is lost at either end."""
    bulk = np.linspace(1.0, 3.0, 400)
    for far, scale in (([4], "linear"), ([900], "log"), ([-900, 900], "asinh")):
        errors = np.append(bulk, far)
        display = ErrorDisplay(errors=errors).plot()
        assert display.ax_.get_xscale() == scale
        (bars,) = display.bars_
        assert heights(bars).max() < 0.9  # the bulk is not in one bar
        assert heights(bars).sum() == pytest.approx(1.0)


def test_histogram_by_class_with_a_threshold(wide):
    X = wide[1]
    detector = AutoencoderOutlierDetector(small(), random_state=0).fit(X)
    y = np.where(np.arange(60) < 6, -1, 1)
    display = ErrorDisplay.from_estimator(detector, X, y)
    assert display.threshold == -detector.offset_
    assert list(display.threshold_.get_xdata()) == [-detector.offset_] * 2
    errors = -detector.score_samples(X)
    normal, outliers = display.bars_
    for bars, kept in ((normal, y == 1), (outliers, y == -1)):
        expected, _ = np.histogram(errors[kept], edges(bars))
        np.testing.assert_allclose(heights(bars), expected / kept.sum(), atol=1e-12)
    shown = texts(display.ax_.get_legend().get_texts())
    assert shown == ["threshold", "normal (1)", "outliers (−1)"]
    low, high = edges(normal)[[0, -1]]
    assert low <= display.threshold <= high


def test_shares_of_features():
    X = frame(table())
    y = np.arange(24) % 2
    model = small().fit(X)
    display = ErrorDisplay.from_estimator(model, X, y, kind="features", n_features=3)
    errors = model.reconstruction_error(X, per_feature=True)
    expected = np.array([errors[y == k].mean(axis=0) / 5 for k in (0, 1)])
    np.testing.assert_allclose(display.shares, expected)
    mean = [display.errors[y == k].mean() for k in (0, 1)]
    np.testing.assert_allclose(display.shares.sum(axis=1), mean)
    first = np.argsort(-expected.max(axis=0))[:3]
    assert texts(display.ax_.get_yticklabels()) == [X.columns[i] for i in first]
    for bars, row in zip(display.bars_, expected, strict=True):
        lengths = [bar.get_width() for bar in bars]
        np.testing.assert_allclose(lengths, row[first])
    assert texts(display.ax_.get_legend().get_texts()) == ["0", "1"]


def test_detectors():
    """One of two networks, which explains, and scikit-learn's, which do not."""
    X = frame(table())
    detector = AutoencoderOutlierDetector(small(), n_estimators=2, random_state=0)
    display = ErrorDisplay.from_estimator(detector.fit(X), X, kind="features")
    np.testing.assert_allclose(display.shares, [detector.explain(X).mean(axis=0)])
    assert set(texts(display.ax_.get_yticklabels())) == set(X.columns)
    display = TrainingDisplay.from_estimator(detector)
    assert list(display.lines_) == ["Autoencoder 1", "Autoencoder 2"]
    forest = IsolationForest(n_estimators=5, random_state=0).fit(X)
    display = ErrorDisplay.from_estimator(forest, X)
    assert display.threshold == 0.5 and display.shares is None
    machine = OneClassSVM().fit(X)  # its offset_ is an array of one number
    display = ErrorDisplay.from_estimator(machine, X)
    assert display.threshold == -machine.offset_.item()


def test_shares_of_many_sparse_rows_and_of_gaps():
    X = sp.vstack([counts()] * 30, format="coo")  # in more than one chunk
    model = small().fit(counts())
    display = ErrorDisplay.from_estimator(model, X)
    once = ErrorDisplay.from_estimator(model, counts())
    np.testing.assert_allclose(display.shares, once.shares)
    gaps = table()
    gaps[:, 1], gaps[0] = np.where(np.arange(24) % 2, np.nan, gaps[:, 1]), np.nan
    model = small(DenoisingAutoencoder).fit(gaps)
    display = ErrorDisplay.from_estimator(model, gaps)
    assert np.isnan(display.errors[0]) and np.isfinite(display.shares).all()
    assert heights(display.bars_[0]).sum() == pytest.approx(1.0)


def test_errors_that_cannot_be_drawn(wide):
    model, X = wide
    for given, message in (
        ({"kind": "bars"}, "'kind' parameter must be a str among"),
        ({"scale": "sqrt"}, "'scale' parameter must be a str among"),
        ({"n_features": 0}, "'n_features' parameter of from_estimator"),
        ({"y": np.zeros(3)}, "inconsistent numbers of samples"),
    ):
        with pytest.raises(ValueError, match=message):
            ErrorDisplay.from_estimator(model, X, **given)
    with pytest.raises(ValueError, match="all rows have only NaN"):
        ErrorDisplay(errors=np.full(3, np.nan)).plot()
    density = small(VariationalAutoencoder).fit(X / 1e4)  # a density far above one
    with pytest.raises(ValueError, match="scale='log' needs errors above 0"):
        ErrorDisplay.from_estimator(density, X / 1e4, scale="log")
    with pytest.raises(ValueError, match="kind='features' is not supported"):
        ErrorDisplay.from_estimator(PCA(2).fit(X), X, kind="features")
