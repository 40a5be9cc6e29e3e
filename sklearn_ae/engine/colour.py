"""The units of colour images: the network sees lightness and colour, not RGB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sklearn_ae.engine.inputs import LazyRows, range_outside
from sklearn_ae.engine.tensors import from_tensor, to_tensor
from sklearn_ae.engine.units import Units

__all__ = ["LabUnits"]


@dataclass(frozen=True)
class LabUnits(Units):
    """The map from rows of RGB images to what the network sees of their Lab.

    A row is a flat image with the channels last. Red, green and blue (sRGB) become
    lightness L, and a and b (CIE Lab, D65), from which `shift` and `scale` are taken.

    Parameters
    ----------
    shift, scale
        Shift and scale of Lab.
    top : float
        Value that stands for full intensity of red, green or blue.
    """

    top: float = 1.0
    is_affine: ClassVar[bool] = False

    @classmethod
    def of_images(
        cls,
        X: NDArray[Any],
        subset: NDArray[np.intp] | None,
        standardize: bool,
        weight: NDArray[np.float64] | None = None,
    ) -> LabUnits:
        """Find the range of `X`, and centre and scale its Lab where that is asked for.

        Raises
        ------
        ValueError
            If values are neither in [0, 1] nor in [0, 255].
        ImportError
            If scikit-image is not installed.
        """
        raw = cls(top=1.0)
        if range_outside(X, 0.0, 1.0) is not None:
            found = range_outside(X, 0.0, 255.0)
            if found is not None:
                raise ValueError(
                    "split='channels' needs RGB images with values in [0, 1] or in "
                    f"[0, 255]. Got X with values in {found}."
                )
            raw = cls(top=255.0)
        if not standardize:
            _skimage()
            return raw
        lab = Units.of(LazyRows(raw.view, X, X.shape[1], np.float64), subset, weight)
        return cls(lab.shift, lab.scale, top=raw.top)

    def check_rows(self, X: NDArray[Any]) -> None:
        """Raise ValueError for later rows whose values are in another range."""
        found = range_outside(X, 0.0, self.top)
        if found is not None:
            raise ValueError(
                f"This estimator was fitted to RGB images with values in [0, "
                f"{self.top:g}]. Got X with values in {found}."
            )

    def view(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return the Lab of rows (n_rows, n_features) of RGB, clipped to its range."""
        kind: Any = np.float32 if rows.dtype == np.float32 else np.float64
        images = rows.astype(kind).clip(0.0, self.top).reshape(len(rows), -1, 3)
        images /= self.top
        lab: NDArray[Any] = _skimage().rgb2lab(images)
        return lab.reshape(rows.shape)

    def to_data(self, rows: Tensor) -> Tensor:
        """Map rows of the network's units to RGB, clipped to what can be shown."""
        lab = from_tensor(super().to_data(rows))
        dtype, lab = lab.dtype, lab.reshape(len(rows), -1, 3)
        lightness = lab[..., 0].clip(0.0, 100.0)
        # scikit-image warns of a blue beyond Z = 0, and clips it to this one
        bluest = 200.0 * (1.0 - 1e-6) * (lightness + 16.0) / 116.0
        lab[..., 0], lab[..., 2] = lightness, np.minimum(lab[..., 2], bluest)
        rgb = _skimage().lab2rgb(lab).reshape(rows.shape) * self.top
        return to_tensor(rgb.astype(dtype, copy=False))


def _skimage() -> Any:
    try:
        import skimage.color
    except ImportError as error:
        raise ImportError(
            "split='channels' needs scikit-image: pip install 'sklearn_ae[images]'."
        ) from error
    return skimage.color
