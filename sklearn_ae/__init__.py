"""Autoencoders that drop into scikit-learn wherever PCA stands."""

from sklearn_ae.autoencoders.adversarial import AdversarialAutoencoder
from sklearn_ae.autoencoders.autoencoder import Autoencoder
from sklearn_ae.autoencoders.contractive import ContractiveAutoencoder
from sklearn_ae.autoencoders.convolutional import ConvolutionalAutoencoder
from sklearn_ae.autoencoders.denoising import DenoisingAutoencoder
from sklearn_ae.autoencoders.embedding import EmbeddingAutoencoder
from sklearn_ae.autoencoders.generalized import GeneralizedAutoencoder
from sklearn_ae.autoencoders.importance_weighted import ImportanceWeightedAutoencoder
from sklearn_ae.autoencoders.k_sparse import KSparseAutoencoder
from sklearn_ae.autoencoders.sparse import SparseAutoencoder
from sklearn_ae.autoencoders.split_brain import SplitBrainAutoencoder
from sklearn_ae.autoencoders.variational import VariationalAutoencoder
from sklearn_ae.engine.onnx import to_onnx
from sklearn_ae.engine.persistence import load, save
from sklearn_ae.inspection.code import CodeDisplay
from sklearn_ae.inspection.errors import ErrorDisplay
from sklearn_ae.inspection.features import FeatureDisplay
from sklearn_ae.inspection.manifold import ManifoldDisplay
from sklearn_ae.inspection.reconstruction import ReconstructionDisplay
from sklearn_ae.inspection.training import TrainingDisplay
from sklearn_ae.meta.classifier import StackedAutoencoderClassifier
from sklearn_ae.meta.outlier import AutoencoderOutlierDetector
from sklearn_ae.meta.stacked import StackedAutoencoderPretrainer
from sklearn_ae.parts.corruptions import GaussianNoise, Masking, SaltAndPepper
from sklearn_ae.parts.penalties import L1, L2, Contraction, KLSparsity

__version__ = "0.1.0.dev0"

__all__ = [
    "L1",
    "L2",
    "AdversarialAutoencoder",
    "Autoencoder",
    "AutoencoderOutlierDetector",
    "CodeDisplay",
    "Contraction",
    "ContractiveAutoencoder",
    "ConvolutionalAutoencoder",
    "DenoisingAutoencoder",
    "EmbeddingAutoencoder",
    "ErrorDisplay",
    "FeatureDisplay",
    "GaussianNoise",
    "GeneralizedAutoencoder",
    "ImportanceWeightedAutoencoder",
    "KLSparsity",
    "KSparseAutoencoder",
    "ManifoldDisplay",
    "Masking",
    "ReconstructionDisplay",
    "SaltAndPepper",
    "SparseAutoencoder",
    "SplitBrainAutoencoder",
    "StackedAutoencoderClassifier",
    "StackedAutoencoderPretrainer",
    "TrainingDisplay",
    "VariationalAutoencoder",
    "load",
    "save",
    "to_onnx",
]
