r"""Convolutional encoders and decoders, with three ways to undo max-pooling.

Each block of the encoder is φ(pool(W ∗ h + b)), with a convolution of the same size and
pooling by 2; for an increasing φ this is pool(φ(W ∗ h + b)), at a quarter of the cost.
Each of the decoder's is Wᵀ ∗ unpool(φ(h)) + c, with the adjoint of the convolution.
Along an axis of length 1 there is nothing to convolve or to pool: a signal is an image
of one row.

Maps are of shape (batch, channels, height, width), and lie in memory as rows do, with
the channels last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sklearn_ae.parts.activations import dropout
from sklearn_ae.parts.networks import (
    Encoder,
    MLPDecoder,
    MLPEncoder,
    Preconditioner,
    TiedDecoder,
    initial,
)

__all__ = [
    "Block",
    "ConvolutionalDecoder",
    "ConvolutionalEncoder",
    "blocks",
    "convolve",
    "convolve_adjoint",
    "pool",
    "unpool",
]

Pair = tuple[int, int]


class Block(NamedTuple):
    """What one block of the encoder maps to what.

    Attributes
    ----------
    size, pooled : (int, int)
        Height and width before and after pooling.
    n_in, n_out : int
        Channels.
    kernel, window : (int, int)
        Of the convolution, and of pooling.
    """

    size: Pair
    pooled: Pair
    n_in: int
    n_out: int
    kernel: Pair
    window: Pair


def blocks(
    image_shape: tuple[int, int, int], channels: Sequence[int], kernel_size: int
) -> list[Block]:
    """Return the blocks of an encoder of images (height, width, channels)."""
    *size, n_in = image_shape
    out = []
    for n_out in channels:
        kernel, window = ([k if n > 1 else 1 for n in size] for k in (kernel_size, 2))
        pooled = [math.ceil(n / w) for n, w in zip(size, window, strict=True)]
        pairs: Any = map(tuple, (size, pooled, kernel, window))
        before, after, kernel, window = pairs
        out.append(Block(before, after, n_in, n_out, kernel, window))
        size, n_in = pooled, n_out
    return out


def convolve(x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return W ∗ x + b of the same height and width, zeros being beyond the border.

    Parameters
    ----------
    x : Tensor of shape (batch, n_in, height, width)
    kernel : Tensor of shape (n_out, n_in, kernel height, kernel width)
    bias : Tensor of shape (n_out,) or None
    """
    margin = [k // 2 for k in kernel.shape[2:]]
    # an even kernel gives one row and column more
    top, left = ((k + 1) % 2 for k in kernel.shape[2:])
    return F.conv2d(x, kernel, bias, padding=margin)[..., top:, left:]


def convolve_adjoint(
    y: Tensor,
    kernel: Tensor,
    bias: Tensor | None,
    size: Pair,
    stride: Pair = (1, 1),
) -> Tensor:
    """Return Wᵀ ∗ y + c, of height and width `size`.

    With stride 1 it is the adjoint of `convolve`, with stride 2 that of every other of
    its outputs (up to where the border lies).

    Parameters
    ----------
    y : Tensor of shape (batch, n_out, height, width)
    kernel : Tensor of shape (n_out, n_in, kernel height, kernel width)
    bias : Tensor of shape (n_in,) or None
    size : (int, int)
    stride : (int, int)
    """
    margin, extra = [], []
    axes = zip(y.shape[2:], kernel.shape[2:], size, stride, strict=True)
    for m, k, n, s in axes:
        over = (m - 1) * s + k - n
        extra.append(min(over % 2, s - 1))
        margin.append((over + extra[-1]) // 2)
    x = F.conv_transpose2d(y, kernel, bias, stride, margin, extra)
    return x[..., : size[0], : size[1]]


def pool(x: Tensor, window: Pair) -> tuple[Tensor, Tensor]:
    """Return the maximum of each window, cut short at the border, and where it was."""
    pooled: tuple[Tensor, Tensor] = F.max_pool2d(
        x, window, ceil_mode=True, return_indices=True
    )
    return pooled


def unpool(y: Tensor, size: Pair, window: Pair, switches: Tensor | None) -> Tensor:
    """Put each number back where `switches` say it was; without them, everywhere.

    Parameters
    ----------
    y : Tensor of shape (batch, channels, height, width)
    size : (int, int)
        Height and width before pooling.
    window : (int, int)
    switches : Tensor of int, of the shape of `y`, or None
        From `pool`; all else is zero.
    """
    if switches is not None:
        return F.max_unpool2d(y, switches, window, output_size=size)
    scale = [float(w) for w in window]
    return F.interpolate(y, scale_factor=scale)[..., : size[0], : size[1]]


class Kernel(nn.Module):
    """W of a convolution, of shape (n_out, n_in, height, width); its adjoint's too.

    Parameters
    ----------
    block : Block
    n_inputs : float
        Numbers that an output is a sum of; they scale the initial weights.
    gain : float
    generator : torch.Generator
    dtype : torch.dtype
    """

    def __init__(
        self,
        block: Block,
        n_inputs: float,
        gain: float,
        generator: torch.Generator,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        shape = (block.n_out, block.n_in, *block.kernel)
        self.kernel = initial(shape, gain / math.sqrt(n_inputs), generator, dtype)


def _biases(sizes: Sequence[int], dtype: torch.dtype) -> nn.ParameterList:
    return nn.ParameterList(torch.zeros(n, dtype=dtype, device="cpu") for n in sizes)


class ConvolutionalEncoder(Encoder):
    r"""h_l = φ(pool(W_l ∗ h_{l−1} + b_l)), then dense layers to the code.

    Parameters
    ----------
    image_shape : (int, int, int)
        Height, width and channels of a row.
    channels : sequence of int
        Of each block.
    kernel_size : int
    sizes : sequence of int
        Widths of the dense layers after the blocks; the last is the code's.
    activation : str
        φ.
    p_dropout : float
        Share of hidden units left out at each training step.
    generator : torch.Generator
        Draws the initial weights.
    dtype : torch.dtype
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        channels: Sequence[int],
        kernel_size: int,
        sizes: Sequence[int],
        activation: str,
        p_dropout: float,
        generator: torch.Generator,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.blocks = blocks(image_shape, channels, kernel_size)
        gain = math.sqrt(2.0) if activation == "relu" else 1.0
        self.kernels = nn.ModuleList(
            Kernel(b, b.n_in * math.prod(b.kernel), gain, generator, dtype)
            for b in self.blocks
        )
        self.biases = _biases([b.n_out for b in self.blocks], dtype)
        self.each = Preconditioner(math.prod(image_shape), dtype)
        last = self.blocks[-1]
        widths = [last.n_out * math.prod(last.pooled), *sizes]
        self.dense = MLPEncoder(widths, activation, p_dropout, generator, dtype)

    def see(self, scale: Tensor, reach: float = math.inf) -> None:
        """See each pixel in its own scale, and no farther than `reach`."""
        self.each.set(scale, torch.zeros_like(scale), reach)

    def with_switches(
        self, x: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Return codes (batch, n_components) and each block's switches."""
        h, switches = self._maps(x, generator)
        return self.dense(h, generator), switches

    def _maps(
        self, x: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the last maps, flat, and each block's switches."""
        h = self.each(x).unflatten(1, self.image_shape).permute(0, 3, 1, 2)
        switches = []
        for block, part, bias in zip(
            self.blocks, self.kernels, self.biases, strict=True
        ):
            h, where = pool(convolve(h, part.kernel, bias), block.window)  # type: ignore[arg-type]
            h = self.dense.activation(h)
            if self.dense.p_dropout:
                h = dropout(h, self.dense.p_dropout, generator)
            switches.append(where)
        return h.permute(0, 2, 3, 1).flatten(1), switches

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return self.with_switches(x, generator)[0]

    def features(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return self.dense.features(self._maps(x, generator)[0], generator)

    def readout(self) -> tuple[Tensor, Tensor]:
        return self.dense.readout()

    def weights(self) -> list[Tensor]:
        """Return kernels and weight matrices, without biases."""
        kernels: list[Any] = [part.kernel for part in self.kernels]
        return [*kernels, *self.dense.weights()]

    @property
    def widest_layer(self) -> int:
        maps = [b.n_out * math.prod(b.size) for b in self.blocks]
        return max(math.prod(self.image_shape), self.dense.widest_layer, *maps)

    @property
    def n_multiplications(self) -> int:
        maps = (math.prod((*b.size, b.n_in, b.n_out, *b.kernel)) for b in self.blocks)
        return sum(maps) + self.dense.n_multiplications


class ConvolutionalDecoder(nn.Module):
    r"""Dense layers to the maps, then h_{l−1} = W_lᵀ ∗ unpool(φ(h_l)) + c_l.

    Parameters
    ----------
    encoder : ConvolutionalEncoder
        What it mirrors.
    unpooling : {"switches", "repeat", "deconv"}
        Whether maxima go back where they came from, or everywhere in their window, or
        whether the convolution itself has stride 2.
    tied : bool
        Whether the kernels and matrices ARE the encoder's; only biases are its own.
    generator : torch.Generator
        Draws the initial weights.
    dtype : torch.dtype
    """

    def __init__(
        self,
        encoder: ConvolutionalEncoder,
        unpooling: str,
        tied: bool,
        generator: torch.Generator,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        # In a list, so as not to be registered: the parameters stay the encoder's.
        self._encoder, self.tied, self.unpooling = [encoder], tied, unpooling
        self.kernels = nn.ModuleList()
        self.dense: TiedDecoder | MLPDecoder
        if tied:
            self.dense = TiedDecoder(encoder.dense)
        else:
            dense = encoder.dense
            sizes = [*(w.shape[0] for w in reversed(dense.weights()))]
            sizes.append(dense.weights()[0].shape[1])
            activation, p = dense.activation_name, dense.p_dropout
            self.dense = MLPDecoder(sizes, activation, p, generator, dtype)
            for i, b in enumerate(encoder.blocks):
                gain = math.sqrt(2.0) if activation == "relu" and i else 1.0
                # of a window, "repeat" alone fills more than one place
                share = 1 if unpooling == "repeat" else math.prod(b.window)
                n_inputs = b.n_out * math.prod(b.kernel) / share
                self.kernels.append(Kernel(b, n_inputs, gain, generator, dtype))
        self.biases = _biases([b.n_in for b in encoder.blocks], dtype)
        first = encoder.blocks[0]  # which may give other channels than are encoded
        n_pixels = math.prod(first.size) * first.n_in
        self.each = Preconditioner(n_pixels, dtype)

    def speak(self, scale: Tensor, constant: Tensor) -> None:
        """Restore each pixel in its own scale, around the constant.

        Kernels stay as they were drawn: smaller ones begin at the constant, and end at
        a tenth more error (MNIST, 30 epochs).
        """
        self.each.set(scale, constant)

    def forward(
        self,
        z: Tensor,
        generator: torch.Generator | None = None,
        switches: Sequence[Tensor | None] | None = None,
    ) -> Tensor:
        encoder = self._encoder[0]
        activation, p = encoder.dense.activation, encoder.dense.p_dropout
        last = encoder.blocks[-1]
        h = self.dense(z, generator).unflatten(1, (*last.pooled, last.n_out))
        h = h.permute(0, 3, 1, 2)
        if switches is None or self.unpooling != "switches":
            switches = [None] * len(encoder.blocks)
        kernels = encoder.kernels if self.tied else self.kernels
        parts = zip(encoder.blocks, kernels, self.biases, switches, strict=True)
        for block, part, bias, where in reversed(list(parts)):
            h, stride = activation(h), block.window
            if p:
                h = dropout(h, p, generator)
            if self.unpooling != "deconv":
                h, stride = unpool(h, block.size, block.window, where), (1, 1)
                if where is None and self.unpooling == "switches":
                    # it was in one place of the window: its mean over all of them
                    h = h / math.prod(block.window)
            h = convolve_adjoint(h, part.kernel, bias, block.size, stride)
        return self.each(h.permute(0, 2, 3, 1).flatten(1))

    def weights(self) -> list[Tensor]:
        """Return its own kernels and weight matrices, without biases."""
        kernels: list[Any] = [part.kernel for part in self.kernels]
        return [*kernels, *self.dense.weights()]
