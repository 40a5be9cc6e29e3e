"""Densities and draws, on MNIST: bounds on log p(x), priors, pictures, speed.

Sections: bounds (Burda et al. 2016: the negative log-likelihood of VAE and IWAE), long
(how far more epochs go), adversarial (codes against the prior they are to have), draws
(how far draws are from held-out rows), speed (an epoch against the same by hand, and
pythae's).
"""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
import loops
import numpy as np
import speed
from papers import mnist
from scipy.stats import wasserstein_distance
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from sklearn_ae import (
    L2,
    AdversarialAutoencoder,
    Autoencoder,
    ImportanceWeightedAutoencoder,
    VariationalAutoencoder,
)

# -- bounds on log p(x) ------------------------------------------------------------

#: What Burda et al. report after 3280 epochs, by L5000: nats, active units.
PUBLISHED = {1: (86.76, 19), 50: (84.78, 25)}


def binarized(X: np.ndarray) -> np.ndarray:
    """Return rows of 0 and 1 with those of X as probabilities, always the same."""
    return (np.random.default_rng(0).random(X.shape) < X).astype(np.float32)


def bound(k: int, epochs: int, quick: bool, seed: int) -> dict[str, Any]:
    """Train on L_k, 784-200-200-50, and estimate the test rows' log p by L_500."""
    X, _, test, _ = mnist(1000 if quick else 60000, 200 if quick else 10000)
    test = binarized(test)
    epochs = 2 if quick else epochs
    settings: dict[str, Any] = {
        "likelihood": "bernoulli",
        "dynamic_binarization": True,
        "hidden_layer_sizes": (200, 200),
        "activation": "tanh",
        "batch_size": 100,
        "learning_rate_init": 3e-3,
        "max_iter": epochs,
        "random_state": seed,
    }
    model: Any = VariationalAutoencoder(50, **settings)
    if k > 1:
        model = ImportanceWeightedAutoencoder(50, n_importance_samples=k, **settings)
    start = time.perf_counter()
    model.fit(X)
    spent = time.perf_counter() - start
    published, active = PUBLISHED.get(k, (None, None))
    return {
        "trained on": f"L{k}",
        "epochs": epochs,
        "ELBO": -float(model.score_samples(test, 1).mean()),
        "NLL by L500": -float(model.score_samples(test, 20 if quick else 500).mean()),
        "active units": len(model.active_units_),
        "published NLL (3280 epochs)": published,
        "published active": active,
        "fit, s": spent,
    }


def bounds(quick: bool, seed: int) -> list[dict[str, Any]]:
    """VAE and IWAE after the same number of epochs."""
    return [bound(k, 20, quick, seed) for k in (1, 50)]


def long(quick: bool, seed: int) -> list[dict[str, Any]]:
    """How far a longer run goes."""
    return [bound(1, 100, quick, seed)]


# -- codes against a prior ---------------------------------------------------------


def told_apart(codes: np.ndarray, drawn: np.ndarray) -> float:
    """Return the better AUC of two fresh classifiers of codes and draws, held out."""
    X = np.concatenate([codes, drawn])
    y = np.repeat([0, 1], [len(codes), len(drawn)])
    train, test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)
    classifiers = (
        HistGradientBoostingClassifier(random_state=0),
        MLPClassifier((64, 64), early_stopping=True, random_state=0),
    )
    return max(
        float(roc_auc_score(y_test, c.fit(train, y_train).predict_proba(test)[:, 1]))
        for c in classifiers
    )


def sliced_wasserstein(a: np.ndarray, b: np.ndarray, n_slices: int = 200) -> float:
    """Return the mean Wasserstein distance along directions drawn at random."""
    directions = np.random.default_rng(0).normal(size=(n_slices, a.shape[1]))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return float(np.mean([wasserstein_distance(a @ d, b @ d) for d in directions]))


