"""Results of a benchmark: what each section measures."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pnp.bench.configurations import Configuration
from pnp.bench.environment import Environment
from pnp.bench.record import JsonRecord

__all__ = [
    "BenchmarkResults",
    "Ceilings",
    "ConfigurationTable",
    "CudaResults",
    "CudaTable",
    "ErrorSpread",
    "GradientMemory",
    "Operations",
    "OperationsAtCeiling",
    "PrecisionTable",
    "Row",
    "Run",
    "Spread",
    "SweepCost",
    "Throughput",
    "Usage",
    "Variant",
    "WholeJacobian",
]


@dataclass(frozen=True)
class Spread(JsonRecord):
    """Spread of a quantity over the rounds of a measurement.

    Attributes:
        median: Median.
        low: Least value.
        high: Greatest value.
        rounds: Number of rounds.
    """

    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of some values, one a round."""
        return cls(statistics.median(values), min(values), max(values), len(values))


@dataclass(frozen=True)
class ErrorSpread(JsonRecord):
    """Relative error over some sounds.

    Attributes:
        median: Median.
        high: Greatest error.
    """

    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> ErrorSpread:
        """Return the spread of the errors of some sounds."""
        return cls(statistics.median(values), max(values))


@dataclass(frozen=True)
class Operations(JsonRecord):
    """Operations of one kind or another.

    Attributes:
        gemm: Floating-point operations in matrix products.
        fft: Those in Fourier transforms: 5 n log2 n for complex, half as many for real ones of length n.
        pointwise: Elements that pass through a pointwise operation.
    """

    gemm: float
    fft: float
    pointwise: float

    def seconds(self, ceilings: Ceilings) -> float:
        """Return the time that they take at the ceilings, one kind after the other."""
        return self.gemm / ceilings.gemm + self.fft / ceilings.fft + self.pointwise / ceilings.pointwise


@dataclass(frozen=True)
class Ceilings(JsonRecord):
    """Rates of the machine.

    Attributes:
        gemm: Floating-point operations in matrix products per second.
        fft: Those in Fourier transforms per second.
        pointwise: Elements per second that pass through a pointwise operation.
        copy_bytes: Bytes per second of a copy, reads and writes together.
    """

    gemm: float
    fft: float
    pointwise: float
    copy_bytes: float


@dataclass(frozen=True)
class OperationsAtCeiling(Operations):
    """Operations of a transform, beside the ceiling of the machine.

    Attributes:
        gemm: Floating-point operations in matrix products.
        fft: Those in Fourier transforms.
        pointwise: Elements that pass through a pointwise operation.
        ceiling_seconds: Time that they take at the ceilings.
        part_of_ceiling: This time over the measured time.
    """

    ceiling_seconds: float
    part_of_ceiling: float


@dataclass(frozen=True)
class Row(JsonRecord):
    """Row of the speed table: one operation of ours beside the peer's.

    Attributes:
        ours: Seconds of ours.
        peer: Seconds of the peer; None if there is none.
        ratio: Seconds of the peer over those of ours, within a round; None without a peer.
        errors: Relative differences by name; empty without a peer.
        peer_seconds_at_once: Seconds of all central differences of the peer in one go, for a Jacobian.
    """

    ours: Spread
    peer: Spread | None
    ratio: Spread | None
    errors: Mapping[str, float]
    peer_seconds_at_once: float | None = None


@dataclass(frozen=True)
class ConfigurationTable(JsonRecord):
    """Times and errors of one configuration.

    Attributes:
        configuration: The configuration.
        n_samples: Samples of a sound, N.
        n_tangents: Parameters of the synthesizer, P.
        n_coefficients: Coefficients of a sound.
        rows: Rows by operation: "forward", "forward and backward", "S and J".
        default_normalization: Seconds of "S and J" with the default normalization.
        operations: Operations of "forward" and of "S and J".
        ceilings: Rates of the machine, measured in the same run.
        fast: The same rows with `precision="fast"`, beside the same calls of the peer; None in results of earlier
            versions.
    """

    configuration: Configuration
    n_samples: int
    n_tangents: int
    n_coefficients: int
    rows: Mapping[str, Row]
    default_normalization: Spread
    operations: Mapping[str, OperationsAtCeiling]
    ceilings: Ceilings
    fast: Mapping[str, Row] | None = None


@dataclass(frozen=True)
class Variant(JsonRecord):
    """Speed and error of one set of changes to the exact transform.

    Attributes:
        ratio: Times as fast as the exact transform, for "forward" and "S and J".
        S: Errors of compressed features.
        M: Errors of the metric in Frobenius norm.
    """

    ratio: Mapping[str, Spread]
    S: ErrorSpread
    M: ErrorSpread


@dataclass(frozen=True)
class PrecisionTable(JsonRecord):
    """Fast transforms of one configuration beside the exact one.

    Attributes:
        scale: Scale of the compression of features.
        sounds: Number of sounds that errors are measured on.
        variants: Variants by name.
    """

    scale: float
    sounds: int
    variants: Mapping[str, Variant]


