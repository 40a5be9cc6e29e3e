"""A first fit in a fresh process: torch's compiler is not imported for it."""

import os
import pathlib
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from estimators import FAST

from sklearn_ae.engine import eager

SCRIPT = """
    import sys, tempfile, pathlib, warnings
    import estimators
    from sklearn.base import clone
    from sklearn_ae import load, save
    warnings.simplefilter("ignore")
    X, y = estimators.table(), estimators.labels()
    path = pathlib.Path(tempfile.mkdtemp()) / "model"
    for name, model in estimators.FAST.items():
        model = estimators.fit(clone(model), X)
        estimators.answer(model, X)
        if hasattr(model, "partial_fit"):
            model.partial_fit(X, y)
        save(model, path)
        model = load(path)
        estimators.answer(model, X)
        if hasattr(model, "partial_fit"):  # with the optimizer's state from the file
            model.partial_fit(X, y)
        loaded = [one for one in sys.modules if one.startswith("torch._dynamo")]
        assert not loaded, name
    print(len(estimators.FAST))
"""


def test_no_compiler_is_imported():
    here = pathlib.Path(__file__).parent
    paths = os.pathsep.join([str(here), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(FAST)


KINDS = {
    "Adam": {"lr": 0.1, "betas": (0.5, 0.999), "fused": True},
    "AdamW": {"lr": 0.1, "weight_decay": 0.3, "fused": True},
    "SGD": {"lr": 0.1, "momentum": 0.9, "nesterov": True, "fused": True},
    "LBFGS": {"lr": 1.0, "max_iter": 1, "line_search_fn": "strong_wolfe"},
}


@pytest.mark.parametrize("name", KINDS)
def test_steps_are_those_of_torch(name):
    """Two groups, a schedule of torch's, hooks, and a state that is gone on with."""

    def trained(module):
        kind, calls = getattr(module, name), []

        def made():
            groups = [{"params": weights}]
            if name != "LBFGS":  # it takes one
                groups = [{"params": one, "lr": 0.1 * (i + 1)} for i, one in groups_of]
            return kind(groups, **KINDS[name])

        weights = [torch.nn.Parameter(torch.linspace(0, 1, 6)) for _ in range(2)]
        groups_of = list(enumerate([one] for one in weights))
        optimizer = made()
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        optimizer.register_step_post_hook(lambda *given: calls.append("after"))

        def loss():
            optimizer.zero_grad()
            total = sum((one - 2).pow(4).sum() for one in weights)
            total.backward()
            return total

        for _ in range(3):
            loss()
            optimizer.step(loss)
            schedule.step()
        state, optimizer = optimizer.state_dict(), made()
        optimizer.load_state_dict(state)
        loss()
        optimizer.step(loss)
        return torch.cat(weights).detach().numpy(), calls

    found, calls = trained(eager)
    expected, as_often = trained(torch.optim)
    np.testing.assert_array_equal(found, expected)
    assert calls == as_often == ["after"] * 3
    assert issubclass(getattr(eager, name), getattr(torch.optim, name))
