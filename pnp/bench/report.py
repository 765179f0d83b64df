"""Report of a benchmark: Markdown whose tables are aligned, for a terminal as well as for a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pnp._text import counted, markdown_table, percent
from pnp.bench.peer import INSTALL, VARIABLE
from pnp.bench.results import BenchmarkResults, Ceilings, ConfigurationTable, Spread, WholeJacobian

_NOT_MEASURED = "–"


def as_markdown(results: BenchmarkResults, heading: str = "##") -> str:
    """Return the report of a benchmark.

    Args:
        results: Results of `run_benchmark`.
        heading: Marks of the headings of its sections.

    Returns:
        Markdown without a final line break.
    """
    sections = {
        "One sound": _speed(results),
        "Fast and exact": _precision(results),
        "A Jacobian, synthesis included": _whole(results),
        "Operations, and the ceiling of the machine": _operations(results),
        "Throughput": _throughput(results),
        "Memory of a gradient": _memory(results),
        "CUDA": _cuda(results),
        "Cost against N, P and Q": _cost(results),
        "Where it ran": _environment(results),
    }
    blocks = []
    for title, lines in sections.items():
        text = "\n".join(lines)
        if text:
            blocks.append(f"{heading} {title}\n\n{text}")
    return "\n\n".join(blocks)


def _speed(results: BenchmarkResults) -> Iterable[str]:
    tables = results.configurations
    if not tables:
        return
    rows = []
    for name, table in tables.items():
        for row_name, row in table.rows.items():
            errors = row.errors
            rows.append(
                [
                    f"{name} {row_name}",
                    _milliseconds(row.ours),
                    _milliseconds(row.peer),
                    _ratio(row.ratio),
                    _error(errors.get("sound")),
                    _error(errors.get("noise")),
                ]
            )
        rows += [
            [
                f"{name} fast, {row_name}",
                _milliseconds(row.ours),
                _milliseconds(row.peer),
                _ratio(row.ratio),
                *2 * [_NOT_MEASURED],
            ]
            for row_name, row in (table.fast or {}).items()
        ]
    yield markdown_table(["", "ours, ms", "Kymatio, ms", "ratio", "error, sound", "error, noise"], rows)
    yield ""
    for name, table in tables.items():
        yield _described(name, table)
    yield ""
    threads = results.environment.threads
    yield (
        f"Float32, one sound, {counted(threads, 'thread')} on either side. Median (least to most) of "
        f"{_rounds(tables)}; in each, ours and Kymatio's run one after the other, ours as the median of three "
        "calls. Ratios are of times within a round."
    )
    if any(table.fast for table in tables.values()):
        yield 'Fast is `precision="fast"`, with zeros beyond the ends of a sound, beside the same calls of Kymatio.'
        yield "It is another transform: *Fast and exact* has its errors."
    if threads == 1:
        yield "Times are of the processor."
    yield ""
    alone = [name for name, table in tables.items() if not table.configuration.has_peer]
    if len(alone) == len(tables):
        pass
    elif results.peer is None:
        yield f"Kymatio was not measured. Make an environment for it, `{INSTALL}`, and name its interpreter by `--peer`"
        yield f"or {VARIABLE}."
    else:
        yield "Forward and backward is the gradient of a weighted sum of all coefficients with respect to the sound."
        yield "Kymatio has no S and J: `torch.func` does not pass through it, and central differences cost it 2P"
        yield "forwards. Its time there is that of one forward in the same round, times 2P. All 2P were run once, too:"
        yield ""
        beside = {name: table for name, table in tables.items() if table.configuration.has_peer}
        rows = [
            [
                name,
                _seconds(table.rows["S and J"].peer_seconds_at_once),
                *(_error(table.rows["S and J"].errors.get(key)) for key in ("peer", "sound", "float64")),
            ]
            for name, table in beside.items()
        ]
        columns = ["2P forwards", "Kymatio, s", "error of these", "error of ours", "of the reference"]
        yield markdown_table(columns, rows)
        yield ""
        yield "Errors are relative, ‖ours − Kymatio's‖ / ‖Kymatio's‖, on a synthesized sound with its own tangents and"
        yield 'on white noise. `normalization="kymatio"` is what is compared and timed. The reference of J is ours in'
        yield "float64. Its own error is against central differences of Kymatio in float64, in one direction with a"
        yield "part of every tangent."
        yield ""
        yield "On noise, gradients are compared as they are; on the synthesized sound along its tangents, as gradients"
        yield "with respect to the P parameters. Where a sub-band is silent, gradients sample by sample are rounding"
        yield "noise: the derivative z / |z| of |z| has norm one, however small z is. All against float64:"
        yield ""
        keys = ("sound", "peer", "samples", "samples_peer")
        rows = [
            [name, *(_error(table.rows["forward and backward"].errors.get(key)) for key in keys)]
            for name, table in beside.items()
        ]
        columns = ["gradient", "parameters, ours", "Kymatio", "samples, ours", "Kymatio"]
        yield markdown_table(columns, rows)
    if alone:
        yield f"Kymatio reflects sounds at their ends, and was not run where zeros are padded: {', '.join(alone)}."
    yield ""
    defaults = ", ".join(
        f"{name} {_milliseconds(table.default_normalization)} ms" for name, table in tables.items()
    )
    yield (
        'The default, `normalization="mean"`, averages where Kymatio sums, and serves both spins of the widest '
        "frequential wavelet with one filter, which Kymatio's rounding tells apart. S and J then take: "
        f"{defaults}."
    )


def _precision(results: BenchmarkResults) -> Iterable[str]:
    tables = results.precision
    rows = [
        [
            f"{name} {variant}",
            *(_ratio(measured.ratio[kind]) for kind in ("forward", "S and J")),
            *(_error(error) for part in (measured.S, measured.M) for error in (part.median, part.high)),
        ]
        for name, table in tables.items()
        for variant, measured in table.variants.items()
    ]
    if not rows:
        return
    yield markdown_table(
        ["", "forward", "S and J", "features, median", "largest", "M, median", "largest"], rows
    )
    yield ""
    first = next(iter(tables.values()))
    yield 'Times as fast as the exact transform, in turn. `precision="fast"` has second-order sub-bands at half of'
    yield "their rate and short padding; each is measured alone, too. Errors are relative, of compressed features"
    yield f"(log1p, scale {first.scale:g}) and of M in Frobenius norm, over {first.sounds} sounds, in float32."


def _whole(results: BenchmarkResults) -> Iterable[str]:
    rows = [
        [
            name,
            *map(_milliseconds, (measured.forward, measured.sounds, measured.transform, measured.whole)),
            _ratio(measured.over_forward),
            _ratio(measured.over_parts),
            f"{measured.peak_bytes / 2**30:.2f}",
        ]
        for name, measured in results.jacobian.items()
    ]
    if not rows:
        return
    columns = [
        "",
        "forward, ms",
        "sounds, ms",
        "transform, ms",
        "S and J, ms",
        "over forward",
        "over sounds and transform",
        "peak memory, GiB",
    ]
    yield markdown_table(columns, rows)
    yield ""
    for name, measured in results.jacobian.items():
        yield _described(name, measured)
    yield ""
    yield "One sound in one thread, as a worker of the offline stage computes it: processor time, which other programs"
    yield "lengthen little. *Forward* is the sound and its features, *sounds* the sound with its tangents. *Transform*"
    yield "is the features of sound and tangents at once, and *S and J* is `value_and_jacobian`, with everything around"
    yield "these two. Peak memory is that of a process of its own."
    for name, measured in results.jacobian.items():
        if measured.renders is not None:
            yield ""
            yield (
                f"**{name}** is a black box, and its *sounds* are the {measured.renders} calls of its program alone. "
                f"Its steps are measured once a run, in {_seconds(measured.steps_seconds)} s."
            )


def _operations(results: BenchmarkResults) -> Iterable[str]:
    tables = results.configurations
    if not tables:
        return
    rows = [
        [
            f"{name} {kind}",
            f"{counts.gemm / 1e9:.2f}",
            f"{counts.fft / 1e9:.2f}",
            f"{counts.pointwise / 1e6:.0f}",
            f"{1e3 * counts.ceiling_seconds:.1f}",
            _milliseconds(table.rows[kind].ours),
            percent(counts.part_of_ceiling, 0),
        ]
        for name, table in tables.items()
        for kind, counts in table.operations.items()
    ]
    yield markdown_table(
        [
            "",
            "matrix products, Gflop",
            "Fourier, Gflop",
            "pointwise, M",
            "at the ceiling, ms",
            "measured, ms",
            "of the ceiling",
        ],
        rows,
    )
    yield ""
    yield "At the ceiling, best of many in the same run:"
    yield ""
    for name, table in tables.items():
        yield f"- **{name}**: {_ceilings(table.ceilings)}"
    yield ""
    yield "Operations are counted from the plan of the transform, for the sound and each tangent alike. Filters along"
    yield "log-frequency count as real matrix products, Fourier transforms as 5 n log2 n. Pointwise are the elements"
    yield "that are filtered, laid out in planes, or go through a modulus. The ceiling is their time at these rates,"
    yield "one kind after the other."


def _throughput(results: BenchmarkResults) -> Iterable[str]:
    rows = [
        [
            name,
            str(entry.workers),
            str(entry.batch),
            f"{entry.sounds_per_second:.2f}",
            f"{entry.peak_bytes / 2**30:.2f}",
        ]
        for name, entries in results.throughput.items()
        for entry in entries
    ]
    if rows:
        yield markdown_table(
            ["", "workers", "batch", "sounds a second", "peak memory of a worker, GiB"], rows
        )
        yield ""
        yield "`value_and_jacobian` of synthesizer and features, synthesis and its tangents included; one thread a"
        yield "worker."


def _memory(results: BenchmarkResults) -> Iterable[str]:
    memory = results.gradient_memory
    if memory:
        yield (
            f"Gradient of ‖S(x) − S(y)‖² with respect to a batch of {memory.sounds} sounds of "
            f"{memory.configuration}: {memory.seconds:.2f} s. The peak of its process is "
            f"{memory.peak_bytes / 2**30:.2f} GiB, {memory.before_bytes / 2**30:.2f} GiB before it began."
        )


def _cuda(results: BenchmarkResults) -> Iterable[str]:
    cuda = results.cuda
    if not results.configurations:
        return
    if cuda is None:
        yield "Not measured: the machine has no CUDA device."
        return
    rows = [
        [
            name,
            _milliseconds(table.forward),
            _milliseconds(table.S_and_J),
            f"{table.jacobians_per_second:.1f}",
            percent(table.part_of_ceiling, 0),
            _error(table.errors["S"]),
            _error(table.errors["J"]),
        ]
        for name, table in cuda.configurations.items()
    ]
    columns = [
        "",
        "forward, ms",
        "S and J, ms",
        "Jacobians a second",
        "of the ceiling",
        "S to CPU",
        "J to CPU",
    ]
    yield markdown_table(columns, rows)
    yield ""
    yield f"{cuda.environment.gpu}. {_ceilings(cuda.ceilings)}."


def _cost(results: BenchmarkResults) -> Iterable[str]:
    rows = [
        [
            f"{sweep.name}={value}",
            _milliseconds(seconds),
            f"{seconds.median / sweep.seconds[0].median:.2f}",
            f"{ideal / sweep.ceiling_seconds[0]:.2f}",
        ]
        for sweep in results.cost
        for value, seconds, ideal in zip(sweep.values, sweep.seconds, sweep.ceiling_seconds, strict=True)
    ]
    if rows:
        yield markdown_table(["", "S and J, ms", "times the first", "as operations grow"], rows)
        yield ""
        first = results.cost[0]
        held = ", ".join(f"{key}={value}" for key, value in {**first.base, **first.settings}.items())
        yield f"Where not varied: {held}. White noise."


def _environment(results: BenchmarkResults) -> Iterable[str]:
    place = results.environment
    versions = ", ".join(f"{name} {version}" for name, version in place.versions.items())
    yield f"- {place.cpu}, {counted(place.cores or 0, 'core')}, {counted(place.threads, 'thread')}, {place.system}"
    yield f"- {versions}"
    if results.peer:
        peer = ", ".join(f"{name} {version}" for name, version in results.peer.items())
        yield f"- Kymatio's environment, made by `{INSTALL}`: {peer}"
    for run in results.runs:
        yield (
            f"- `{run.command}` at commit {run.commit or 'unknown'}, {run.date}, load average {run.load} "
            "before it began"
        )


def _described(name: str, table: ConfigurationTable | WholeJacobian) -> str:
    settings = {"N": table.n_samples, **table.configuration.settings, "P": table.n_tangents}
    listed = ", ".join(f"{key}={tuple(v) if isinstance(v, list) else v}" for key, v in settings.items())
    # Without the module of a synthesizer that is not registered.
    synth = table.configuration.synth.rpartition(":")[2]
    return f"- **{name}**: {synth}, {listed}, {table.n_coefficients} coefficients"


def _rounds(tables: Mapping[str, ConfigurationTable]) -> str:
    counts = sorted({table.rows["forward"].ours.rounds for table in tables.values()})
    return " or ".join(counted(count, "round") for count in counts)


def _ceilings(ceilings: Ceilings) -> str:
    return (
        f"Matrix products {ceilings.gemm / 1e9:.0f} Gflop/s, "
        f"Fourier transforms {ceilings.fft / 1e9:.1f} Gflop/s, "
        f"square roots {ceilings.pointwise / 1e9:.2f} G/s, copies {ceilings.copy_bytes / 1e9:.1f} GB/s"
    )


def _seconds(seconds: float | None) -> str:
    return _NOT_MEASURED if seconds is None else f"{seconds:.1f}"


def _milliseconds(seconds: Spread | None) -> str:
    if seconds is None:
        return _NOT_MEASURED
    median, low, high = (_digits(1e3 * value) for value in (seconds.median, seconds.low, seconds.high))
    return f"{median} ({low}–{high})"


def _ratio(ratio: Spread | None) -> str:
    if ratio is None:
        return _NOT_MEASURED
    return f"{_digits(ratio.median)}× ({_digits(ratio.low)}–{_digits(ratio.high)})"


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _error(error: float | None) -> str:
    return _NOT_MEASURED if error is None else f"{error:.1e}"
