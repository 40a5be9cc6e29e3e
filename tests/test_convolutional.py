"""Convolutional autoencoders: adjoints, switches, the order of pixels, learning."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from sklearn_ae import (
    AdversarialAutoencoder,
    Autoencoder,
    ConvolutionalAutoencoder,
    ImportanceWeightedAutoencoder,
    VariationalAutoencoder,
)
from sklearn_ae.parts.convolution import (
    ConvolutionalDecoder,
    ConvolutionalEncoder,
    blocks,
    convolve,
    convolve_adjoint,
    pool,
    unpool,
)

SIZES = [(1, 1), (1, 5), (1, 6), (5, 1), (2, 3), (4, 4), (7, 5), (8, 3)]
sizes = pytest.mark.parametrize("size", SIZES)
unpoolings = pytest.mark.parametrize("unpooling", ["switches", "repeat", "deconv"])


def normal(*shape, seed=0):
    return torch.tensor(np.random.default_rng(seed).normal(size=shape))


def window_of(size):
    return tuple(2 if n > 1 else 1 for n in size)


def images(n=12, shape=(6, 5, 2), seed=0):
    """Return rows with a bright spot in each channel, at a place of the row's own."""
    rng = np.random.default_rng(seed)
    X = 0.1 * rng.normal(size=(n, *shape))
    rows, columns = rng.integers(0, shape[0], n), rng.integers(0, shape[1], n)
    X[np.arange(n), rows, columns] += 2.0
    return X.reshape(n, -1)


def networks(unpooling="repeat", tied=False, shape=(5, 3, 2), activation="tanh"):
    generator = torch.Generator().manual_seed(0)
    encoder = ConvolutionalEncoder(
        shape, (3, 2), 3, (4, 2), activation, 0.0, generator, torch.float64
    )
    decoder = ConvolutionalDecoder(encoder, unpooling, tied, generator, torch.float64)
    return encoder, decoder


# -- pooling ----------------------------------------------------------------------


@sizes
def test_switches_keep_maxima_in_place(size):
    x = normal(3, 2, *size).abs()
    y, switches = pool(x, window_of(size))
    back = unpool(y, size, window_of(size), switches)
    assert back.shape == x.shape
    assert ((back == x) | (back == 0)).all()
    assert (back != 0).sum() == y.numel()
    again, places = pool(back, window_of(size))
    assert torch.equal(again, y) and torch.equal(places, switches)


@sizes
def test_repeating_fills_windows(size):
    window = window_of(size)
    y, _ = pool(normal(3, 2, *size), window)
    back = unpool(y, size, window, None)
    assert back.shape == (3, 2, *size)
    assert torch.equal(pool(back, window)[0], y)
    for i in range(size[0]):
        for j in range(size[1]):
            assert torch.equal(back[..., i, j], y[..., i // window[0], j // window[1]])


@pytest.mark.parametrize("activation", ["identity", "relu", "tanh", "softplus"])
def test_increasing_activations_may_come_after_pooling(activation):
    """As they do here, at a quarter of the cost; in the paper they come before."""
    encoder, _ = networks(activation=activation)
    x, act = normal(4, 30), encoder.dense.activation
    h = x.reshape(4, 5, 3, 2).permute(0, 3, 1, 2)
    for kernel, bias in zip(encoder.weights()[:2], encoder.biases, strict=True):
        same = F.conv2d(h, kernel, bias, padding=1)
        h = F.max_pool2d(act(same), 2, ceil_mode=True)
    expected = encoder.dense(h.permute(0, 2, 3, 1).reshape(4, -1))
    torch.testing.assert_close(encoder(x), expected)


# -- adjoints ---------------------------------------------------------------------


@sizes
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4, 5])
def test_transposed_convolution_is_the_adjoint(size, kernel_size):
    """⟨W ∗ x, y⟩ = ⟨x, Wᵀ ∗ y⟩, for odd and even filters, images and signals."""
    kernel = normal(4, 3, *(kernel_size if n > 1 else 1 for n in size))
    x, y = normal(2, 3, *size, seed=1), normal(2, 4, *size, seed=2)
    forth, back = convolve(x, kernel), convolve_adjoint(y, kernel, None, size)
    assert forth.shape == y.shape and back.shape == x.shape
    torch.testing.assert_close((forth * y).sum(), (x * back).sum())


