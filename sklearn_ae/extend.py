"""The public face for authors of penalties, corruptions and methods.

Everything that an extension needs is imported from here. How to write one is shown in
the documentation, under "Extend".
"""

from __future__ import annotations

from sklearn_ae.autoencoders.composed import (
    ComposedAutoencoder,
    CorruptionParameters,
    ImageAutoencoder,
)
from sklearn_ae.autoencoders.module import AutoencoderModule
from sklearn_ae.autoencoders.network import Images, Network
from sklearn_ae.engine.estimator import BaseAutoencoder
from sklearn_ae.engine.fit import Fit
from sklearn_ae.engine.labels import LabelParameters, Supervision
from sklearn_ae.engine.module import Blank, CodingModule
from sklearn_ae.engine.net import AutoencoderNet
from sklearn_ae.engine.rows import Batch
from sklearn_ae.engine.shared_parameters import (
    CodeParameters,
    FreeParameters,
    LinearPathParameters,
    LossParameters,
    OutputParameters,
    TyingParameters,
)
from sklearn_ae.engine.train import StreamOf
from sklearn_ae.params.domains import (
    Bool,
    Constraint,
    Implements,
    Instance,
    Interval,
    Nothing,
    OneOf,
    SequenceOf,
)
from sklearn_ae.parts.corruptions import Corruption
from sklearn_ae.parts.jacobian import Encoding
from sklearn_ae.parts.layers import linear
from sklearn_ae.parts.networks import Encoder, MLPDecoder, MLPEncoder
from sklearn_ae.parts.penalties import Penalty
from sklearn_ae.parts.priors import Prior
from sklearn_ae.parts.sparse import dense

__all__ = [
    "AutoencoderModule",
    "AutoencoderNet",
    "BaseAutoencoder",
    "Batch",
    "Blank",
    "Bool",
    "CodeParameters",
    "CodingModule",
    "ComposedAutoencoder",
    "Constraint",
    "Corruption",
    "CorruptionParameters",
    "Encoder",
    "Encoding",
    "Fit",
    "FreeParameters",
    "ImageAutoencoder",
    "Images",
    "Implements",
    "Instance",
    "Interval",
    "LabelParameters",
    "LinearPathParameters",
    "LossParameters",
    "MLPDecoder",
    "MLPEncoder",
    "Network",
    "Nothing",
    "OneOf",
    "OutputParameters",
    "Penalty",
    "Prior",
    "SequenceOf",
    "StreamOf",
    "Supervision",
    "TyingParameters",
    "dense",
    "linear",
]
