"""Augmentation of the sounds that a network hears in training, so that it serves for recordings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pnp._text import did_you_mean

__all__ = ["KINDS", "Augmentation"]

# In the order in which a recording meets them.
KINDS = ("shift", "room", "equalizer", "noise", "level", "clipping", "resampling")
# Knots of the equalizer's curve, in octaves.
_KNOTS = 1.5
_TINY = 1e-12


@dataclass(frozen=True)
class Augmentation:
    """Changes that a recording may have undergone: each kind befalls a sound with the same probability.

    It changes the input of the network alone. The metric is that of the clean sound, at whose parameters the network is
    to arrive. Draws depend on seed, epoch and row of the cache, so that a resumed run hears what an undisturbed one
    would.

    Attributes:
        probability: Probability of each kind.
        shift: Longest delay in seconds. None leaves a kind out, here and below.
        room: Shortest and longest reverberation time in seconds, to a decay by 60 dB. The room is decaying noise.
        equalizer: Largest gain in dB, up or down, of a curve that is smooth over octaves.
        noise: Lowest and highest ratio of sound to noise in dB, in mean power; its spectrum falls by up to 6 dB an
            octave.
        level: Lowest and highest gain in dB.
        clipping: Lowest level at which a sound is clipped, as a part of its peak.
        resampling: Lowest sampling rate that a sound went through, as a part of the synthesizer's.

    Raises:
        ValueError: If an option is outside its range.

    Examples:
        >>> augment = Augmentation(noise=(10.0, 40.0), room=None)
        >>> augment(torch.ones(2, 64), 8000.0, seed=0, epoch=1, rows=torch.tensor([4, 7])).shape
        torch.Size([2, 64])
    """

    probability: float = 0.5
    shift: float | None = 0.02
    room: tuple[float, float] | None = (0.1, 0.6)
    equalizer: float | None = 6.0
    noise: tuple[float, float] | None = (5.0, 50.0)
    level: tuple[float, float] | None = (-20.0, 10.0)
    clipping: float | None = 0.3
    resampling: float | None = 0.3

    def __post_init__(self) -> None:
        if not 0 < self.probability <= 1:
            raise ValueError(
                f"probability of an augmentation must be above 0 and at most 1; got {self.probability}."
            )
        for name in ("shift", "equalizer"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive or None; got {value}.")
        for name in ("clipping", "resampling"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1, or None; got {value}.")
        for name, least in (("room", 1e-3), ("noise", -math.inf), ("level", -math.inf)):
            pair = getattr(self, name)
            if pair is None:
                continue
            if len(pair) != 2 or not least <= pair[0] <= pair[1] < math.inf:
                raise ValueError(f"{name} must be a lowest and a highest value, or None; got {pair}.")
            object.__setattr__(self, name, (float(pair[0]), float(pair[1])))

    @classmethod
    def of(cls, choice: Augmentation | Mapping[str, Any] | bool | None) -> Augmentation | None:
        """Return an augmentation from what a caller of `train` may say.

        Args:
            choice: Augmentation; its options by name; True for all kinds; False or None for none.

        Returns:
            The augmentation, or None.

        Raises:
            TypeError: If there is no option of a name given.
            ValueError: If one is outside its range.
        """
        if choice is None or choice is False:
            return None
        if choice is True:
            return cls()
        if isinstance(choice, Augmentation):
            return choice
        known = [option.name for option in fields(cls)]
        for name in choice:
            if name not in known:
                raise TypeError(f"An augmentation has no option {name!r}{did_you_mean(name, known)}.")
        return cls(**choice)

    def only(self, kinds: tuple[str, ...]) -> Augmentation:
        """Return the same augmentation with some of its kinds.

        Args:
            kinds: Names among `KINDS`.
        """
        kept = {name: getattr(self, name) if name in kinds else None for name in KINDS}
        return Augmentation(self.probability, **kept)

    def config(self) -> dict[str, Any]:
        """Options, JSON-able."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()
        }

    @torch.no_grad()
    def __call__(
        self, x: Float[Tensor, "B N"], sample_rate: float, *, seed: int, epoch: int, rows: Tensor
    ) -> Float[Tensor, "B N"]:
        """Return sounds as they may be recorded.

        Args:
            x: Sounds, on the CPU, shape (B, N).
            sample_rate: Sampling rate in Hz.
            seed: Seed of the run.
            epoch: Number of the epoch.
            rows: Row of each sound in the cache, shape (B,).

        Returns:
            Shape (B, N).
        """
        return torch.stack(
            [
                self._one(sound, sample_rate, _generator(seed, epoch, int(row)))
                for sound, row in zip(x, rows, strict=True)
            ]
        )

    def _one(self, x: Tensor, sample_rate: float, generator: torch.Generator) -> Tensor:
        for kind in KINDS:
            extent = getattr(self, kind)
            if extent is None:
                continue
            # Drawn in any case, so that one kind does not change what befalls the others.
            chosen, own = _uniform(0.0, 1.0, generator) < self.probability, _fork(generator)
            if chosen:
                x = _APPLY[kind](x, sample_rate, extent, own)
        return x


