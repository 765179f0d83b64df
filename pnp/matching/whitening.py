"""Whitening of features by the covariance that noise gives them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

__all__ = ["Whitening"]

# With fewer draws than features, correlations are estimated too large: this part of them is not believed.
_SHRINKAGE = 0.2
# Variance of a feature, relative to the mean one, below which it is rounding rather than noise.
_LEAST_VARIANCE = 1e-4


class Whitening:
    """Linear map after which noise has about the same variance in all directions of feature space.

    The covariance is that of draws, of which the correlations are shrunk towards none. It is never formed: its
    singular vectors are as many as there are draws.

    Args:
        draws: Features of one sound under several draws of noise, shape (K, C), K at least 2.

    Source:
        Ledoit, Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", J. Multivariate
        Analysis 88 (2004), for the shrinkage.
    """

    def __init__(self, draws: Float[np.ndarray, "K C"]) -> None:
        centred = draws - draws.mean(0)
        variance = centred.var(0, ddof=1)
        least = _LEAST_VARIANCE * variance.mean() + np.finfo(np.float64).tiny
        self._deviation = np.sqrt(variance + least)[:, None]
        scaled = centred / self._deviation[:, 0] / np.sqrt(len(draws) - 1)
        _, sigma, self._directions = np.linalg.svd(scaled, full_matrices=False)
        spectrum = _SHRINKAGE + (1.0 - _SHRINKAGE) * np.square(sigma)
        self._change = (np.sqrt(_SHRINKAGE / spectrum) - 1.0)[:, None]

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return differences of features, whitened.

        Args:
            values: A difference, shape (C,), or a Jacobian, shape (C, P).
        """
        columns = values.reshape(len(values), -1) / self._deviation
        along = self._directions @ columns
        whitened: np.ndarray = (columns + self._directions.T @ (self._change * along)) / np.sqrt(_SHRINKAGE)
        return whitened.reshape(values.shape)
