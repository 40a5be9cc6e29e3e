"""Answers with a column for each feature of X are frames where frames are asked for."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from estimators import CODECS, FAST, fit, table
from sklearn import config_context
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ae import Autoencoder, DenoisingAutoencoder, ManifoldDisplay

# So few epochs are not meant to converge.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X = table()
NAMES = [f"f{i}" for i in range(X.shape[1])]
FRAME = pd.DataFrame(X, columns=NAMES, index=[f"row {i}" for i in range(len(X))])


def answers(model, rows):
    """Return what has a column for each feature, by name; of rows and of no rows."""
    codes = model.transform(rows)
    codes = codes.toarray() if sp.issparse(codes) else codes
    of_rows = {
        "reconstruct": model.reconstruct(rows),
        "reconstruct by name": model.reconstruct(X=rows),
        "inverse_transform": model.inverse_transform(codes),
        "reconstruction_error": model.reconstruction_error(rows, per_feature=True),
    }
    for name in ("impute", "score_field"):
        if hasattr(model, name):
            of_rows[name] = getattr(model, name)(rows)
    rest = {
        "sample": model.sample(3, random_state=0),
    }
    return of_rows, rest


@pytest.mark.parametrize("name", CODECS)
def test_frames_of_pandas(name):
    model = fit(clone(CODECS[name]), FRAME)
    model.set_params(**{p: False for p in ("sparse_output",) if hasattr(model, p)})
    plain, plain_draws = answers(model, FRAME)
    for answer in (*plain.values(), *plain_draws.values()):
        assert isinstance(answer, np.ndarray)
    of_rows, draws = answers(model.set_output(transform="pandas"), FRAME)
    for told, answer in of_rows.items():
        wanted = pd.DataFrame(plain[told], columns=NAMES, index=FRAME.index)
        pd.testing.assert_frame_equal(answer, wanted)
    for told, answer in draws.items():
        wanted = pd.DataFrame(plain_draws[told], columns=NAMES)
        pd.testing.assert_frame_equal(answer, wanted)
    scores = model.score_samples(FRAME)
    assert isinstance(scores, np.ndarray) and scores.shape == (len(FRAME),)
    pairs = model.interpolate(FRAME.iloc[:2], FRAME.iloc[2:4], 3)
    assert isinstance(pairs, np.ndarray) and pairs.ndim == 3


@pytest.mark.parametrize("name", ["Autoencoder", "StackedAutoencoderPretrainer"])
def test_frames_of_polars_with_names_that_scikit_learn_gives(name):
    model = fit(clone(CODECS[name]), X)
    plain, _ = answers(model, X)
    of_rows, draws = answers(model.set_output(transform="polars"), X)
    for told, answer in of_rows.items():
        assert isinstance(answer, pl.DataFrame)
        assert answer.columns == [f"x{i}" for i in range(X.shape[1])]
        np.testing.assert_array_equal(answer.to_numpy(), plain[told])
    assert isinstance(draws["sample"], pl.DataFrame)


@pytest.mark.parametrize("name", FAST)
def test_nothing_else_depends_on_the_configuration(name):
    """What estimators make of each other's answers inside, they make of arrays."""

    def asked(model):
        for method in ("predict", "score_samples", "decision_function", "explain"):
            if hasattr(model, method):
                yield np.asarray(getattr(model, method)(FRAME))

    plain = list(asked(fit(clone(FAST[name]).set_params(random_state=0), FRAME)))
    for container in ("pandas", "polars"):
        with config_context(transform_output=container):
            model = fit(clone(FAST[name]).set_params(random_state=0), FRAME)
            for found, wanted in zip(asked(model), plain, strict=True):
                np.testing.assert_array_equal(found, wanted)


def test_shares_of_a_detector_are_framed():
    model = fit(clone(FAST["AutoencoderOutlierDetector-density"]), X)
    assert isinstance(model.explain(X), np.ndarray)
    with config_context(transform_output="pandas"):
        shares = model.explain(X)
    assert list(shares.columns) == [f"x{i}" for i in range(X.shape[1])]
    np.testing.assert_array_equal(shares, model.explain(X))


def test_gaps_of_a_frame_are_filled_in_a_frame():
    gaps = FRAME.mask(np.eye(*FRAME.shape, dtype=bool))
    model = DenoisingAutoencoder(max_iter=3).fit(gaps).set_output(transform="pandas")
    filled = model.impute(gaps)
    assert list(filled) == NAMES and not filled.isna().any(axis=None)
    seen = gaps.notna()
    pd.testing.assert_frame_equal(filled[seen], gaps, check_dtype=False)


def test_a_pipeline_goes_back_to_the_units_of_the_frame():
    pipeline = make_pipeline(StandardScaler(), Autoencoder(2, max_iter=3))
    pipeline.set_output(transform="pandas").fit(FRAME)
    codes = pipeline.transform(FRAME)
    found = pipeline.inverse_transform(codes)
    rows = pipeline[-1].inverse_transform(codes)
    assert list(rows) == NAMES
    np.testing.assert_array_equal(found, pipeline[0].inverse_transform(rows))


def test_displays_take_frames():
    model = Autoencoder(2, max_iter=3).fit(FRAME).set_output(transform="pandas")
    display = ManifoldDisplay.from_estimator(model, n=3, image_shape=(1, 5))
    assert display.rows.shape == (3, 3, 5)
    plt.close("all")
