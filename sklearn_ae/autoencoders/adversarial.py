r"""Adversarial autoencoders: codes that look like draws of a prior (Makhzani 2015).

A discriminator D tells draws z ~ p(z) from codes f(x), and the encoder learns to be
taken for a draw. With each batch three steps are made, each on its own part:

.. math::
    \text{f, g:}\quad & \min\ \mathbb{E}\,[-\log p(x \mid g(f(x)))] \\
    \text{D:}\quad & \min\ -\mathbb{E} \log D(z) - \mathbb{E} \log(1 - D(f(x))) \\
    \text{f:}\quad & \min\ -\mathbb{E} \log D(f(x))

Where rows have labels, D is told them, and a labelled code is to look like a draw of
its own component of a mixture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.utils import check_consistent_length
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sklearn_ae.autoencoders.composed import CorruptionParameters, ImageAutoencoder
from sklearn_ae.autoencoders.module import AutoencoderModule
from sklearn_ae.autoencoders.network import Network
from sklearn_ae.engine.eager import Adam
from sklearn_ae.engine.labels import LabelParameters, Supervision
from sklearn_ae.engine.module import Blank
from sklearn_ae.engine.net import AutoencoderNet
from sklearn_ae.engine.rows import Batch
from sklearn_ae.engine.shared_parameters import WIDTHS, FreeParameters
from sklearn_ae.engine.tensors import from_tensor, make_generator, to_tensor
from sklearn_ae.params.domains import Implements, Interval, Nothing, OneOf
from sklearn_ae.parts.averages import mean
from sklearn_ae.parts.networks import MLPEncoder
from sklearn_ae.parts.priors import PRIORS, Prior

__all__ = ["AdversarialAutoencoder", "AdversarialModule", "AdversarialNet"]

#: Components of a mixture, where no label says how many.
N_PARTS = 10


class CallablePrior(Prior):
    """A prior that a user's function draws from."""

    def __init__(self, function: Callable[..., Any], n_components: int) -> None:
        super().__init__(n_components, 1)
        self.function = function

    def draw(self, n: int, generator: torch.Generator, part: Tensor) -> Tensor:
        device = generator.device
        seed = torch.randint(2**31, (), generator=generator, device=device)
        rng = np.random.RandomState(int(seed))
        return to_tensor(self.checked(n, rng), torch.float32).to(device)

    def checked(self, n: int, rng: np.random.RandomState) -> NDArray[Any]:
        """Return draws of shape (n, n_components), or raise ValueError."""
        try:
            drawn = np.asarray(self.function(n, rng))
        except TypeError as error:
            raise ValueError(
                "The 'prior' function is called as prior(n_samples, random_state), "
                f"with an int and a numpy RandomState. It failed: {error}"
            ) from error
        if drawn.shape != (n, self.n_components):
            raise ValueError(
                f"The 'prior' function must return an array of shape (n_samples, "
                f"n_components), here {(n, self.n_components)}. It returned one of "
                f"shape {drawn.shape}."
            )
        if drawn.dtype.kind not in "biuf" or not np.isfinite(drawn).all():
            raise ValueError(
                "The 'prior' function must return finite numbers, as an array of them. "
                f"It returned {drawn.dtype} with NaN, infinity or no numbers."
            )
        return drawn


