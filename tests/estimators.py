"""The table of all public estimators, each with fast constructors, and their data."""

import inspect

import joblib
import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.linear_model import LinearRegression
from sklearn.mixture import GaussianMixture

import sklearn_ae
from sklearn_ae import (
    L1,
    L2,
    AdversarialAutoencoder,
    Autoencoder,
    AutoencoderOutlierDetector,
    ContractiveAutoencoder,
    ConvolutionalAutoencoder,
    DenoisingAutoencoder,
    EmbeddingAutoencoder,
    GaussianNoise,
    GeneralizedAutoencoder,
    ImportanceWeightedAutoencoder,
    KSparseAutoencoder,
    Masking,
    SparseAutoencoder,
    SplitBrainAutoencoder,
    StackedAutoencoderClassifier,
    StackedAutoencoderPretrainer,
    VariationalAutoencoder,
)
from sklearn_ae.engine.estimator import BaseAutoencoder
from sklearn_ae.params.fields import Params

#: Whole configurations, as users get them: these pass every check with every default.
#: The other methods' defaults are those in `FAST` but for hundreds of epochs, which
#: would take minutes.
DEFAULTS = {
    "Autoencoder": Autoencoder(),
    "AutoencoderOutlierDetector": AutoencoderOutlierDetector(),
}

#: A layer without noise, and one with; both of one affine map and a nonlinearity.
CALM = Autoencoder(
    max_iter=3,
    hidden_layer_sizes=(),
    code_activation="tanh",
    standardize=False,
    dtype="float64",
)
NOISY = DenoisingAutoencoder(max_iter=3, hidden_layer_sizes=(), code_activation="relu")
STACK = StackedAutoencoderPretrainer(NOISY, layer_sizes=(4, 2), max_iter=3)

