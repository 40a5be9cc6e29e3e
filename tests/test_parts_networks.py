"""Networks: their parameters, their gradients, tied weights and dropout."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import linear as dense_linear

from sklearn_ae.parts.activations import ACTIVATIONS, dropout, get_activation
from sklearn_ae.parts.layers import linear
from sklearn_ae.parts.linear_path import REACH, LinearPathDecoder, LinearPathEncoder
from sklearn_ae.parts.networks import MLPDecoder, MLPEncoder, TiedDecoder

settings.register_profile("deterministic", derandomize=True, deadline=None)
settings.load_profile("deterministic")

SIZES = [5, 4, 3, 2]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def encoder(sizes=SIZES, activation="tanh", p=0.0, seed=0, kind=MLPEncoder):
    return kind(sizes, activation, p, generator(seed), torch.float64)


def rows(n=6, d=5, seed=0, **kwargs):
    return torch.tensor(np.random.default_rng(seed).normal(size=(n, d)), **kwargs)


def linear_path():
    """Return a linear path's encoder and decoder, moved from where they start."""
    outer = LinearPathEncoder(encoder())
    inner = LinearPathDecoder(encoder(SIZES[::-1], kind=MLPDecoder))
    outer.start_at_pca(rows(5, 2), rows(1, 5)[0].abs() + 1, rows(1, 2)[0].abs() + 1)
    inner.start_at_pca(rows(5, 2), rows(1, 2)[0].abs() + 0.5, rows(1, 5)[0].abs() + 0.7)
    draw = generator(3)
    for part in (outer, inner):
        for p in part.parameters():
            if p.requires_grad:
                torch.nn.init.normal_(p, generator=draw)
    return outer, inner


def decoders():
    return {
        "mlp": encoder(SIZES[::-1], kind=MLPDecoder),
        "one layer": encoder([2, 5], kind=MLPDecoder),
        "tied": TiedDecoder(encoder()),
        "linear path": linear_path()[1],
    }


def test_mlp_formula():
    network, x = encoder(), rows()
    h = x
    for i, layer in enumerate(network.layers):
        h = h @ layer.weight.T + layer.bias
        h = torch.tanh(h) if i < 2 else h
    torch.testing.assert_close(network(x), h)


@pytest.mark.parametrize("name", decoders())
def test_decoder_is_linear_in_its_features(name):
    """What objectives that form no output rely on."""
    decoder, z = decoders()[name], rows(6, 2)
    weight, bias = decoder.readout()
    torch.testing.assert_close(decoder(z), decoder.features(z) @ weight.T + bias)
    assert decoder(z).shape == (6, 5)


@pytest.mark.parametrize("make", [encoder, lambda: linear_path()[0]])
def test_encoder_reads_sparse_rows(make):
    """They are those of the dense, where the features are not scaled."""
    network = make()
    if isinstance(network, LinearPathEncoder):
        network = LinearPathEncoder(encoder())
        network.start_at_pca(rows(5, 2), None, torch.tensor([1.0, 0.3]))
        torch.nn.init.normal_(network.network.weights()[-1], generator=generator())
    x = rows() * (rows(seed=1) > 0)
    torch.testing.assert_close(network(x.to_sparse_csr()), network(x))


@given(n=st.integers(1, 5), d=st.integers(1, 5), k=st.integers(1, 4))
def test_linear_of_sparse_rows(n, d, k):
    x, weight, bias = rows(n, d), rows(k, d, seed=1), rows(1, k, seed=2)[0]
    expected = dense_linear(x, weight, bias)
    torch.testing.assert_close(linear(x, weight, bias), expected)
    torch.testing.assert_close(linear(x.to_sparse_csr(), weight, bias), expected)


def parametric(module, function):
    """Return `function` of the module's parameters, for gradcheck."""
    names = [n for n, p in module.named_parameters() if p.requires_grad]
    values = tuple(p for p in module.parameters() if p.requires_grad)

    def call(*tensors):
        return torch.func.functional_call(
            function, dict(zip(names, tensors, strict=True)), ()
        )

    return call, values


class Whole(torch.nn.Module):
    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self):
        return self.decoder(self.encoder(rows()))


def wholes():
    shared = encoder()
    return {
        "free": Whole(encoder(), encoder(SIZES[::-1], seed=1, kind=MLPDecoder)),
        "tied": Whole(shared, TiedDecoder(shared)),
        "linear path": Whole(*linear_path()),
    }


