"""A fitted estimator's network as an ONNX graph, for use without Python and torch.

The only file that knows ONNX.
"""

from __future__ import annotations

import copy
import importlib.metadata
import logging
import math
import os
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sklearn_ae.engine import files
from sklearn_ae.engine.surroundings import plain_torch
from sklearn_ae.engine.tensors import to_tensor
from sklearn_ae.engine.threads import one_at_a_time
from sklearn_ae.engine.transforms import RowFunction
from sklearn_ae.params.domains import InvalidParameterError, OneOf

__all__ = ["OPSET", "Function", "to_onnx"]

#: The version of ONNX's operators that graphs are written in.
OPSET = 20


def to_onnx(
    estimator: Any,
    path: str | os.PathLike[str] | None = None,
    *,
    method: str | None = None,
) -> Any:
    """Return what a method of a fitted estimator computes as an ONNX graph.

    The graph takes and gives what the method does, in the units of X, and needs
    neither scaling nor Python: a runtime such as onnxruntime computes it. It equals the
    method up to round-off.

    Parameters
    ----------
    estimator : autoencoder, stack or classifier
        Fitted estimator.
    path : str or path-like, default=None
        File to write the graph to, if any; all or nothing, as `save` does.
    method : {"transform", "inverse_transform", "reconstruct", "predict_proba"} or \
            None, default=None
        Method to write: "transform" is the encoder, "inverse_transform" the decoder,
        and "reconstruct" both of them. None is "transform", and "predict_proba" of a
        classifier, which has no other.

    Returns
    -------
    onnx.ModelProto
        Graph with one input, "X" or "codes", of shape (n_samples, n_features) or
        (n_samples, n_components), and one output, "codes", "rows" or "probabilities".
        n_samples is free. All of them are float32, or float64 after a fit with
        ``dtype="float64"``.
        "X" and "rows" are float64 too where a column of the fit was in float64 and far
        from zero: a standard deviation there has less than 10000 numbers of float32.
        The operators are those of opset 20; `metadata_props` name the estimator, the
        method and the version of this package.

    Raises
    ------
    ImportError
        If onnx or onnxscript is not installed (``pip install "sklearn_ae[onnx]"``).
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If it is not an estimator of this package.
    ValueError
        If it has no such method, or one that cannot be written as a graph:
        ``split="channels"`` of `SplitBrainAutoencoder` turns colours by scikit-image,
        and onnxruntime has no convolutions in float64.

    See Also
    --------
    save : The whole estimator, to go on with in Python.

    Notes
    -----
    Rows are dense, and `KSparseAutoencoder` gives dense codes, also with
    ``sparse_output``. X is not checked: NaN gives NaN, except where it is a missing
    value (`DenoisingAutoencoder`).

    In float64 gelu and softplus are written in operations that onnxruntime has in
    float64: gelu's integral by 24 nodes of Gauss and Legendre, to 1e-15.

    Examples
    --------
    >>> import onnxruntime
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_ae import Autoencoder, to_onnx
    >>> X = load_iris().data.astype("float32")
    >>> model = Autoencoder(2, random_state=0).fit(X)
    >>> graph = to_onnx(model)
    >>> session = onnxruntime.InferenceSession(graph.SerializeToString())
    >>> (codes,) = session.run(["codes"], {"X": X})
    >>> bool(abs(codes - model.transform(X)).max() < 1e-5)
    True
    """
    _check_installed()
    if isinstance(estimator, type) or not hasattr(estimator, "_answers"):
        raise TypeError(
            "to_onnx takes a fitted autoencoder, a stack of them or a classifier on "
            f"top of one. Got {estimator!r}."
        )
    check_is_fitted(estimator)
    with plain_torch(), torch.inference_mode(False), torch.no_grad():
        # a copy: tracing replaces the weights by other tensors for a while
        network = copy.deepcopy(estimator._answering_module).cpu().eval()
        answers = estimator._answers(network)
        name = next(iter(answers)) if method is None else method
        allowed = OneOf(*answers)
        if not allowed.allows(name):
            raise InvalidParameterError(
                f"The 'method' parameter of to_onnx must be {allowed} for "
                f"{type(estimator).__name__}, or None. Got {name!r} instead."
                f"{allowed.hint(name)}"
            )
        if not all(answer.units.is_affine for answer in answers.values()):
            raise ValueError(
                "split='channels' is not supported by to_onnx: the colours that the "
                "network sees are computed by scikit-image."
            )
        graph = _written(Function(network, answers[name]))
    _describe(graph, type(estimator).__name__, name)
    if path is not None:
        files.write(path, graph.SerializeToString())
    return graph