#: The configurations that take different paths through the code, with few epochs.
FAST = {
    "Autoencoder": Autoencoder(max_iter=3),
    "Autoencoder-float64": Autoencoder(max_iter=3, dtype="float64"),
    "Autoencoder-bfloat16": Autoencoder(max_iter=3, dtype="bfloat16"),
    "Autoencoder-linear": Autoencoder(max_iter=3, hidden_layer_sizes=()),
    "Autoencoder-plain": Autoencoder(max_iter=3, linear_path=False),
    "Autoencoder-raw": Autoencoder(max_iter=3, standardize=False),
    "Autoencoder-tied": Autoencoder(max_iter=3, tied_weights=True, activation="tanh"),
    "Autoencoder-deep": Autoencoder(
        max_iter=3, hidden_layer_sizes=(8, 4), dropout=0.2, alpha=1e-3
    ),
    "Autoencoder-lbfgs": Autoencoder(max_iter=3, solver="lbfgs", activation="tanh"),
    "Autoencoder-sgd": Autoencoder(max_iter=3, solver="sgd", learning_rate="constant"),
    "Autoencoder-absolute": Autoencoder(max_iter=3, loss="absolute_error"),
    "Autoencoder-denoising": Autoencoder(
        max_iter=3, penalties=[L1(), ("smooth", L2(weight=0.1))], corruption=Masking()
    ),
    "Autoencoder-stopping": Autoencoder(
        max_iter=3, early_stopping=True, validation_fraction=0.2
    ),
    "Autoencoder-smooth": Autoencoder(max_iter=3, penalties=L2()),
    "AdversarialAutoencoder": AdversarialAutoencoder(max_iter=3),
    "AdversarialAutoencoder-mixture": AdversarialAutoencoder(
        max_iter=3, prior="mixture", discriminator_layer_sizes=(), dtype="float64"
    ),
    "AdversarialAutoencoder-uniform": AdversarialAutoencoder(
        max_iter=3, prior="uniform", solver="sgd", discriminator_layer_sizes=(8,)
    ),
    "AutoencoderOutlierDetector-density": AutoencoderOutlierDetector(
        Autoencoder(2, max_iter=3, dtype="float64")
    ),
    "AutoencoderOutlierDetector-score": AutoencoderOutlierDetector(
        Autoencoder(2, max_iter=3, dtype="float64"),
        contamination=0.1,
        n_estimators=2,
        criterion="score",
    ),
    "AutoencoderOutlierDetector-stack": AutoencoderOutlierDetector(
        StackedAutoencoderPretrainer(CALM, layer_sizes=(4, 2)), contamination=0.1
    ),
    "ContractiveAutoencoder": ContractiveAutoencoder(max_iter=3),
    "ContractiveAutoencoder-deep": ContractiveAutoencoder(
        max_iter=3, hidden_layer_sizes=(8,), jacobian="hutchinson", tied_weights=False
    ),
    "ConvolutionalAutoencoder": ConvolutionalAutoencoder(max_iter=3),
    "ConvolutionalAutoencoder-repeat": ConvolutionalAutoencoder(
        max_iter=3, unpooling="repeat", channels=(4,), kernel_size=2, dropout=0.2
    ),
    "ConvolutionalAutoencoder-tied": ConvolutionalAutoencoder(
        max_iter=3,
        unpooling="repeat",
        tied_weights=True,
        hidden_layer_sizes=(4,),
        dtype="float64",
    ),
    "DenoisingAutoencoder": DenoisingAutoencoder(max_iter=3),
    "DenoisingAutoencoder-emphasis": DenoisingAutoencoder(
        max_iter=3, noise="masking", emphasis=0.8, dtype="float64"
    ),
    "EmbeddingAutoencoder": EmbeddingAutoencoder(max_iter=3),
    "EmbeddingAutoencoder-mds": EmbeddingAutoencoder(
        max_iter=3,
        embedding="mds",
        code_activation="sigmoid",
        sparsity_weight=0.1,
        dtype="float64",
    ),
    "EmbeddingAutoencoder-margin": EmbeddingAutoencoder(
        max_iter=3, embedding="margin", batch_size=7, hidden_layer_sizes=(8,)
    ),
    "EmbeddingAutoencoder-ball": EmbeddingAutoencoder(
        max_iter=3, neighbors="ball", batch_size=7, dtype="float64"
    ),
    "GeneralizedAutoencoder": GeneralizedAutoencoder(max_iter=3),
    "GeneralizedAutoencoder-class": GeneralizedAutoencoder(
        max_iter=3, relation="class", dtype="float64"
    ),
    "GeneralizedAutoencoder-isomap": GeneralizedAutoencoder(
        max_iter=3, relation="isomap", n_rounds=2, n_landmarks=8
    ),
    "GeneralizedAutoencoder-lle": GeneralizedAutoencoder(
        max_iter=3, relation="lle", n_rounds=2, linear_path=False, batch_size=9
    ),
    "GeneralizedAutoencoder-mfa": GeneralizedAutoencoder(
        max_iter=3, relation="mfa", n_neighbors=2, self_weight=0.1
    ),
    "ImportanceWeightedAutoencoder": ImportanceWeightedAutoencoder(max_iter=3),
    "ImportanceWeightedAutoencoder-small": ImportanceWeightedAutoencoder(
        max_iter=3,
        n_importance_samples=3,
        noise_scale=0.5,
        hidden_layer_sizes=(8,),
        dtype="float64",
    ),
    "KSparseAutoencoder": KSparseAutoencoder(max_iter=3),
    "KSparseAutoencoder-free": KSparseAutoencoder(
        max_iter=3, k=1, tied_weights=False, code_activation="relu"
    ),
    "SparseAutoencoder": SparseAutoencoder(max_iter=3),
    "SparseAutoencoder-l1": SparseAutoencoder(max_iter=3, penalty="l1"),
    "SplitBrainAutoencoder": SplitBrainAutoencoder(max_iter=3),
    "SplitBrainAutoencoder-classification": SplitBrainAutoencoder(
        max_iter=3, target="classification", n_bins=4, dropout=0.2, dtype="float64"
    ),
    "SplitBrainAutoencoder-affine": SplitBrainAutoencoder(
        max_iter=3, hidden_layer_sizes=(), loss="absolute_error", alpha=1e-3
    ),
    "StackedAutoencoderPretrainer": StackedAutoencoderPretrainer(max_iter=3).set_params(
        estimator__max_iter=3
    ),
    "StackedAutoencoderPretrainer-reconstruction": clone(STACK).set_params(
        fine_tune="reconstruction", dropout=0.2, alpha=1e-3
    ),
    "StackedAutoencoderPretrainer-class": clone(STACK).set_params(fine_tune="class"),
    "StackedAutoencoderPretrainer-float64": StackedAutoencoderPretrainer(
        CALM, layer_sizes=(4, 2), fine_tune="reconstruction", max_iter=3
    ),
    "StackedAutoencoderPretrainer-mixed": StackedAutoencoderPretrainer(
        estimators=[
            ("below", ConvolutionalAutoencoder(6, max_iter=3)),
            ("top", KSparseAutoencoder(2, max_iter=3)),
        ]
    ),
    "StackedAutoencoderClassifier": StackedAutoencoderClassifier(
        max_iter=10
    ).set_params(pretrainer__estimator__max_iter=3),
    "StackedAutoencoderClassifier-stopping": StackedAutoencoderClassifier(
        STACK, max_iter=3, early_stopping=True, validation_fraction=0.2
    ),
    "StackedAutoencoderClassifier-untrained": StackedAutoencoderClassifier(
        StackedAutoencoderPretrainer(CALM, layer_sizes=(8, 4)),
        pretrain=False,
        alpha=1e-2,
        max_iter=10,
    ),
    "VariationalAutoencoder": VariationalAutoencoder(max_iter=3),
    "VariationalAutoencoder-tied": VariationalAutoencoder(
        max_iter=3, tied_weights=True, hidden_layer_sizes=(8,), beta=2.0, kl_warmup=0.5
    ),
    "VariationalAutoencoder-density": VariationalAutoencoder(
        max_iter=3,
        hidden_layer_sizes=(8,),
        density=GaussianMixture(2),
        dtype="float64",
    ),
    "VariationalAutoencoder-fixed": VariationalAutoencoder(
        max_iter=3, noise_scale=0.5, hidden_layer_sizes=(), solver="sgd", alpha=1e-3
    ),
}

