"""Same seed, same bits: in sequence, in threads, in processes; and nobody's state.

Tests are named after the rows of the list of faults that they are about.
"""

import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import threadpoolctl
import torch
from estimators import CORE, FAST, answer, counts, fit, is_codec, labels, table
from sklearn.base import clone
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from torch.utils.flop_counter import FlopCounterMode

from sklearn_ae import L1, Autoencoder, AutoencoderOutlierDetector, Masking
from sklearn_ae.engine import threads
from sklearn_ae.engine.net import AutoencoderNet
from sklearn_ae.engine.threads import one_at_a_time, one_blas_thread

# So few epochs are not meant to converge.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

#: Whatever draws numbers draws them here: orders, noise, dropout, rows to hold out,
#: landmarks, codes.
DRAWING = [
    *CORE,
    "Autoencoder-deep",
    "Autoencoder-denoising",
    "Autoencoder-stopping",
    "AdversarialAutoencoder-mixture",
    "EmbeddingAutoencoder-ball",
    "GeneralizedAutoencoder-isomap",
    "StackedAutoencoderPretrainer-reconstruction",
    "StackedAutoencoderClassifier-stopping",
    "VariationalAutoencoder-density",
]
drawing = pytest.mark.parametrize("name", DRAWING)


def fit_answer(model, X):
    return answer(fit(model, X), X)


@drawing
@pytest.mark.parametrize("random_state", [None, 0])
def test_global_random_state_is_left_alone(name, random_state, untouched_global_state):
    model = clone(FAST[name]).set_params(random_state=random_state)
    fit_answer(model, table())
    if hasattr(model, "partial_fit"):
        model.partial_fit(table(), labels())
    if is_codec(model):
        model.sample(3), model.sample(3, random_state=0)


@drawing
def test_global_random_state_is_not_read(name):
    model = clone(FAST[name]).set_params(random_state=0)
    results = []
    for seed in (1, 2):
        np.random.seed(seed)
        torch.manual_seed(seed)
        results.append([fit_answer(model, table()).tobytes()])
        if is_codec(model):
            results[-1].append(model.sample(3, random_state=0).tobytes())
    assert results[0] == results[1]


@drawing
def test_seeds(name):
    def run(seed):
        """Return answers and weights: a code may be zero whatever the weights are."""
        model = fit(clone(FAST[name]).set_params(random_state=seed), table())
        network = getattr(model, "pretrainer_", model)
        if isinstance(model, AutoencoderOutlierDetector):
            network = model.estimators_[0]
        weights = network.module_.parameters()
        weights = [weight.detach().numpy().ravel() for weight in weights]
        return np.concatenate([answer(model, table()).ravel(), *weights])

    np.testing.assert_array_equal(run(0), run(0))
    np.testing.assert_array_equal(
        run(np.random.RandomState(5)), run(np.random.RandomState(5))
    )
    shared = np.random.RandomState(5)
    if "lbfgs" not in name:  # started at PCA and without noise: nothing is drawn
        assert not np.array_equal(run(0), run(1))
        assert not np.array_equal(run(shared), run(shared))
        assert not np.array_equal(run(None), run(None))


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_82_transform_in_threads(sparse):
    X = counts(500) if sparse else table(500)
    model = Autoencoder(max_iter=2, random_state=0).fit(X)
    expected, score = model.transform(X), model.score(X)
    draws = model.sample(5, random_state=0)

    def answer(_):
        return model.transform(X), model.score(X), model.sample(5, random_state=0)

    with ThreadPoolExecutor(8) as pool:
        for codes, value, drawn in pool.map(answer, range(40)):
            np.testing.assert_array_equal(codes, expected)
            np.testing.assert_array_equal(drawn, draws)
            assert value == score


