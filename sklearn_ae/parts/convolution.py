r"""Convolutional encoders and decoders with three ways to undo max-pooling.

Each block of the encoder is φ(pool(W ∗ h + b)), where the convolution keeps the size
and pooling halves it. For an increasing φ this equals pool(φ(W ∗ h + b)) at a quarter
of the cost. Each block of the decoder is Wᵀ ∗ unpool(φ(h)) + c, with the adjoint of the
convolution. An axis of length 1 is neither convolved nor pooled, so a signal is an
image of one row.

Maps have the shape (batch, channels, height, width). In memory their channels come
last, as in rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sklearn_ae.parts.activations import dropout
from sklearn_ae.parts.layers import Preconditioner, initial
from sklearn_ae.parts.networks import Encoder, MLPDecoder, MLPEncoder, TiedDecoder

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
    """Sizes of one block of the encoder.

    Attributes
    ----------
    size, pooled : (int, int)
        Height and width before and after pooling.
    n_in, n_out : int
        Numbers of channels.
    kernel : (int, int)
        Size of the convolution's kernels.
    window : (int, int)
        Size of the windows of pooling.
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
    size, n_in = image_shape[:2], image_shape[2]
    out = []
    for n_out in channels:
        kernel, window = _along(size, kernel_size), _along(size, 2)
        pooled = math.ceil(size[0] / window[0]), math.ceil(size[1] / window[1])
        out.append(Block(size, pooled, n_in, n_out, kernel, window))
        size, n_in = pooled, n_out
    return out


def _along(size: Pair, n: int) -> Pair:
    """Return n along each axis, but 1 along an axis of length 1."""
    return (n if size[0] > 1 else 1, n if size[1] > 1 else 1)


def convolve(x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return W ∗ x + b of the same height and width, with zeros beyond the border.

    Parameters
    ----------
    x : Tensor of shape (batch, n_in, height, width)
        Maps.
    kernel : Tensor of shape (n_out, n_in, kernel height, kernel width)
        Kernels W.
    bias : Tensor of shape (n_out,) or None
        Bias b of each channel.
    """
    margin = [k // 2 for k in kernel.shape[2:]]
    # an even kernel gives an extra row and column
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

    With stride 1 it is the adjoint of `convolve`. With stride 2 it is the adjoint of
    every other output, up to the position of the border.

    Parameters
    ----------
    y : Tensor of shape (batch, n_out, height, width)
        Maps.
    kernel : Tensor of shape (n_out, n_in, kernel height, kernel width)
        Kernels W.
    bias : Tensor of shape (n_in,) or None
        Bias c of each channel.
    size : (int, int)
        Height and width of the result.
    stride : (int, int)
        Steps between neighbours of `y`, along each axis.
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
    """Return the maximum of each window and its place; the border cuts windows off."""
    pooled: tuple[Tensor, Tensor] = F.max_pool2d(
        x, window, ceil_mode=True, return_indices=True
    )
    return pooled


def unpool(y: Tensor, size: Pair, window: Pair, switches: Tensor | None) -> Tensor:
    """Put each number back to its place, or everywhere in its window.

    Parameters
    ----------
    y : Tensor of shape (batch, channels, height, width)
        Pooled maps.
    size : (int, int)
        Height and width before pooling.
    window : (int, int)
        Size of the windows of pooling.
    switches : Tensor of int, of the shape of `y`, or None
        Places from `pool`; all other places are zero. None fills the windows.
    """
    if switches is not None:
        return F.max_unpool2d(y, switches, window, output_size=size)
    scale = [float(w) for w in window]
    return F.interpolate(y, scale_factor=scale)[..., : size[0], : size[1]]


class Kernel(nn.Module):
    """Kernels W of a convolution or its adjoint, (n_out, n_in, height, width).

    Parameters
    ----------
    block : Block
        Sizes.
    n_inputs : float
        Number of terms in the sum that makes an output; it scales the initial weights.
    gain : float
        Factor of the initial weights.
    generator : torch.Generator
        Source of the initial weights.
    dtype : torch.dtype
        Dtype of the weights.
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


def _kernels(parts: nn.ModuleList) -> list[Tensor]:
    return [part.kernel for part in parts if isinstance(part, Kernel)]


class ConvolutionalEncoder(Encoder):
    r"""h_l = φ(pool(W_l ∗ h_{l−1} + b_l)), then dense layers to the code.

    Parameters
    ----------
    image_shape : (int, int, int)
        Height, width and channels of a row.
    channels : sequence of int
        Number of channels of each block.
    kernel_size : int
        Height and width of the kernels.
    sizes : sequence of int
        Widths of the dense layers after the blocks; the last is the code's.
    activation : str
        Name of φ.
    p_dropout : float
        Share of hidden units left out at each training step.
    generator : torch.Generator
        Source of the initial weights.
    dtype : torch.dtype
        Dtype of the weights.
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
        for block, kernel, bias in zip(
            self.blocks, _kernels(self.kernels), self.biases, strict=True
        ):
            h, where = pool(convolve(h, kernel, bias), block.window)
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
        return [*_kernels(self.kernels), *self.dense.weights()]

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
        Encoder that it mirrors.
    unpooling : {"switches", "repeat", "deconv"}
        Way to undo pooling. "switches" puts maxima back to their places, "repeat" puts
        them everywhere in their windows, and "deconv" gives the convolution stride 2.
    tied : bool
        Whether it shares the encoder's kernels and matrices; it has its own biases.
    generator : torch.Generator
        Source of the initial weights.
    dtype : torch.dtype
        Dtype of the weights.
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
        # The list keeps torch from registering the encoder's parameters here, too.
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
                # only "repeat" fills more than one place of a window
                share = 1 if unpooling == "repeat" else math.prod(b.window)
                n_inputs = b.n_out * math.prod(b.kernel) / share
                self.kernels.append(Kernel(b, n_inputs, gain, generator, dtype))
        self.biases = _biases([b.n_in for b in encoder.blocks], dtype)
        first = encoder.blocks[0]  # may give other channels than the rows have
        n_pixels = math.prod(first.size) * first.n_in
        self.each = Preconditioner(n_pixels, dtype)

    def speak(self, scale: Tensor, constant: Tensor) -> None:
        """Set each pixel's scale, and the constant around which it is restored.

        Kernels stay as they were drawn. Smaller ones would begin at the constant, but
        end with a tenth more error (MNIST, 30 epochs).
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
        kernels = _kernels(encoder.kernels if self.tied else self.kernels)
        parts = zip(encoder.blocks, kernels, self.biases, switches, strict=True)
        for block, kernel, bias, where in reversed(list(parts)):
            h, stride = activation(h), block.window
            if p:
                h = dropout(h, p, generator)
            if self.unpooling != "deconv":
                h, stride = unpool(h, block.size, block.window, where), (1, 1)
                if where is None and self.unpooling == "switches":
                    # the place is unknown, so each place gets the mean
                    h = h / math.prod(block.window)
            h = convolve_adjoint(h, kernel, bias, block.size, stride)
        return self.each(h.permute(0, 2, 3, 1).flatten(1))

    def weights(self) -> list[Tensor]:
        """Return its own kernels and weight matrices, without biases."""
        return [*_kernels(self.kernels), *self.dense.weights()]