#: Where labels are read they are those of `labels`, in which −1 is none.
for _estimator in FAST.values():
    if hasattr(_estimator, "unlabeled"):
        _estimator.set_params(unlabeled=-1)

#: Those with one network, and those that also have codes.
SINGLE = {n: e for n, e in FAST.items() if isinstance(e, BaseAutoencoder)}
CODECS = {n: e for n, e in FAST.items() if hasattr(e, "inverse_transform")}

#: A few of them, for what depends on little beside validation.
CORE = {
    name: FAST[name]
    for name in (
        "Autoencoder",
        "Autoencoder-float64",
        "Autoencoder-linear",
        "Autoencoder-tied",
        "AutoencoderOutlierDetector-density",
        "AdversarialAutoencoder",
        "ContractiveAutoencoder",
        "ConvolutionalAutoencoder",
        "DenoisingAutoencoder",
        "EmbeddingAutoencoder",
        "GeneralizedAutoencoder",
        "GeneralizedAutoencoder-class",
        "ImportanceWeightedAutoencoder-small",
        "KSparseAutoencoder",
        "SparseAutoencoder",
        "SplitBrainAutoencoder",
        "StackedAutoencoderPretrainer",
        "StackedAutoencoderPretrainer-class",
        "StackedAutoencoderClassifier",
        "VariationalAutoencoder",
    )
}

#: One for each way of reading rows, which `test_rows_are_read_in_these_ways` holds
#: against all classes: in float32 and in float64; with gaps; dense alone; with labels;
#: by layers; by what trains such layers; by what judges rows; and in a transform of
#: its own.
READING = {
    name: FAST[name]
    for name in (
        "Autoencoder",
        "Autoencoder-float64",
        "DenoisingAutoencoder",
        "ConvolutionalAutoencoder",
        "GeneralizedAutoencoder-class",
        "StackedAutoencoderPretrainer-class",
        "StackedAutoencoderClassifier-stopping",
        "AutoencoderOutlierDetector-score",
        "VariationalAutoencoder",
    )
}

