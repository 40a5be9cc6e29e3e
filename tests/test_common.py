"""Every public estimator keeps scikit-learn's contract, and its documentation too."""

import ast
import inspect
import itertools
import re

import numpy as np
import pandas as pd
import pytest
import sklearn.utils.estimator_checks as checks
from estimators import (
    BAD_VALUES,
    CODECS,
    CORE,
    DEFAULTS,
    FAST,
    READING,
    SINGLE,
    answer,
    dtype_of,
    fit,
    kept,
    labels,
    layers,
    near,
    public_classes,
    public_estimators,
    quality,
    trainers,
)
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from sklearn_ae import (
    AdversarialAutoencoder,
    DenoisingAutoencoder,
)
from sklearn_ae.autoencoders.variational import BaseVariational
from sklearn_ae.parts import activations, convolution, networks

#: Checks to a tolerance of 1e-7, which float32 rounds to: they are of float64.
PRECISE = (
    "check_sample_weight_equivalence_on_dense_data",
    "check_sample_weight_equivalence_on_sparse_data",
)
#: Those that may sum in another order, which float32 rounds to as much, too.
IN_FLOAT64 = (
    *PRECISE,
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
)


#: Methods that draw something for each row.
NOISY = (AdversarialAutoencoder, BaseVariational, DenoisingAutoencoder)


def draws_by_the_row(estimator):
    """Tell whether training draws something for each row that it is given."""
    parts = trainers(estimator)
    drawn = any(
        isinstance(part, NOISY)
        or getattr(part, "corruption", None) is not None
        or getattr(part, "dropout", 0) > 0
        or part.early_stopping
        or part.batch_size != "auto"
        for part in parts
    )
    return drawn or getattr(estimator, "contamination", None) == "auto"


#: scikit-learn's checks that some do not pass: of whom, and the reason. The goal is
#: none.
EXPECTED_FAILURES = dict.fromkeys(
    PRECISE,
    (
        lambda estimator: (
            draws_by_the_row(estimator) or dtype_of(estimator) == "bfloat16"
        ),
        "noise, batches or rows to hold out are drawn for each row, once for one of "
        "weight 2 and twice for two rows; or numbers are rounded to 8 bits",
    ),
)

#: Configurations that meet scikit-learn in no other way than those beside them.
ALIKE = {f"Autoencoder-{name}" for name in ("sgd", "raw", "plain", "absolute")}
ALIKE |= {f"Autoencoder-{name}" for name in ("deep", "tied", "denoising")}
ALIKE |= {"ContractiveAutoencoder-deep", "ConvolutionalAutoencoder-repeat"}
ALIKE |= {"ConvolutionalAutoencoder-tied", "VariationalAutoencoder-tied"}
ALIKE |= {"DenoisingAutoencoder-emphasis", "EmbeddingAutoencoder-mds"}
ALIKE |= {"GeneralizedAutoencoder-isomap", "SplitBrainAutoencoder-classification"}
ALIKE |= {"AutoencoderOutlierDetector-stack"}
ALIKE |= {"KSparseAutoencoder-free", "SparseAutoencoder-l1"}
ALIKE |= {"AdversarialAutoencoder-uniform", "Autoencoder-smooth"}
ALIKE |= {"ImportanceWeightedAutoencoder-small", "VariationalAutoencoder-fixed"}
ALIKE |= {"EmbeddingAutoencoder-margin", "GeneralizedAutoencoder-lle"}
ALIKE |= {"SplitBrainAutoencoder-affine", "StackedAutoencoderPretrainer-float64"}
ALIKE |= {"StackedAutoencoderClassifier-stopping"}  # with too few epochs to classify
# float32 rounds sums over 500 units to 1e-6; the check of subsets allows 1e-7
ALIKE |= {"StackedAutoencoderPretrainer"}
CHECKED = {name: clone(FAST[name]) for name in FAST if name not in ALIKE}
for _estimator in CHECKED.values():
    if hasattr(_estimator, "unlabeled"):  # two of the checks' classes are -1 and 1
        _estimator.set_params(unlabeled="auto")
# "auto" trains five times more; with the defaults it is checked too
CHECKED["AutoencoderOutlierDetector-density"].set_params(contamination=0.1)
#: The first of each class, which meets all checks.
FIRST = {type(CHECKED[name]): name for name in reversed(CHECKED)}