@sizes
@pytest.mark.parametrize("kernel_size", [2, 3, 4, 5])
def test_strided_transposed_convolution_is_the_adjoint(size, kernel_size):
    kernel_shape = [kernel_size if n > 1 else 1 for n in size]
    stride = window_of(size)
    pooled = [-(-n // s) for n, s in zip(size, stride, strict=True)]
    kernel = normal(4, 3, *kernel_shape)
    x, y = normal(2, 3, *size, seed=1), normal(2, 4, *pooled, seed=2)
    axes = zip(pooled, stride, kernel_shape, size, strict=True)
    over = [(m - 1) * s + k - n for m, s, k, n in axes]
    margins = [edge for o in over[::-1] for edge in (o - o // 2, o // 2)]
    forth = F.conv2d(F.pad(x, margins), kernel, stride=stride)
    back = convolve_adjoint(y, kernel, None, size, stride)
    assert forth.shape == y.shape and back.shape == x.shape
    torch.testing.assert_close((forth * y).sum(), (x * back).sum())


@pytest.mark.parametrize("kernel_size", [2, 3, 4])
def test_convolution_keeps_what_is_in_the_middle(kernel_size):
    """A filter that is one at its middle (the left one of two) is the identity."""
    kernel, x = torch.zeros(1, 1, kernel_size, kernel_size), normal(2, 1, 5, 4).float()
    kernel[0, 0, (kernel_size - 1) // 2, (kernel_size - 1) // 2] = 1.0
    torch.testing.assert_close(convolve(x, kernel), x)
    torch.testing.assert_close(convolve_adjoint(x, kernel, None, (5, 4)), x)


# -- networks ---------------------------------------------------------------------


def test_blocks_of_a_signal_have_flat_filters():
    first, second = blocks((1, 5, 1), (8, 4), 3)
    assert first == ((1, 5), (1, 3), 1, 8, (1, 3), (1, 2))
    assert second == ((1, 3), (1, 2), 8, 4, (1, 3), (1, 2))


def test_tied_weights_are_the_encoders():
    encoder, decoder = networks(tied=True)
    assert decoder.weights() == []
    assert {name for name, _ in decoder.named_parameters()} == {
        *(f"biases.{i}" for i in range(2)),
        *(f"dense.biases.{i}" for i in range(2)),
    }
    assert sum(p.numel() for p in decoder.parameters()) == 3 + 2 + 4 + 4
    free = networks(tied=False)[1]
    assert [w.shape for w in free.weights()[:2]] == [
        w.shape for w in encoder.weights()[:2]
    ]
    sum_of_squares = decoder(encoder(normal(3, 30))).square().sum()
    by_hand = torch.autograd.grad(sum_of_squares, encoder.kernels[0].kernel)[0]
    step = 1e-6 * normal(*by_hand.shape, seed=5)
    with torch.no_grad():
        encoder.kernels[0].kernel += step
        moved = decoder(encoder(normal(3, 30))).square().sum()
    assert (moved - sum_of_squares).item() == pytest.approx(
        (by_hand * step).sum().item(), rel=1e-3
    )


@unpoolings
@pytest.mark.parametrize("tied", [False, True])
def test_gradients(unpooling, tied):
    if tied and unpooling == "deconv":
        return
    encoder, decoder = networks(unpooling, tied)
    both = torch.nn.ModuleDict({"encoder": encoder, "decoder": decoder})
    parameters = tuple(both.parameters())
    names = [name for name, _ in both.named_parameters()]

    class Whole(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.both = both

        def forward(self, x):
            z, switches = encoder.with_switches(x)
            return decoder(z, None, switches)

    def function(*values):
        given = dict(zip([f"both.{n}" for n in names], values, strict=True))
        return torch.func.functional_call(Whole(), given, (normal(2, 30),))

    assert torch.autograd.gradcheck(function, parameters)


@unpoolings
def test_kernels_are_drawn_from_the_generator(unpooling, untouched_global_state):
    first, second = networks(unpooling), networks(unpooling)
    for a, b in zip(first, second, strict=True):
        pairs = zip(a.parameters(), b.parameters(), strict=True)
        assert all(torch.equal(p, q) for p, q in pairs)
    kernels = [n for n, p in first[0].named_parameters() if p.ndim > 1]
    assert kernels and all(name.endswith(".kernel") for name in kernels)


# -- the estimator ----------------------------------------------------------------

SHAPES = [None, (7, 5), (5, 7, 1), (35, 1), (1, 35), (1, 7, 5), (1, 1, 35)]


@unpoolings
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kernel_size", [2, 3])
def test_shapes(unpooling, shape, kernel_size):
    X = images(12, (7, 5, 1))
    model = ConvolutionalAutoencoder(
        3,
        image_shape=shape,
        unpooling=unpooling,
        kernel_size=kernel_size,
        max_iter=2,
        dropout=0.1,
        random_state=0,
    ).fit(X)
    assert model.transform(X).shape == (12, 3)
    assert model.reconstruct(X).shape == X.shape
    assert model.sample(2, random_state=0).shape == (2, 35)
    assert model.jacobian_norm(X).shape == (12,)


def test_shape_by_default():
    shapes = {1: (1, 1, 1), 9: (3, 3, 1), 10: (1, 10, 1), 12: (1, 12, 1)}
    for n, shape in shapes.items():
        X = np.random.default_rng(0).normal(size=(6, n))
        model = ConvolutionalAutoencoder(1, max_iter=1).fit(X)
        assert model.module_.network.images.shape == shape


def test_rows_are_channels_last():
    """A kernel that picks the green, and one neighbour, sees just these."""
    X = np.random.default_rng(0).normal(size=(4, 2, 3, 3))  # height, width, colour
    encoder = ConvolutionalEncoder(
        (2, 3, 3), (1,), 3, (1,), "identity", 0.0, torch.Generator(), torch.float64
    )
    with torch.no_grad():
        for weight in encoder.weights():
            weight.zero_()
        encoder.kernels[0].kernel[0, 1, 1, 2] = 1.0  # green of the right neighbour
        encoder.dense.weights()[0][0, 1] = 1.0  # of the maps, the upper right
    codes = encoder(torch.tensor(X.reshape(4, -1))).detach().numpy()
    # the last column has no right neighbour: zeros are beyond the border
    np.testing.assert_allclose(codes[:, 0], 0.0)
    with torch.no_grad():
        encoder.kernels[0].kernel.zero_()[0, 1, 1, 1] = 1.0
    codes = encoder(torch.tensor(X.reshape(4, -1))).detach().numpy()
    np.testing.assert_allclose(codes[:, 0], X[:, :, 2, 1].max(axis=1))


def test_rows_out_are_channels_last():
    """Moving a channel's bias in the decoder moves that channel of the rows alone."""
    X = images()
    model = ConvolutionalAutoencoder(2, image_shape=(6, 5, 2), max_iter=1).fit(X)
    before = model.reconstruct(X)
    with torch.no_grad():
        model.module_.decoder.biases[0][1] += 1.0
    scale = model._fit.units.scale * model.module_.decoder.each.scale.numpy()
    moved = ((model.reconstruct(X) - before) / scale).reshape(-1, 6, 5, 2)
    np.testing.assert_allclose(moved[..., 0], 0.0, atol=1e-6)
    np.testing.assert_allclose(moved[..., 1], 1.0, rtol=1e-4)


def test_places_in_rows_are_places_in_images():
    """With one filter for every place, a shift by a whole window shifts the maps."""
    encoder = ConvolutionalEncoder(
        (8, 6, 1), (2,), 3, (1,), "tanh", 0.0, torch.Generator(), torch.float64
    )
    x = torch.zeros(2, 8, 6)
    x[0, 2, 2] = x[1, 4, 2] = 1.0  # two rows below
    read = []
    encoder.dense.forward = lambda h, generator: read.append(h) or h
    encoder(x.reshape(2, -1).double())
    first, second = read[0].reshape(2, 4, 3, 2)
    torch.testing.assert_close(second[1:], first[:-1])


@pytest.mark.parametrize("unpooling", ["repeat", "deconv"])
def test_code_is_all_that_the_decoder_knows(unpooling):
    X = images()
    model = ConvolutionalAutoencoder(
        image_shape=(6, 5, 2), unpooling=unpooling, max_iter=2, dtype="float64"
    ).fit(X)
    restored = model.inverse_transform(model.transform(X))
    np.testing.assert_allclose(restored, model.reconstruct(X), rtol=1e-10)


def test_switches_are_known_to_reconstruct_and_score_alone():
    X = images()
    settings = {"image_shape": (6, 5, 2), "max_iter": 2, "dtype": "float64"}
    model = ConvolutionalAutoencoder(unpooling="switches", **settings).fit(X)
    from_code = model.inverse_transform(model.transform(X))
    assert not np.allclose(from_code, model.reconstruct(X), rtol=0.1)
    error = np.square(X - model.reconstruct(X)).mean(axis=1)
    np.testing.assert_allclose(model.reconstruction_error(X), error)


def test_without_switches_it_is_the_mean_over_all_of_them():
    """Of one block with nothing but a convolution above it, which is linear."""
    generator = torch.Generator().manual_seed(0)
    settings = ((4, 6, 1), (3,), 3, (5,), "relu", 0.0, generator, torch.float64)
    encoder = ConvolutionalEncoder(*settings)
    decoder = ConvolutionalDecoder(encoder, "switches", False, generator, torch.float64)
    z = torch.randn(2, 5, generator=generator, dtype=torch.float64)
    rows, columns = torch.meshgrid(
        torch.arange(0, 4, 2), torch.arange(0, 6, 2), indexing="ij"
    )
    corner = (rows * 6 + columns).expand(2, 3, 2, 3)
    placed = [
        decoder(z, None, [(corner + down * 6 + right).contiguous()])
        for down in (0, 1)
        for right in (0, 1)
    ]
    torch.testing.assert_close(decoder(z), torch.stack(placed).mean(0))


@unpoolings
def test_nothing_is_left_on_the_module(unpooling):
    """Answers depend on weights and rows alone, not on the call before."""
    X = images()
    model = ConvolutionalAutoencoder(
        image_shape=(6, 5, 2), unpooling=unpooling, max_iter=1
    ).fit(X)
    held = {name: set(vars(part)) for name, part in model.module_.named_modules()}
    first, codes = model.reconstruct(X), model.transform(X)
    model.reconstruct(X[::-1]), model.score(X[:3]), model.inverse_transform(codes)
    np.testing.assert_array_equal(model.reconstruct(X), first)
    assert held == {name: set(vars(p)) for name, p in model.module_.named_modules()}


@pytest.mark.slow
@pytest.mark.parametrize("unpooling", ["switches", "repeat", "deconv"])
def test_learns(unpooling):
    X = load_digits().data
    train, test = X[:1400], X[1400:]
    pca = PCA(8).fit(train)
    lost = np.square(test - pca.inverse_transform(pca.transform(test))).mean()
    model = ConvolutionalAutoencoder(
        8, unpooling=unpooling, batch_size=64, max_iter=15, random_state=0
    )
    assert -model.fit(train).score(test) < 0.9 * lost


def test_tied_weights_learn():
    X = load_digits().data
    model = ConvolutionalAutoencoder(
        8, unpooling="repeat", tied_weights=True, max_iter=8, random_state=0
    ).fit(X)
    assert -model.score(X) < 0.6 * X.var(axis=0).mean()


# -- what is refused --------------------------------------------------------------


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"image_shape": (28, 28)},
            r"^image_shape=\(28, 28\) holds 784 numbers, but X has 60 features\.$",
        ),
        ({"image_shape": (6, 5, 3)}, r"^image_shape=\(6, 5, 3\) holds 90 numbers"),
        (
            {"unpooling": "deconv", "tied_weights": True},
            "tied_weights=True is not supported with unpooling='deconv'",
        ),
        (
            {"unpooling": "deconv", "kernel_size": 1},
            r"unpooling='deconv' needs kernel_size=2 or more",
        ),
        ({"linear_path": True}, "linear_path=True is not supported with Convolutional"),
    ],
)
def test_refused_before_training(method, settings, message):
    model = ConvolutionalAutoencoder(**settings)
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(images())
    assert not hasattr(model, "n_features_in_")


@pytest.mark.parametrize(
    "other",
    [
        {"image_shape": (5, 6, 2)},
        {"image_shape": None},
        {"unpooling": "repeat"},
        {"kernel_size": 5},
        {"channels": (4,)},
        {"channels": (4, 5)},
    ],
)
def test_warm_start_keeps_the_architecture(other):
    X = images()
    model = ConvolutionalAutoencoder(
        image_shape=(6, 5, 2), channels=(4, 4), max_iter=1, warm_start=True
    ).fit(X)
    assert model.fit(X).n_iter_ == 2
    with pytest.raises(ValueError, match="cannot go on with another architecture"):
        model.set_params(**other).fit(X)


def test_no_affine_decoder():
    model = ConvolutionalAutoencoder(max_iter=1).fit(images())
    for name in ("components_", "mean_"):
        assert not hasattr(model, name)
        assert f"\n{name} :" not in ConvolutionalAutoencoder.__doc__


def test_dropout_in_both_halves():
    X = images(40, (6, 6, 1))
    model = ConvolutionalAutoencoder(
        2, channels=(3, 4), dropout=0.5, activation="softplus", max_iter=1
    ).fit(X)
    module = model.module_
    x = torch.tensor(X, dtype=torch.float32)
    z = module.encoder(x)
    for half, given in ((module.encoder, x), (module.decoder, z)):
        outputs = [half(given, torch.Generator().manual_seed(s)) for s in (0, 0, 1)]
        torch.testing.assert_close(outputs[0], outputs[1])
        assert not torch.equal(outputs[0], outputs[2])
        torch.testing.assert_close(half(given), half(given))


# -- the same networks in other methods -------------------------------------------

METHODS = [
    Autoencoder,
    VariationalAutoencoder,
    ImportanceWeightedAutoencoder,
    AdversarialAutoencoder,
]
methods = pytest.mark.parametrize("method", METHODS)


def of_images(method, **params):
    given = {"image_shape": (6, 5, 2), "channels": (3, 4), "hidden_layer_sizes": (4,)}
    if "n_importance_samples" in method().get_params():
        given["n_importance_samples"] = 3
    return method(2, **{**given, "max_iter": 2, "random_state": 0, **params})


@methods
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"unpooling": "repeat", "tied_weights": True, "dropout": 0.1},
        {"hidden_layer_sizes": (), "kernel_size": 2, "dtype": "float64"},
        {"image_shape": (6, 10), "alpha": 1e-3},
        {"image_shape": (1, 60), "channels": (2, 2, 2, 2), "solver": "sgd"},
    ],
)
def test_other_methods_are_convolutional(method, settings):
    X = images()
    model = of_images(method, **settings).fit(X)
    module = model.module_
    assert type(module.encoder) is ConvolutionalEncoder
    assert type(module.decoder) is ConvolutionalDecoder
    assert model.transform(X).shape == (12, 2)
    assert model.reconstruct(X).shape == model.interpolate(X[:12], X)[:, 0].shape
    assert model.sample(2, random_state=0).shape == (2, 60)
    assert model.jacobian_norm(X).shape == model.score_samples(X).shape == (12,)
    restored = model.inverse_transform(model.transform(X))
    np.testing.assert_allclose(restored, model.reconstruct(X), rtol=1e-4, atol=1e-5)
    for name in ("components_", "mean_"):
        assert not hasattr(model, name)


