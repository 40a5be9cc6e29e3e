"""While an estimator is fitted again, it is the earlier fit in all that it says."""

import itertools
import pickle
import threading

import numpy as np
import pandas as pd
import pytest
from estimators import CORE, answer, fit, layers, table
from sklearn.base import clone
from skorch.callbacks import Callback

from sklearn_ae import Autoencoder, DenoisingAutoencoder


class Asked(Callback):
    """Asks an estimator something at the end of each epoch."""

    def __init__(self, ask):
        self.ask, self.given = ask, []

    def __sklearn_clone__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __copy__(self):
        return self

    def __reduce__(self):
        return Callback, ()

    def on_epoch_end(self, net, **kwargs):
        self.given.append(self.ask())


def frame(n_features=5, seed=0):
    X = table(n_features=n_features, seed=seed)
    return pd.DataFrame(X, columns=[f"x{i}" for i in range(n_features)])


@pytest.mark.parametrize("name", CORE)
def test_it_answers_as_before_while_it_is_fitted_to_another_width(name):
    model, X = clone(CORE[name]), frame()
    fit(model, X)
    wanted = answer(model, X)

    def ask():
        same = pickle.loads(pickle.dumps(model))
        return [
            (answer(one, X), one.n_features_in_, list(one.feature_names_in_))
            for one in (model, same)
        ]

    asked = Asked(ask)
    for layer in layers(model):
        layer.set_params(callbacks=[asked])
    fit(model, table(n_features=7, seed=1))
    assert asked.given
    for given in itertools.chain(*asked.given):
        np.testing.assert_array_equal(given[0], wanted)
        assert given[1:] == (5, list(X.columns))
    assert model.n_features_in_ == 7
    assert not hasattr(model, "feature_names_in_")
    assert len(answer(model, table(n_features=7, seed=1))) == 24


@pytest.mark.parametrize("name", CORE)
def test_it_is_not_fitted_while_it_is_fitted_for_the_first_time(name):
    model = clone(CORE[name])
    asked = Asked(lambda: set(vars(model)))
    for layer in layers(model):
        layer.set_params(callbacks=[asked])
    before = set(vars(model))
    fit(model, table())
    for given in asked.given:
        assert not [name for name in given - before if not name.startswith("_")]


def test_no_thread_ever_sees_a_mixture():
    model = Autoencoder(2, max_iter=1, random_state=0)
    frames = frame(5), frame(7)
    model.fit(frames[0])
    done, mixed = threading.Event(), []

    def watch():
        while not done.is_set():
            seen = dict(vars(model))
            widths = {
                seen["n_features_in_"],
                len(seen["feature_names_in_"]),
                len(seen["_fit"].units.shift),
            }
            if len(widths) > 1:
                mixed.append(widths)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for turn in range(10):
            model.fit(frames[turn % 2])
    finally:
        done.set()
        watcher.join()
    assert not mixed


def test_a_failed_refit_leaves_names_and_width():
    model = DenoisingAutoencoder(2, max_iter=1).fit(frame())
    with pytest.raises(ValueError, match="could not convert"):
        model.fit(frame(7).astype(str) + "a")
    with pytest.raises(ValueError, match="training diverged"):
        model.set_params(learning_rate_init=1e30, max_iter=9).fit(frame(7))
    assert model.n_features_in_ == len(model.feature_names_in_) == 5
    assert np.isfinite(model.transform(frame())).all()
