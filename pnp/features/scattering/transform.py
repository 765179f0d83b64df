"""Joint time-frequency scattering as a PyTorch module."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from pnp._arguments import whole_number
from pnp._torch.concrete import is_concrete
from pnp._torch.modes import full_precision, ordinary
from pnp.features.scattering.frequential import (
    FrequentialTables,
    averaged_modulus,
    averaged_modulus_and_tangents,
    chunk_length,
    rows_to_outputs,
)
from pnp.features.scattering.kernels import EPSILON
from pnp.features.scattering.options import Options
from pnp.features.scattering.plan import ScatteringPlan
from pnp.features.scattering.reverse import (
    AveragedModulus,
    Scalogram,
    SecondOrder,
    over_cores,
    second_order_averages,
)
from pnp.features.scattering.support import Support, plain_support
from pnp.features.scattering.temporal import (
    AverageTables,
    GroupTables,
    PathTables,
    coefficients,
    first_order,
    low_pass,
    modulus,
    pad,
    scalogram_spectrum,
    second_order,
    to_planes,
)

__all__ = ["TimeFrequencyScattering"]


@dataclass(frozen=True)
class _Tables:
    """Tensors of a plan, for one dtype and one device."""

    order0: Tensor
    groups: tuple[GroupTables, ...]
    order1: tuple[FrequentialTables, AverageTables]
    paths: tuple[tuple[PathTables, FrequentialTables, AverageTables], ...]

    @classmethod
    def from_plan(cls, plan: ScatteringPlan, dtype: torch.dtype, device: torch.device) -> _Tables:
        return cls(
            order0=torch.as_tensor(plan.order0).to(device, dtype),
            groups=tuple(GroupTables.from_plan(group, dtype, device) for group in plan.first_order()),
            order1=(
                FrequentialTables.from_plan(plan.order1_filters, (0, 1), dtype, device),
                AverageTables.from_plan(plan.order1_average, dtype, device),
            ),
            paths=tuple(
                (
                    PathTables.from_plan(path, dtype, device),
                    FrequentialTables.from_plan(path.filters, (0, 1, -1), dtype, device),
                    AverageTables.from_plan(path.time_average, dtype, device),
                )
                for path in plan.second_order()
            ),
        )


class TimeFrequencyScattering(nn.Module):
    r"""Joint time-frequency scattering (JTFS) of audio, with fast gradients and fast tangents.

    .. math::
        S_1(n_1, n_{fr}) = |U_1 \star \phi_T \star \psi_{n_{fr}}|, \qquad
        S_2(n_1, n_2, n_{fr}) = |U_1 \star \psi_{n_2} \star \psi_{n_{fr}}| \star \phi_T \star \phi_F,

    where :math:`U_1(t, n_1) = |x \star \psi_{n_1}|(t)` is the scalogram, :math:`\psi_{n_2}` acts along time and
    :math:`\psi_{n_{fr}}`, of spin up or down, along log-frequency.

    It computes in the dtype (float32 or float64) and on the device of its input, whatever its own: `.double()` and
    `.to` are accepted and change nothing. `torch.func.jvp`, `jacfwd`, `jacrev`, `grad` and `vmap` all apply, in any
    composition. Fastest are plain calls, `backward`, and `value_and_tangents`.

    Args:
        shape: Length of the signal in samples.
        J: Base-2 logarithm of the maximal temporal scale, in samples.
        Q: First- and second-order wavelets per octave; an integer means (Q, 1).
        J_fr: Base-2 logarithm of the maximal scale along log-frequency, in first-order wavelets.
        Q_fr: Frequential wavelets per octave.
        T: Temporal averaging: a support in samples, None for 2**J, "global" for the whole signal, 0 for none. With 0,
            each path is held at the rate of the fastest one.
        F: Frequential averaging: a support in first-order wavelets, None for 2**J_fr, "global" or 0.
        format: "time" puts all paths (n1, n2, n_fr) along one axis. "joint" keeps log-frequency as an axis of its own,
            on a grid that all paths share, and has no order 0.
        normalization: "mean" averages where averaging is global. "kymatio" sums, and reproduces Kymatio's values to
            rounding in float64: with its sums a path at stride 2**j weighs 2**-j as much, its filters are rounded to
            float32, for F < 2**J_fr it takes rows of the low-pass path that are not at the places their index n1 says
            (see "position" in `meta`), and for F > 2**J_fr averages along log-frequency wrap around.
        pad_mode: "zero", which keeps an attack an attack and averages over the whole sound free of its delay; or
            "reflect", like Kymatio. Default: "zero", but "reflect" for normalization "kymatio".
        first_order: "joint" filters the averaged scalogram along log-frequency and takes the modulus, like Kymatio.
            "average" keeps the averaged scalogram itself, one row for each first-order wavelet, whatever F; its `n_fr`
            is -1. Format "time" alone has it.
        padding: "power of two", like Kymatio and the default where precision is exact; or "short": half of the
            signal's length, rounded up to 1, 3, 5 or 9 times a power of two. It is 1.3 times as fast. Features of drums
            and chirps change by 1e-5 to 3e-3, since the longest filters wrap around elsewhere. It needs zeros and
            normalization "mean", whose means are still taken over the power of two.
        precision: "exact"; or "fast", which is twice as fast: second-order sub-bands have half as many samples, of
            which the average over time is taken, and padding is short. The metric of sounds of 30,000 samples and more
            changes by 0.2 % in the median, and by up to 2 %, which training does not notice; that of short
            sounds changes more. It needs zeros, normalization "mean", and an average over time.
        sampling: "critical", at Kymatio's rates; or "fine": moduli of the first order, and slow ones of the second,
            have two to four times as many samples. A modulus has sharp minima where a sub-band vanishes, and its
            average at Kymatio's rates depends on where the samples fall: with a delay the metric of a chirp changes by
            up to 0.6 %, with "fine" by less than 0.1 %. Default: "fine" where nothing else depends on a delay, that is
            for zeros, T="global", normalization "mean" and precision "exact"; otherwise "critical". "fine" needs the
            last three.

    Raises:
        ValueError: If a setting is out of range, or J, T or F too long for the signal.

    Source:
        Andén, Lostanlen and Mallat, "Joint time-frequency scattering", IEEE TSP 2019, whose first order is the
        averaged scalogram; implementation choices follow Kymatio (Andreux et al., JMLR 2020).

    Examples:
        >>> jtfs = TimeFrequencyScattering(shape=4096, J=8, Q=(8, 1), J_fr=3, T="global", F="global")
        >>> S = jtfs(torch.randn(2, 4096))
        >>> S.shape == (2, len(jtfs.meta()["n1"]))
        True
    """

    # Its own tangents are products; threads may compute them together.
    forward_mode = False

    def __init__(
        self,
        shape: int | Sequence[int],
        J: int,
        Q: int | Sequence[int],
        J_fr: int,
        Q_fr: int = 1,
        T: Support = None,
        F: Support = None,
        format: str = "time",
        normalization: str = "mean",
        pad_mode: str | None = None,
        first_order: str = "joint",
        padding: str | None = None,
        precision: str = "exact",
        sampling: str | None = None,
    ) -> None:
        super().__init__()
        n_samples = whole_number(
            "shape", shape[0] if isinstance(shape, (tuple, list)) and len(shape) == 1 else shape, least=2
        )
        q = tuple(Q) if isinstance(Q, (tuple, list)) else (Q,)
        if len(q) not in (1, 2):
            raise ValueError(f"Q must be an integer or a pair of integers, got {Q!r}.")
        qs = (whole_number("Q", q[0], least=1), whole_number("Q", q[1] if len(q) == 2 else 1, least=1))
        options = Options.checked(
            T, format, normalization, pad_mode, first_order, padding, precision, sampling
        )
        J, J_fr = whole_number("J", J, least=1), whole_number("J_fr", J_fr, least=1)
        Q_fr, T, F = whole_number("Q_fr", Q_fr, least=1), plain_support("T", T), plain_support("F", F)
        self._config = {
            "shape": n_samples,
            "J": J,
            "Q": list(qs),
            "J_fr": J_fr,
            "Q_fr": Q_fr,
            "T": T,
            "F": F,
            **options.config(),
        }
        self.n_samples = n_samples
        self.pad_mode = options.pad_mode
        self.plan = ScatteringPlan(n_samples, J, qs, J_fr, Q_fr, T, F, options)
        self._tables_cache: dict[tuple[torch.dtype, torch.device], _Tables] = {}

    def config(self) -> dict[str, Any]:
        """Constructor arguments, as JSON can hold them, from which `from_config` makes the same transform."""
        return dict(self._config)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TimeFrequencyScattering:
        """Make a transform from its `config()`, which an earlier version may have written.

        Args:
            config: Constructor arguments. Without `sampling` it is "critical": earlier versions had no other.

        Returns:
            The transform.

        Examples:
            >>> jtfs = TimeFrequencyScattering(1024, J=5, Q=2, J_fr=2, T="global", sampling="critical")
            >>> TimeFrequencyScattering.from_config(jtfs.config()).config() == jtfs.config()
            True
        """
        return cls(**{"sampling": "critical", **config})

    def extra_repr(self) -> str:
        """Constructor arguments, for `repr`."""
        return ", ".join(f"{key}={value!r}" for key, value in self._config.items())

    def __getstate__(self) -> dict[str, Any]:
        # The tables are large and can be made again from the plan.
        return {**self.__dict__, "_tables_cache": {}}

    def meta(self) -> dict[str, np.ndarray]:
        """Description of the rows of the output, in their order.

        Returns:
            Arrays of length C, or (C, 2) with one column for each order of temporal wavelets. Integers are -1 and
            floats NaN where they do not apply:

            - `order`: 0, 1 or 2.
            - `n1`: Kymatio's first-order index, the first of those averaged over; -1 in format "joint", see `n1_grid`.
            - `n2`, `n_fr`: Kymatio's indices of the second-order and of the frequential wavelet.
            - `spin`: 1, -1, or 0 for a low-pass frequential filter.
            - `xi`, `sigma`: centre frequency and bandwidth of both orders of wavelets, in cycles per sample, (C, 2).
            - `j`: log2 of the subsampling that they allow, (C, 2).
            - `xi_fr`, `sigma_fr`, `j_fr`: the same of the frequential wavelet, in cycles per first-order wavelet.
            - `position`: true place on the log-frequency axis, in first-order wavelets.
        """
        return self.plan.meta()

    @property
    def n1_grid(self) -> np.ndarray:
        """First-order indices along the log-frequency axis of format "joint", shape (L,)."""
        return self.plan.log_frequency.joint_positions

    def forward(self, x: Tensor) -> Float[Tensor, "..."]:
        """Scattering coefficients of a batch of signals.

        Args:
            x: Signals, shape (..., N), float32 or float64.

        Returns:
            Format "time": shape (..., C) for T="global", else (..., C, T'). Format "joint": shape (..., C, L) for
            T="global", else (..., C, L, T'), with L log-frequencies.

        Raises:
            TypeError: If `x` is not a float32 or float64 tensor.
            ValueError: If its last axis is not N long, or if it has NaN or infinite values.
        """
        self._check(x)
        signals = _not_empty(x.reshape(-1, self.n_samples))
        with full_precision(x):
            if _transformed(signals):
                outputs = self._differentiable(signals, plain=True)
            elif torch.is_grad_enabled() and signals.requires_grad:
                outputs = self._differentiable(signals, plain=False)
            else:
                outputs = self._with_tangents(signals[:, None])[:, 0]
        return outputs[: x.shape[:-1].numel()].reshape(*x.shape[:-1], *outputs.shape[1:])

    @torch.no_grad()
    def value_and_tangents(
        self, x: Tensor, dx: Tensor
    ) -> tuple[Float[Tensor, "batch ..."], Float[Tensor, "batch tangents ..."]]:
        """Scattering coefficients and their directional derivatives, many directions at a time.

        A direction costs about as much as the value, without the (rows, time) temporaries that forward-mode automatic
        differentiation would need. The result is not differentiable in turn.

        Args:
            x: Signals, shape (batch, N).
            dx: Tangents of the signals, shape (batch, P, N), of the same dtype and device.

        Returns:
            Coefficients as from `forward`, shape (batch, ...), and their tangents, shape (batch, P, ...).

        Raises:
            TypeError: If a dtype is not float32 or float64.
            ValueError: If shapes, dtypes or devices do not match, or values are not finite.
        """
        self._check(x)
        self._check(dx, "dx")
        if (
            x.ndim != 2
            or dx.ndim != 3
            or dx.shape[0] != x.shape[0]
            or dx.dtype != x.dtype
            or dx.device != x.device
        ):
            raise ValueError(
                "value_and_tangents expects x of shape (batch, N) and dx of shape (batch, P, N) of the same dtype "
                f"and device, got x {tuple(x.shape)} {x.dtype} {x.device} and "
                f"dx {tuple(dx.shape)} {dx.dtype} {dx.device}."
            )
        with full_precision(x):
            outputs = self._with_tangents(_not_empty(torch.cat([x[:, None], dx], dim=1)))[: len(x)]
        return outputs[:, 0], outputs[:, 1:]

    # Stages ---------------------------------------------------------------------------------------------------------

    def _differentiable(self, x: Tensor, plain: bool) -> Tensor:
        """Coefficients of `x`, shape (batch, N), by differentiable operations; the plain ones suit `torch.func`."""
        tables = self._tables(x)
        padded = pad(x, self.plan.pad_left, self.plan.pad_right, self.pad_mode)
        x_hat = torch.fft.fft(padded)
        if plain:
            parts: Sequence[GroupTables] = tables.groups
            spectra = [coefficients(modulus(first_order(x_hat, group)), group.bins) for group in parts]
            second = [averaged_modulus(second_order(spectra, path), f, t) for path, f, t in tables.paths]
        else:
            parts = self._parts(1, tables)
            spectra = Scalogram.apply(parts, x_hat)  # type: ignore[no-untyped-call, unused-ignore]
            second = SecondOrder.apply(tables.paths, *spectra)  # type: ignore[no-untyped-call, unused-ignore]
        order1 = averaged_modulus if plain else AveragedModulus.apply
        first = order1(self._order1(spectra, parts), *tables.order1)
        outputs = rows_to_outputs(first, *tables.order1)
        for z, (_, frequential, time) in zip(second, tables.paths, strict=True):
            outputs += rows_to_outputs(z, frequential, time)
        return self._assemble(self._order0(padded, tables), outputs)

    @torch.no_grad()
    def _with_tangents(self, x: Tensor) -> Tensor:
        """Coefficients and tangents, shape (batch, 1 + P, ...), of signals and tangents, shape (batch, 1 + P, N)."""
        return torch.stack([self._item_with_tangents(item) for item in x])

    def _item_with_tangents(self, x: Tensor) -> Tensor:
        tables = self._tables(x)
        run = over_cores(x)
        padded = pad(x, self.plan.pad_left, self.plan.pad_right, self.pad_mode)
        x_hat = torch.fft.fft(padded)
        parts = self._parts(len(x), tables)
        spectra = run(partial(scalogram_spectrum, x_hat), parts)
        s1 = self._order1(spectra, parts, has_tangents=True)
        length = chunk_length(s1.shape[-1], len(x), *tables.order1)
        outputs = rows_to_outputs(
            averaged_modulus_and_tangents(to_planes(s1, length), *tables.order1), *tables.order1
        )
        # Fast paths, which cost most, come first.
        second = run(partial(second_order_averages, spectra), tables.paths)
        for z, (_, frequential, time) in zip(second, tables.paths, strict=True):
            outputs += rows_to_outputs(z, frequential, time)
        return self._assemble(self._order0(padded, tables), outputs)

    def _parts(self, n_signals: int, tables: _Tables) -> list[GroupTables]:
        """First-order wavelets by what a core computes together, with n_signals at once through each of them."""
        return [part for group in tables.groups for part in group.parts(n_signals)]

    def _order1(
        self, spectra: Sequence[Tensor], parts: Sequence[GroupTables], has_tangents: bool = False
    ) -> Tensor:
        """Averaged scalogram, as the complex sub-bands that a frequential filter takes."""
        n = self.plan.n_averages
        s1 = torch.cat(
            [low_pass(c, part.low_pass, n) for c, part in zip(spectra, parts, strict=True)], dim=-2
        )
        if self.plan.normalization == "kymatio":
            # Kymatio's modulus is |z| + EPSILON. It matters here alone: where the scalogram is silent, the offset is
            # what the frequential wavelets see, and the phase of their derivative.
            s1 = torch.cat([s1[:1] + EPSILON, s1[1:]]) if has_tangents else s1 + EPSILON
        return torch.complex(s1, torch.zeros_like(s1))

    def _order0(self, padded: Tensor, tables: _Tables) -> Tensor:
        plan = self.plan
        if plan.average == "global":
            total = padded.sum(-1, keepdim=True)
            return total if plan.normalization == "kymatio" else total / plan.n_averaged
        if plan.average == "local":
            averages = low_pass(coefficients(padded), tables.order0, plan.n_averages)
        else:
            averages = padded.unflatten(-1, (-1, 2**plan.log2_stride_out)).mean(-1)
        frames = plan.frames(plan.log2_stride_out)
        return averages[..., frames.start : frames.stop]

    def _assemble(self, order0: Tensor, outputs: Sequence[Tensor]) -> Tensor:
        if self.plan.format == "joint":
            S = torch.stack(list(outputs), dim=-3)
        else:
            S = torch.cat([order0.unsqueeze(-2), *outputs], dim=-2)
        return S.squeeze(-1) if self.plan.average == "global" else S

    def _tables(self, x: Tensor) -> _Tables:
        key = (x.dtype, x.device)
        if key not in self._tables_cache:
            with ordinary():
                self._tables_cache[key] = _Tables.from_plan(self.plan, x.dtype, x.device)
        return self._tables_cache[key]

    def _check(self, x: Tensor, name: str = "x") -> None:
        if not isinstance(x, Tensor):
            raise TypeError(
                f"TimeFrequencyScattering expects {name} to be a torch.Tensor, got {type(x).__name__}."
            )
        if x.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"TimeFrequencyScattering expects {name} in float32 or float64, got {x.dtype}.")
        if x.ndim < 1 or x.shape[-1] != self.n_samples:
            raise ValueError(
                f"TimeFrequencyScattering was made for signals of {self.n_samples} samples and expects {name} of shape "
                f"(..., {self.n_samples}), got {tuple(x.shape)}."
            )
        if is_concrete(x) and not math.isfinite(float(x.detach().abs().max() if x.numel() else 0.0)):
            bad = int((~torch.isfinite(x)).sum())
            raise ValueError(
                f"TimeFrequencyScattering expects finite samples, got {bad} NaN or infinite values in {name}."
            )


def _not_empty(x: Tensor) -> Tensor:
    """Give an empty batch a silent signal: there is no Fourier transform of nothing."""
    return x if len(x) else torch.cat([x, x.new_zeros(1, *x.shape[1:])])


def _transformed(x: Tensor) -> bool:
    """Return true where a `torch.func` transform or forward-mode automatic differentiation watches `x`."""
    if not is_concrete(x):
        return True
    from torch.autograd import forward_ad

    # Dual tensors exist only within a dual level, and unpacking is defined nowhere else.
    return bool(forward_ad._current_level >= 0 and forward_ad.unpack_dual(x).tangent is not None)