@pytest.mark.parametrize("name", wholes())
def test_gradients(name):
    whole = wholes()[name]
    call, values = parametric(whole, whole)
    assert torch.autograd.gradcheck(call, values)


# -- tied weights ----------------------------------------------------------------


def test_tied_parameter_count():
    """One tensor for each pair of layers; biases of their own."""
    tied, free = wholes()["tied"], wholes()["free"]
    weights = 5 * 4 + 4 * 3 + 3 * 2
    biases = (4 + 3 + 2) + (3 + 4 + 5)
    assert sum(p.numel() for p in tied.parameters()) == weights + biases
    assert sum(p.numel() for p in free.parameters()) == 2 * weights + biases
    assert tied.decoder.weights() == []


def test_tied_weights_are_shared():
    shared = encoder()
    tied = TiedDecoder(shared)
    weight, _ = tied.readout()
    assert weight.data_ptr() == shared.layers[0].weight.data_ptr()
    z = rows(3, 2)
    before = tied(z)
    with torch.no_grad():
        shared.layers[1].weight.mul_(2)
    assert not torch.equal(tied(z), before)


def test_tied_gradient_is_that_of_both_sides():
    """One gradient: the sum of what free weights of the same values would get."""
    tied, x = wholes()["tied"], rows()
    free = Whole(encoder(), encoder(SIZES[::-1], kind=MLPDecoder))
    with torch.no_grad():
        for up, down in zip(
            free.decoder.layers, reversed(tied.encoder.layers), strict=True
        ):
            up.weight.copy_(down.weight.T)
            up.bias.zero_()
    for whole in (tied, free):
        (whole() - x).square().sum().backward()
    torch.testing.assert_close(tied(), free())
    for both, down, up in zip(
        tied.encoder.layers,
        free.encoder.layers,
        reversed(free.decoder.layers),
        strict=True,
    ):
        # each lies as (side of the data, side of the code)
        torch.testing.assert_close(both.kernel.grad, down.kernel.grad + up.kernel.grad)


@pytest.mark.parametrize("n_units", [2, 10, 40, 400])
def test_tied_weights_of_many_units_restore_a_row_once(n_units):
    """x W Wᵀ is about x of many units, and less of it of few."""
    network = MLPEncoder([40, n_units], "tanh", 0.0, generator(), torch.float64)
    decoder, x = TiedDecoder(network), rows(200, 40)
    share = float((decoder(network(x)) * x).sum().detach() / x.square().sum())
    assert share == pytest.approx(min(1.0, n_units / 40), rel=0.4)


# -- dropout ---------------------------------------------------------------------


@given(p=st.sampled_from([0.1, 0.5, 0.9]), seed=st.integers(0, 20))
def test_dropout(p, seed):
    """A share p becomes zero, the others are scaled so that the expectation stays."""
    h = rows(100, 50).abs() + 1
    out = dropout(h, p, generator(seed))
    kept = out != 0
    torch.testing.assert_close(out[kept], h[kept] / (1 - p))
    # five standard deviations of a binomial share (60 cases are looked at)
    slack = 5 * math.sqrt(p * (1 - p) / h.numel())
    assert abs(float(kept.double().mean()) - (1 - p)) < slack


def test_dropout_is_for_training_alone(untouched_global_state):
    h = rows()
    assert dropout(h, 0.5, None) is h
    network = encoder(p=0.5)
    assert torch.equal(network(h), network(h))
    assert torch.equal(network(h, generator(0)), network(h, generator(0)))
    assert not torch.equal(network(h, generator(0)), network(h, generator(1)))
    assert not torch.equal(network(h, generator(0)), network(h))


@pytest.mark.parametrize("kind", ["mlp", "tied"])
def test_dropout_expectation_is_the_deterministic_pass_of_a_linear_net(kind):
    network = encoder(activation="identity", p=0.4)
    decoder = (
        TiedDecoder(network)
        if kind == "tied"
        else encoder(SIZES[::-1], "identity", 0.4, kind=MLPDecoder)
    )
    x, draws = rows(1), generator()
    # as one large batch of the same row: each has its own mask
    with torch.no_grad():
        many = decoder(network(x.expand(40_000, -1), draws), draws)
        exact = decoder(network(x))
    error = many.std(0) / math.sqrt(len(many))
    assert bool(((many.mean(0) - exact[0]).abs() < 4 * error).all())
    assert bool((error > 0).all())


