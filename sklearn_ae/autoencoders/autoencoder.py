"""The autoencoder: encode to few numbers, decode, and minimise what was lost.

Its mathematics is `sklearn_ae.autoencoders.module.AutoencoderModule`, with penalties
and a corruption of the user's choice.
"""

from __future__ import annotations

from sklearn_ae.autoencoders.composed import CorruptionParameters, ImageAutoencoder
from sklearn_ae.engine.shared_parameters import FreeParameters

__all__ = ["Autoencoder"]


class Autoencoder(CorruptionParameters, FreeParameters, ImageAutoencoder):
    r"""Deep autoencoder that can take the place of PCA.

    Minimises, over an encoder f and a decoder g,

    .. math:: \mathbb{E}\,[-\log p(x \mid g(z))] + \sum_i \Omega_i(x, z)
              + \frac{\alpha}{2} \sum \|W\|^2,\qquad z = f(\tilde x)

    in nats per sample: summed over features, averaged over rows. With squared error
    training starts at PCA's solution. With a hidden layer, code and reconstruction are
    PCA's plus a network's correction (the linear path).

    See Also
    --------
    sklearn.decomposition.PCA : The linear, orthogonal special case.

    References
    ----------
    Hinton, G. & Salakhutdinov, R. Reducing the dimensionality of data with neural
    networks. Science 313, 2006.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn_ae import Autoencoder
    >>> X_train, X_test = train_test_split(load_digits().data, random_state=0)
    >>> model = Autoencoder(8, random_state=0).fit(X_train)
    >>> model.transform(X_test).shape
    (450, 8)
    >>> pca = PCA(8).fit(X_train)
    >>> restored = pca.inverse_transform(pca.transform(X_test))
    >>> bool(-model.score(X_test) < 0.7 * ((X_test - restored) ** 2).mean())
    True
    """

    @property
    def _has_linear_path(self) -> bool:
        return True
