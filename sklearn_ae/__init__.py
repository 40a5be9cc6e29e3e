"""Autoencoders that drop into scikit-learn wherever PCA stands."""

from sklearn_ae.autoencoders.autoencoder import Autoencoder
from sklearn_ae.engine.persistence import load, save
from sklearn_ae.parts.corruptions import GaussianNoise, Masking, SaltAndPepper
from sklearn_ae.parts.penalties import L1, L2

__version__ = "0.1.0.dev0"

__all__ = [
    "L1",
    "L2",
    "Autoencoder",
    "GaussianNoise",
    "Masking",
    "SaltAndPepper",
    "load",
    "save",
]