@methods
def test_without_a_shape_the_order_of_features_means_nothing(method):
    X = images()
    model = of_images(method, image_shape=None, channels=(7,), kernel_size=1).fit(X)
    assert not isinstance(model.module_.encoder, ConvolutionalEncoder)
    plain = of_images(method, image_shape=None).fit(X)
    np.testing.assert_array_equal(model.transform(X), plain.transform(X))


def test_plain_autoencoder_of_images_is_the_convolutional_one():
    """With "deconv", of which the code is all that the decoder knows."""
    X = images()
    settings = {"learning_rate_init": 0.01, "max_iter": 3}
    ours, theirs = (
        of_images(method, **settings).fit(X)
        for method in (Autoencoder, ConvolutionalAutoencoder)
    )
    np.testing.assert_allclose(ours.transform(X), theirs.transform(X), rtol=1e-4)


@methods
@pytest.mark.parametrize("how", ["fit", "partial_fit"])
def test_sparse_rows_are_no_images(method, how):
    """And they are again taken without a shape."""
    X, sparse = images(), sp.csr_array(images())
    model = of_images(method)
    wording = "Sparse data was passed for X, but dense data is required"
    with pytest.raises(TypeError, match=wording):
        getattr(model, how)(sparse)
    assert not hasattr(model, "n_features_in_")
    with pytest.raises(TypeError, match=wording):
        model.fit(X).transform(sparse)
    assert not model.__sklearn_tags__().input_tags.sparse
    model.set_params(image_shape=None)
    assert model.__sklearn_tags__().input_tags.sparse
    assert getattr(clone(model), how)(sparse).transform(sparse).shape == (12, 2)


