"""The autoencoder: encode to few numbers, decode, and minimise what was lost.

Its mathematics is `sklearn_ae.autoencoders.module.AutoencoderModule`, with penalties
and a corruption of the user's choice.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sklearn.base import clone

from sklearn_ae.autoencoders.composed import ImageAutoencoder
from sklearn_ae.params.domains import Instance, Nothing, SequenceOf, named_items
from sklearn_ae.parts.corruptions import Corruption
from sklearn_ae.parts.penalties import Penalty

__all__ = ["Autoencoder"]


class Autoencoder(ImageAutoencoder):
    r"""Deep autoencoder that stands wherever PCA does.

    Minimises, over an encoder f and a decoder g,

    .. math:: \mathbb{E}\,[-\log p(x \mid g(z))] + \sum_i \Omega_i(x, z)
              + \frac{\alpha}{2} \sum \|W\|^2,\qquad z = f(\tilde x)

    in nats per sample: summed over features, averaged over rows. With squared error
    training starts at PCA's solution. With a hidden layer, code and reconstruction are
    PCA's plus a network's correction (the linear path).

    Parameters
    ----------
    penalties : Penalty, list of Penalty or of (str, Penalty), or None, default=None
        Terms Ω on inputs and codes, such as `L1` and `L2`.
    corruption : Corruption or None, default=None
        What is done to the input while training, such as `GaussianNoise` and
        `Masking`. The target stays clean.

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

    penalties: Any = None
    corruption: Any = None

    _valid: ClassVar = {
        "penalties": [
            Instance(Penalty, "a Penalty"),
            SequenceOf(Instance(Penalty), "a list of Penalties"),
            Nothing(),
        ],
        "corruption": [Instance(Corruption, "a Corruption"), Nothing()],
    }
    _has_linear_path: ClassVar[bool] = True

    def _penalties(self) -> list[tuple[str, Penalty]]:
        given = self.penalties if self.penalties is not None else []
        items = named_items([given] if isinstance(given, Penalty) else given)
        names = [name for name, _ in items]
        taken = {"reconstruction", "weight_decay", "loss", "alpha", "corruption"}
        taken.add("code_penalty")
        for name in names:
            if names.count(name) > 1 or name in taken or "__" in name or "." in name:
                raise ValueError(
                    f"The 'penalties' parameter of {type(self).__name__} names one "
                    f"{name!r}. Names must differ from each other and from "
                    f"{sorted(taken)}, without '__' or '.'."
                )
        return [(name, clone(penalty)) for name, penalty in items]

    def _corruption(self) -> Corruption | None:
        return None if self.corruption is None else clone(self.corruption)