def _shift(x: Tensor, sample_rate: float, longest: float, generator: torch.Generator) -> Tensor:
    most = min(round(longest * sample_rate), len(x) - 1)
    delay = int(torch.randint(0, most + 1, (), generator=generator))
    return torch.cat([x.new_zeros(delay), x[: len(x) - delay]])


def _room(x: Tensor, sample_rate: float, times: tuple[float, float], generator: torch.Generator) -> Tensor:
    seconds = _uniform(*times, generator)
    n = max(2, min(len(x), round(seconds * sample_rate)))
    # 60 dB are a factor of 1000.
    decay = torch.exp(-math.log(1000.0) * torch.arange(n) / (seconds * sample_rate))
    tail = torch.randn(n, generator=generator) * decay
    # Direct sound above reverberation by 0 to 20 dB.
    tail *= 10 ** (-_uniform(0.0, 20.0, generator) / 20) / torch.linalg.vector_norm(tail)
    tail[0] = 1.0
    size = len(x) + n
    wet = torch.fft.irfft(torch.fft.rfft(x, size) * torch.fft.rfft(tail.to(x), size), size)
    heard: Tensor = wet[: len(x)]
    return heard


def _equalizer(x: Tensor, sample_rate: float, most: float, generator: torch.Generator) -> Tensor:
    # Twice the length: a filter's ring must not come round to the beginning.
    size = 2 * len(x)
    octaves = torch.log2(torch.fft.rfftfreq(size, 1 / sample_rate).clamp_min(sample_rate / len(x)))
    knots = (octaves - octaves.min()) / _KNOTS
    gains = (2 * torch.rand(int(knots.max()) + 2, generator=generator) - 1) * most
    below = knots.long()
    weight = 0.5 - 0.5 * torch.cos(math.pi * (knots - below))
    curve = (1 - weight) * gains[below] + weight * gains[below + 1]
    shaped: Tensor = torch.fft.irfft(torch.fft.rfft(x, size) * (10 ** (curve / 20)).to(x), size)[: len(x)]
    return shaped


def _noise(x: Tensor, sample_rate: float, ratios: tuple[float, float], generator: torch.Generator) -> Tensor:
    del sample_rate
    spectrum = torch.fft.rfft(torch.randn(len(x), generator=generator))
    bins = torch.arange(len(spectrum)).clamp_min(1.0)
    noise = torch.fft.irfft(spectrum * bins ** -_uniform(0.0, 1.0, generator), len(x)).to(x)
    ratio = 10 ** (-_uniform(*ratios, generator) / 20)
    noisy: Tensor = x + noise * (ratio * _norm(x) / _norm(noise))
    return noisy


def _level(x: Tensor, sample_rate: float, gains: tuple[float, float], generator: torch.Generator) -> Tensor:
    del sample_rate
    return x * 10 ** (_uniform(*gains, generator) / 20)


def _clipping(x: Tensor, sample_rate: float, lowest: float, generator: torch.Generator) -> Tensor:
    del sample_rate
    limit = float(x.abs().max()) * _uniform(lowest, 1.0, generator)
    return x.clamp(-limit, limit)


def _resampling(x: Tensor, sample_rate: float, lowest: float, generator: torch.Generator) -> Tensor:
    del sample_rate
    size = 2 * len(x)
    spectrum = torch.fft.rfft(x, size)
    kept = max(1, int(len(spectrum) * _uniform(lowest, 1.0, generator)))
    spectrum[kept:] = 0
    dull: Tensor = torch.fft.irfft(spectrum, size)[: len(x)]
    return dull


_APPLY: dict[str, Callable[[Tensor, float, Any, torch.Generator], Tensor]] = {
    "shift": _shift,
    "room": _room,
    "equalizer": _equalizer,
    "noise": _noise,
    "level": _level,
    "clipping": _clipping,
    "resampling": _resampling,
}


def _norm(x: Tensor) -> float:
    return max(float(torch.linalg.vector_norm(x)), _TINY)


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def _fork(generator: torch.Generator) -> torch.Generator:
    """Return a generator whose draws do not change those of this one."""
    return torch.Generator().manual_seed(int(torch.randint(2**62, (), generator=generator)))


def _generator(seed: int, epoch: int, row: int) -> torch.Generator:
    """Return the generator of one sound in one epoch."""
    mixed = ((seed % 2**63) * 1_000_003 + epoch) * 1_000_003 + row
    return torch.Generator().manual_seed(mixed % 2**63)