@methods
def test_a_shape_that_is_set_after_fit_is_for_the_next(method):
    """What a fitted model takes is what it was fitted with."""
    X, sparse = images(), sp.csr_array(images())
    plain = of_images(method, image_shape=None, standardize=False).fit(sparse)
    expected = plain.transform(sparse)
    plain.set_params(image_shape=(6, 5, 2))
    np.testing.assert_array_equal(plain.transform(sparse), expected)
    model = of_images(method, standardize=False).fit(X).set_params(image_shape=None)
    with pytest.raises(TypeError, match="Sparse data was passed"):
        model.transform(sparse)


@methods
@pytest.mark.parametrize("how", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_shape": (28, 28)}, r"holds 784 numbers, but X has 60 features"),
        ({"image_shape": (6, 5)}, r"holds 30 numbers, but X has 60 features"),
        ({"tied_weights": True}, "tied_weights=True is not supported with unpooling="),
        ({"kernel_size": 1}, "unpooling='deconv' needs kernel_size=2 or more"),
    ],
)
def test_what_other_methods_refuse(method, how, settings, message):
    model = of_images(method, **settings)
    with pytest.raises(ValueError, match=message):
        getattr(model, how)(images())
    assert not hasattr(model, "n_features_in_")


@methods
def test_switches_are_of_the_convolutional_one_alone(method):
    with pytest.raises(ValueError, match=r"The 'unpooling' parameter of .* Got 'swit"):
        of_images(method, unpooling="switches").fit(images())


