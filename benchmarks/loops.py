"""Each method's objective as one would write it by hand, for `speed.py` to time.

`make(n_features)` returns parameters and a function from a batch to its loss; nothing
of sklearn_ae is in it.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Made = tuple[list[Tensor], Callable[[Tensor], Tensor]]


def train(
    X: np.ndarray,
    make: Callable[[int], Made],
    batch: int,
    epochs: int,
    standardize: bool = True,
) -> list[float]:
    """Train with fused Adam; return when epochs ended."""
    torch.manual_seed(0)
    rows = torch.from_numpy(X)
    if standardize:
        rows = rows - rows.mean(0)
        rows /= rows.square().mean().sqrt()
    parameters, objective = make(X.shape[1])
    adam = torch.optim.Adam(parameters, lr=1e-3, fused=True)
    stamps, losses = [], []
    for _ in range(epochs):
        for index in torch.randperm(len(rows)).split(batch):
            adam.zero_grad()
            loss = objective(rows[index])
            loss.backward()
            adam.step()
            losses.append(loss.item())
        stamps.append(time.perf_counter())
    return stamps


def _layer(d: int, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return W (k, d), b and c of one layer and its tied counterpart."""
    weight = torch.randn(k, d) / d**0.5
    return weight.requires_grad_(), *(
        torch.zeros(n, requires_grad=True) for n in (k, d)
    )


def _half(restored: Tensor, x: Tensor) -> Tensor:
    return 0.5 * F.mse_loss(restored, x, reduction="sum") / len(x)


def plain(k: int) -> Callable[[int], Made]:
    """One sigmoid layer with tied weights."""

    def make(d: int) -> Made:
        w, b, c = _layer(d, k)

        def objective(x: Tensor) -> Tensor:
            return _half(F.linear(torch.sigmoid(F.linear(x, w, b)), w.T, c), x)

        return [w, b, c], objective

    return make


def sparse(k: int, rho: float, beta: float, alpha: float) -> Callable[[int], Made]:
    def make(d: int) -> Made:
        w, b, c = _layer(d, k)
        v = (torch.randn(d, k) / k**0.5).requires_grad_()

        def objective(x: Tensor) -> Tensor:
            z = torch.sigmoid(F.linear(x, w, b))
            m = z.mean(0)
            kl = rho * (rho / m).log() + (1 - rho) * ((1 - rho) / (1 - m)).log()
            decay = w.square().sum() + v.square().sum()
            return _half(F.linear(z, v, c), x) + beta * kl.sum() + alpha / 2 * decay

        return [w, v, b, c], objective

    return make


def k_sparse(k: int, kept: int) -> Callable[[int], Made]:
    def make(d: int) -> Made:
        w, b, c = _layer(d, k)

        def objective(x: Tensor) -> Tensor:
            values, places = F.linear(x, w, b).topk(kept, dim=1)
            z = torch.zeros(len(x), k).scatter(1, places, values)
            return _half(F.linear(z, w.T, c), x)

        return [w, b, c], objective

    return make


def contractive(k: int, weight: float) -> Callable[[int], Made]:
    def make(d: int) -> Made:
        w, b, c = _layer(d, k)

        def objective(x: Tensor) -> Tensor:
            z = torch.sigmoid(F.linear(x, w, b))
            norms = (z * (1 - z)).square() @ w.square().sum(1)
            return _half(F.linear(z, w.T, c), x) + weight * norms.mean()

        return [w, b, c], objective

    return make


def denoising(widths: tuple[int, ...], noise: str, level: float) -> Callable:
    def make(d: int) -> Made:
        sizes = [d, *widths, *widths[-2::-1], d]
        layers: list[nn.Module] = []
        for n_in, n_out in itertools.pairwise(sizes):
            layers += [nn.Linear(n_in, n_out), nn.ReLU()]
        del layers[2 * len(widths) - 1]  # the code is linear
        net = nn.Sequential(*layers[:-1])

        def objective(x: Tensor) -> Tensor:
            if noise == "masking":
                noisy = x * (torch.rand_like(x) >= level)
            else:
                noisy = x + level * torch.randn_like(x)
            return _half(net(noisy), x)

        return list(net.parameters()), objective

    return make


def convolutional(k: int) -> Callable[[int], Made]:
    """Two convolutions with pooling, a dense code, and two of stride 2 back."""

    def make(d: int) -> Made:
        side = round(d**0.5)
        pooled = math.ceil(side / 4)  # also where it is not a multiple of 4
        flat = 32 * pooled**2
        encoder = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(flat, k),
        )
        decoder = nn.Sequential(
            nn.Linear(k, flat),
            nn.Unflatten(1, (32, pooled, pooled)),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 16, 3, stride=2, padding=1, output_padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(16, 1, 3, stride=2, padding=1, output_padding=1),
            nn.Flatten(),
        )
        for half in (encoder, decoder):
            half.to(memory_format=torch.channels_last)

        def objective(x: Tensor) -> Tensor:
            return _half(decoder(encoder(x.view(-1, 1, side, side))), x)

        return [*encoder.parameters(), *decoder.parameters()], objective

    return make


