"""What users write, for type checkers: mypy and pyright read this file, nobody runs it.

``assert_type`` holds what is inferred. A line with an ``ignore`` must be an error: both
checkers complain of an ``ignore`` that nothing needs.
"""

from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ae import (
    L1,
    AdversarialAutoencoder,
    Autoencoder,
    AutoencoderOutlierDetector,
    CodeDisplay,
    Contraction,
    ContractiveAutoencoder,
    ConvolutionalAutoencoder,
    DenoisingAutoencoder,
    EmbeddingAutoencoder,
    GaussianNoise,
    GeneralizedAutoencoder,
    ImportanceWeightedAutoencoder,
    KLSparsity,
    KSparseAutoencoder,
    Masking,
    SparseAutoencoder,
    SplitBrainAutoencoder,
    StackedAutoencoderClassifier,
    StackedAutoencoderPretrainer,
    TrainingDisplay,
    VariationalAutoencoder,
    load,
    save,
    to_onnx,
)

Matrix = NDArray[np.float64]


def by_position_and_keyword() -> None:
    model = Autoencoder(3)
    assert_type(model, Autoencoder)
    assert_type(model.n_components, int)
    assert_type(Autoencoder(), Autoencoder)
    assert_type(Autoencoder(n_components=3, max_iter=5), Autoencoder)
    AdversarialAutoencoder(2, prior="mixture", unlabeled=-1)
    ContractiveAutoencoder(2, contraction=0.1, hidden_layer_sizes=(8,))
    ConvolutionalAutoencoder(2, image_shape=(8, 8), unpooling="switches")
    DenoisingAutoencoder(2, noise="masking", emphasis=0.5)
    EmbeddingAutoencoder(2, embedding="mds", radius=0.5)
    GeneralizedAutoencoder(2, relation="class", self_weight="auto")
    ImportanceWeightedAutoencoder(2, n_importance_samples=5)
    KSparseAutoencoder(20, k=5, sparse_output=True)
    SparseAutoencoder(20, sparsity=0.1, alpha=1e-3)
    SplitBrainAutoencoder(2, split="halves", n_bins=8)
    VariationalAutoencoder(2, beta=4.0, noise_scale=0.5)


def what_is_refused() -> None:
    Autoencoder("3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Autoencoder(3, 5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Autoencoder(n_component=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Autoencoder(max_iter=2.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    L1(0.1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    L1(weight="much")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Autoencoder().encode([])  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    SplitBrainAutoencoder(tied_weights=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def chained(X: Matrix) -> None:
    model = Autoencoder(3)
    assert_type(model.fit(X), Autoencoder)
    assert_type(model.set_params(max_iter=5), Autoencoder)
    assert_type(model.set_params(max_iter=5).fit(X), Autoencoder)
    assert_type(model.set_params(max_iter=5).fit(X).partial_fit(X), Autoencoder)
    assert_type(VariationalAutoencoder(2).set_params(beta=2.0), VariationalAutoencoder)
    assert_type(L1().set_params(weight=0.1), L1)
    assert_type(model.get_params(), dict[str, Any])


def transformed(X: Matrix) -> None:
    model = Autoencoder(3).fit(X)
    # an array, a sparse matrix or a frame: set_output says which
    assert_type(model.fit_transform(X), Any)
    assert_type(model.transform(X), Any)
    assert_type(model.score(X), float)
    assert_type(model.set_output(transform="pandas"), Autoencoder)
    assert_type(model.set_fit_request(sample_weight=True), Autoencoder)


def learned(X: Matrix) -> None:
    model = Autoencoder(3).fit(X)
    assert_type(model.n_components_, int)
    assert_type(model.components_, NDArray[Any])
    assert_type(model.history_, dict[str, NDArray[np.float64]])
    assert_type(model.feature_names_in_, NDArray[Any])
    assert_type(model.device_, str)
    assert_type(VariationalAutoencoder().active_units_, NDArray[np.intp])
    print(model.histroy_)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


def parts() -> None:
    model = Autoencoder(
        8,
        penalties=[L1(weight=0.1), ("smooth", Contraction(jacobian="hutchinson"))],
        corruption=Masking(noise_level=0.2),
    )
    assert_type(model, Autoencoder)
    assert_type(KLSparsity(sparsity=0.1, weight=2.0), KLSparsity)
    assert_type(GaussianNoise(noise_level=0.5).noise_level, float)


def pipelines(X: Matrix, y: NDArray[np.intp]) -> None:
    pipeline = Pipeline([("scale", StandardScaler()), ("ae", Autoencoder(3))])
    pipeline.set_params(ae__n_components=2).fit(X)
    make_pipeline(Autoencoder(3), StackedAutoencoderClassifier()).fit(X, y)
    search = GridSearchCV(Autoencoder(3), {"n_components": [2, 3]}, cv=3)
    search.fit(X).transform(X)


def stacks(X: Matrix, y: NDArray[np.intp]) -> None:
    stack = StackedAutoencoderPretrainer(Autoencoder(), layer_sizes=(8, 4))
    assert_type(stack.fit(X), StackedAutoencoderPretrainer)
    assert_type(stack.set_params(fine_tune="class"), StackedAutoencoderPretrainer)
    classifier = StackedAutoencoderClassifier(stack, class_weight="balanced")
    assert_type(classifier.fit(X, y), StackedAutoencoderClassifier)
    assert_type(classifier.predict(X), NDArray[Any])
    assert_type(classifier.score(X, y), float)
    assert_type(classifier.pretrainer_, StackedAutoencoderPretrainer)


def outliers(X: Matrix) -> None:
    detector = AutoencoderOutlierDetector(Autoencoder(2), contamination=0.1)
    assert_type(detector.set_params(n_estimators=3), AutoencoderOutlierDetector)
    assert_type(detector.fit(X), AutoencoderOutlierDetector)
    assert_type(detector.predict(X), NDArray[np.intp])
    assert_type(detector.offset_, float)


def files_and_pictures(X: Matrix) -> None:
    model = Autoencoder(2).fit(X)
    save(model, "model.zip")
    load("model.zip")
    to_onnx(model)
    assert_type(CodeDisplay.from_estimator(model, X), CodeDisplay)
    assert_type(TrainingDisplay.from_estimator(model).plot(), TrainingDisplay)
