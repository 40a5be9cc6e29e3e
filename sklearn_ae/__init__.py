"""Autoencoders that drop into scikit-learn wherever PCA stands."""

from sklearn_ae.autoencoders.adversarial import AdversarialAutoencoder
from sklearn_ae.autoencoders.autoencoder import Autoencoder
from sklearn_ae.autoencoders.contractive import ContractiveAutoencoder
from sklearn_ae.autoencoders.convolutional import ConvolutionalAutoencoder
from sklearn_ae.autoencoders.denoising import DenoisingAutoencoder
from sklearn_ae.autoencoders.embedding import EmbeddingAutoencoder
from sklearn_ae.autoencoders.generalized import GeneralizedAutoencoder
from sklearn_ae.autoencoders.k_sparse import KSparseAutoencoder
from sklearn_ae.autoencoders.sparse import SparseAutoencoder
from sklearn_ae.autoencoders.split_brain import SplitBrainAutoencoder
from sklearn_ae.autoencoders.variational import (
    ImportanceWeightedAutoencoder,
    VariationalAutoencoder,
)
from sklearn_ae.engine.persistence import load, save
from sklearn_ae.inspection.decoded_grid import DecodedGridDisplay
from sklearn_ae.meta.classifier import StackedAutoencoderClassifier
from sklearn_ae.meta.stacked import StackedAutoencoderPretrainer
from sklearn_ae.parts.corruptions import GaussianNoise, Masking, SaltAndPepper
from sklearn_ae.parts.penalties import L1, L2, Contraction, KLSparsity

__version__ = "0.1.0.dev0"

__all__ = [
    "L1",
    "L2",
    "AdversarialAutoencoder",
    "Autoencoder",
    "Contraction",
    "ContractiveAutoencoder",
    "ConvolutionalAutoencoder",
    "DecodedGridDisplay",
    "DenoisingAutoencoder",
    "EmbeddingAutoencoder",
    "GaussianNoise",
    "GeneralizedAutoencoder",
    "ImportanceWeightedAutoencoder",
    "KLSparsity",
    "KSparseAutoencoder",
    "Masking",
    "SaltAndPepper",
    "SparseAutoencoder",
    "SplitBrainAutoencoder",
    "StackedAutoencoderClassifier",
    "StackedAutoencoderPretrainer",
    "VariationalAutoencoder",
    "load",
    "save",
]
