"""Set-up that has to come before the first import of scipy, and shared fixtures."""

import os
import signal

# Started in the background, a shell has us ignore Ctrl-C, which some tests send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# One of scikit-learn's checks skips itself without it; scipy reads it on import.
os.environ["SCIPY_ARRAY_API"] = "1"

import numpy as np
import pytest
import torch
from estimators import table

from sklearn_ae.engine import train as engine_train
from sklearn_ae.engine.estimator import BaseAutoencoder

# Networks as small as those here are slower on several threads than on one.
torch.set_num_threads(1)


@pytest.fixture
def X():
    return table()


@pytest.fixture
def untouched_global_state():
    """Fail if the test changed numpy's or torch's global random state."""
    numpy_before, torch_before = np.random.get_state(), torch.get_rng_state()
    yield
    numpy_after = np.random.get_state()
    assert all(np.array_equal(a, b) for a, b in zip(numpy_before, numpy_after))
    assert torch.equal(torch_before, torch.get_rng_state())


@pytest.fixture
def untrained(monkeypatch):
    """Return what forbids any training from then on."""

    def trained(*given, **named):
        raise AssertionError("it came to training")

    def forbid():
        monkeypatch.setattr(engine_train, "run", trained)
        monkeypatch.setattr(BaseAutoencoder, "_train", trained)

    return forbid


@pytest.fixture
def no_steps(monkeypatch):
    """Forbid the first step: what is wrong is to be found before it."""

    def trained(*given, **named):
        raise AssertionError("it came to training")

    monkeypatch.setattr(engine_train, "run", trained)


@pytest.fixture
def fitted_with_rows(monkeypatch):
    """Return what fits a model, and returns the `Rows` that it learned from."""
    seen, original = [], engine_train.run

    def run(net, rows, rows_valid, **rest):
        seen.append((rows, rows_valid))
        return original(net, rows, rows_valid, **rest)

    monkeypatch.setattr(engine_train, "run", run)

    def fit(model, X, y=None):
        model.fit(X, y)
        return seen[-1]

    return fit