@pytest.mark.parametrize(
    "name",
    [
        "Autoencoder",
        "Autoencoder-deep",
        "Autoencoder-denoising",
        "StackedAutoencoderPretrainer-class",
    ],
)
def test_83_fit_in_threads(name, untouched_global_state):
    X = table(200)

    def run(seed):
        return fit_answer(clone(FAST[name]).set_params(random_state=seed), X)

    expected = [run(seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for codes, alone in zip(pool.map(run, range(8)), expected, strict=True):
            np.testing.assert_array_equal(codes, alone)


GRID = {"penalties__weight": [0.0, 1.0], "corruption": [None, Masking()]}


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_84_grid_search(backend):
    X = table(60)
    model = Autoencoder(max_iter=3, random_state=0, penalties=L1())
    alone = GridSearchCV(model, GRID, cv=2, n_jobs=1).fit(X)
    with joblib.parallel_backend(backend):
        search = GridSearchCV(model, GRID, cv=2, n_jobs=2).fit(X)
    for key in ("mean_test_score", "split0_test_score", "split1_test_score"):
        np.testing.assert_array_equal(search.cv_results_[key], alone.cv_results_[key])
    np.testing.assert_array_equal(search.transform(X), alone.transform(X))


@pytest.mark.slow
def test_84_same_bits_and_no_oversubscription_in_worker_processes():
    X = table(300)
    models = [clone(FAST[n]).set_params(random_state=0) for n in DRAWING]
    expected = [fit_answer(model, X) for model in models]
    tasks = (joblib.delayed(fit_answer)(clone(model), X) for model in models)
    found = joblib.Parallel(2)(tasks)
    for name, codes, alone in zip(DRAWING, found, expected, strict=True):
        np.testing.assert_array_equal(codes, alone, err_msg=name)
    n_threads = joblib.Parallel(2)([joblib.delayed(torch.get_num_threads)()] * 4)
    assert max(n_threads) <= max(1, joblib.cpu_count() // 2)


def run_script(code, *arguments):
    """Run in a fresh process, with as many threads as torch likes."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@drawing
def test_small_steps_are_made_on_one_thread(name, two_threads, monkeypatch):
    """Of the network and of what it learns from, in all that trains."""
    seen, step = [], AutoencoderNet.train_step

    def train_step(self, batch, **rest):
        seen.append(torch.get_num_threads())
        return step(self, batch, **rest)

    monkeypatch.setattr(AutoencoderNet, "train_step", train_step)
    monkeypatch.setattr(threads, "SMALL_STEP", 2**40)
    model = fit(clone(FAST[name]), table())
    if hasattr(model, "partial_fit"):
        model.partial_fit(table(), labels())
    assert set(seen) == {1}
    seen.clear()
    monkeypatch.setattr(threads, "SMALL_STEP", 0)
    fit(clone(FAST[name]), table())
    assert set(seen) == {2}


#: torch's counter does not look into the gradient of a gradient.
COUNTED = [name for name in DRAWING if name != "ContractiveAutoencoder-deep"]


@pytest.mark.parametrize("name", COUNTED)
def test_multiplications_of_a_step_are_known(name, monkeypatch):
    """That is what tells small steps: about as many as torch counts."""
    counted, loss = {}, AutoencoderNet._loss

    def count(self, batch, generator):
        if generator is None or self in counted:
            return loss(self, batch, generator)
        with FlopCounterMode(display=False, depth=0) as counter:
            made = loss(self, batch, generator)
        per_row = counter.get_total_flops() / 2 / len(batch.target)
        counted[self] = per_row / self.module_.n_multiplications
        return made

    monkeypatch.setattr(AutoencoderNet, "_loss", count)
    fit(clone(FAST[name]), table(n_features=40))
    ratios = list(counted.values())
    assert ratios and min(ratios) > 0.5 and max(ratios) < 2


needs_fork = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")


@pytest.mark.slow
@needs_fork
def test_85_fork_after_torch_ran():
    code = """
        import os, signal, warnings
        import numpy as np, torch
        from sklearn_ae import Autoencoder
        torch.set_num_threads(4)
        X = np.random.default_rng(0).normal(size=(20000, 40))
        model = Autoencoder(max_iter=1, random_state=0, batch_size=4096).fit(X)
        codes = model.transform(X)
        torch.mm(torch.ones(500, 500), torch.ones(500, 500))  # wakes the threads
        child = os.fork()
        if child == 0:
            signal.alarm(60)  # a child that hangs is killed, and the parent told
            same = np.allclose(model.transform(X), codes, atol=1e-5)
            refit = model.fit(X).transform(X)
            os._exit(0 if same and np.isfinite(refit).all() else 3)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status))
        assert torch.get_num_threads() == 4
    """
    # Python 3.12 warns of any fork while there are threads
    assert run_script("import warnings\n" + textwrap.dedent(code)).strip() == "0"


@pytest.mark.slow
def test_86_spawn(tmp_path):
    code = """
        import multiprocessing, pickle, sys
        import numpy as np
        from sklearn_ae import Autoencoder
        X = np.random.default_rng(0).normal(size=(50, 5))
        model = Autoencoder(max_iter=2, random_state=0).fit(X)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            there = pool.apply(model.transform, (X,))
            refit = pool.apply(model.fit_transform, (X,))
        # other threads, other memory: sums may be in another order
        np.testing.assert_allclose(there, model.transform(X), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(refit, model.transform(X), rtol=1e-4, atol=1e-5)
        print("same")
    """
    assert run_script(code).strip() == "same"


@pytest.mark.slow
def test_69_ctrl_c_from_outside():
    """A real SIGINT, at whatever instruction it lands."""
    code = """
        import os, signal, threading
        import numpy as np
        from skorch.callbacks import Callback, EarlyStopping
        from sklearn_ae import Autoencoder

        class Started(Callback):
            def on_epoch_end(self, net, **kwargs):
                if len(net.history) == 3:
                    os.write(1, b"started ")
                    kill = lambda: os.kill(os.getpid(), signal.SIGINT)
                    threading.Timer(0.3, kill).start()

        X = np.random.default_rng(0).normal(size=(50, 5))
        model = Autoencoder(max_iter=3, random_state=0).fit(X)
        codes = model.transform(X)
        stopping = EarlyStopping(monitor="train_loss", patience=10**6)
        model.set_params(max_iter=10**6, callbacks=[Started(), stopping])
        try:
            model.fit(X[:, :3])
        except KeyboardInterrupt:
            assert np.array_equal(model.transform(X), codes)
            print("interrupted")
    """
    assert run_script(code).strip() == "started interrupted"


# -- nothing waits ----------------------------------------------------------------


def threads_of_blas():
    libraries = threadpoolctl.threadpool_info()
    return [one["num_threads"] for one in libraries if one["user_api"] == "blas"]


def test_a_density_may_be_one_of_our_own_estimators():
    model = Autoencoder(2, max_iter=1, density=Autoencoder(1, max_iter=1))
    model.set_params(random_state=0).fit(table())
    assert model.sample(3, random_state=0).shape == (3, 5)


class Slow(GaussianMixture):
    """A user's density, which goes on only once others have been fitted."""

    def fit(self, X, y=None):
        begun.set()
        assert others.wait(timeout=60)
        return super().fit(X)


begun, others = threading.Event(), threading.Event()


def test_other_threads_are_fitted_while_a_density_is():
    before = threads_of_blas()
    slow = Autoencoder(2, max_iter=1, density=Slow())
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(slow.fit, table())
        assert begun.wait(timeout=60)
        Autoencoder(2, max_iter=1).fit(table())
        others.set()
        done.result(timeout=60)
    assert threads_of_blas() == before


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")
def test_a_signals_handler_may_fit_while_it_interrupts_a_fit():
    before, handled = threads_of_blas(), []

    def handler(*args):
        signal.setitimer(signal.ITIMER_REAL, 0)
        model = Autoencoder(2, max_iter=1, random_state=0).fit(table())
        handled.append(model.transform(table()))
        signal.setitimer(signal.ITIMER_REAL, 0.003)

    earlier = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.003)
        while len(handled) < 5:
            Autoencoder(2, max_iter=1, random_state=0).fit(table())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)
    for one in handled:
        np.testing.assert_array_equal(one, handled[0])
    assert threads_of_blas() == before


def test_one_blas_thread_holds_until_the_last_is_out():
    first, second = one_blas_thread(), one_blas_thread()
    before = threads_of_blas()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert set(threads_of_blas()) == {1}
    second.__exit__(None, None, None)
    assert threads_of_blas() == before


def test_what_cannot_be_interrupted_by_itself_says_so():
    with one_at_a_time(), pytest.raises(RuntimeError, match="signal handler"):
        one_at_a_time().__enter__()
    with one_at_a_time():
        pass
