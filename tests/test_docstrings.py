import doctest
import inspect

import pytest
from sklearn.base import BaseEstimator

import sklearn_ae
from sklearn_ae.params.docs import documented

OBJECTS = {name: getattr(sklearn_ae, name) for name in sklearn_ae.__all__}
ESTIMATORS = [
    name
    for name, public in OBJECTS.items()
    if inspect.isclass(public) and issubclass(public, BaseEstimator)
]


def section(docstring, title):
    """Return what a numpydoc section says, to the end of the docstring."""
    _, _, text = inspect.cleandoc(docstring).partition(
        f"\n{title}\n{'-' * len(title)}\n"
    )
    return text


@pytest.mark.parametrize("name", OBJECTS)
def test_public_objects_have_an_example_that_runs(name):
    text = section(OBJECTS[name].__doc__, "Examples")
    assert name in text
    assert doctest.DocTestParser().get_examples(text)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators_name_their_source(name):
    assert section(OBJECTS[name].__doc__, "References")


@pytest.mark.parametrize("name", ESTIMATORS)
def test_methods_say_what_they_return_and_raise(name):
    methods = {
        key: method
        for key, method in inspect.getmembers(OBJECTS[name], inspect.isfunction)
        if not key.startswith("_") and method.__module__.startswith("sklearn_ae")
    }
    for ours in ("get_params", "set_params"):  # as scikit-learn's
        del methods[ours]
    assert "fit" in methods
    silent = [
        f"{key}: {title}"
        for key, method in methods.items()
        for title in ("Returns", "Raises")
        if not section(inspect.getdoc(method), title)
    ]
    assert silent == []


@pytest.mark.parametrize("name", ESTIMATORS)
def test_type_checkers_see_every_fitted_attribute(name):
    cls = OBJECTS[name]
    seen = [{*vars(kind), *inspect.get_annotations(kind)} for kind in cls.__mro__]
    assert documented(cls, "Attributes")
    assert set(documented(cls, "Attributes")) <= set().union(*seen)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_html_links_and_explains_every_parameter(name):
    estimator = OBJECTS[name]()
    html = estimator._repr_html_()
    page = f'href="generated/sklearn_ae.{name}.html'
    for parameter in estimator.get_params(deep=False):
        link = f"{page}#:~:text={parameter},-"
        assert link in html
        explained = html.partition(link)[2].partition("</a>")[0]
        assert f"{parameter}: " in explained


def test_html_links_no_class_of_others():
    class Theirs(sklearn_ae.Autoencoder):
        """A method of somebody else's."""

    assert Theirs()._get_doc_link() == ""