#: What rows and weights may be. It is decided before training, by the class alone:
#: what its first configuration passes is not asked of the others.
OF_ROWS = [
    checks.check_array_api_input,
    checks.check_classifier_data_not_an_array,
    checks.check_complex_data,
    checks.check_dtype_object,
    checks.check_estimator_sparse_array,
    checks.check_estimator_sparse_matrix,
    checks.check_estimator_sparse_tag,
    checks.check_estimators_dtypes,
    checks.check_estimators_empty_data_messages,
    checks.check_estimators_nan_inf,
    checks.check_f_contiguous_array_estimator,
    checks.check_fit1d,
    checks.check_fit2d_predict1d,
    checks.check_n_features_in_after_fitting,
    checks.check_positive_only_tag_during_fit,
    checks.check_readonly_memmap_input,
    checks.check_sample_weights_list,
    checks.check_sample_weights_not_an_array,
    checks.check_sample_weights_pandas_series,
    checks.check_sample_weights_shape,
    checks.check_transformer_data_not_an_array,
]
OF_ROWS = {check.__name__ for check in OF_ROWS}
#: Those that all classes read rows as: the others' checks of rows are slow tests.
READERS = {type(estimator) for estimator in READING.values()}
#: Fits to many rows, many times.
LONG = {checks.check_class_weight_classifiers.__name__}

#: scikit-learn's checks that check_estimator leaves out.
LEFT_OUT = [
    checks.check_dataframe_column_names_consistency,
    checks.check_inplace_ensure_writeable,
    checks.check_estimators_partial_fit_n_features,
]
LEFT_OUT_OF_TRANSFORMERS = [
    checks.check_transformer_get_feature_names_out,
    checks.check_transformer_get_feature_names_out_pandas,
    checks.check_get_feature_names_out_error,
    checks.check_set_output_transform,
    checks.check_set_output_transform_pandas,
    checks.check_set_output_transform_polars,
    checks.check_global_output_transform_pandas,
    checks.check_global_set_output_transform_polars,
]

# So few epochs are not meant to converge.
pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    # scikit-learn's checks fit on a frame and transform an array, or the reverse
    "ignore:X does not have valid feature names:UserWarning",
    "ignore:X has feature names:UserWarning",
    # and on clusters far from each other
    "ignore:The graph of neighbours has:UserWarning",
    # and on fewer rows than a quantile of 5 % needs
    "ignore:contamination='auto' needs at least:UserWarning",
)


def in_float64(estimator):
    """Return a copy that computes in float64, unless it is in mixed precision."""
    precise = clone(estimator)
    for part in layers(precise):
        if part.dtype == "float32":
            part.set_params(dtype="float64")
    return precise


def check_estimator_params():
    """List what check_estimator runs, by the names of the table and of the check."""
    params = []
    for prefix, table in (("default", DEFAULTS), ("fast", CHECKED)):
        for name, given in table.items():
            is_first = table is CHECKED and FIRST[type(given)] == name
            for _, check in checks.estimator_checks_generator(given):
                label, estimator = check.func.__name__, given
                if label in OF_ROWS and not is_first:
                    continue
                if label in IN_FLOAT64:
                    estimator = in_float64(given)
                variant = "-readonly" if check.keywords.get("readonly_memmap") else ""
                fails, reason = EXPECTED_FAILURES.get(label, (bool, ""))
                marks = [pytest.mark.xfail(reason=reason, strict=True)]
                marks *= bool(reason) and fails(estimator)
                shared = label in OF_ROWS and type(given) not in READERS
                if table is DEFAULTS or shared or label in LONG:
                    marks = [*marks, pytest.mark.slow]
                case = f"{prefix}-{name}-{label}{variant}"
                params.append(pytest.param(estimator, check, id=case, marks=marks))
    return params


@pytest.mark.parametrize(("estimator", "check"), check_estimator_params())
def test_check_estimator(estimator, check):
    check(clone(estimator))


@pytest.mark.parametrize(
    ("name", "check"),
    [
        pytest.param(name, check, marks=[pytest.mark.slow] * (kind not in READERS))
        for kind, name in FIRST.items()
        for check in [*LEFT_OUT, *LEFT_OUT_OF_TRANSFORMERS]
        if check in LEFT_OUT or name in CODECS
    ],
    ids=lambda case: getattr(case, "__name__", case),
)
def test_checks_that_check_estimator_leaves_out(name, check):
    check(name, clone(CHECKED[name]))


# -- no public estimator escapes -------------------------------------------------


def test_every_public_estimator_is_in_the_table():
    assert public_estimators()
    assert set(public_estimators()) == set(FIRST)
    assert set(public_estimators()) == {type(e) for e in FAST.values()}


