"""Filters, sampling rates and averaging operators of a scattering transform.

A `ScatteringPlan` holds NumPy arrays in float64 and does no signal processing. `transform.py` turns it into
tensors of the dtype and on the device of its input, and runs it.

Notation: `N` padded length; `k` base-2 logarithm of a stride; `M = N / 2**k` samples at that stride; `c[f]` Fourier
coefficients of a signal, normalized so that `x[m] = sum_f c[f] exp(2j pi f m / M)` at every stride.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from pnp.features.scattering.filterbank import (
    SIGMA0,
    WaveletBank,
    as_applied,
    gauss,
    impulse_response,
    morlet,
    padded_length,
    periodize,
    short_padded_length,
    wavelet_bank,
    without_subnormals,
)
from pnp.features.scattering.log_frequency import LogFrequencyAxis
from pnp.features.scattering.options import Options
from pnp.features.scattering.paths import FirstOrderGroup, FrequentialFilter, SecondOrderPath, TimeAverage
from pnp.features.scattering.support import Support, parse_support

__all__ = ["ScatteringPlan"]

# Entries of an operator below this fraction of its largest one are not computed. Rounding in float64 hides them.
NEGLIGIBLE = 1e-12

# Part of its largest value below which the tail of a wavelet leaves silence silent.
SILENT = 1e-9

# With sampling "fine", the first order has the rate of the signal up to this scale, and twice the critical one beyond.
FULL_RATE = 2
# The second order is this many octaves above the critical rate, by J - j2. Faster sub-bands cost most, and have many
# samples to average. Where there are two octaves, rates of events lie if 2**J is half a second: envelopes that vanish
# as often need most samples.
FINER = (1, 1, 1, 1, 1, 2, 2, 1)


class ScatteringPlan:
    """Arrays and indices of a joint time-frequency scattering transform.

    Args:
        n_samples: Length of the signal.
        J: Base-2 logarithm of the maximal temporal scale.
        Q: First- and second-order wavelets per octave.
        J_fr: Base-2 logarithm of the maximal scale along log-frequency.
        Q_fr: Frequential wavelets per octave.
        T: Temporal averaging.
        F: Frequential averaging.
        options: Padding, sampling and normalization.

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
        options: Options,
    ) -> None:
        self.options = options
        self.n_samples = n_samples
        self.J, self.Q = J, Q
        self.format, self.normalization = options.format, options.normalization
        self.T, self.average = parse_support(T, J, n_samples, "T")
        self.log2_stride = math.floor(math.log2(self.T))
        if n_samples < 2**J:
            raise ValueError(
                f"J={J} asks for a maximal scale of {2**J} samples, longer than the signal: shape={n_samples}."
            )
        self.psi1 = wavelet_bank(J, Q[0])
        self.psi2 = wavelet_bank(J, Q[1])
        if not any(j2 > self.psi1.j[0] for j2 in self.psi2.j):
            raise ValueError(
                f"J={J} and Q={Q} leave no second-order wavelet slower than a first-order one; raise J."
            )
        self.log_frequency = LogFrequencyAxis(
            len(self.psi1), J, Q[0], J_fr, Q_fr, F, self.format, self.normalization
        )
        self.n_padded = self.n_averaged = padded_length(n_samples, self.T)
        if options.padding == "short":
            self.n_padded = short_padded_length(n_samples, self.T, 2 ** (1 + max(J, self.log2_stride)))
        self.pad_left = (self.n_padded - n_samples) // 2
        self.pad_right = self.n_padded - n_samples - self.pad_left

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

    def _second_order_stride(self, j2: int) -> int:
        """Stride of a second-order sub-band of scale `2**j2`.

        Sub-bands are analytic: all they hold lies between zero and half of their sampling rate. At half of that rate
        nothing of them is lost, only the average of their modulus is taken over half of the samples.
        """
        if self.options.sampling == "fine":
            below = self.J - j2
            return max(1, j2 - (FINER[max(0, below)] if below < len(FINER) else 0))
        if self.options.precision == "exact":
            return self._limit_stride(j2)
        coarsest = (self.n_padded & -self.n_padded).bit_length() - 2  # two samples and more remain
        return max(self._limit_stride(j2), min(self._limit_stride(j2 + 1), coarsest))

    @cached_property
    def phi(self) -> Float[np.ndarray, " N"]:
        """Fourier transform of the temporal low-pass filter."""
        return gauss(self.n_padded, SIGMA0 / self.T)

    @property
    def n_averages(self) -> int:
        """Number of local averages of a padded signal, those of the padding included."""
        return self.n_padded >> self.log2_stride

    @cached_property
    def order0(self) -> Float[np.ndarray, " bins"]:
        """Weights of the first Fourier coefficients of the signal in its local averages."""
        return self._low_pass(0)

    def _low_pass(self, log2_stride: int) -> Float[np.ndarray, " bins"]:
        """Weights of the non-negative Fourier coefficients of a real signal in its local averages.

        Averages of the padding are kept, whatever T: the number of all averages divides the padded length, that of
        those within the signal can be any number. They are dropped at the end.
        """
        n = self.n_padded >> log2_stride
        phi = as_applied(periodize(self.phi, log2_stride), self.normalization)
        bins = np.arange(min(self.n_averages, n // 2 + 1))
        # A real signal: each bin stands for its mirror image as well, but for the first and the last.
        weight = np.where((bins == 0) | (2 * bins == n), 1.0, 2.0)
        return np.asarray(weight * phi[bins])

    def first_order(self) -> Iterator[FirstOrderGroup]:
        """Yield first-order wavelets by stride; made anew at each call, for they are most of the memory of a plan."""
        strides = [self._limit_stride(j) for j in self.psi1.j]
        for critical in sorted(set(strides)):
            start, stop = strides.index(critical), len(strides) - strides[::-1].index(critical)
            k = critical
            if self.options.sampling == "fine":
                k = 0 if critical <= FULL_RATE else critical - 1
            n, m = self.n_padded >> critical, self.n_padded >> k
            psi = np.empty((stop - start, n))
            negative = np.empty((stop - start, n // 2 if critical else 0))
            for row, i in enumerate(range(start, stop)):
                filter_hat = self._wavelet(self.psi1, i) / 2**k
                # One fold is enough: the next one is more than ten bandwidths away from the centre of the filter.
                psi[row] = filter_hat[:n]
                negative[row] = filter_hat[self.n_padded - negative.shape[1] :]
            low_pass = self._low_pass(k)
            read = [
                (self.n_padded >> self._second_order_stride(self.psi2.j[n2])) + 1
                for n2, n1_max in self._second_order_rows.items()
                if n1_max > start
            ]
            bins = min(m // 2 + 1, max([*read, len(low_pass)]))
            yield FirstOrderGroup(start, stop, m, psi, negative, low_pass, bins)

    def _wavelet(self, bank: WaveletBank, i: int) -> Float[np.ndarray, " N"]:
        """Fourier transform of a wavelet of a bank, as it is applied."""
        return as_applied(morlet(self.n_padded, bank.xi[i], bank.sigma[i]), self.normalization)

    def _sounding(self, n2: int, n1_max: int, log2_stride: int) -> tuple[int, int]:
        """First sample, and one past the last, of a second-order sub-band that the signal reaches.

        Zeros before and after the signal stay zeros, but for the length of the wavelets. An average over all time does
        not need them. Local averages take blocks at fixed places.
        """
        n = self.n_padded >> log2_stride
        if self.options.pad_mode != "zero" or self.average != "global":
            return 0, n
        # In time, wavelets of both orders are Gaussians, and so is what one after the other makes of an edge.
        deviation = math.hypot(1 / self.psi1.sigma[n1_max - 1], 1 / self.psi2.sigma[n2]) / (2 * math.pi)
        reach = math.sqrt(-2 * math.log(SILENT)) * deviation
        start = math.floor((self.pad_left - reach) / 2**log2_stride)
        stop = math.ceil((self.pad_left + self.n_samples + reach) / 2**log2_stride)
        # A multiple of something, so that it can be cut into chunks.
        unit = max(n // 64, 128)
        length = unit * -(-(stop - start) // unit)
        if length >= n:
            return 0, n
        start = min(max(0, start), n - length)
        return start, start + length

    def _time_average(self, log2_stride: int, n: int | None = None) -> TimeAverage:
        """Average over the first `n` samples at a stride, by default all; the others are silent."""
        n = self.n_padded >> log2_stride if n is None else n
        if self.average == "global":
            weight = 1.0 if self.normalization == "kymatio" else 2**log2_stride / self.n_averaged
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
        if self.average == "global":
            return self._time_average(self.log2_stride)
        return TimeAverage(np.ones((1, 1)), self._hold(self.log2_stride)[:, None])

    @cached_property
    def _second_order_rows(self) -> dict[int, int]:
        """Number of first-order wavelets that each second-order wavelet applies to, where there are any."""
        rows = {n2: sum(j1 < j2 for j1 in self.psi1.j) for n2, j2 in enumerate(self.psi2.j)}
        return {n2: n1_max for n2, n1_max in rows.items() if n1_max}

    def second_order(self) -> Iterator[SecondOrderPath]:
        """Yield second-order wavelets that have first-order wavelets to apply to; made anew at each call."""
        for n2, n1_max in self._second_order_rows.items():
            k = self._second_order_stride(self.psi2.j[n2])
            n = self.n_padded >> k
            start, stop = self._sounding(n2, n1_max, k)
            filter_hat = self._wavelet(self.psi2, n2)
            yield SecondOrderPath(
                n2=n2,
                n1_max=n1_max,
                log2_stride=k,
                psi=filter_hat[:n],
                psi_negative=filter_hat[self.n_padded - n // 2 :],
                start=start,
                stop=stop,
                time_average=self._time_average(k, stop - start),
                filters=self.log_frequency.filters(n1_max),
            )

    # Paths ----------------------------------------------------------------------------------------------------------

    @cached_property
    def order1_filters(self) -> tuple[FrequentialFilter, ...]:
        """Frequential filters of the first-order path; with "average" one that leaves everything as it is."""
        n = len(self.psi1)
        if self.options.first_order == "average":
            return (FrequentialFilter({0: -1}, np.eye(n) + 0j, np.eye(n), np.arange(n), np.arange(n)),)
        return self.log_frequency.filters(n)

    def meta(self) -> dict[str, np.ndarray]:
        """Description of the output rows, in their order; see `TimeFrequencyScattering.meta`."""
        spins = {n_fr: (spin, xi, sigma, j) for n_fr, spin, xi, sigma, j in self.log_frequency.spins()}
        joint = self.format == "joint"
        rows: list[tuple[int, int, int, int, int]] = [] if joint else [(0, -1, -1, -1, -1)]
        second = (
            (2, n2, self.log_frequency.filters(n1_max)) for n2, n1_max in self._second_order_rows.items()
        )
        groups = [(1, -1, self.order1_filters), *second]
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