#: For each parameter of each public class: values out of its domain.
BAD_NUMBER = [-1, "a", None, float("nan")]
BAD_COUNT = [0, -1, 2.0, "a", True, None]
BAD_NAME = ["nonsense", 3, None]
BAD_FLAG = ["yes", 1, None]
BAD_VALUES = {
    "n_components": BAD_COUNT,
    "hidden_layer_sizes": [(0,), (("a", 7),), (8, -1), (8, 2.0), 8, "8", None, (True,)],
    "activation": [*BAD_NAME, "rleu", "exp"],
    "code_activation": [*BAD_NAME, "exp"],
    "output_activation": BAD_NAME,
    "loss": [*BAD_NAME, "mse"],
    "tied_weights": BAD_FLAG,
    "linear_path": ["yes", 1, None],
    "dropout": [*BAD_NUMBER, 1, 1.0, True],
    "alpha": [*BAD_NUMBER, True],
    "weight_decay": [-1, "a", None, float("nan"), True],
    "standardize": BAD_FLAG,
    "solver": [*BAD_NAME, "Adam"],
    "learning_rate_init": [*BAD_NUMBER, 0, 0.0, True],
    "learning_rate": [*BAD_NAME, 0.1],
    "batch_size": [0, -1, 2.0, "a", True, None],
    "max_iter": BAD_COUNT,
    "tol": [*BAD_NUMBER, True],
    "n_iter_no_change": BAD_COUNT,
    "early_stopping": BAD_FLAG,
    "validation_fraction": [*BAD_NUMBER, 0, 1, 1.5, True],
    "shuffle": BAD_FLAG,
    "warm_start": BAD_FLAG,
    "random_state": [-1, 1.5, "a", 2**32, np.random],
    "device": [3, None],
    "dtype": [*BAD_NAME, "float16", np.float32],
    "callbacks": [3, "early_stopping", [3], [("name", 3)]],
    "verbose": [-1, 1.5, "a", None],
    "penalties": [3, "l1", [3], L1, [("name", 3)], GaussianNoise()],
    "corruption": [3, "masking", Masking, L1(), [Masking()]],
    "image_shape": [
        (0, 2),
        (3,),
        (("a", 7), 7),
        (1, 2, 3, 4),
        (2.0, 2),
        4,
        "ab",
        (True, 2),
        (),
    ],
    "channels": [(), (0,), (("a", 7),), (8, -1), (8, 2.0), 8, "8", None, (True,)],
    "kernel_size": BAD_COUNT,
    "unpooling": [*BAD_NAME, "swiches"],
    "weight": [*BAD_NUMBER, True],
    "sparsity": [*BAD_NUMBER, 0, 1, 1.5, True],
    "sparsity_weight": [*BAD_NUMBER, True],
    "penalty": BAD_NAME,
    "contraction": [*BAD_NUMBER, True],
    "jacobian": [*BAD_NAME, "auto"],
    "k": [0, -1, 2.0, "a", True],
    "transform_k": [0, -1, 2.0, "a", True],
    "k_schedule": BAD_NAME,
    "revive_dead": BAD_FLAG,
    "sparse_output": BAD_FLAG,
    "noise": [*BAD_NAME, L1(), Masking],
    "emphasis": [*BAD_NUMBER, 1.5, True],
    "noise_level": [*BAD_NUMBER, True],
    "estimator": [3, "denoising", Autoencoder, GaussianNoise(), [Autoencoder()]],
    "layer_sizes": [(), (0,), (("a", 7),), (8, -1), (8, 2.0), 8, "8", None, (True,)],
    "estimators": [3, [], "ab", [3], Autoencoder, Autoencoder(), [("name", 3)]],
    "fine_tune": ["nonsense", 3, True, "classes"],
    "pretrainer": [3, "stacked", Autoencoder(), StackedAutoencoderPretrainer, [STACK]],
    "pretrain": BAD_FLAG,
    "contamination": [0, 0.0, 0.7, 1, -0.1, "none", None, float("nan"), True],
    "n_estimators": BAD_COUNT,
    "criterion": [*BAD_NAME, "reconstruction"],
    "scoring": [*BAD_NAME, "acuracy"],
    "class_weight": [3, "balance", [1.0, 2.0], True],
    "density": ["gaussian", 3, True, GaussianMixture, LinearRegression(), Autoencoder],
    "beta": [*BAD_NUMBER, True],
    "likelihood": [*BAD_NAME, "normal", "log_loss"],
    "noise_scale": [*BAD_NUMBER, 0, 0.0, "learned", True],
    "dynamic_binarization": BAD_FLAG,
    "kl_warmup": [*BAD_NUMBER, 1.5, 10, True],
    "split": [*BAD_NAME, "half", ([0], []), ([0.5], [1]), ([0], [-1]), [0, 1], [[0]]],
    "target": [*BAD_NAME, "regresion"],
    "n_bins": [*BAD_COUNT, 1],
    "n_importance_samples": BAD_COUNT,
    "relation": [*BAD_NAME, "pca", "Isomap"],
    "n_neighbors": BAD_COUNT,
    "neighbors": [*BAD_NAME, "radius", "KNN"],
    "radius": [*BAD_NUMBER, 0, 0.0, float("inf"), "mean", True],
    "n_impostors": BAD_COUNT,
    "bandwidth": [*BAD_NUMBER, 0, 0.0, "mean", True],
    "n_landmarks": [*BAD_COUNT, 1],
    "self_weight": [*BAD_NUMBER, True],
    "n_rounds": BAD_COUNT,
    "embedding": [*BAD_NAME, "isomap"],
    "embedding_weight": [*BAD_NUMBER, True],
    "reconstruction_weight": [*BAD_NUMBER, True],
    "margin": [*BAD_NUMBER, 0, 0.0, True],
    "prior": [*BAD_NAME, "normal", np.zeros((3, 2)), ["gaussian"]],
    "n_mixture_components": [0, -1, 2.0, "a", True],
    "unlabeled": [1.5, True, [-1], float("nan")],
    "adversarial_rate": [*BAD_NUMBER, 0, 0.0, True],
    "discriminator_layer_sizes": [
        (0,),
        (("a", 7),),
        (8, -1),
        (8, 2.0),
        8,
        "8",
        None,
        (True,),
    ],
}