class AdversarialModule(AutoencoderModule):
    """Encoder, decoder and discriminator, and what the last two steps minimise.

    Parameters
    ----------
    network : Network
    prior : str or callable
    n_mixture_components : int
        Number of parts of the mixture, each of which may be that of a class.
    discriminator_layer_sizes : sequence of int
    adversarial_rate : float
        Learning rate of the encoder's step against the discriminator, as a multiple of
        the others'.
    """

    def __init__(
        self,
        network: Network,
        *,
        prior: str | Callable[..., Any],
        n_mixture_components: int,
        discriminator_layer_sizes: Sequence[int],
        adversarial_rate: float,
    ) -> None:
        super().__init__(network)
        blank = network.blank
        self.n_parts, self.prior_given = n_mixture_components, prior
        self.adversarial_rate = adversarial_rate
        self.prior = (
            PRIORS[prior](self.n_components, n_mixture_components)
            if isinstance(prior, str)
            else CallablePrior(prior, self.n_components)
        )
        # besides the code it sees which part of a mixture it is to belong to, if known
        self.n_marks = n_mixture_components + 1 if prior == "mixture" else 0
        sizes = [self.n_components + self.n_marks, *discriminator_layer_sizes, 1]
        self.discriminator = MLPEncoder(
            sizes, "relu", 0.0, blank.generator, blank.dtype
        )

    @property
    def traits(self) -> dict[str, object]:
        own = {"prior": self.prior_given, "n_parts": self.n_parts}
        return {**super().traits, **own}

    def logit(self, z: Tensor, label: Tensor) -> Tensor:
        """Return log D / (1 − D) of codes, of shape (batch, 1)."""
        if self.n_marks:
            marks = F.one_hot(label % self.n_marks, self.n_marks)
            z = torch.cat([z, marks.to(z.dtype)], 1)
        return self.discriminator(z)

    def label(self, batch: Batch) -> Tensor:
        """Return each row's class, −1 for none, of shape (batch,)."""
        if batch.label is not None:
            return batch.label
        n_rows, device = batch.x.shape[0], batch.x.device
        return torch.full((n_rows,), -1, device=device)

    def discrimination(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return what D minimises; its gradient reaches D alone."""
        label = self.label(batch)
        with torch.no_grad():
            codes = self.encode(batch.x, generator)
        drawn = self.prior.draw(len(codes), generator, label).to(codes)
        # draws have the labels and weights of the rows in whose place they are
        of_draws, of_codes = self.logit(drawn, label), self.logit(codes, label)
        nats = F.softplus(-of_draws) + F.softplus(of_codes)
        return mean(nats[:, 0], batch.weight)

    def deception(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return what the encoder minimises: −log D(f(x))."""
        codes = self.encode(batch.x, generator)
        nats = F.softplus(-self.logit(codes, self.label(batch)))
        return mean(nats[:, 0], batch.weight)


class AdversarialNet(AutoencoderNet):
    """Three steps with each batch, each by an optimizer of its own."""

    def get_all_learnable_params(self) -> Any:
        for name, parameter in super().get_all_learnable_params():
            if not name.startswith("discriminator."):
                yield name, parameter

    @staticmethod
    def names_in(module: torch.nn.Module) -> list[str]:
        names = AutoencoderNet.names_in(module)
        return [name for name in names if not name.startswith("discriminator.")]

    def further_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        rate = self.lr if isinstance(self.optimizer_, torch.optim.AdamW) else 1e-3
        rates = {"discriminator": rate, "encoder": self.module_.adversarial_rate * rate}
        return {
            part: Adam(self.rival(part), rate, (0.5, 0.999), fused=True)
            for part, rate in rates.items()
        }

    def rival(self, part: str) -> list[Tensor]:
        """Return the weights of the discriminator or the encoder."""
        weights = getattr(self.module_, part).parameters()
        return [weight for weight in weights if weight.requires_grad]

    def train_step(self, batch: Batch, **fit_params: Any) -> dict[str, Any]:
        """Make the three steps; the loss is the autoencoder's, before them."""
        step = super().train_step(batch)
        module = self.module_
        for part, minimised in (
            ("discriminator", module.discrimination),
            ("encoder", module.deception),
        ):
            with self.precision():
                loss = minimised(batch, self.noise_generator)
            weights = self.rival(part)
            if not weights:  # all of it is frozen
                continue
            gradients = torch.autograd.grad(loss, weights)
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.grad = gradient
            of_part = getattr(module, part).named_parameters(part)
            self._tell_gradients(of_part, batch)
            self._further[part].step()
            step["terms"][minimised.__name__] = loss.detach()
        return step


class AdversarialAutoencoder(
    LabelParameters, CorruptionParameters, FreeParameters, ImageAutoencoder
):
    r"""Autoencoder whose codes are distributed as a prior that you choose.

    Minimises

    .. math:: \mathbb{E}\,[-\log p(x \mid g(f(x)))]

    in nats per sample. In turn with it, a discriminator learns to tell codes from draws
    of the prior, and the encoder learns to give codes that pass for draws. `sample`
    decodes draws of the prior. With ``prior="mixture"`` and y, labelled rows are led to
    the part of the mixture that is their class's; others (see `unlabeled`) to any part.
    The first call of `partial_fit` has to see all classes. Other priors ignore y.

    Parameters
    ----------
    prior : {"gaussian", "uniform", "mixture"} or callable, default="gaussian"
        Prior of codes: "gaussian" is N(0, 1); "uniform" is the cube from −1 to 1;
        "mixture" is Gaussians in a circle, 0.3 deep, on the first two components
        (N(0, 0.3²) on the others). A callable is called as
        ``prior(n_samples, random_state)`` and returns an array of shape
        (n_samples, n_components), drawn by a numpy RandomState.
    n_mixture_components : int or None, default=None
        Number of parts of ``prior="mixture"``. None is the number of classes in y, 10
        without any.
    early_stopping : bool, default=False
        Whether to hold out rows, stop when their loss no longer falls, and keep the
        weights with the lowest. It is the loss of their reconstruction alone: what
        their codes look like has no part in it.
    discriminator_layer_sizes : tuple of int, default=(256, 256)
        Widths of the discriminator's hidden layers, which are rectified.
    adversarial_rate : float, default=1.0
        Learning rate of the encoder's step against the discriminator, as a multiple of
        the others'. With a lower one rows are restored better, and codes take longer to
        look like draws of the prior.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Classes in y, if it has any; only with ``prior="mixture"``. The first parts of
        the mixture are theirs, in this order.

    See Also
    --------
    VariationalAutoencoder : A bound on log p(x), for a Gaussian prior.

    References
    ----------
    Makhzani, A. et al. Adversarial autoencoders. 2015.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ae import AdversarialAutoencoder
    >>> X = load_digits().data
    >>> model = AdversarialAutoencoder(
    ...     4, prior="uniform", max_iter=50, random_state=0
    ... ).fit(X)
    >>> codes = model.transform(X)
    >>> bool((abs(codes) < 1.2).mean() > 0.9)
    True
    >>> model.sample(3, random_state=0).shape
    (3, 64)
    """

    prior: Any = "gaussian"
    n_mixture_components: int | None = None
    discriminator_layer_sizes: tuple[int, ...] = (256, 256)
    adversarial_rate: float = 1.0

    _valid: ClassVar = {
        "prior": [OneOf(*PRIORS), Implements("__call__")],
        "n_mixture_components": [Interval(int, 1, None), Nothing()],
        "discriminator_layer_sizes": [WIDTHS],
        "adversarial_rate": [Interval(float, 0, None, "neither")],
    }
    _net_class = AdversarialNet

    def _check_params(self) -> None:
        super()._check_params()
        if callable(self.prior):  # before anything is trained
            CallablePrior(self.prior, self.n_components).checked(
                2, np.random.RandomState(0)
            )

    def _labels(self, X: Any, y: Any, resume: bool) -> Supervision:
        classes = self._seen_classes if resume else None
        unlabeled = self._unlabeled if resume else "auto"
        labels = reading = None
        if self.prior == "mixture" and y is not None:
            check_consistent_length(X, y)
            reading = self._read(y, resume)
            unlabeled, known = reading.unlabeled, reading.labels
            if len(known):
                check_classification_targets(known)
                classes, labels = self._places(known, reading.rows, classes, X.shape[0])
        fitted = {"_seen_classes": classes, "_unlabeled": unlabeled}
        if classes is None:
            return Supervision(None, fitted)
        n_parts = int(self.n_mixture_components or len(classes))
        if len(classes) > n_parts:
            raise ValueError(
                f"y has {len(classes)} classes, each of which needs a part of the "
                f"mixture. Got n_mixture_components={n_parts}."
            )
        if reading is not None:
            reading.warn()
        return Supervision(labels, fitted, len(classes))

    def _places(
        self,
        known: NDArray[Any],
        rows: NDArray[np.intp],
        classes: NDArray[Any] | None,
        n_rows: int,
    ) -> tuple[NDArray[Any], NDArray[np.intp]]:
        """Return the classes, and the place of each row's among them."""
        classes = np.unique(known) if classes is None else classes
        unseen = np.setdiff1d(known, classes)
        if len(unseen):
            raise ValueError(
                f"y has classes that the first fit did not see: {unseen.tolist()}. "
                f"It saw {classes.tolist()}."
            )
        labels = np.full(n_rows, -1)
        labels[rows] = np.searchsorted(classes, known)
        return classes, labels

    @property
    def classes_(self) -> NDArray[Any]:
        """The classes in y, each with a part of the mixture."""
        if self._seen_classes is None:
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute 'classes_': only one "
                "fitted with prior='mixture' and labels has."
            )
        return self._seen_classes

    def _module(self, blank: Blank) -> AdversarialModule:
        n_parts = self.n_mixture_components or blank.n_classes or N_PARTS
        return AdversarialModule(
            self._network(blank),
            prior=self.prior,
            n_mixture_components=int(n_parts),
            adversarial_rate=float(self.adversarial_rate),
            discriminator_layer_sizes=tuple(map(int, self.discriminator_layer_sizes)),
        )

    def sample(
        self, n_samples: int = 1, random_state: Any = None, label: Any = None
    ) -> NDArray[Any]:
        """Decode draws from the prior, or from `density_` with a `density`.

        Parameters
        ----------
        n_samples : int, default=1
        random_state : int, RandomState or None, default=None
        label : object, default=None
            Class, one of `classes_`, from whose part of the mixture alone to draw.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Rows in the units of the training data.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If `n_samples` is not a positive int, or `label` is not a class.
        """
        if label is None:
            return super().sample(n_samples, random_state)
        check_is_fitted(self)
        classes = self.classes_.tolist()  # raises where there are none
        if not np.isscalar(label) or label not in classes:
            raise ValueError(
                "The 'label' parameter of sample must be one of the classes "
                f"{classes}. Got {label!r} instead."
            )
        part = classes.index(label)
        return self._decoded(
            lambda n, rng: self._prior_codes(n, rng, part), n_samples, random_state
        )

    def _prior_codes(
        self, n: int, rng: np.random.RandomState, part: int = -1
    ) -> NDArray[Any]:
        generator = make_generator(int(rng.randint(2**31)), torch.device("cpu"))
        drawn = self.module_.prior.draw(
            n, generator, torch.full((n,), part, device="cpu")
        )
        return from_tensor(drawn)