def adversarial(quick: bool, seed: int) -> list[dict[str, Any]]:
    """Codes of test rows against the prior, of an adversarial and a plain network."""
    X, _, test, _ = mnist(1000 if quick else 20000, 500 if quick else 10000)
    settings: dict[str, Any] = {
        "hidden_layer_sizes": (256, 128),
        "activation": "relu",
        "max_iter": 2 if quick else 60,
        "random_state": seed,
    }
    rows = []
    for k, prior in ((8, "gaussian"), (8, "uniform"), (2, "mixture")):
        ours = AdversarialAutoencoder(
            k, prior=prior, discriminator_layer_sizes=(500, 500), **settings
        ).fit(X)
        plain = Autoencoder(k, linear_path=False, **settings).fit(X)
        # numbers for itself: what the prior is at best told apart from itself
        drawn, again = (
            ours._draw_codes(len(test), np.random.RandomState(s)) for s in (0, 1)
        )
        codes = plain.transform(test)
        found = {
            "adversarial": ours.transform(test),
            "plain": codes,
            # their place and scale are arbitrary: with those of the prior
            "plain, moved and scaled": (
                (codes - codes.mean(0)) / codes.std(0) * drawn.std(0) + drawn.mean(0)
            ),
            "another draw": again,
        }
        distance = {name: sliced_wasserstein(z, drawn) for name, z in found.items()}
        rows += [
            {
                "prior": f"{prior}, {k} components",
                "codes": name,
                "AUC of a fresh classifier": told_apart(z, drawn),
                "sliced Wasserstein": distance[name],
                "by that of plain": distance[name] / distance["plain"],
                "of plain, scaled": (
                    distance[name] / distance["plain, moved and scaled"]
                ),
                "error": (
                    -float({"adversarial": ours, "plain": plain}[name].score(test))
                    if name in ("adversarial", "plain")
                    else None
                ),
            }
            for name, z in found.items()
        ]
    return rows


# -- draws -------------------------------------------------------------------------