def stack(
    X: np.ndarray, sizes: tuple[int, ...], level: float, batch: int, epochs: int
) -> list[np.ndarray]:
    """Train denoising sigmoid layers greedily; return the codes of each.

    Masked rows in, log loss of clean ones out, tied weights, fused Adam.
    """
    torch.manual_seed(0)
    rows, codes = torch.from_numpy(X), []
    for k in sizes:
        w, b, c = _layer(rows.shape[1], k)
        adam = torch.optim.Adam([w, b, c], lr=1e-2, fused=True)
        losses = []
        for _ in range(epochs):
            for index in torch.randperm(len(rows)).split(batch):
                x = rows[index]
                noisy = x * (torch.rand_like(x) >= level)
                a = F.linear(torch.sigmoid(F.linear(noisy, w, b)), w.T, c)
                loss = F.binary_cross_entropy_with_logits(a, x, reduction="sum")
                loss = loss / len(x)
                adam.zero_grad()
                loss.backward()
                adam.step()
                losses.append(loss.item())
        with torch.no_grad():
            rows = torch.cat(
                [torch.sigmoid(F.linear(x, w, b)) for x in rows.split(2048)]
            )
        codes.append(rows.numpy())
    return codes


#: Draws of z for each row, of an importance-weighted autoencoder.
IMPORTANCE_SAMPLES = 5


def _mlp(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def importance_weighted(k: int) -> Callable[[int], Made]:
    """784-200-200-50; k = 1 is the variational autoencoder, with KL in closed form."""

    def make(d: int) -> Made:
        body, decoder = (
            nn.Sequential(_mlp(d, 200, 200), nn.Tanh()),
            _mlp(50, 200, 200, d),
        )
        mean, log_variance = nn.Linear(200, 50), nn.Linear(200, 50)

        def objective(x: Tensor) -> Tensor:
            h = body(x)
            m, v = mean(h), log_variance(h)
            if k == 1:
                z = m + (0.5 * v).exp() * torch.randn_like(m)
                loss = F.binary_cross_entropy_with_logits(
                    decoder(z), x, reduction="sum"
                )
                kl = 0.5 * (m.square() + v.exp() - 1 - v).sum()
                return (loss + kl) / len(x)
            noise = torch.randn(k, *m.shape)
            z = m + (0.5 * v).exp() * noise
            a = decoder(z)
            log_p = -F.binary_cross_entropy_with_logits(
                a, x.expand_as(a), reduction="none"
            ).sum(-1)
            ratio = (0.5 * (noise.square() - z.square() + v)).sum(-1)
            return -((log_p + ratio).logsumexp(0) - math.log(k)).mean()

        parts = (body, decoder, mean, log_variance)
        return [p for part in parts for p in part.parameters()], objective

    return make


def adversarial(X: np.ndarray, batch: int, epochs: int) -> list[float]:
    """Three steps with each batch; return when epochs ended."""
    torch.manual_seed(0)
    rows = torch.from_numpy(X)
    encoder, decoder = _mlp(X.shape[1], 200, 200, 50), _mlp(50, 200, 200, X.shape[1])
    critic = nn.Sequential(
        *(nn.Linear(50, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU()),
        nn.Linear(200, 1),
    )
    whole = [*encoder.parameters(), *decoder.parameters()]
    adams = [
        torch.optim.Adam(weights, lr=1e-3, fused=True)
        for weights in (whole, list(critic.parameters()), list(encoder.parameters()))
    ]
    stamps, losses = [], []
    for _ in range(epochs):
        for index in torch.randperm(len(rows)).split(batch):
            x = rows[index]
            loss = F.binary_cross_entropy_with_logits(
                decoder(encoder(x)), x, reduction="sum"
            )
            loss = loss / len(x)
            adams[0].zero_grad()
            loss.backward()
            adams[0].step()
            with torch.no_grad():
                z = encoder(x)
            told = F.softplus(-critic(torch.randn_like(z))).mean()
            told = told + F.softplus(critic(z)).mean()
            adams[1].zero_grad()
            told.backward()
            adams[1].step()
            taken = F.softplus(-critic(encoder(x))).mean()
            adams[2].zero_grad()
            taken.backward()
            adams[2].step()
            losses.append([loss.item(), told.item(), taken.item()])
        stamps.append(time.perf_counter())
    return stamps