def public_classes(kind=Params):
    """Return the public classes derived from `kind`: with parameters, by default."""
    members = [getattr(sklearn_ae, name) for name in sklearn_ae.__all__]
    return [m for m in members if inspect.isclass(m) and issubclass(m, kind)]


def public_estimators():
    return public_classes(BaseEstimator)


def table(n_samples=24, n_features=5, seed=0):
    """Return correlated whole numbers, which every dtype holds exactly."""
    rng = np.random.default_rng(seed)
    codes = rng.normal(size=(n_samples, 2))
    noise = rng.normal(size=(n_samples, n_features))
    X = codes @ rng.normal(size=(2, n_features)) * 4 + noise
    return np.round(np.clip(X + 10, 0, 30))


def labels(n_samples=24):
    """Return one of two classes for each row, or −1, which is none."""
    return np.array([0, 1, -1])[np.arange(n_samples) % 3]


SOME = labels(60)
YES_OR_NO = np.where(SOME == 1, "yes", "no")
MINUS_ONE = (
    np.where(SOME == -1, "-1", YES_OR_NO),
    r"'-1' is one of them.*dtype=object and the number -1",
)
PAIRS = pd.Series([(one, 0) for one in SOME]).to_numpy()
DAYS = np.datetime64("2026-01-01") + np.maximum(SOME, 0)

