"""Records of a report: what there is to say about a cache or a sound, as data."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from pnp.diagnostics import Survey


@dataclass(frozen=True)
class ParameterRow:
    """Range of one parameter, in its unit."""

    name: str
    low: float
    high: float
    scale: str
    unit: str


@dataclass(frozen=True)
class SettingRow(ParameterRow):
    """Range of one parameter, and its value at one sound, physical and in the cube."""

    value: float
    scaled: float


@dataclass(frozen=True)
class AxisStep:
    """Step along one parameter, in the cube and in physical terms.

    Attributes:
        scaled: Length in the cube, whose side is 2; infinite for an inaudible parameter.
        ratio: Physical step of a parameter on a log scale.
        difference: Physical step of any other parameter.
    """

    scaled: float
    ratio: float | None = None
    difference: float | None = None


@dataclass(frozen=True)
class Eigenvector:
    """Eigenvector as P components and in words."""

    components: list[float]
    words: str


@dataclass(frozen=True)
class SoundCounts:
    """Number of sounds by state."""

    total: int
    ok: int
    failed: int
    pending: int


@dataclass(frozen=True)
class FailedSound:
    """Row of a sound that failed, and why."""

    sound: int
    reason: str


@dataclass(frozen=True)
class MeanMetric:
    """Mean of the metrics over the sounds."""

    matrix: list[list[float]]
    correlation: list[list[float]]
    eigenvalues: list[float]
    eigenvectors: list[Eigenvector]


@dataclass(frozen=True)
class FieldChange:
    """Change of the metric from a sound to its neighbours, by the median sound.

    Attributes:
        distance: Distance of the neighbours in the cube.
        change: Change of the metric to them, from 0 to √2.
        strangers: Change between sounds paired at random.
    """

    distance: float
    change: float
    strangers: float


@dataclass(frozen=True)
class MetricsReport:
    """Numbers about the metrics of the n sounds that have one.

    Attributes:
        distance: Distance in the representation for which steps are given.
        quantiles: Probabilities of the quantiles over the sounds.
        spectrum: (P, quantiles), of each eigenvalue of M, the largest eigenvalue first.
        condition: Quantiles of the condition number.
        effective_rank: Quantiles of the effective rank.
        full_rank: Number of sounds at which every direction is heard.
        mean: Mean metric.
        composition: (P, P), squared components of the eigenvectors, averaged over the sounds.
        identifiability: (P, quantiles), of each parameter.
        confusion: (P, P), median over the sounds of |cosine| between two parameters.
        order: All parameters, those that sound alike next to each other.
        alike: Groups of parameters of which every two have a median |cosine| of at least 0.7.
        steps: Median step along each parameter.
        eigenvector_steps: Median step along each eigenvector.
        outliers: Rows whose metric is far larger or smaller than elsewhere.
        smoothness: Change of the metric from a sound to its neighbours.
    """

    distance: float
    quantiles: list[float]
    spectrum: list[list[float]]
    condition: list[float]
    effective_rank: list[float]
    full_rank: int
    mean: MeanMetric
    composition: list[list[float]]
    identifiability: list[list[float]]
    confusion: list[list[float]]
    order: list[int]
    alike: list[list[int]]
    steps: list[AxisStep]
    eigenvector_steps: list[float]
    outliers: list[int]
    smoothness: FieldChange


@dataclass(frozen=True)
class MetricReport:
    """Numbers about the metric of one sound; attributes as those of `MetricsReport`."""

    distance: float
    eigenvalues: list[float]
    eigenvectors: list[Eigenvector]
    condition: float
    effective_rank: float
    rank: int
    matrix: list[list[float]]
    correlation: list[list[float]]
    identifiability: list[float]
    steps: list[AxisStep]
    eigenvector_steps: list[float]


@dataclass(frozen=True)
class Findings:
    """Result of the numbers, in sentences and by name.

    Attributes:
        hears: Parameters that are heard, most sensitive first.
        confuses: Groups of parameters that sound alike.
        trust: Reasons to doubt the metric.
        heard: Names of parameters that are heard, most sensitive first.
        alike: Names of parameters that sound alike, by group.
        imitated: Names of parameters that the others together imitate.
        inaudible: Names of parameters that make less than the distance over their whole range.
    """

    hears: str
    confuses: str
    trust: str
    heard: list[str]
    alike: list[list[str]]
    imitated: list[str]
    inaudible: list[str]


@dataclass(frozen=True)
class CacheReport:
    """Numbers about a cache and its metrics.

    Attributes:
        cache: File.
        fingerprint: Hash of the configuration.
        synthesizer: Description of the synthesizer, as the cache has it.
        features: Description of the feature map.
        n_features: Number of coefficients.
        derivatives: Kind and steps of the derivatives; empty where the file does not say.
        stored: Optional datasets that are there.
        sounds: Number of sounds by state.
        folds: Number of sounds in each fold.
        failures: Number of sounds by reason of failure.
        failed_sounds: Sounds that failed.
        parameters: Ranges of the parameters.
        choices: Options of each choice, which has no metric.
        choice_distances: (options, options) of each choice, median distance between a sound with one option and the
            same sound with the other; NaN where no sound has either.
        conditions: Ranges of what varies but is not predicted.
        metric: Numbers about the metrics; None where no sound has one.
        findings: Parameters that are heard, those that sound alike, and where to doubt; None without a metric.
        warnings: Sentences about what to be wary of, and what to do.
        survey: Numbers of each sound, for figures; not part of `to_dict`.
    """

    cache: str
    fingerprint: str
    synthesizer: dict[str, Any] | None
    features: dict[str, Any] | None
    n_features: int
    derivatives: str
    stored: list[str]
    sounds: SoundCounts
    folds: dict[str, int]
    failures: dict[str, int]
    failed_sounds: list[FailedSound]
    parameters: list[ParameterRow]
    choices: dict[str, list[str]]
    choice_distances: dict[str, list[list[float]]]
    conditions: list[ParameterRow]
    metric: MetricsReport | None
    findings: Findings | None
    warnings: list[str]
    survey: Survey | None = field(default=None, repr=False, compare=False)

    @property
    def names(self) -> list[str]:
        """Names of the parameters."""
        return [parameter.name for parameter in self.parameters]

    def to_dict(self) -> dict[str, Any]:
        """Return the report, its findings and its warnings as JSON can hold them: None for infinity."""
        found = plain({name: value for name, value in vars(self).items() if name != "survey"})
        return {**found, "findings": found["findings"] or {}}


@dataclass(frozen=True)
class SoundReport:
    """Numbers about one sound of a cache.

    Attributes:
        cache: File.
        sound: Row.
        fold: Fold of the sound.
        status: State of the sound.
        failure: Reason of failure, or None.
        parameters: Ranges and values of the parameters.
        others: Options of the choices and values of the conditions, by name.
        metric: Numbers about the metric; None if the sound has none.
    """

    cache: str
    sound: int
    fold: str
    status: str
    failure: str | None
    parameters: list[SettingRow]
    others: dict[str, float | int | str]
    metric: MetricReport | None

    @property
    def names(self) -> list[str]:
        """Names of the parameters."""
        return [parameter.name for parameter in self.parameters]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON can hold it: None for infinity."""
        found: dict[str, Any] = plain(asdict(self))
        return found


def plain(value: Any) -> Any:
    """Return a nested value with dictionaries for dataclasses and None for what JSON has no number for."""
    if hasattr(value, "__dataclass_fields__"):
        value = asdict(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