@pytest.mark.parametrize("method", [Autoencoder, AdversarialAutoencoder])
def test_no_linear_path_through_images(method):
    message = r"linear_path=True is not supported with image_shape=\(6, 5, 2\)"
    with pytest.raises(ValueError, match=message):
        of_images(method, linear_path=True).fit(images())
    assert of_images(method, linear_path="auto").fit(images()).n_iter_ == 2


@methods
def test_images_in_a_warm_start(method):
    X = images()
    model = of_images(method, warm_start=True).fit(X)
    assert model.fit(X).n_iter_ == 4
    for other in (
        {"image_shape": None},
        {"image_shape": (5, 6, 2)},
        {"kernel_size": 5},
    ):
        with pytest.raises(ValueError, match="cannot go on with another architecture"):
            clone(model).fit(X).set_params(**other).fit(X)


@pytest.mark.parametrize("method", [VariationalAutoencoder, AdversarialAutoencoder])
def test_other_methods_learn_images(method):
    X = images(200, (4, 4, 1))
    settings = {"channels": (8,), "hidden_layer_sizes": (), "learning_rate_init": 0.03}
    if method is VariationalAutoencoder:
        settings["noise_scale"] = 0.3  # of this, codes are worth their nats at once
    model = of_images(method, image_shape=(4, 4), max_iter=25, **settings)
    model.set_params(batch_size=40).fit(X)
    assert np.square(X - model.reconstruct(X)).mean() < 0.8 * X.var(axis=0).mean()
