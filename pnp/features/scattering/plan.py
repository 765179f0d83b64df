"""What is computed at which rate: every filter, sampling rate and averaging operator of a scattering transform.

A `ScatteringPlan` holds NumPy arrays in float64 and does no signal processing. `transform.py` turns it into
tensors of the dtype and on the device of its input, and runs it.

Notation: `N` padded length; `k` base-2 logarithm of a stride; `M = N / 2**k` samples at that stride; `c[f]` Fourier
coefficients of a signal, normalized so that `x[m] = sum_f c[f] exp(2j pi f m / M)` at every stride.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Complex, Float, Int, Shaped

from pnp.features.scattering.filterbank import (
    SIGMA0,
    WaveletBank,
    gauss,
    impulse_response,
    morlet,
    padded_length,
    padded_length_fr,
    periodize,
    wavelet_bank,
)

Support = float | int | str | None
Averaging = Literal["global", "local", "none"]

# Entries of an operator below this fraction of its largest one are not computed. Rounding in float64 hides them.
NEGLIGIBLE = 1e-12
# Values below this fraction of the largest one are set to zero, so that no product is a subnormal number.
SUBNORMAL = 1e-20
# Relative difference below which a wavelet of negative spin is the mirror image of that of positive spin.
MIRRORED = 1e-7


@dataclass(frozen=True)
class FirstOrderGroup:
    """First-order wavelets that share a stride.

    Attributes:
        start: Index n1 of the first wavelet.
        stop: One past the index n1 of the last wavelet.
        log2_stride: Stride of the modulus of these wavelets.
        psi: Values on Fourier bins 0 to M - 1, shape (stop - start, M).
        psi_negative: Values on bins -M/2 to -1, which fold onto bins M/2 to M - 1; shape (stop - start, M / 2). Empty
            at stride 1, where there is nothing to fold.
        low_pass: From the first Fourier coefficients of the modulus to its local averages, shape (bins, T').
    """

    start: int
    stop: int
    log2_stride: int
    psi: Float[np.ndarray, "n M"]
    psi_negative: Float[np.ndarray, "n half"]
    low_pass: Complex[np.ndarray, "bins frames"]


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
    """A wavelet along log-frequency, as a matrix, followed by an average of its modulus.

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
        """Without the rows that carry nothing, in the zero padding, and without those that reach no output.

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
    """All that happens under one second-order wavelet.

    Attributes:
        n2: Index of the wavelet.
        n1_max: Number of first-order wavelets that it applies to: those with j1 < j2.
        log2_stride: Stride of its output.
        psi: Values on bins 0 to M - 1, shape (M,).
        psi_negative: Values on bins -M/2 to -1, shape (M / 2,).
        time_average: Average of the modulus over time.
        filters: Frequential filters of spin >= 0, shape (1 + number of band-pass filters).
    """

    n2: int
    n1_max: int
    log2_stride: int
    psi: Float[np.ndarray, " M"]
    psi_negative: Float[np.ndarray, " half"]
    time_average: TimeAverage
    filters: tuple[FrequentialFilter, ...]


def parse_support(value: Support, J: int, limit: int, name: str) -> tuple[float, Averaging]:
    """Support of a low-pass filter and the kind of averaging that `T` or `F` asks for.

    Args:
        value: "global", None (meaning 2**J), 0 (no averaging) or a number of samples in [1, limit].
        J: Base-2 logarithm of the maximal scale.
        limit: Largest support allowed.
        name: Name of the argument, for error messages.

    Returns:
        The support, and "global", "local" or "none".

    Raises:
        ValueError: For any other value.
    """
    if isinstance(value, str):
        if value != "global":
            raise ValueError(f"{name} must be 'global', None, 0 or a number >= 1, got {value!r}.")
        return float(2**J), "global"
    if value is None:
        return float(2**J), "local"
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{name} must be 'global', None, 0 or a number >= 1, got {value!r}.")
    if value == 0:
        return float(2**J), "none"
    if value < 1:
        raise ValueError(f"{name} must be 'global', None, 0 or a number >= 1, got {value!r}.")
    if value > limit:
        raise ValueError(
            f"{name} cannot exceed the length of its axis, {limit}, got {value!r}; did you mean {name}='global'?"
        )
    return float(value), "local"


def without_subnormals(values: Shaped[np.ndarray, "*shape"]) -> Shaped[np.ndarray, "*shape"]:
    """Values, with those that are invisible beside the largest one set to zero."""
    return np.where(np.abs(values) > SUBNORMAL * np.abs(values).max(), values, 0)


class ScatteringPlan:
    """Every array and index of a joint time-frequency scattering transform.

    Args:
        n_samples: Length of the signal.
        J: Base-2 logarithm of the maximal temporal scale.
        Q: First- and second-order wavelets per octave.
        J_fr: Base-2 logarithm of the maximal scale along log-frequency.
        Q_fr: Frequential wavelets per octave.
        T: Temporal averaging.
        F: Frequential averaging.
        format: "time" or "joint".
        normalization: "mean" or "kymatio".
        first_order: "joint" or "average".

    Raises:
        ValueError: If the settings are not compatible.

    Source:
        Andén, Lostanlen, Mallat, "Joint time-frequency scattering", IEEE TSP 2019.
    """

    def __init__(
        self,
        n_samples: int,
        J: int,
        Q: tuple[int, int],
        J_fr: int,
        Q_fr: int,
        T: Support,
        F: Support,
        format: str,
        normalization: str,
        first_order: str = "joint",
    ) -> None:
        self.n_samples = n_samples
        self.J, self.Q, self.J_fr, self.Q_fr = J, Q, J_fr, Q_fr
        self.first_order_kind = first_order
        self.format, self.normalization = format, normalization
        self.T, self.average = parse_support(T, J, n_samples, "T")
        self.F, self.average_fr = parse_support(F, J_fr, (J + 1) * Q[0], "F")
        self.log2_stride = math.floor(math.log2(self.T))
        self.log2_stride_fr = math.floor(math.log2(self.F))

        self.psi1 = wavelet_bank(J, Q[0])
        self.psi2 = wavelet_bank(J, Q[1])
        self.psi_fr = wavelet_bank(J_fr, Q_fr)
        self.n_padded = padded_length(n_samples, self.T)
        self.n_padded_fr = padded_length_fr(J, Q[0], J_fr, self.F)
        self._check()
        self.pad_left = (self.n_padded - n_samples) // 2
        self.pad_right = self.n_padded - n_samples - self.pad_left

    def _check(self) -> None:
        if self.n_samples < 2**self.J:
            raise ValueError(
                f"J={self.J} asks for a maximal scale of {2**self.J} samples, longer than the signal: "
                f"shape={self.n_samples}."
            )
        if self.n_padded_fr < len(self.psi1):
            raise ValueError(
                f"J_fr={self.J_fr} and F={self.F:g} leave {self.n_padded_fr} bins along log-frequency, fewer than the "
                f"{len(self.psi1)} first-order wavelets of J={self.J}, Q={self.Q}; choose a larger J_fr or F."
            )

    def _round(self, filter_hat: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Filters as they are applied.

        Kymatio keeps its filters in float32, even to compute in float64; its values include that rounding. The far
        tails of a Gaussian are subnormal numbers, on which processors are a hundred times slower: they are zero here.
        """
        if self.normalization == "kymatio":
            filter_hat = filter_hat.astype(np.float32).astype(np.float64)
        return without_subnormals(filter_hat)

    # Padding of the output ------------------------------------------------------------------------------------------

    def frames(self, log2_stride: int) -> range:
        """Samples at stride `2**log2_stride` that lie within the signal rather than in its padding."""
        start, stop = self.pad_left, self.pad_left + self.n_samples
        for _ in range(log2_stride):
            start, stop = (start + 1) // 2, (stop + 1) // 2
        return range(start, stop)

    @cached_property
    def log2_stride_out(self) -> int:
        """Stride of the time axis of the output."""
        if self.average == "none":
            return min(j2 for j2 in self.psi2.j if j2 > self.psi1.j[0])
        return self.log2_stride

    @cached_property
    def n_frames(self) -> int:
        """Length of the time axis of the output; 1 for T="global"."""
        return 1 if self.average == "global" else len(self.frames(self.log2_stride_out))

    def _hold(self, log2_stride: int) -> Int[np.ndarray, " frames"]:
        """Sample at stride `2**log2_stride` that stands at each frame of an output with T = 0."""
        native = self.frames(log2_stride)
        held = np.array(self.frames(self.log2_stride_out)) * 2**self.log2_stride_out // 2**log2_stride
        return np.asarray(np.clip(held, native.start, native.stop - 1))

    # Time -----------------------------------------------------------------------------------------------------------

    def _limit_stride(self, j: int) -> int:
        """Stride of a signal of scale `2**j`: a local average must not be coarser than its own output."""
        return min(j, self.log2_stride) if self.average == "local" else j

    @cached_property
    def phi(self) -> Float[np.ndarray, " N"]:
        """Fourier transform of the temporal low-pass filter."""
        return gauss(self.n_padded, SIGMA0 / self.T)

    @cached_property
    def order0(self) -> Complex[np.ndarray, "bins frames"]:
        """From the first Fourier coefficients of the signal to its local averages."""
        return self._low_pass(0)

    def _low_pass(self, log2_stride: int) -> Complex[np.ndarray, "bins frames"]:
        """Local average of a real signal at stride `2**log2_stride`, from its non-negative Fourier coefficients.

        With T = "global" or 0, the frames of the padding are kept: the first-order path needs all of them to compute
        what Kymatio computes, and unpads later.
        """
        n = self.n_padded >> log2_stride
        n_out = self.n_padded >> self.log2_stride
        phi = self._round(periodize(self.phi, log2_stride))
        bins = np.arange(min(n_out, n // 2 + 1))
        frames = np.array(self.frames(self.log2_stride)) if self.average == "local" else np.arange(n_out)
        weight = np.where(
            (bins == 0) | (2 * bins == n), 1.0, 2.0
        )  # a real signal: each bin stands for its mirror
        phase = np.exp(2j * np.pi * ((bins[:, None] * frames[None, :]) % n_out) / n_out)
        return np.asarray((weight * phi[bins])[:, None] * phase)

    @cached_property
    def first_order(self) -> tuple[FirstOrderGroup, ...]:
        """First-order wavelets by stride."""
        strides = [self._limit_stride(j) for j in self.psi1.j]
        groups = []
        for k in sorted(set(strides)):
            start, stop = strides.index(k), len(strides) - strides[::-1].index(k)
            n = self.n_padded >> k
            wavelets = [
                morlet(self.n_padded, self.psi1.xi[i], self.psi1.sigma[i]) for i in range(start, stop)
            ]
            filters = self._round(np.stack(wavelets))
            # One fold is enough: the next one is more than ten bandwidths away from the centre of the filter.
            psi = filters[:, :n] / 2**k
            negative = filters[:, self.n_padded - n // 2 :] / 2**k if k else np.zeros((stop - start, 0))
            groups.append(FirstOrderGroup(start, stop, k, psi, negative, self._low_pass(k)))
        return tuple(groups)

    def _time_average(self, log2_stride: int) -> TimeAverage:
        n = self.n_padded >> log2_stride
        if self.average == "global":
            weight = 1.0 if self.normalization == "kymatio" else 1.0 / n
            return TimeAverage(np.full((n, 1), weight), np.zeros((1, 1), dtype=np.int64))
        if self.average == "none":
            return TimeAverage(np.ones((1, 1)), self._hold(log2_stride)[:, None])
        size = 2 ** (self.log2_stride - log2_stride)
        blocks = n // size
        response = impulse_response(periodize(self.phi, log2_stride)).real
        # Column l of the kernel holds what a block contributes to the frame l blocks later, circularly.
        kernel = np.stack([response[(lag * size - np.arange(size)) % n] for lag in range(blocks)], axis=1)
        lags = np.flatnonzero(np.abs(kernel).max(axis=0) > NEGLIGIBLE * np.abs(response).max())
        frames = np.array(self.frames(self.log2_stride))
        return TimeAverage(without_subnormals(kernel[:, lags]), (frames[:, None] - lags[None, :]) % blocks)

    @cached_property
    def order1_average(self) -> TimeAverage:
        """Average over time of first-order paths, which are low-pass already: a sum, or nothing."""
        n = self.n_padded >> self.log2_stride
        if self.average == "global":
            weight = 1.0 if self.normalization == "kymatio" else 1.0 / n
            return TimeAverage(np.full((n, 1), weight), np.zeros((1, 1), dtype=np.int64))
        frames = self._hold(self.log2_stride) if self.average == "none" else np.arange(self.n_frames)
        return TimeAverage(np.ones((1, 1)), frames[:, None])

    @cached_property
    def second_order(self) -> tuple[SecondOrderPath, ...]:
        """Second-order wavelets that have first-order wavelets to apply to."""
        paths = []
        for n2, (xi, sigma, j2) in enumerate(zip(self.psi2.xi, self.psi2.sigma, self.psi2.j, strict=True)):
            n1_max = sum(j1 < j2 for j1 in self.psi1.j)
            if n1_max == 0:
                continue
            k = self._limit_stride(j2)
            n = self.n_padded >> k
            filter_hat = self._round(morlet(self.n_padded, xi, sigma))
            paths.append(
                SecondOrderPath(
                    n2=n2,
                    n1_max=n1_max,
                    log2_stride=k,
                    psi=filter_hat[:n],
                    psi_negative=filter_hat[self.n_padded - n // 2 :],
                    time_average=self._time_average(k),
                    filters=self.frequential_filters(n1_max),
                )
            )
        if not paths:
            raise ValueError(
                f"J={self.J} and Q={self.Q} leave no second-order wavelet slower than a first-order one; raise J."
            )
        return tuple(paths)

    # Log-frequency --------------------------------------------------------------------------------------------------

    @cached_property
    def _phi_fr(self) -> Float[np.ndarray, " n"]:
        return gauss(self.n_padded_fr, SIGMA0 / self.F)

    def spins(self) -> list[tuple[int, int, float, float, int]]:
        """Index, spin, centre frequency, bandwidth and log2 subsampling of each frequential filter, in order."""
        bank: WaveletBank = self.psi_fr
        low_pass = (0, 0, 0.0, SIGMA0 / 2**self.J_fr, self.J_fr)
        band_pass = [
            (1 + i + len(bank) * (spin < 0), spin, spin * bank.xi[i], bank.sigma[i], bank.j[i])
            for spin in (1, -1)
            for i in range(len(bank))
        ]
        return [low_pass, *band_pass]

    def frequential_filters(self, n1_max: int) -> tuple[FrequentialFilter, ...]:
        """Frequential filters of a path with `n1_max` first-order wavelets: the low-pass one, then the others."""
        n = self.n_padded_fr
        low, *bands = self.spins()
        filters = [
            self._frequential_filter(
                {0: 0}, impulse_response(self._round(gauss(n, low[3]))).real + 0j, low[4], n1_max
            )
        ]
        half = len(self.psi_fr)
        for (up, _, xi, sigma, j), (down, *_rest) in zip(bands[:half], bands[half:], strict=True):
            positive = impulse_response(self._round(morlet(n, xi, sigma)))
            negative = impulse_response(self._round(morlet(n, -xi, sigma)))
            # Kymatio truncates the tails of the widest wavelet on one side, and by a hundred-thousandth its two spins
            # are not mirror images.
            if np.abs(positive - negative.conj()).max() <= MIRRORED * np.abs(positive).max():
                filters.append(self._frequential_filter({1: up, -1: down}, positive, j, n1_max))
            elif self.normalization == "kymatio":
                filters.append(self._frequential_filter({1: up}, positive, j, n1_max))
                filters.append(self._frequential_filter({-1: down}, negative.conj(), j, n1_max))
            else:
                # The mean of the two is within rounding of either at Kymatio's accuracy, serves both spins, and makes
                # time reversal swap them exactly.
                filters.append(
                    self._frequential_filter({1: up, -1: down}, (positive + negative.conj()) / 2, j, n1_max)
                )
        return tuple(filters)

    def _frequential_filter(
        self, n_fr: dict[int, int], response: Complex[np.ndarray, " n"], j: int, n1_max: int
    ) -> FrequentialFilter:
        n = self.n_padded_fr
        k = min(j, self.log2_stride_fr) if self.average_fr == "local" else j
        rows = np.arange(n >> k)
        weights = response[(rows[:, None] * 2**k - np.arange(n1_max)[None, :]) % n]
        average, n1, positions = self._frequential_average(low_pass=0 in n_fr, j=j, k=k, n1_max=n1_max)
        return FrequentialFilter(
            n_fr, without_subnormals(weights), without_subnormals(average), n1, positions
        )

    def _frequential_average(
        self, low_pass: bool, j: int, k: int, n1_max: int
    ) -> tuple[Float[np.ndarray, "outputs rows"], Int[np.ndarray, " outputs"], Int[np.ndarray, " outputs"]]:
        n, n_rows = self.n_padded_fr, self.n_padded_fr >> k
        joint = self.format == "joint"
        if self.average_fr == "global" and (joint or not low_pass):
            weight = 1.0 if self.normalization == "kymatio" else 1.0 / n_rows
            one = np.zeros(1, dtype=np.int64)
            return np.full((1, n_rows), weight), one - 1 if joint else one, one
        positions = (
            self.joint_positions if joint else np.arange(0, n1_max, 2**j if low_pass else self._row_stride(j))
        )
        if self.average_fr == "local" and not low_pass:
            response = impulse_response(self._round(periodize(self._phi_fr, k))).real
            average = response[(positions[:, None] // 2**k - np.arange(n_rows)[None, :]) % n_rows]
        else:
            rows = positions // 2**k
            if not joint and self.normalization == "kymatio":
                # Kymatio takes the first rows of a low-pass path as they come. They are 2**k wavelets apart, not
                # the 2**j that their index n1 says. Its values are reproduced, and their true places reported.
                rows = np.arange(len(positions))
            average = np.eye(n_rows)[rows]
            if not joint:
                return average, positions, rows * 2**k
        return average, np.full(len(positions), -1) if joint else positions, positions % n

    def _row_stride(self, j: int) -> int:
        return 1 << self.log2_stride_fr if self.average_fr == "local" else 1 << j

    @cached_property
    def joint_positions(self) -> Int[np.ndarray, " n1"]:
        """Places of the log-frequency axis of format "joint", in first-order wavelets."""
        if self.average_fr == "global":
            return np.zeros(1, dtype=np.int64)
        stride = (
            2**self.log2_stride_fr if self.average_fr == "local" else 2 ** min(s[-1] for s in self.spins())
        )
        return np.arange(0, len(self.psi1), stride)

    # Paths ----------------------------------------------------------------------------------------------------------

    @cached_property
    def order1_filters(self) -> tuple[FrequentialFilter, ...]:
        """Frequential filters of the first-order path; with "average" one that leaves everything as it is."""
        n = len(self.psi1)
        if self.first_order_kind == "average":
            return (FrequentialFilter({0: -1}, np.eye(n) + 0j, np.eye(n), np.arange(n), np.arange(n)),)
        return self.frequential_filters(n)

    def meta(self) -> dict[str, np.ndarray]:
        """One entry per output row, in the order of the rows; see `TimeFrequencyScattering.meta`."""
        spins = {n_fr: (spin, xi, sigma, j) for n_fr, spin, xi, sigma, j in self.spins()}
        joint = self.format == "joint"
        rows: list[tuple[int, int, int, int, int]] = [] if joint else [(0, -1, -1, -1, -1)]
        groups = [(1, -1, self.order1_filters), *((2, path.n2, path.filters) for path in self.second_order)]
        for order, n2, filters in groups:
            by_index = {n: f for f in filters for spin, n in f.n_fr.items() if order == 2 or spin >= 0}
            for n_fr, filter_ in sorted(by_index.items()):
                for n1, position in [(-1, -1)] if joint else zip(filter_.n1, filter_.positions, strict=True):
                    rows.append((order, int(n1), n2, n_fr, int(position)))
        table = np.array(rows, dtype=np.int64)
        orders, n1s, n2s, n_frs, positions = table.T
        meta: dict[str, np.ndarray] = {
            "order": orders,
            "n1": n1s,
            "n2": n2s,
            "n_fr": n_frs,
            "position": positions,
        }
        for i, (name, dtype) in enumerate(
            (("spin", np.int64), ("xi_fr", float), ("sigma_fr", float), ("j_fr", np.int64))
        ):
            missing = (0, np.nan, np.nan, -1)[i]
            meta[name] = np.array([spins[n][i] if n >= 0 else missing for n in n_frs], dtype=dtype)
        for name in ("xi", "sigma", "j"):
            missing = -1 if name == "j" else np.nan
            columns = []
            for bank, index in ((self.psi1, n1s), (self.psi2, n2s)):
                values = getattr(bank, name)
                columns.append([values[i] if i >= 0 else missing for i in index])
            meta[name] = np.array(columns, dtype=np.int64 if name == "j" else float).T
        return meta