@dataclass(frozen=True)
class WholeJacobian(JsonRecord):
    """Jacobian of one sound, synthesis included, in one thread, beside its parts; seconds of processor time.

    Attributes:
        configuration: The configuration.
        n_samples: Samples of a sound, N.
        n_tangents: Parameters of the synthesizer, P.
        n_coefficients: Coefficients of a sound.
        forward: Seconds of a sound and its features.
        sounds: Seconds of a sound and its tangents; of a black box, those of its renders alone.
        transform: Seconds of the features and their tangents, from sound and tangents that are there.
        whole: Seconds of features and Jacobian.
        over_forward: The whole over one forward, within a round.
        over_parts: The whole over sounds and transform, within a round.
        renders: Renders of a black box; None where derivatives are exact.
        steps_seconds: Seconds in which a black box measures its steps, once a run.
        peak_bytes: Peak memory of a process that computes Jacobians.
    """

    configuration: Configuration
    n_samples: int
    n_tangents: int
    n_coefficients: int
    forward: Spread
    sounds: Spread
    transform: Spread
    whole: Spread
    over_forward: Spread
    over_parts: Spread
    renders: int | None
    steps_seconds: float | None
    peak_bytes: int


@dataclass(frozen=True)
class Usage(JsonRecord):
    """Time and memory of a job in processes of its own.

    Attributes:
        seconds: Time of the slowest process.
        peak_bytes: Peak memory of the largest process.
        before_bytes: Its peak before the job began.
    """

    seconds: float
    peak_bytes: int
    before_bytes: int


@dataclass(frozen=True)
class Throughput(JsonRecord):
    """Rate of features and Jacobians, synthesis included.

    Attributes:
        workers: Number of processes, of one thread each.
        batch: Sounds that each takes at once.
        sounds_per_second: Sounds per second of all workers together.
        peak_bytes: Peak memory of the largest worker.
    """

    workers: int
    batch: int
    sounds_per_second: float
    peak_bytes: int


@dataclass(frozen=True)
class GradientMemory(JsonRecord):
    """Time and memory of the gradient of a distance with respect to a batch of sounds.

    Attributes:
        configuration: Name of the configuration.
        sounds: Number of sounds.
        seconds: Time.
        peak_bytes: Peak memory of the process.
        before_bytes: Its peak before the gradient.
    """

    configuration: str
    sounds: int
    seconds: float
    peak_bytes: int
    before_bytes: int


@dataclass(frozen=True)
class SweepCost(JsonRecord):
    """Time of "S and J" against one quantity.

    Attributes:
        name: "N", "P" or "Q".
        values: Its values.
        base: Values of all three where they are held.
        settings: Options of the transform but `shape` and `Q`.
        seconds: Time at each value.
        ceiling_seconds: Time of the operations at the ceilings of the machine, at each value.
    """

    name: str
    values: tuple[int, ...]
    base: Mapping[str, int]
    settings: Mapping[str, Any]
    seconds: tuple[Spread, ...]
    ceiling_seconds: tuple[float, ...]


@dataclass(frozen=True)
class CudaTable(JsonRecord):
    """Times and errors of one configuration on a GPU.

    Attributes:
        forward: Seconds of coefficients.
        S_and_J: Seconds of coefficients and Jacobian.
        jacobians_per_second: Jacobians per second.
        part_of_ceiling: Time of the operations at the ceilings of the GPU, over the measured time.
        errors: Relative differences of "S" and "J" from those of the CPU.
    """

    forward: Spread
    S_and_J: Spread = field(metadata={"name": "S and J"})
    jacobians_per_second: float
    part_of_ceiling: float
    errors: Mapping[str, float]


@dataclass(frozen=True)
class CudaResults(JsonRecord):
    """Results on a GPU.

    Attributes:
        environment: The machine, with its GPU.
        ceilings: Rates of the GPU.
        configurations: Tables by the name of the configuration.
    """

    environment: Environment
    ceilings: Ceilings
    configurations: Mapping[str, CudaTable]


@dataclass(frozen=True)
class Run(JsonRecord):
    """Run of `pnp bench`.

    Attributes:
        command: Command that measures the same elsewhere.
        commit: Commit of the package; None where it is not run from a repository.
        date: Date and time of its start.
        load: Load average of the machine before it began.
    """

    command: str
    commit: str | None
    date: str
    load: float | None


@dataclass(frozen=True)
class BenchmarkResults(JsonRecord):
    """Everything that one run measured, or several runs on one machine.

    Attributes:
        runs: The runs.
        environment: The machine and its versions.
        peer: Versions in the peer's environment; None if there is no peer.
        configurations: Times and errors by the name of the configuration.
        precision: Fast transforms beside exact ones, by the name of the configuration.
        jacobian: Jacobians with synthesis beside their parts, by the name of the configuration.
        throughput: Rates of some numbers of workers and batches, by the name of the configuration.
        gradient_memory: Time and memory of a gradient; None if not measured.
        cost: Cost against N, P and Q.
        cuda: Results on a GPU; None without one.
    """

    runs: tuple[Run, ...]
    environment: Environment
    peer: Mapping[str, str] | None
    configurations: Mapping[str, ConfigurationTable]
    # Results of version 0.1 have no such sections.
    precision: Mapping[str, PrecisionTable] = field(default_factory=dict, kw_only=True)
    jacobian: Mapping[str, WholeJacobian] = field(default_factory=dict, kw_only=True)
    throughput: Mapping[str, tuple[Throughput, ...]]
    gradient_memory: GradientMemory | None
    cost: tuple[SweepCost, ...]
    cuda: CudaResults | None
