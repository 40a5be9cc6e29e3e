"""Where weights start, and each feature seen and restored in its own scale.

A network SEES each feature in its own standard deviation and within reach, and SPEAKS
each feature as a constant plus its own scale times the output: a preconditioner of the
first and the last layer. What is minimised stays what it is.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from sklearn_ae.engine.columns import Columns, medians
from sklearn_ae.engine.module import CodingModule
from sklearn_ae.engine.pca_start import LinearStart
from sklearn_ae.engine.rows import Rows
from sklearn_ae.engine.tensors import to_tensor
from sklearn_ae.parts.activations import CODOMAINS
from sklearn_ae.parts.convolution import ConvolutionalDecoder, ConvolutionalEncoder
from sklearn_ae.parts.corruptions import Corruption
from sklearn_ae.parts.linear_path import LinearPathEncoder
from sklearn_ae.parts.networks import TiedDecoder

__all__ = ["BOUNDED", "ConditionedModule"]

#: Output activations with one or two ends, which can be those of the data.
BOUNDED = ("relu", "sigmoid", "tanh", "softplus", "gelu", "exp")
#: Weights of penalties are meant for rows whose features have this standard deviation
#: (root mean square), as those of images in [0, 1] have, of which the papers speak.
TYPICAL_SPREAD = 0.25
#: Rows are seen in units in which none that is trained on is farther out than this.
FARTHEST = 8.0
#: Features that vary less than this share of the mean spread are damped where weights
#: are shared with features that vary more: by tied weights, which the encoder would use
#: at the cost of what the decoder restores; and by filters, which all pixels share.
FAINT, FAINT_PIXEL = 0.3, 0.5


def _shared_scale(spread: Tensor) -> Tensor:
    """Return the scale in which tied weights see AND restore features.

    In the units of the rows encoder and decoder are each other's transposed: features
    that vary less are only learned more slowly.
    """
    scale = spread * (spread / FAINT).clamp_max(1.0)
    return scale / (float(scale.max()) or 1.0)


class ConditionedModule(CodingModule):
    """A module whose first and last layer know the scales of the features."""

    encoder: Any
    decoder: Any
    likelihood: Any
    code_activation: str
    corruption: Corruption | None
    alpha: float
    spread: Tensor
    unit: Tensor
    low: Tensor
    span: Tensor
    bounded: Any

    #: Whether training starts at PCA's solution, and no preconditioner is needed.
    starts_at_pca: bool = False

    def start_at_pca(self, start: LinearStart) -> None:
        """Start at PCA's solution: the linear path, or linear layers."""
        encoder, decoder, residual, code_scale, code_trust, trust = (
            to_tensor(array, self.spread.dtype)
            for array in (
                start.encoder,
                start.decoder,
                start.residual,
                start.code_scale,
                start.code_trust,
                start.trust,
            )
        )
        self.spread.fill_(start.spread)
        self.starts_at_pca = True
        scale = seen = None
        if start.feature_scale is not None:
            scale = to_tensor(start.feature_scale, self.spread.dtype)
            seen = (scale.square() + start.shown).sqrt()
        if isinstance(self.encoder, LinearPathEncoder):
            self.encoder.start_at_pca(encoder, seen, code_trust)
            self.decoder.start_at_pca(decoder, code_scale, trust)
            return
        facing, zero = self.encoder.facing, torch.zeros_like(encoder[:, 0])
        tied = isinstance(self.decoder, TiedDecoder)
        with torch.no_grad():
            if tied or self.alpha:  # then both maps are as large as each other
                length = encoder.norm(dim=0)
                axes = encoder / torch.where(length > 0.0, length, 1.0)
                if tied:
                    if self.leaves_pca and scale is not None:
                        step = _shared_scale(scale.nan_to_num(posinf=0.0) / self.spread)
                    else:  # no farther than what PCA leaves of each feature
                        step = residual / (float(decoder.norm(dim=0).max()) or 1.0)
                    self.encoder.see(step)
                    axes = torch.where(step > 0.0, 1.0 / step, 0.0)[:, None] * axes
                facing.kernel.copy_(axes)
                if not tied:
                    self.decoder.facing.kernel.copy_(axes)
                return
            if scale is None or seen is None:  # rows are not centred: about zero
                scale = (decoder.square().sum(1) + residual.square()).sqrt()
                seen = scale
            self.encoder.see(1.0 / seen)
            varies = scale.isfinite()
            facing.kernel.copy_(encoder * torch.where(varies, seen, 0.0)[:, None])
            gain = residual
            if self.leaves_pca:
                gain = torch.where(varies, scale, residual)
            self.decoder.speak(gain, zero)
            self.decoder.facing.kernel.copy_(decoder / gain[:, None] / code_scale)

    def start_from_rows(self, rows: Rows) -> None:
        """Take from the rows what has to be known of them before the first step.

        Each feature is seen, and restored, in its own scale, so that none is learned
        badly for being small next to others; and the best constant row is what is
        restored to begin with. Neither changes what is minimised.
        """
        if self.likelihood.has_scale and not rows.units.is_plain:
            self.unit.copy_(self.spread / TYPICAL_SPREAD)
        if self.starts_at_pca:
            return
        given = Columns.of(rows)
        seen = Columns.of(rows, self.look) if self.likelihood.looks else given
        likelihood, scaled = self.likelihood, rows.units.shift is not None
        centre = given.mean
        if likelihood.name == "absolute_error":
            centre = medians(rows)
        gain = torch.ones_like(centre)
        if likelihood.has_scale and likelihood.output_activation != "identity":
            if not rows.units.is_plain and likelihood.output_activation in BOUNDED:
                self._match_range(given)
                centre = (centre - self.low.double()) / self.span.double()
        elif likelihood.has_scale and scaled:
            gain = given.spread
        self._see(seen, likelihood.has_scale and scaled)
        self._speak(gain, likelihood.best_constant(centre))

    def _see(self, columns: Columns, scaled: bool) -> None:
        """Let the encoder see each feature in its own scale.

        Dense rows of counts and probabilities, which are not centred, are seen as
        sparse rows are: all features in one scale.
        """
        spread, ones = columns.spread, torch.ones_like(columns.spread)
        scale, reach = ones, math.inf
        if self.likelihood.looks:
            squares = spread.square() + columns.centre.square()
            size = squares.sum() if self.likelihood.shares else squares.mean()
            scale = ones / (float(size.sqrt()) or 1.0)
        elif scaled and isinstance(self.decoder, TiedDecoder):
            scale = _shared_scale(spread)
        elif scaled and not isinstance(self.encoder, ConvolutionalEncoder):
            if self.corruption is not None:
                noise = self.corruption.variance(float(self.spread))
                spread = torch.where(
                    spread > 0.0, (spread.square() + noise).sqrt(), 0.0
                )
            spread = torch.maximum(spread, columns.farthest / FARTHEST)
            scale = torch.where(spread > 0.0, 1.0 / spread, 0.0)
            if self.has_hidden_units or self.code_activation != "identity":
                reach = FARTHEST  # an affine map has no border
        self.encoder.see(scale, reach)

    def _speak(self, gain: Tensor, constant: Tensor) -> None:
        """Let the decoder restore each feature in its own scale, from a constant on."""
        if isinstance(self.decoder, ConvolutionalDecoder):
            typical = float(gain.square().mean().sqrt()) * FAINT_PIXEL or 1.0
            gain = (gain / typical).pow(3).clamp_max(1.0)
        self.decoder.speak(gain, constant)

    def _match_range(self, columns: Columns) -> None:
        """Set the output's one or two ends to those of the data."""
        low, high = CODOMAINS[self.likelihood.output_activation]
        span = columns.spread
        if not math.isinf(high):
            span = (columns.highest - columns.lowest) / (high - low)
        self.low.copy_(columns.lowest - low * span)
        self.span.copy_(torch.where(span > 0.0, span, 1.0))

    def in_range(self, a: Tensor) -> Tensor:
        """Return x̂ of the pre-activation where the output is bounded."""
        return torch.addcmul(self.low, self.bounded(a).to(self.low.dtype), self.span)

    def look(self, x: Tensor) -> Tensor:
        """Return what the encoder is shown of rows (batch, n_features)."""
        raise NotImplementedError