#: For 60 rows: what cannot be learned from, and what is said of it.
BAD_Y = {
    "none": (None, r"requires y to be passed, but the target y is None"),
    "single class": (np.zeros(60), r"at least 2 classes in y.* one class: 0"),
    "single class beside unlabelled": (
        np.where(SOME == 0, 3, -1),
        r"one class: 3.* 40 of 60 labels are -1",
    ),
    "all unlabelled": (np.full(60, -1), r"at least 2 classes.*60 of 60 labels are -1"),
    "NaN": (np.where(SOME == 0, np.nan, 1.0), r"y contains NaN"),
    "infinity": (np.where(SOME == 0, np.inf, 1.0), r"y contains infinity"),
    "continuous": (np.linspace(0, 1, 60), r"Unknown label type: continuous"),
    "two columns": (np.zeros((60, 2)), r"y should be a 1d array"),
    "other length": (np.zeros(59), r"inconsistent numbers of samples: \[60, 59\]"),
    "strings with -1": MINUS_ONE,
    "objects with '-1'": (MINUS_ONE[0].astype(object), MINUS_ONE[1]),
    "pandas strings with -1": (pd.Series(MINUS_ONE[0], dtype="string"), MINUS_ONE[1]),
    "categories with -1": (pd.Series(MINUS_ONE[0], dtype="category"), MINUS_ONE[1]),
    "mixture": (np.where(SOME == 0, "a", SOME.astype(object)), r"y mixes strings"),
    "None": (
        np.where(SOME == -1, None, YES_OR_NO),
        r"y has None, which is not a label.*without one has the number -1",
    ),
    "NA among strings": (
        pd.Series(YES_OR_NO, dtype="string").where(SOME != -1),
        r"y has <NA>, which is not a label",
    ),
    "NA among integers": (
        pd.Series(SOME, dtype="Int64").where(SOME != -1),
        r"y contains NaN",
    ),
    "NaN among categories": (
        pd.Series(YES_OR_NO, dtype="category").where(SOME != -1),
        r"y has nan, which is not a label",
    ),
    "tuples": (
        PAIRS,
        r"y has \(.*\), which is not a label. Labels are numbers or strings",
    ),
    "days": (DAYS, r"y has dtype datetime64.*Labels are numbers or strings"),
    "days as objects": (pd.Series(DAYS).astype(object), r"y has Timestamp.*a label"),
}


def fit(model, X):
    """Fit to rows, and to labels, which only some estimators read."""
    return model.fit(X, labels(X.shape[0] if hasattr(X, "shape") else len(X)))


#: By estimator and rows, what `kept` has fitted.
KEPT = {}


def kept(model, X):
    """Return the model fitted to X: the same for all who ask, so to be left alone."""
    key = joblib.hash((repr(model), X))
    if key not in KEPT:
        KEPT[key] = fit(clone(model), X)
    return KEPT[key]


def answer(model, X):
    """Return what a fitted model makes of rows: their codes, or probabilities."""
    if is_codec(model):
        return model.transform(X)
    return (model.predict_proba if is_classifier(model) else model.score_samples)(X)


def is_codec(model):
    return hasattr(model, "inverse_transform")


def layers(model):
    """Return the autoencoders in an estimator, itself or what it is made of."""
    parts = [model, *model.get_params().values()]
    return [part for part in parts if isinstance(part, BaseAutoencoder)]


def trainers(model):
    """Return what is trained in an estimator, with the parameters of training."""
    return [part for part in (model, *layers(model)) if hasattr(part, "max_iter")]


def quality(model, X, y=None):
    """Return one number that says how well a model fits rows."""
    if hasattr(model, "score"):
        return model.score(X, y)
    return model.score_samples(X).mean()


def dtype_of(model):
    return layers(model)[0].dtype


def near(found, expected):
    """Expect the same numbers, but for the order of sums.

    That of a matrix product may be another where its rows are among others, or lie
    otherwise in memory, as what went through an array does: the processor decides.
    """
    assert found.dtype == expected.dtype and found.shape == expected.shape
    rounding = 1e-5 if found.dtype == np.float32 else 1e-9
    scale = float(np.abs(expected).max(initial=0.0))
    np.testing.assert_allclose(found, expected, rtol=0, atol=rounding * scale)


def counts(n_samples=24, n_features=12, seed=0):
    """Return sparse whole numbers as CSR, with an empty row."""
    rng = np.random.default_rng(seed)
    dense = rng.poisson(0.5, size=(n_samples, n_features)).astype(np.float64)
    dense[3] = 0
    return sp.csr_array(dense)


def differences(model, X, step):
    """Return ‖∂ transform / ∂x‖_F at each row, by central differences."""
    squares = 0.0
    for i in range(X.shape[1]):
        ahead, behind = X.copy(), X.copy()
        ahead[:, i] += step
        behind[:, i] -= step
        slopes = (model.transform(ahead) - model.transform(behind)) / (2 * step)
        squares = squares + np.square(slopes).sum(axis=1)
    return np.sqrt(squares)


class Largest(torch.overrides.TorchFunctionMode):
    """Keep the size of the largest tensor that is made."""

    numbers = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor):
            self.numbers = max(self.numbers, made.numel())
        return made
