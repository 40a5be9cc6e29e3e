r"""Split-brain autoencoders: each part of a row from the other (Zhang et al. 2017).

With a row in two parts, :math:`x = (x_1, x_2)`, and two networks that share nothing,

.. math::
    z = (f_1(x_1), f_2(x_2)),\qquad \hat x_2 = g_1(f_1(x_1)),\quad
    \hat x_1 = g_2(f_2(x_2)),\qquad
    \min\ \mathbb{E}\,[-\log p(x_2 \mid \hat x_2) - \log p(x_1 \mid \hat x_1)]

What a network has to say of a part it has not seen cannot be copied: a code is of what
the parts have in common, and both together are of the whole row.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sklearn_ae.autoencoders.composed import CorruptionParameters, ImageAutoencoder
from sklearn_ae.autoencoders.module import AutoencoderModule
from sklearn_ae.autoencoders.network import Network
from sklearn_ae.engine.colour import LabUnits
from sklearn_ae.engine.module import Blank
from sklearn_ae.engine.rows import Rows
from sklearn_ae.engine.shared_parameters import CodeParameters, LossParameters
from sklearn_ae.engine.units import Units
from sklearn_ae.params.domains import Constraint, Interval, OneOf, SequenceOf
from sklearn_ae.parts.bins import Bins
from sklearn_ae.parts.convolution import (
    ConvolutionalDecoder,
    ConvolutionalEncoder,
    blocks,
)
from sklearn_ae.parts.networks import MLPDecoder, MLPEncoder
from sklearn_ae.parts.split import CrossDecoder, SplitEncoder

__all__ = ["SplitBrainAutoencoder", "SplitBrainModule"]

#: Bins are learned from about this many numbers.
BIN_NUMBERS = 2**23


class SplitBrainModule(AutoencoderModule):
    """The objective of `AutoencoderModule`, with two networks that share nothing.

    Parameters
    ----------
    network : Network
    split : "channels" or pair of sequences of int
    target : {"regression", "classification"}
    n_bins : int
        Number of bins of each feature, for "classification".
    """

    def __init__(
        self,
        network: Network,
        *,
        split: str | tuple[Sequence[int], Sequence[int]],
        target: str,
        n_bins: int,
    ) -> None:
        self.n_values = n_bins if target == "classification" else 1
        self.split, self.target = split, target
        super().__init__(network)
        n_features = network.blank.n_features
        self.widest_layer = max(self.widest_layer, n_features * self.n_values)
        if target == "classification":
            self.likelihood = Bins(n_features, n_bins, network.blank.dtype)

    @property
    def traits(self) -> dict[str, object]:
        own = {"split": self.split, "target": self.target, "n_values": self.n_values}
        return {**super().traits, **own}

    def build(self, network: Network) -> tuple[nn.Module, nn.Module]:
        """Return both encoders as one, and both decoders."""
        blank, images, n_values = network.blank, network.images, self.n_values
        n_components, hidden_sizes = network.n_components, network.hidden_layer_sizes
        parts = parts_of(self.split, blank.n_features)
        codes = ((n_components + 1) // 2, n_components // 2)
        drawn_by = blank.generator, blank.dtype
        rest: Any = (network.activation, network.dropout, *drawn_by)
        encoders: list[Any] = []
        decoders: list[Any] = []
        for n_code, seen, hidden in zip(codes, parts, parts[::-1], strict=True):
            sizes = [*hidden_sizes, n_code]
            if images is None:
                encoders.append(MLPEncoder([len(seen), *sizes], *rest))
                sizes = [*sizes[::-1], len(hidden) * n_values]
                decoders.append(MLPDecoder(sizes, *rest))
                continue
            height, width, _ = images.shape
            block = images.channels, images.kernel_size
            maps, given = (len(part) // (height * width) for part in (seen, hidden))
            encoder = ConvolutionalEncoder((height, width, maps), *block, sizes, *rest)
            mirrored = copy.copy(encoder)  # but for its output
            mirrored.blocks = blocks((height, width, given * n_values), *block)
            encoders.append(encoder)
            decoders.append(
                ConvolutionalDecoder(mirrored, images.unpooling, False, *drawn_by)
            )
        return (
            SplitEncoder(encoders, parts),
            CrossDecoder(decoders, codes, parts, n_values),
        )

    def start_from_rows(self, rows: Rows) -> None:
        """Learn the bins from up to `BIN_NUMBERS` numbers, at least 1000 rows."""
        super().start_from_rows(rows)
        if isinstance(self.likelihood, Bins):
            n_features = len(self.likelihood.centres)
            n = min(len(rows), max(1000, BIN_NUMBERS // n_features))
            some = torch.linspace(
                0, len(rows) - 1, n, dtype=torch.float64, device="cpu"
            ).long()
            batch = rows.batch(some)
            weight = None if batch.weight is None else batch.weight.to("cpu")
            self.likelihood.learn(batch.x.to("cpu"), weight)

    def _speak(self, gain: Tensor, constant: Tensor) -> None:
        if not isinstance(self.likelihood, Bins):  # bins have no scale
            super()._speak(gain, constant)


def parts_of(split: Any, n_features: int) -> tuple[Sequence[int], Sequence[int]]:
    """Return the numbers of the features in each part."""
    if split == "halves":
        half = (n_features + 1) // 2
        return range(half), range(half, n_features)
    if split == "channels":  # L, and a and b
        colours = [i for i in range(n_features) if i % 3]
        return range(0, n_features, 3), colours
    return split


class _Pair(Constraint):
    """Two lists, tuples or arrays of whole numbers."""

    part = SequenceOf(Interval(int, 0, None), "", 1)

    def allows(self, value: Any) -> bool:
        is_array = getattr(value, "ndim", None) == 2 and hasattr(value, "tolist")
        if not isinstance(value, list | tuple) and not is_array:
            return False
        parts = [list(part) if isinstance(part, range) else part for part in value]
        return len(parts) == 2 and all(map(self.part.allows, parts))

    def __str__(self) -> str:
        return "a pair of arrays of ints in the range [0, inf)"


class SplitBrainAutoencoder(
    CorruptionParameters, CodeParameters, LossParameters, ImageAutoencoder
):
    r"""Two networks, each of which predicts what the other sees.

    The features are split into :math:`x = (x_1, x_2)`. One network encodes
    :math:`x_1` and predicts :math:`x_2`, the other the reverse; they share nothing and
    learn side by side. Minimises

    .. math:: \mathbb{E}\,[-\log p(x_2 \mid g_1(f_1(x_1)))
              - \log p(x_1 \mid g_2(f_2(x_2)))]
              + \frac{\alpha}{2} \sum \|W\|^2

    in nats per sample. `transform` returns the codes of both,
    :math:`z = (f_1(x_1), f_2(x_2))`: the first ``(n_components + 1) // 2`` columns are
    of the first part alone, the rest are of the second. `inverse_transform` joins both
    predictions. What only one part tells of a row, as noise does, is neither in the
    code nor in `reconstruct`: `score` says how far a part can be told from the other,
    and is not to be compared with that of a method that sees what it restores.

    Parameters
    ----------
    n_components : int, default=2
        Size of the code, of which each part has half, the first one the odd one. With
        one component, the second part has no code: of the first one the mean is
        predicted.
    split : {"halves", "channels"} or pair of arrays of int, default="halves"
        Parts of a row: "halves" are the first and the last features; "channels" the
        lightness L and the colour (a, b) of RGB images, to which rows are turned (CIE
        Lab, with scikit-image); a pair of arrays has the numbers of the features in
        each part, every one of them in one part.
    target : {"regression", "classification"}, default="regression"
        Kind of prediction: "classification" predicts which of `n_bins` bins each number
        is in, with a cross-entropy; the prediction is the mean of the bins by their
        probabilities. Where a number may be one of two, and not what lies between them,
        regression learns what lies between.
    n_bins : int, default=16
        Number of bins of each feature, with ``target="classification"``: as many
        training rows are in one as in any other. (The paper's bins are of a and b
        jointly.)
    loss : str, default="squared_error"
        Loss of a regression; all but "multinomial", whose shares are of a whole row.
        With ``split="channels"`` it is of Lab, and "squared_error" or "absolute_error";
        with ``target="classification"`` the errors of predictions are squared, and it
        is "squared_error".
    image_shape : tuple of int or None, default=None
        Shape (height, width, 3), for ``split="channels"`` alone, which needs it. Rows
        are flat images with the channels last, ``images.reshape(len(images), -1)``, and
        values in [0, 1] or, if any is greater, in [0, 255]. New rows are clipped to
        this range for the network; their errors are those of the rows as they are.
        Networks are then convolutional, as in `ConvolutionalAutoencoder`, with
        `hidden_layer_sizes` between maps and code.

    See Also
    --------
    ConvolutionalAutoencoder : One network that sees all channels.

    Notes
    -----
    With ``split="channels"`` predictions outside of what RGB can show are clipped.
    Errors and scores are of RGB, in the units of X; loss and `jacobian_norm` are of
    Lab. In a stream the first 100 rows settle bins and the range of RGB.

    References
    ----------
    Zhang, R., Isola, P. & Efros, A. Split-brain autoencoders: unsupervised learning by
    cross-channel prediction. CVPR 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ae import SplitBrainAutoencoder
    >>> X = load_digits().data
    >>> model = SplitBrainAutoencoder(16, max_iter=20, random_state=0)
    >>> codes = model.fit_transform(X)
    >>> codes.shape
    (1797, 16)
    >>> lower = X.copy()
    >>> lower[:, :32] = 0  # the upper half of the images
    >>> predicted = model.reconstruct(lower)[:, :32]
    >>> bool((predicted == model.reconstruct(X)[:, :32]).all())
    True
    """

    split: Any = "halves"
    target: str = "regression"
    n_bins: int = 16

    _valid: ClassVar = {
        "split": [OneOf("halves", "channels"), _Pair()],
        "target": [OneOf("regression", "classification")],
        "n_bins": [Interval(int, 2, None)],
        "loss": [OneOf("squared_error", "log_loss", "absolute_error", "poisson")],
    }

    @property
    def _accept_sparse(self) -> bool:
        return False

    def _fitted_accepts_sparse(self) -> bool:
        return False

    def _check_params(self) -> None:
        super()._check_params()
        classes, losses = self.target == "classification", ["squared_error"]
        if not classes:
            losses.append("absolute_error")
        if (classes or self._split_by_channels()) and self.loss not in losses:
            raise ValueError(
                ("target='classification'" if classes else "split='channels'")
                + f" needs loss={' or '.join(map(repr, losses))}. "
                f"Got loss={self.loss!r}."
            )
        if classes and self.output_activation not in ("auto", "identity"):
            raise ValueError(
                "target='classification' needs output_activation='auto'. Got "
                f"output_activation={self.output_activation!r}."
            )

    def _split_by_channels(self) -> bool:
        return isinstance(self.split, str) and self.split == "channels"

    def _module(self, blank: Blank) -> SplitBrainModule:
        split = self._resolve_split(blank.n_features)
        return SplitBrainModule(
            self._network(blank),
            split=split,
            target=self.target,
            n_bins=int(self.n_bins),
        )

    def _resolve_split(
        self, n_features: int
    ) -> str | tuple[tuple[int, ...], tuple[int, ...]]:
        if n_features < 2:
            raise ValueError(
                f"X needs two features or more, one for each part: it has {n_features} "
                "feature(s)."
            )
        if isinstance(self.split, str):
            return self.split
        first, second = (tuple(map(int, part)) for part in self.split)
        times = Counter([*first, *second])
        for features, problem in (
            ([i for i in times if i >= n_features], "not in X"),
            ([i for i in times if times[i] > 1], "named more than once"),
            ([i for i in range(n_features) if i not in times], "in neither part"),
        ):
            if len(features):
                raise ValueError(
                    "The 'split' parameter must name each of the "
                    f"{n_features} features of X once, in one of its parts. "
                    f"{_listed(features)} {problem}."
                )
        return first, second

    def _resolve_image_shape(self, n_features: int) -> tuple[int, int, int] | None:
        shape = super()._resolve_image_shape(n_features)
        if not self._split_by_channels():
            if shape is not None:
                raise ValueError(
                    "image_shape needs split='channels', whose parts are images. "
                    "Leave image_shape out, or set split='channels'."
                )
        elif shape is None or shape[2] != 3:
            raise ValueError(
                "split='channels' needs image_shape=(height, width, 3). Got "
                f"image_shape={self.image_shape!r}."
            )
        return shape

    def _units_for(
        self,
        X: Any,
        subset: NDArray[np.intp] | None,
        weight: NDArray[np.float64] | None = None,
    ) -> Units:
        if self._split_by_channels():
            return LabUnits.of_images(X, subset, bool(self.standardize), weight)
        return super()._units_for(X, subset, weight)


def _listed(features: Sequence[int]) -> str:
    """Return the first few of the features, as a sentence begins with them."""
    few = ", ".join(map(str, sorted(features)[:5])) + ", ..." * (len(features) > 5)
    return f"Feature {few} is" if len(features) == 1 else f"Features {few} are"