# -- initial weights and activations ---------------------------------------------


def test_initial_weights_come_from_the_generator(untouched_global_state):
    first, again, other = encoder(seed=0), encoder(seed=0), encoder(seed=1)
    for a, b, c in zip(first.weights(), again.weights(), other.weights(), strict=True):
        assert torch.equal(a, b) and not torch.equal(a, c)


@pytest.mark.parametrize("activation", ["tanh", "relu", "identity"])
def test_initial_weights_keep_the_size_of_what_passes(activation):
    network = encoder([300, 200, 100], activation)
    gains = [math.sqrt(2) if activation == "relu" else 1.0, 1.0]
    for weight, gain in zip(network.weights(), gains, strict=True):
        spread = gain / math.sqrt(weight.shape[1])
        # five standard errors of the spread of as many normal draws
        slack = 5 / math.sqrt(2 * weight.numel())
        assert float(weight.detach().std()) == pytest.approx(spread, rel=slack)
    assert not any(layer.bias.any() for layer in network.layers)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name):
    formulas = {
        "identity": lambda a: a,
        "relu": lambda a: np.maximum(a, 0),
        "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
        "logistic": lambda a: 1 / (1 + np.exp(-a)),
        "tanh": np.tanh,
        "softplus": lambda a: np.log1p(np.exp(a)),
        "gelu": lambda a: a * 0.5 * (1 + np.vectorize(math.erf)(a / math.sqrt(2))),
        "exp": np.exp,
        "softmax": lambda a: np.exp(a) / np.exp(a).sum(axis=-1, keepdims=True),
    }
    a = rows(requires_grad=True)
    function = get_activation(name)
    np.testing.assert_allclose(
        function(a).detach(), formulas[name](a.detach().numpy()), rtol=1e-9, atol=1e-12
    )
    assert torch.autograd.gradcheck(function, a)


# -- the linear path -------------------------------------------------------------


def test_linear_path_formula():
    outer, inner = linear_path()
    x, z = rows() * 4, rows(6, 2) * 4
    u = (x * outer.precision).clamp(-REACH, REACH)
    assert bool((u.abs() == REACH).any())
    skip = (x * outer.precision) @ outer.correction
    code = x @ outer.components + outer.trust * (outer.network(u) + skip)
    torch.testing.assert_close(outer(x), code)
    w = z / inner.code_scale
    seen = w.clamp(-REACH, REACH)
    assert bool((seen.abs() == REACH).any())
    skip = inner.trust * (w @ inner.correction.T)
    correction = inner.network(seen) + skip  # its last layer is in units of r
    torch.testing.assert_close(inner(z), w @ inner.components.T + correction)


@pytest.mark.parametrize("scale", [None, torch.ones(5)])
def test_linear_path_starts_at_its_linear_maps(scale):
    outer = LinearPathEncoder(encoder())
    inner = LinearPathDecoder(encoder(SIZES[::-1], kind=MLPDecoder))
    components, back = rows(5, 2), rows(5, 2, seed=1)
    outer.start_at_pca(components, scale, torch.ones(2))
    inner.start_at_pca(back, torch.ones(2), torch.ones(5))
    x = rows() * 100
    torch.testing.assert_close(outer(x), x @ components)
    torch.testing.assert_close(inner(x[:, :2]), x[:, :2] @ back.T)


def test_linear_path_extrapolates_linearly():
    """Far away the network says what it said at its border; the linear path goes on."""
    outer, inner = linear_path()
    far, farther = 1e4 * torch.ones(1, 5).double(), 2e4 * torch.ones(1, 5).double()
    skip = outer.correction * outer.precision[:, None] * outer.trust
    slope = (outer.components + skip).T
    torch.testing.assert_close(outer(farther) - outer(far), (farther - far) @ slope.T)
    skip = inner.trust[:, None] * inner.correction
    slope = (inner.components + skip) / inner.code_scale
    step = inner(farther[:, :2]) - inner(far[:, :2])
    torch.testing.assert_close(step, (farther - far)[:, :2] @ slope.T)


def test_linear_path_keeps_pca_fixed():
    for part in linear_path():
        frozen = {n for n, p in part.named_parameters() if not p.requires_grad}
        assert frozen == {"components"}