class Features:
    """The last hidden layer of a classifier of digits, fixed.

    Its test error, in per cent, is `error`.
    """

    def __init__(self, quick: bool) -> None:
        X, y, test, y_test = mnist(1000 if quick else 20000)
        self.classifier = MLPClassifier(
            (256, 64), max_iter=3 if quick else 15, random_state=0
        )
        self.classifier.fit(X, y)
        self.error = 100 * (1 - float(self.classifier.score(test, y_test)))

    def __call__(self, X: np.ndarray) -> np.ndarray:
        layers = zip(
            self.classifier.coefs_[:-1], self.classifier.intercepts_[:-1], strict=True
        )
        for weight, bias in layers:
            X = np.maximum(X @ weight + bias, 0.0)
        return X.astype(np.float64)


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Return ‖m − m'‖² + tr(C + C' − 2 (C C')^½) of two sets of features."""
    means, covariances = zip(*((f.mean(0), np.cov(f.T)) for f in (a, b)), strict=True)
    roots = np.sqrt(np.linalg.eigvals(covariances[0] @ covariances[1]).real.clip(0))
    apart = np.square(means[0] - means[1]).sum()
    return float(apart + np.trace(sum(covariances)) - 2 * roots.sum())


def draws(quick: bool, seed: int) -> list[dict[str, Any]]:
    """How far draws are from held-out rows, in a classifier's features."""
    X, _, test, _ = mnist(1000 if quick else 20000, 500 if quick else 10000)
    features = Features(quick)
    real = features(test)
    settings: dict[str, Any] = {
        "hidden_layer_sizes": (256, 128),
        "activation": "relu",
        "max_iter": 2 if quick else 30,
        "random_state": seed,
    }
    mixture = GaussianMixture(10)
    smooth: dict[str, Any] = {"penalties": L2(), "alpha": 1e-3, **settings}
    bits: dict[str, Any] = {"loss": "log_loss", "linear_path": False}
    models: dict[str, Any] = {
        "code L2 and decay, 10 Gaussians": Autoencoder(
            16, density=mixture, **bits, **smooth
        ),
        "code L2 and decay, one Gaussian": Autoencoder(16, **bits, **smooth),
        "plain, 10 Gaussians": Autoencoder(16, density=mixture, **bits, **settings),
        "VAE (Bernoulli), N(0, 1)": VariationalAutoencoder(
            16, likelihood="bernoulli", **settings
        ),
        "VAE (Gaussian), N(0, 1)": VariationalAutoencoder(16, **settings),
        "VAE (Bernoulli), 10 Gaussians": VariationalAutoencoder(
            16, likelihood="bernoulli", density=mixture, **settings
        ),
        "adversarial, N(0, 1)": AdversarialAutoencoder(16, loss="log_loss", **settings),
    }
    rows = [
        {
            "draws": "training rows",
            "Fréchet distance": frechet(features(X[: len(test)]), real),
        }
    ]
    pictures = {}
    for name, model in models.items():
        model.fit(X)
        drawn = model.sample(len(test), random_state=0)
        pictures[name] = drawn[:16]
        restored = model.reconstruct(test)
        rows.append(
            {
                "draws": name,
                "Fréchet distance": frechet(features(drawn), real),
                "of reconstructions": frechet(features(restored), real),
            }
        )
    rows[0]["error of the classifier, %"] = features.error
    draw_pictures(pictures, Path("draws.png"))
    return rows


def draw_pictures(pictures: dict[str, np.ndarray], path: Path) -> None:
    """Write 16 draws of each model, a line each."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        len(pictures), figsize=(9, 0.85 * len(pictures)), layout="constrained"
    )
    for ax, (name, rows) in zip(axes, pictures.items(), strict=True):
        ax.imshow(np.hstack(rows.reshape(-1, 28, 28)), cmap="gray_r", vmin=0, vmax=1)
        ax.set_title(name, fontsize=8, loc="left", pad=2)
        ax.set_axis_off()
    figure.savefig(path, dpi=100)
    print(f"{path} shows 16 draws of each.")


# -- speed -------------------------------------------------------------------------


def pythae(kind: str, X: np.ndarray, batch: int, epochs: int) -> list[float]:
    """Train pythae's model of the same size; return when epochs ended."""
    import pythae.models as models
    import torch
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers.training_callbacks import TrainingCallback
    from torch import nn

    class Encoder(BaseEncoder):  # type: ignore[misc]
        def __init__(self) -> None:
            BaseEncoder.__init__(self)
            self.body = nn.Sequential(
                nn.Linear(784, 200), nn.Tanh(), nn.Linear(200, 200), nn.Tanh()
            )
            self.mean, self.log_variance = nn.Linear(200, 50), nn.Linear(200, 50)

        def forward(self, x: torch.Tensor) -> Any:
            h = self.body(x)
            return ModelOutput(
                embedding=self.mean(h), log_covariance=self.log_variance(h)
            )

    class Decoder(BaseDecoder):  # type: ignore[misc]
        def __init__(self) -> None:
            BaseDecoder.__init__(self)
            self.body = nn.Sequential(
                *(nn.Linear(50, 200), nn.Tanh(), nn.Linear(200, 200), nn.Tanh()),
                *(nn.Linear(200, 784), nn.Sigmoid()),
            )

        def forward(self, z: torch.Tensor) -> Any:
            return ModelOutput(reconstruction=self.body(z))

    class Ends(TrainingCallback):  # type: ignore[misc]
        def on_epoch_end(self, *args: object, **kwargs: object) -> None:
            times.append(time.perf_counter())

    times: list[float] = []
    size: dict[str, Any] = {"input_dim": (784,), "latent_dim": 50}
    if kind == "IWAE":
        config = models.IWAEConfig(
            **size, reconstruction_loss="bce", number_samples=loops.IMPORTANCE_SAMPLES
        )
    elif kind == "VAE":
        config = models.VAEConfig(**size, reconstruction_loss="bce")
    else:
        config = models.Adversarial_AE_Config(**size, reconstruction_loss="bce")
    model = getattr(models, kind)(config, Encoder(), Decoder())
    trainer = "AdversarialTrainerConfig" if "Adv" in kind else "BaseTrainerConfig"
    speed._pythae_fit(
        model, X, [Ends()], num_epochs=epochs, batch=batch, trainer=trainer
    )
    return times


def speeds(quick: bool, rounds: int) -> list[dict[str, Any]]:
    """Compare an epoch with the same by hand, and with pythae's.

    pythae's adversarial autoencoder has a discriminator of one layer of 256, and makes
    two steps with a batch, where the others make three.
    """
    X, what = common.images(512 if quick else 5000)
    batch, epochs = 100, 3
    shape: dict[str, Any] = {"hidden_layer_sizes": (200, 200), "activation": "tanh"}
    k = loops.IMPORTANCE_SAMPLES

    def by_hand(k: int) -> Callable[..., list[float]]:
        make = loops.importance_weighted(k)
        return functools.partial(loops.train, make=make, standardize=False)

    models: dict[str, tuple[Any, Callable[..., list[float]], str]] = {
        "VAE": (
            VariationalAutoencoder(50, likelihood="bernoulli", **shape),
            by_hand(1),
            "VAE",
        ),
        f"IWAE, {k} draws": (
            ImportanceWeightedAutoencoder(
                50, n_importance_samples=k, likelihood="bernoulli", **shape
            ),
            by_hand(k),
            "IWAE",
        ),
        "adversarial": (
            AdversarialAutoencoder(
                50, loss="log_loss", discriminator_layer_sizes=(200, 200), **shape
            ),
            loops.adversarial,
            "Adversarial_AE",
        ),
    }

    def of_ours(model: Any) -> float:
        stamps = speed.Stamps()
        settings = {"batch_size": batch, "max_iter": epochs + 1, "device": "cpu"}
        settings |= {"random_state": 0, "learning_rate_init": 1e-3}
        speed.clone(model).set_params(callbacks=[stamps], **settings).fit(X)
        return speed.per_epoch(stamps.times)

    contenders: dict[str, Callable[[], float]] = {}
    for name, (model, loop, theirs) in models.items():
        contenders[name] = functools.partial(of_ours, model)
        contenders[f"{name}, by hand"] = lambda loop=loop: speed.per_epoch(
            loop(X, batch=batch, epochs=epochs + 1)
        )
        contenders[f"{name}, pythae"] = lambda theirs=theirs: speed.per_epoch(
            pythae(theirs, X, batch, epochs + 1)
        )
    failures = {}
    for name in list(contenders):
        try:
            contenders[name]()
        except Exception as error:
            if not name.endswith("pythae"):
                raise
            failures[name] = f"{type(error).__name__}: {error}".splitlines()[0]
            del contenders[name]
    times = common.interleave(contenders, rounds)
    print(f"{what}, batches of {batch}. {failures or ''}")
    return [
        {
            "method": name,
            "s per epoch": statistics.median(times[name]),
            "epoch / by hand": common.ratio(times, name, f"{name}, by hand"),
            "pythae / by hand": (
                common.ratio(times, f"{name}, pythae", f"{name}, by hand")
                if f"{name}, pythae" in times
                else None
            ),
        }
        for name in models
    ]


SECTIONS = {
    "bounds": bounds,
    "long": long,
    "adversarial": adversarial,
    "draws": draws,
}


def main() -> None:
    # all but the timings are of one seed, whatever the number of rounds
    sections = {
        name: lambda quick, _, section=section: section(quick, 0)
        for name, section in SECTIONS.items()
    }
    sections["speed"] = speeds
    titles = dict.fromkeys(sections, "MNIST")
    common.run("generative", __doc__, sections, titles, rounds=5)


if __name__ == "__main__":
    main()