def _check_installed() -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "to_onnx needs onnx and onnxscript: pip install 'sklearn_ae[onnx]'."
        ) from error


class Function(nn.Module):
    """A method as a function of rows, in the units that it takes.

    Parameters
    ----------
    network : Module
        Network that it computes with.
    answer : RowFunction
    """

    def __init__(self, network: nn.Module, answer: RowFunction) -> None:
        super().__init__()
        if answer.rows is not None and not answer.rows.needs_float64:
            answer = answer._replace(rows=replace(answer.rows, rows_dtype="float32"))
        self.network, self.answer = network, answer
        self.dtype = next(network.parameters()).dtype

    def forward(self, rows: Tensor) -> Tensor:
        with _written_in(rows.dtype):
            x = self.answer.units.to_network(rows).to(self.dtype)
        with _written_in(self.dtype):
            given = self.answer.function(x)
        if self.answer.rows is None:
            return given
        far = self.answer.rows.needs_float64
        with _written_in(torch.float64 if far else self.dtype):
            return self.answer.rows.to_data(given)

    def example(self) -> Tensor:
        """Return two rows to trace with: one would be taken for a fixed number."""
        dtype = torch.float64 if self.answer.units.needs_float64 else self.dtype
        return torch.zeros(2, self.answer.n_in, dtype=dtype, device="cpu")


def _written(function: Function) -> Any:
    """Return the ONNX graph of a function, of any number of rows."""
    rows = function.example()
    function(rows)  # errors come from here, and as themselves
    given, got = function.answer.names
    with one_at_a_time(), _quiet():
        exported = torch.onnx.export(
            function,
            (rows,),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=[given],
            output_names=[got],
            dynamic_shapes=({0: torch.export.Dim("n_samples")},),
        )
    assert exported is not None, "there is no file that it was written to"
    return exported.model_proto


def _describe(graph: Any, estimator: str, method: str) -> None:
    """Write into a graph what it is, and nothing of how it was made."""
    import onnx

    version = importlib.metadata.version("sklearn_ae")
    graph.producer_name, graph.producer_version = "sklearn_ae", version
    graph.graph.name = f"{estimator}.{method}"
    for part in (graph.graph, *graph.graph.node, *graph.graph.input):
        part.ClearField("metadata_props")
    graph.ClearField("metadata_props")
    about = {"estimator": estimator, "method": method, "sklearn_ae": version}
    onnx.helper.set_model_props(graph, about)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what torch and onnx print or warn of their own code."""
    logs = [logging.getLogger(name) for name in ("torch.onnx", "onnx_ir", "onnxscript")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)


# -- in float64, without what onnxruntime has in float32 alone ---------------------


def _written_in(dtype: torch.dtype) -> AbstractContextManager[Any]:
    return _InFloat64() if dtype == torch.float64 else nullcontext()


class _InFloat64(TorchFunctionMode):
    """Compute in other ways what onnxruntime has in float32 alone.

    The exporter rounds a number that is no tensor to float32.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if "conv" in function.__name__:
            raise ValueError(
                "onnxruntime has no convolutions in float64. Fit with dtype='float32' "
                "to write an ONNX graph."
            )
        if function is torch.add and "alpha" in kwargs:
            rows, others = args
            return rows + others * to_tensor(kwargs["alpha"], torch.float64)
        if function.__name__ in ("add", "mul"):
            args = [
                to_tensor(number, torch.float64)
                if isinstance(number, float)
                else number
                for number in args
            ]
        return _OTHERWISE.get(function, function)(*args, **kwargs)


def _gelu(a: Tensor) -> Tensor:
    r"""Return a Φ(a), with Φ(a) = ½ + a ∫₀¹ φ(a t) dt by Gauss and Legendre's nodes."""
    nodes, weights = np.polynomial.legendre.leggauss(24)
    nodes, weights = (nodes + 1.0) / 2.0, weights / 2.0 / math.sqrt(2.0 * math.pi)
    t, w = to_tensor(nodes, a.dtype), to_tensor(weights, a.dtype)
    b = a.clamp(-8.3, 8.3)  # beyond, Φ is 0 or 1 to the last digit
    density = torch.exp(-0.5 * (b.unsqueeze(-1) * t).square())
    return a * (0.5 + b * (density * w).sum(-1))


def _softplus(a: Tensor) -> Tensor:
    """Return log(1 + exp(a)), and a itself beyond 20, as torch does."""
    return torch.where(a > 20.0, a, torch.log(1.0 + torch.exp(a.clamp_max(20.0))))


_OTHERWISE = {F.gelu: _gelu, F.softplus: _softplus}
