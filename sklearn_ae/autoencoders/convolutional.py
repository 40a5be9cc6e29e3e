r"""Convolutional autoencoders: the same filters at every place (Masci et al. 2011).

.. math:: h_l = \mathrm{pool}\,\varphi(W_l * h_{l-1} + b_l),\qquad z = V h_L + v,\qquad
          \hat h_{l-1} = \varphi(W_l'^\top * \mathrm{unpool}\,\hat h_l + c_l)

with max-pooling by 2, and unpooling that puts each maximum back where it came from
(switches, Zeiler et al. 2011), or everywhere in its window; or a transposed convolution
of stride 2 in place of both (Zeiler et al. 2010).
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from sklearn_ae.autoencoders.composed import CorruptionParameters, ImageAutoencoder
from sklearn_ae.autoencoders.module import AutoencoderModule
from sklearn_ae.engine.module import Blank
from sklearn_ae.engine.rows import Batch
from sklearn_ae.engine.shared_parameters import FreeParameters
from sklearn_ae.params.domains import OneOf

__all__ = ["ConvolutionalAutoencoder", "ConvolutionalModule"]


class ConvolutionalModule(AutoencoderModule):
    """The objective, with switches that go from a row's encoder to its decoder."""

    def restore(
        self, x: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return codes before their activation, and what they decode to.

        That is with the switches of their rows, and before the output's activation, of
        shape (batch, n_features).
        """
        before, switches = self.encoder.with_switches(self.look(x), generator)
        return before, self.decoder(self.code(before), generator, switches)

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.likelihood.restored(self.restore(x)[1], x)

    def loss(
        self, batch: Batch, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        x = self.corrupted(batch.x, generator)
        before, a = self.restore(x, generator)
        weight, z = batch.weight, self.code(before)
        reconstruction = self.likelihood.mean_nats(a, batch.target, None, weight)
        rest = self.regularisers(x, z, generator, before, weight)
        return {"reconstruction": reconstruction, **rest}

    def errors(
        self,
        batch: Batch,
        units: float,
        per_feature: bool,
        z: Tensor | None = None,
    ) -> Tensor:
        if z is not None:  # codes come without switches
            return super().errors(batch, units, per_feature, z)
        error = self.likelihood.lost(self.restore(batch.x)[1], batch.target, units)
        return error if per_feature else error.mean(1)


class ConvolutionalAutoencoder(CorruptionParameters, FreeParameters, ImageAutoencoder):
    r"""Autoencoder of images (or signals) with the same filters at every place.

    Minimises

    .. math:: \mathbb{E}\,[-\log p(x \mid g(f(x)))] + \frac{\alpha}{2} \sum \|W\|^2

    in nats per sample. In the encoder f, each block is a convolution that keeps the
    size, max-pooling by 2 and the activation; dense layers lead from the last maps to
    the code. The decoder g mirrors it, with transposed convolutions. Rows are flat,
    with the channels last: ``images.reshape(len(images), -1)``.

    Parameters
    ----------
    image_shape : tuple of int or None, default=None
        Shape (height, width) or (height, width, channels) of a row. None takes a grey
        square where `n_features` is the square of a number, and a signal of length
        `n_features`, that is (1, n_features), where it is not.
    unpooling : {"switches", "repeat", "deconv"}, default="deconv"
        Way in which the decoder undoes pooling: "switches" puts each maximum back where
        it was in the row's own maps, and zeros elsewhere. Then `reconstruct`, `score`
        and the objective know more of a row than its code: `inverse_transform`, which
        has the code alone, takes the mean over all places in the window.
        "repeat" puts each number everywhere in its window. "deconv" is a transposed
        convolution of stride 2 in place of unpooling and convolution.
    hidden_layer_sizes : tuple of int, default=()
        Widths of dense layers between maps and code, mirrored in the decoder.
    tied_weights : bool, default=False
        Whether the decoder's kernels and weights are the encoder's, transposed (and
        shared). It is not supported with "deconv".
    linear_path : bool or "auto", default="auto"
        No start at PCA: "auto" and False are the same, and True is not supported.

    See Also
    --------
    Autoencoder : Takes the features in any order.

    References
    ----------
    Masci, J. et al. Stacked convolutional auto-encoders for hierarchical feature
    extraction. ICANN 2011.

    Zeiler, M. et al. Deconvolutional networks. CVPR 2010.

    Zeiler, M., Taylor, G. & Fergus, R. Adaptive deconvolutional networks for mid and
    high level feature learning. ICCV 2011.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from sklearn_ae import ConvolutionalAutoencoder
    >>> X = load_digits().data
    >>> model = ConvolutionalAutoencoder(
    ...     8, image_shape=(8, 8), max_iter=10, batch_size=50, random_state=0
    ... )
    >>> model.fit_transform(X).shape
    (1797, 8)
    >>> pca = PCA(8).fit(X)
    >>> restored = pca.inverse_transform(pca.transform(X))
    >>> bool(-model.score(X) < 0.8 * ((X - restored) ** 2).mean())
    True
    """

    hidden_layer_sizes: tuple[int, ...] = ()

    _valid: ClassVar = {"unpooling": [OneOf("switches", "repeat", "deconv")]}

    @property
    def _accept_sparse(self) -> bool:
        return False

    _peak_learning_rate: ClassVar[float] = 1e-2
    _absent: ClassVar[tuple[str, ...]] = ("components_", "mean_")

    def _resolve_image_shape(self, n_features: int) -> tuple[int, int, int] | None:
        if self.image_shape is not None:
            return super()._resolve_image_shape(n_features)
        side = math.isqrt(n_features)
        return (side, side, 1) if side**2 == n_features else (1, n_features, 1)

    def _module(self, blank: Blank) -> ConvolutionalModule:
        return ConvolutionalModule(self._network(blank))

    def _uses_linear_path(self) -> bool:
        if self.linear_path and not isinstance(self.linear_path, str):
            raise ValueError(
                f"linear_path={self.linear_path} is not supported with "
                f"{type(self).__name__}. Use 'auto' or False."
            )
        return False
