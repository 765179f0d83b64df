"""Interfaces of what users bring: any object with these attributes serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from torch import Tensor, nn

from pnp.parameters import ParameterSpace

if TYPE_CHECKING:
    from pathlib import Path

    from pnp.metric.riemannian import RiemannianMetric


# Samples of the longest sound: 13 hours at 44.1 kHz, and 17 GB in double precision.
MOST_SAMPLES = 2**31 - 1


@runtime_checkable
class SynthesizerLike(Protocol):
    """Synthesizer g: physical parameters (..., P) in, sounds (..., N) out.

    Attributes:
        space: Parameters and their ranges.
        sample_rate: Sampling rate in Hz.
        n_samples: Number of samples N of a sound.
    """

    space: ParameterSpace
    sample_rate: float
    n_samples: int

    def __call__(self, theta: Tensor, /) -> Tensor:
        """Return the sounds of parameters, shape (..., N)."""
        ...


@runtime_checkable
class FeatureMap(Protocol):
    """Feature map Φ: sounds (B, N) in, features (B, C) out."""

    def __call__(self, x: Tensor, /) -> Tensor:
        """Return the features of sounds, shape (B, C)."""
        ...


if TYPE_CHECKING:

    class SynthesizerModule(nn.Module):
        """Module that is a synthesizer: an intersection of types, which only a type checker sees."""

        space: ParameterSpace
        sample_rate: float
        n_samples: int

        def __call__(self, theta: Tensor, /) -> Tensor: ...

else:
    SynthesizerModule = nn.Module


def check_synthesizer(synth: object, label: str = "") -> SynthesizerModule:
    """Return a synthesizer that has been checked: a module with the attributes of every synthesizer.

    Args:
        synth: Candidate.
        label: Name of the candidate in messages; by default that of its class.

    Returns:
        The same object.

    Raises:
        TypeError: If it is not a module, or lacks `space`, `sample_rate` or `n_samples` of the right type.
        ValueError: If its sounds have no sample, or more than any machine holds.
    """
    label = label or f"synthesizer {getattr(synth, 'name', type(synth).__name__)!r}"
    if not isinstance(synth, nn.Module):
        raise TypeError(f"{label} must be a torch.nn.Module, got {type(synth).__name__}")
    expected: dict[str, tuple[type, ...]] = {
        "space": (ParameterSpace,),
        "sample_rate": (int, float),
        "n_samples": (int,),
    }
    for attribute, types in expected.items():
        value = getattr(synth, attribute, None)
        if not isinstance(value, types):
            raise TypeError(
                f"{label} needs an attribute {attribute!r} of type {types[-1].__name__}, "
                f"got {'none' if value is None else type(value).__name__}"
            )
    checked = cast("SynthesizerModule", synth)
    if not 1 <= checked.n_samples <= MOST_SAMPLES:
        raise ValueError(
            f"{label} must have between 1 and {MOST_SAMPLES:,} samples, for memory, got n_samples={checked.n_samples:,}"
        )
    return checked


class CacheLike(Protocol):
    """Sounds, folds and metrics, as losses and training read them from a cache.

    Attributes:
        path: File of the cache, for messages.
        space: Parameters and their ranges.
        u: Scaled parameters of all sounds, shape (n, P).
        theta: Physical parameters, shape (n, P).
        fold: Fold of each sound, shape (n,): 0 training, 1 validation, 2 test.
        config: Everything that determined the numbers; its item "synthesizer" describes the synthesizer.
        fingerprint: Hash of the configuration.
        mean_squared_distance: Mean of ‖S − S′‖² over pairs of sounds of the training fold, or None if not known.
    """

    @property
    def path(self) -> str | Path: ...

    @property
    def space(self) -> ParameterSpace: ...

    @property
    def u(self) -> Tensor: ...

    @property
    def theta(self) -> Tensor: ...

    @property
    def fold(self) -> Tensor: ...

    @property
    def config(self) -> dict[str, Any]: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def mean_squared_distance(self) -> float | None: ...

    def __len__(self) -> int:
        """Return the number of sounds."""
        ...

    def rows(self, fold: str | None = None) -> Tensor:
        """Return the rows of a fold that have a metric."""
        ...

    def metrics(self) -> RiemannianMetric:
        """Return the metrics of all sounds."""
        ...

    def features(self, rows: Any) -> Tensor:
        """Return stored features, shape (B, C)."""
        ...

    def jacobian(self, rows: Any) -> Tensor:
        """Return stored Jacobians, shape (B, C, P)."""
        ...


class ChoiceCacheLike(CacheLike, Protocol):
    """Cache of a space with choices.

    Attributes:
        choices: Positions of the true options, shape (n, K).
        choice_distances: Squared feature distances of all sounds to each option, shape (n, options), by choice.
    """

    @property
    def choices(self) -> Tensor: ...

    @property
    def choice_distances(self) -> dict[str, Tensor]: ...