@pytest.mark.parametrize("cls", public_estimators())
def test_constructible_without_arguments(cls):
    """And the table holds that very estimator, but for epochs and the mark in y."""
    held = [e for e in (*DEFAULTS.values(), *FAST.values()) if type(e) is cls]
    names = held[0].get_params()
    alike = {name: 3 for name in names if name.endswith("max_iter")}
    alike |= {"unlabeled": -1} if "unlabeled" in names else {}
    default = cls().set_params(**alike)
    assert any(repr(clone(e).set_params(**alike)) == repr(default) for e in held)


@pytest.mark.parametrize("cls", public_classes())
def test_only_the_first_parameter_is_positional(cls):
    parameters = list(inspect.signature(cls).parameters.values())
    if parameters[0].name in ("n_components", "estimator", "pretrainer"):
        assert parameters.pop(0).kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert {p.kind for p in parameters} == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("cls", public_classes())
def test_constructor_keeps_what_it_is_given(cls):
    """Nothing but assignment: even nonsense is held as it is, until fit."""
    values = {name: object() for name in inspect.signature(cls).parameters}
    made = cls(**values)
    assert vars(made) == values


@pytest.mark.parametrize("cls", public_classes())
def test_constructor_refuses_unknown_names(cls):
    with pytest.raises(TypeError, match="no_such_parameter"):
        cls(no_such_parameter=1)


# -- parameters: the wording of scikit-learn's check_param_validation ------------


def bad_values(name):
    """Return values out of the domain of a parameter."""
    assert name in BAD_VALUES, f"add out-of-range values for {name!r}"
    return [object(), *BAD_VALUES[name]]


@pytest.mark.parametrize("cls", public_classes())
def test_bad_parameter_is_named(cls):
    """Rows 53 to 56 and 58 of the faults; and before any data is looked at."""
    unnamed = []
    for name in inspect.signature(cls).parameters:
        for value in bad_values(name):
            wording = (
                rf"^The '{name}' parameter of {cls.__name__} must be .+\. "
                rf"Got {re.escape(repr(value))} instead\."
            )
            part = cls(**{name: value})
            for train in itertools.chain(*map(ways_to_train, holders(part))):
                told = told_by(train)
                # some are wrong types: an error of both kinds
                both = isinstance(told, ValueError) and isinstance(told, TypeError)
                if not both or not re.search(wording, str(told)):
                    unnamed.append((name, value, told))
    assert not unnamed


def told_by(train):
    """Return the error that a training raises that is given nothing to learn from."""
    try:
        train("not data", "not labels")
    except Exception as error:
        return error
    return None


def ways_to_train(estimator):
    names = ("fit", "partial_fit")
    return [getattr(estimator, name) for name in names if hasattr(estimator, name)]


def holders(part):
    """Return the estimators that validate `part`: itself, or those it is a part of."""
    if hasattr(part, "fit"):
        return [part]
    held = []
    for cls in public_estimators():
        for name in ("penalties", "corruption"):
            if name in inspect.signature(cls).parameters:
                estimator = cls(**{name: part})
                constraints = cls._all_valid()[name]
                if any(constraint.allows(part) for constraint in constraints):
                    held.append(estimator)
    assert held, f"{part!r} is no part of any estimator"
    return held


@pytest.mark.parametrize("cls", public_estimators())
def test_nearest_option_is_suggested(cls, X):
    name, typo, option = "solver", "lbgfs", "lbfgs"
    if name not in inspect.signature(cls).parameters:
        name, typo, option = "criterion", "denstiy", "density"
    for train in ways_to_train(cls(**{name: typo})):
        with pytest.raises(ValueError, match=rf"Did you mean '{option}'\?"):
            train(X, X[:, 0])


@pytest.mark.parametrize("name", CORE)
def test_parameters_are_validated_on_every_fit(name, X):
    model = clone(FAST[name]).set_params(random_state=0)
    before = answer(fit(model, X), X)
    for part in trainers(model):
        part.set_params(max_iter=0)
        with pytest.raises(ValueError, match="'max_iter' parameter"):
            fit(model, X)
        part.set_params(max_iter=3)
    assert np.array_equal(answer(model, X), before)


# -- documentation ---------------------------------------------------------------


