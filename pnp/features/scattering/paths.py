"""Arrays of the stages of a scattering transform: groups of wavelets, averages, filters and paths.

All are in float64 and without their subnormal tails. Strides are given by their base-2 logarithm; `M` is the number of
samples at that stride.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Complex, Float, Int

__all__ = ["FirstOrderGroup", "FrequentialFilter", "SecondOrderPath", "TimeAverage"]


@dataclass(frozen=True)
class FirstOrderGroup:
    """First-order wavelets that share a stride.

    Attributes:
        start: Index n1 of the first wavelet.
        stop: One past the index n1 of the last wavelet.
        n_samples: Number M of samples of the modulus of these wavelets.
        psi: Values on Fourier bins 0 to B - 1, shape (stop - start, B), where B <= M is that of the critical rate.
        psi_negative: Values on bins -B/2 to -1, which fold onto bins M - B/2 to M - 1; shape (stop - start, B / 2).
            Empty where B is the length of the signal, and there is nothing to fold.
        low_pass: Weights of the first Fourier coefficients of the modulus in its local averages, shape (bins,).
        bins: Number of Fourier coefficients of the modulus, from 0 on, that paths and averages read.
    """

    start: int
    stop: int
    n_samples: int
    psi: Float[np.ndarray, "n B"]
    psi_negative: Float[np.ndarray, "n half"]
    low_pass: Float[np.ndarray, " bins"]
    bins: int


@dataclass(frozen=True)
class TimeAverage:
    """Average over time as a block product and a sum of shifted blocks.

    The time axis, `blocks * size` samples, is cut into blocks. `weights` maps a block to its contributions to
    neighbouring frames; frame `m` is the sum over l of contribution `l` of block `source[m, l]`.

    Attributes:
        weights: Shape (size, taps).
        source: Shape (frames, taps), index of a block.
    """

    weights: Float[np.ndarray, "size taps"]
    source: Int[np.ndarray, "frames taps"]

    @property
    def size(self) -> int:
        """Samples in a block."""
        return int(self.weights.shape[0])


@dataclass(frozen=True)
class FrequentialFilter:
    """Wavelet along log-frequency, as a matrix, and the average of its modulus.

    Attributes:
        n_fr: Index of the filter for each spin that it serves: {0: 0} for the low-pass filter.
        weights: Convolution with the filter of positive spin, shape (rows, n1). Its complex conjugate is the negative
            spin.
        average: Average over rows, shape (outputs, rows).
        n1: First-order index of each output, shape (outputs,); -1 in format "joint".
        positions: Place of each output on the log-frequency axis, in first-order wavelets; shape (outputs,).
    """

    n_fr: dict[int, int]
    weights: Complex[np.ndarray, "rows n1"]
    average: Float[np.ndarray, "outputs rows"]
    n1: Int[np.ndarray, " outputs"]
    positions: Int[np.ndarray, " outputs"]

    def pruned(self, tolerance: float) -> FrequentialFilter:
        """Remove the rows that carry nothing, in the zero padding, and those that reach no output.

        Args:
            tolerance: Weights below this fraction of the largest one are nothing.

        Returns:
            The filter with fewer rows.
        """
        alive = np.abs(self.weights).max(axis=1) > tolerance * np.abs(self.weights).max()
        alive &= np.abs(self.average).max(axis=0) > tolerance * np.abs(self.average).max()
        return replace(self, weights=self.weights[alive], average=self.average[:, alive])


@dataclass(frozen=True)
class SecondOrderPath:
    """Second-order wavelet and everything that is applied to its sub-bands.

    Attributes:
        n2: Index of the wavelet.
        n1_max: Number of first-order wavelets that it applies to: those with j1 < j2.
        log2_stride: Stride of its output.
        psi: Values on bins 0 to M - 1, shape (M,).
        psi_negative: Values on bins -M/2 to -1, shape (M / 2,).
        start: First sample that is not silent.
        stop: One past the last sample that is not silent.
        time_average: Average of the modulus over time.
        filters: Frequential filters of spin >= 0, shape (1 + number of band-pass filters).
    """

    n2: int
    n1_max: int
    log2_stride: int
    psi: Float[np.ndarray, " M"]
    psi_negative: Float[np.ndarray, " half"]
    start: int
    stop: int
    time_average: TimeAverage
    filters: tuple[FrequentialFilter, ...]
