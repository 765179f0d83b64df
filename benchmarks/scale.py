#!/usr/bin/env python
"""The page docs/evidence/scale.md: a million sounds, from the times of one that `pnp bench` measured.

python benchmarks/scale.py benchmarks/results/jacobian.json [--docs docs]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from scattering import page_arguments

from pnp._files import write_atomically
from pnp._text import markdown_table
from pnp.bench import load_results
from pnp.bench.results import WholeJacobian
from pnp.store import CacheHeader, cache_bytes
from pnp.store.schema import STORE_LEVELS

_SOUNDS = 1_000_000
_WORKERS = (2, 64, 1000)
# A row's bytes do not depend on the block, but for a last one that is not full.
_BLOCK = 16
_STORES = (("metric", "float32"), ("features", "float32"), ("jacobian", "float32"), ("jacobian", "float16"))


def main() -> None:
    """Write the page."""
    options = page_arguments(__doc__)
    write_atomically(options.docs / "scale.md", as_markdown(options.results))


def as_markdown(files: Sequence[Path]) -> str:
    """Return the page.

    Args:
        files: Results of the section "jacobian" of `pnp bench`.

    Raises:
        ValueError: If no Jacobian was measured, or the files come from different machines.
    """
    results = load_results(files)
    if not results.jacobian:
        raise ValueError("no file holds a section 'jacobian'; measure it by `pnp bench --section jacobian`")
    place = results.environment
    loads = " and ".join(f"{run.load}" for run in results.runs)
    steps = [
        f" The black box {name} measures its steps once for each part, in {each.steps_seconds:.0f} s."
        for name, each in results.jacobian.items()
        if each.steps_seconds is not None
    ]
    parts = {
        "command": f"python benchmarks/scale.py {' '.join(f'benchmarks/results/{file.name}' for file in files)}",
        "time": _time(results.jacobian),
        "measured": f"Seconds are processor time of one thread on {place.cpu}, as in\n[speed of scattering]"
        f"(scattering-speed.md), where the settings are. The load average before the runs was\n{loads}: a machine "
        f"that does nothing else is faster.{''.join(steps)}",
        "disk": _disk(results.jacobian),
    }
    page = Path(__file__).with_suffix(".md").read_text("utf-8")
    for name, text in parts.items():
        page = page.replace("{{" + name + "}}", text)
    return page


def _time(measured: Mapping[str, WholeJacobian]) -> str:
    rows = [
        [
            _label(each),
            f"{each.whole.median:.2f}",
            *(_duration(_SOUNDS * each.whole.median / workers) for workers in _WORKERS),
            f"{each.peak_bytes / 2**30:.2f}",
        ]
        for each in measured.values()
    ]
    workers = [f"{count:,} workers" for count in _WORKERS]
    return markdown_table(["a million sounds", "a sound, s", *workers, "memory of a worker, GiB"], rows)


def _disk(measured: Mapping[str, WholeJacobian]) -> str:
    rows = [
        [
            f"{_label(each)}, C = {each.n_coefficients}",
            *(f"{_bytes(each, store, dtype) / 1e9:.3g} GB" for store, dtype in _STORES),
        ]
        for each in measured.values()
    ]
    columns = [f"`{store}`" + (f", `{dtype}`" if dtype != "float32" else "") for store, dtype in _STORES]
    return markdown_table(["a million sounds", *columns], rows)


def _bytes(each: WholeJacobian, store: str, dtype: str) -> int:
    header = CacheHeader(
        space=each.configuration.synthesizer().space,
        n_rows=_SOUNDS,
        n_features=each.n_coefficients,
        block=_BLOCK,
        store=STORE_LEVELS[store],
        dtype=dtype,
        config={"size": _SOUNDS},
        versions={},
        date="",
    )
    return cache_bytes(header)


def _label(each: WholeJacobian) -> str:
    name = each.configuration.synth.rpartition(":")[2]
    return f"{each.configuration.name}: {name}, P = {each.n_tangents}"


def _duration(seconds: float) -> str:
    for size, unit in ((86400.0, "days"), (3600.0, "hours")):
        if seconds >= 2.0 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 60.0:.3g} minutes"


if __name__ == "__main__":
    main()