def documented(cls, section):
    """Return the names that a numpydoc section of the class docstring describes."""
    doc = inspect.getdoc(cls)
    found = re.search(rf"^{section}\n-+\n(.*?)(?=^\S[^\n]*\n--|\Z)", doc, re.M | re.S)
    if found is None:
        return []
    entries = re.findall(r"^(\w+(?:, \w+)*) :", found.group(1), re.M)
    return [name for entry in entries for name in entry.split(", ")]


@pytest.mark.parametrize("cls", public_classes())
def test_docstring_describes_every_parameter(cls):
    names = documented(cls, "Parameters")
    assert sorted(names) == sorted(inspect.signature(cls).parameters)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("cls", public_classes())
def test_docstring_states_the_defaults(cls):
    doc = re.sub(r"\\\n\s+", "", inspect.getdoc(cls))
    for name, parameter in inspect.signature(cls).parameters.items():
        line = re.search(rf"^{name} :.*default=(.+)$", doc, re.M)
        assert line, f"no default in the docstring of {name}"
        stated = ast.literal_eval(line.group(1))
        assert stated == parameter.default and type(stated) is type(parameter.default)


#: Settings on which it depends what a fit leaves.
SETTINGS = [
    {"hidden_layer_sizes": ()},
    {"early_stopping": True},
    {"fine_tune": "class"},
]


@pytest.mark.parametrize("cls", public_estimators())
def test_docstring_describes_every_fitted_attribute(cls, X):
    frame = pd.DataFrame(X, columns=list("abcde"))
    held = [e for e in FAST.values() if type(e) is cls]
    held += [
        clone(held[0]).set_params(**settings)
        for settings in SETTINGS
        if settings.keys() <= held[0].get_params().keys()
    ]
    fitted = [fit(clone(model), frame) for model in held]

    def public(model):
        names = [n for n in dir(model) if n.endswith("_") and not n.startswith("_")]
        return {name for name in names if hasattr(model, name)}

    assert set().union(*map(public, fitted)) == set(documented(cls, "Attributes"))


@pytest.mark.parametrize("cls", public_classes(object))
def test_public_methods_are_documented(cls):
    for name, method in inspect.getmembers(cls, inspect.isfunction):
        if not name.startswith("_") and method.__module__.startswith("sklearn_ae"):
            doc = inspect.getdoc(method)
            assert doc, f"{cls.__name__}.{name} has no docstring"
            if "." in method.__qualname__ and name in {"fit", "transform", "score"}:
                assert "Parameters\n-----" in doc


# -- what every estimator answers ------------------------------------------------

ANSWERS = [
    "transform",
    "inverse_transform",
    "reconstruct",
    "reconstruction_error",
    "score_samples",
    "score",
    "sample",
    "get_feature_names_out",
    "predict",
    "predict_proba",
    "predict_log_proba",
    "decision_function",
    "explain",
    "loss_curve_",
    "loss_",
]


@pytest.mark.parametrize("name", CODECS)
def test_answers(name, X):
    """Shapes, dtypes and the identities between the answers, of the whole contract."""
    model = clone(FAST[name]).set_params(random_state=0)
    if name in SINGLE:
        model.set_params(n_components=3)
    (n, d), y = X.shape, labels()
    codes = model.fit_transform(X, y)
    k = model.n_components_
    dtype = np.float64 if dtype_of(model) == "float64" else np.float32
    rounding = 1e-12 if dtype is np.float64 else 1e-5
    assert codes.shape == (n, k) and codes.dtype == dtype
    np.testing.assert_array_equal(codes, model.transform(X))
    restored = model.inverse_transform(codes)
    assert restored.shape == (n, d) and restored.dtype == X.dtype
    # not bit for bit: codes went through an array between two matrix products
    np.testing.assert_allclose(restored, model.reconstruct(X), rtol=rounding)

    errors = model.reconstruction_error(X, per_feature=True)
    assert errors.shape == (n, d) and (errors >= 0).all()
    power = 1 if layers(model)[0].loss == "absolute_error" else 2
    direct = np.abs(X - model.reconstruct(X).astype(np.float64)) ** power
    # the direct one subtracts numbers of size |X|, which rounds at |X| ε
    scale = np.abs(X).max() * rounding
    np.testing.assert_allclose(errors, direct, rtol=1e-3, atol=scale)
    rows = model.reconstruction_error(X)
    assert rows.shape == (n,)
    np.testing.assert_allclose(rows, errors.mean(axis=1), rtol=10 * rounding)
    scores = model.score_samples(X)
    if not isinstance(model, BaseVariational):  # whose score is a bound in nats
        np.testing.assert_array_equal(scores, -rows)
    assert scores.shape == (n,) and isinstance(model.score(X), float)
    assert model.score(X) == pytest.approx(scores.mean(dtype=np.float64))
    assert model.score(X, y) == model.score(X)

    draws = model.sample(7, random_state=0)
    assert draws.shape == (7, d) and np.isfinite(draws).all()
    near(draws, model.sample(7, random_state=0))
    assert not np.array_equal(draws, model.sample(7, random_state=1))
    prefix = type(model).__name__.lower()
    assert list(model.get_feature_names_out()) == [f"{prefix}{i}" for i in range(k)]


