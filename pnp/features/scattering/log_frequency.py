"""Log-frequency half of a plan: padding, filters and averages along the axis of first-order wavelets."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
from jaxtyping import Complex, Float, Int

from pnp.features.scattering.filterbank import (
    SIGMA0,
    as_applied,
    gauss,
    impulse_response,
    morlet,
    padded_length_fr,
    periodize,
    wavelet_bank,
    without_subnormals,
)
from pnp.features.scattering.paths import FrequentialFilter
from pnp.features.scattering.support import Support, parse_support

__all__ = ["LogFrequencyAxis"]

# Relative difference below which a wavelet of negative spin is the mirror image of that of positive spin.
MIRRORED = 1e-7


class LogFrequencyAxis:
    """Filters and averages along log-frequency.

    Args:
        n_wavelets: Number of first-order wavelets.
        J: Base-2 logarithm of the maximal temporal scale.
        Q: First-order wavelets per octave.
        J_fr: Base-2 logarithm of the maximal scale along log-frequency.
        Q_fr: Frequential wavelets per octave.
        F: Frequential averaging.
        format: "time" or "joint".
        normalization: "mean" or "kymatio".

    Raises:
        ValueError: If the settings are not compatible.
    """

    def __init__(
        self,
        n_wavelets: int,
        J: int,
        Q: int,
        J_fr: int,
        Q_fr: int,
        F: Support,
        format: str,
        normalization: str,
    ) -> None:
        self.n_wavelets, self.J_fr = n_wavelets, J_fr
        self.format, self.normalization = format, normalization
        self.F, self.average = parse_support(F, J_fr, (J + 1) * Q, "F")
        self.log2_stride = math.floor(math.log2(self.F))
        self.bank = wavelet_bank(J_fr, Q_fr)
        # Kymatio pads for F up to 2**J_fr. Above that its averages wrap around, and its values include that.
        support = min(self.F, 2**J_fr) if normalization == "kymatio" else self.F
        self.n_padded = padded_length_fr(J, Q, J_fr, support)
        if 2**J_fr > 2 * self.n_padded:
            raise ValueError(
                f"J_fr={J_fr} makes filters along log-frequency of 2**{J_fr} bins, far longer than the {n_wavelets} "
                f"first-order wavelets of J={J}, Q={Q}; choose a J_fr of at most {max(1, n_wavelets.bit_length())}."
            )
        if self.n_padded < n_wavelets:
            raise ValueError(
                f"J_fr={J_fr} and F={self.F:g} leave {self.n_padded} bins along log-frequency, fewer than the "
                f"{n_wavelets} first-order wavelets of J={J}, Q={Q}; choose a larger J_fr or F."
            )

    @cached_property
    def _phi(self) -> Float[np.ndarray, " n"]:
        return gauss(self.n_padded, SIGMA0 / self.F)

    def spins(self) -> list[tuple[int, int, float, float, int]]:
        """Index, spin, centre frequency, bandwidth and log2 subsampling of each frequential filter, in order."""
        bank = self.bank
        low_pass = (0, 0, 0.0, SIGMA0 / 2**self.J_fr, self.J_fr)
        band_pass = [
            (1 + i + len(bank) * (spin < 0), spin, spin * bank.xi[i], bank.sigma[i], bank.j[i])
            for spin in (1, -1)
            for i in range(len(bank))
        ]
        return [low_pass, *band_pass]

    def filters(self, n1_max: int) -> tuple[FrequentialFilter, ...]:
        """Frequential filters of a path with `n1_max` first-order wavelets: the low-pass one, then the others."""
        n = self.n_padded
        low, *bands = self.spins()
        filters = [
            self._filter(
                {0: 0},
                impulse_response(as_applied(gauss(n, low[3]), self.normalization)).real + 0j,
                low[4],
                n1_max,
            )
        ]
        half = len(self.bank)
        for (up, _, xi, sigma, j), (down, *_rest) in zip(bands[:half], bands[half:], strict=True):
            positive = impulse_response(as_applied(morlet(n, xi, sigma), self.normalization))
            negative = impulse_response(as_applied(morlet(n, -xi, sigma), self.normalization))
            # Kymatio truncates the tails of the widest wavelet on one side, and by a hundred-thousandth its two spins
            # are not mirror images.
            if np.abs(positive - negative.conj()).max() <= MIRRORED * np.abs(positive).max():
                filters.append(self._filter({1: up, -1: down}, positive, j, n1_max))
            elif self.normalization == "kymatio":
                filters.append(self._filter({1: up}, positive, j, n1_max))
                filters.append(self._filter({-1: down}, negative.conj(), j, n1_max))
            else:
                # The mean of the two is within rounding of either at Kymatio's accuracy, serves both spins, and makes
                # time reversal swap them exactly.
                filters.append(self._filter({1: up, -1: down}, (positive + negative.conj()) / 2, j, n1_max))
        return tuple(filters)

    def _filter(
        self, n_fr: dict[int, int], response: Complex[np.ndarray, " n"], j: int, n1_max: int
    ) -> FrequentialFilter:
        n = self.n_padded
        k = min(j, self.log2_stride) if self.average == "local" else j
        rows = np.arange(n >> k)
        weights = response[(rows[:, None] * 2**k - np.arange(n1_max)[None, :]) % n]
        average, n1, positions = self._average(low_pass=0 in n_fr, j=j, k=k, n1_max=n1_max)
        return FrequentialFilter(
            n_fr, without_subnormals(weights), without_subnormals(average), n1, positions
        )

    def _average(
        self, low_pass: bool, j: int, k: int, n1_max: int
    ) -> tuple[Float[np.ndarray, "outputs rows"], Int[np.ndarray, " outputs"], Int[np.ndarray, " outputs"]]:
        n, n_rows = self.n_padded, self.n_padded >> k
        joint = self.format == "joint"
        if self.average == "global" and (joint or not low_pass):
            weight = 1.0 if self.normalization == "kymatio" else 1.0 / n_rows
            one = np.zeros(1, dtype=np.int64)
            return np.full((1, n_rows), weight), one - 1 if joint else one, one
        positions = (
            self.joint_positions if joint else np.arange(0, n1_max, 2**j if low_pass else self._row_stride(j))
        )
        if self.average == "local" and not low_pass:
            response = impulse_response(as_applied(periodize(self._phi, k), self.normalization)).real
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
        return 1 << self.log2_stride if self.average == "local" else 1 << j

    @cached_property
    def joint_positions(self) -> Int[np.ndarray, " n1"]:
        """Places of the log-frequency axis of format "joint", in first-order wavelets."""
        if self.average == "global":
            return np.zeros(1, dtype=np.int64)
        stride = 2**self.log2_stride if self.average == "local" else 2 ** min(s[-1] for s in self.spins())
        return np.arange(0, self.n_wavelets, stride)