@pytest.mark.parametrize("name", SINGLE)
def test_fitted_attributes(name, X):
    model = kept(clone(FAST[name]).set_params(random_state=0), X)
    assert model.n_components_ == 2 and model.n_features_in_ == X.shape[1]
    assert model.n_iter_ == len(model.loss_curve_) <= 3
    assert model.loss_ == model.loss_curve_[-1] and np.isfinite(model.loss_curve_).all()
    if model.early_stopping:
        assert len(model.validation_loss_curve_) == model.n_iter_
    else:
        assert model.validation_loss_curve_ is None


@pytest.mark.parametrize("name", FAST)
def test_objective_is_the_sum_of_its_recorded_terms(name, X):
    model = kept(clone(FAST[name]).set_params(random_state=0), X)
    for part in [model, *getattr(model, "estimators_", [])]:
        terms = dict(getattr(part, "history_", {}))
        for of_the_rivals in ("train_discrimination", "train_deception"):
            terms.pop(of_the_rivals, None)  # minimised in turn with the objective
        total = terms.pop("train_loss", [])
        terms = [terms[term] for term in terms if term.startswith("train_")]
        assert len(total) == 0 or len(terms) > 0
        np.testing.assert_allclose(np.sum(terms, axis=0), total, rtol=1e-5)


@pytest.mark.parametrize("name", FAST)
def test_not_fitted(name, X):
    """Row 73 of the faults."""
    model = clone(FAST[name])
    y = labels()
    given = {"sample": (), "get_feature_names_out": (), "score": (X, y)}
    asked = [name for name in ANSWERS if name in dir(model)]
    assert len(asked) > 3
    for name in asked:
        with pytest.raises(NotFittedError):
            getattr(model, name)(*given.get(name, (X,)))


@pytest.mark.parametrize("name", SINGLE)
def test_dropout_is_in_each_hidden_layer_of_a_step(name, X, monkeypatch):
    """At both ends of the network, and nowhere else than in steps."""
    left_out, original = [], activations.dropout

    def watched(h, p, generator):
        dropped = original(h, p, generator)
        left_out.append((h.shape[-1], bool((dropped == 0.0)[h != 0.0].any())))
        return dropped

    for owner in (networks, convolution):
        monkeypatch.setattr(owner, "dropout", watched)
    model = clone(SINGLE[name]).set_params(random_state=0, dropout=0.5)
    model.set_params(hidden_layer_sizes=(31, 29), max_iter=1, early_stopping=False)
    fit(model, X)
    widths = [width for width, dropped in left_out if dropped]
    assert min(widths.count(31), widths.count(29)) >= 2  # encoder and decoder
    assert widths.count(31) == widths.count(29)
    left_out.clear()
    answer(model, X), quality(model, X, labels())
    if hasattr(model, "sample"):
        model.sample(3)
    assert not any(dropped for _, dropped in left_out)


@pytest.mark.parametrize("name", FAST)
def test_answer_is_deterministic(name, X):
    """No noise and no dropout: the rows do not depend on the call either."""
    model = kept(clone(FAST[name]).set_params(random_state=0), X)
    np.testing.assert_array_equal(answer(model, X), answer(model, X))
    assert quality(model, X, labels()) == quality(model, X, labels())


@pytest.mark.parametrize("name", CORE)
def test_fitting_returns_self_and_leaves_parameters(name, X):
    model = clone(FAST[name])
    before = dict(model.get_params())
    for train in ways_to_train(model):
        assert train(X, labels()) is model
    after = model.get_params()
    assert all(after[key] is before[key] for key in before)


def test_converging_is_announced_where_a_rule_may_stop_training(X):
    """One-cycle schedules are made for their epochs: there is nothing to announce."""
    model = clone(FAST["Autoencoder-lbfgs"])
    with pytest.warns(ConvergenceWarning, match="max_iter=3"):
        model.fit(X)
