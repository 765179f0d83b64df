#!/usr/bin/env python
"""Feature maps that order sounds by timbre, next to listeners of published studies.

    pip install pnp-metric[listeners]
    python benchmarks/listeners.py --data DIR --docs docs

DIR holds `sounds/STUDY/*.aiff` and `ratings/STUDY.txt`, as github.com/tiianhk/timbremetrics collects them; they are
nobody's to pass on with this package. Each study is kept in a results file as soon as it is measured: run the command
again and it goes on. `--map FILE.py:NAME` measures a feature map of yours beside the others. `--results` measures
nothing and writes the page.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from listening.agreement import MARGIN, agreement, distances
from listening.elsewhere import DELAY, LENGTH, SIGNAL_TO_NOISE, SOUNDS, behaviour, settings_at
from listening.maps import Representation, as_published, custom, scattering, spectral
from listening.measure import Results, coefficients_of, measure
from listening.page import RIVAL, as_markdown
from listening.studies import Study, StudyError, read_studies
from listening.weights import Groups, Kept, held_out
from panelists.page import ears_table

import pnp
from pnp.bench.environment import commit, environment

# What `panel.py` measured: training with several representations.
TRAINED = Path(__file__).parent / "results" / "panel.json"
N_SAMPLES, LEVEL, RATE = 65536, 0.1, 44100
_GLOBAL: dict[str, Any] = {"J": 12, "Q": (8, 1), "J_fr": 5, "Q_fr": 1, "T": "global", "F": 8}
_LOCAL = {**_GLOBAL, "T": 2**13}
_AVERAGE = {"first_order": "average"}
GRID: list[dict[str, Any]] = [
    {**_GLOBAL, "Q": (8, 2), "Q_fr": 2, "F": "global"},
    _GLOBAL,
    {**_GLOBAL, "F": 2},
    {**_GLOBAL, "F": 2, "J": 13},
    {**_GLOBAL, "F": 2, "J": 13, "Q": (12, 1)},
    _LOCAL,
    {**_LOCAL, "T": 2**14},
    {**_LOCAL, "T": 2**12},
    {**_LOCAL, "T": 2**11},
    {**_LOCAL, "F": 2},
    {**_LOCAL, "F": 2, "T": 2**14},
    {**_LOCAL, "J_fr": 3},
    {**_LOCAL, "J_fr": 3, "T": 2**12},
    {**_LOCAL, "Q": (12, 1)},
    {**_LOCAL, **_AVERAGE},
    {**_GLOBAL, **_AVERAGE},
    {**_LOCAL, "T": 2**14, **_AVERAGE},
    {**_LOCAL, "T": 2**12, **_AVERAGE},
]
# Representations whose behaviour as a loss is measured: settings at the rate of the studies, and scale.
SHOWN: dict[str, tuple[dict[str, Any], float]] = {
    "averaged over the sound": ({**_GLOBAL, **_AVERAGE}, 1e5),
    "recommended": ({**_LOCAL, **_AVERAGE}, 1e5),
}
# What the package had as its standard when this was measured, at the rates of its synthesizers.
STANDARD: dict[str, tuple[dict[str, Any], float]] = {
    "chirp": ({**_GLOBAL, "Q": (8, 2), "Q_fr": 2, "F": "global", "pad_mode": "reflect"}, 1e3),
    "drum": (
        {**_GLOBAL, "J": 13, "Q": (12, 1), "F": 2, "pad_mode": "zero"},
        1e3,
    ),  # J = 12 for LENGTH samples
}


def main() -> int:
    """Measure, or read what was measured, and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with sounds/ and ratings/")
    parser.add_argument("--map", action="append", default=[], help="FILE.py:NAME or package.module:NAME")
    parser.add_argument("--only-map", action="store_true", help="measure MFCC and the maps of --map alone")
    parser.add_argument("--json", type=Path, help="results file, read first if it exists")
    parser.add_argument("--scratch", type=Path, help="folder to keep coefficients in between runs")
    parser.add_argument("--results", type=Path, help="measure nothing, read this results file")
    parser.add_argument("--docs", type=Path, help="folder for listeners.md, such as docs/evidence")
    parser.add_argument("--threads", type=int, default=1, help="PyTorch threads")
    options = parser.parse_args()
    if (options.data is None) == (options.results is None):
        parser.error("give either --data or --results")
    torch.set_num_threads(options.threads)
    try:
        content = json.loads(options.results.read_text("utf-8")) if options.results else _measured(options)
    except (StudyError, ImportError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    trained = json.loads(TRAINED.read_text("utf-8")) if TRAINED.exists() else None
    page = as_markdown(content, "" if trained is None else ears_table(trained))
    sys.stdout.write(page)
    if options.docs:
        (options.docs / "listeners.md").write_text(page, "utf-8")
    return 0


def _measured(options: argparse.Namespace) -> dict[str, Any]:
    """Everything that the page shows."""
    studies = read_studies(options.data, N_SAMPLES, LEVEL)
    rate = studies[0].sample_rate
    results = Results(options.json, {"samples": N_SAMPLES, "level": LEVEL, "margin": MARGIN})
    representations = [*spectral(rate), *(custom(source, N_SAMPLES, rate) for source in options.map)]
    if options.only_map:
        representations = [one for one in representations if one.name in (RIVAL, *options.map)]
    else:
        representations += [scattering(N_SAMPLES, settings) for settings in GRID]
    measure(representations, studies, results, options.scratch)
    if not options.only_map:
        _measure_published(representations, studies, results)
        _measure_weights(studies, results, options.scratch)
    results.content |= {
        "command": "python benchmarks/listeners.py --data DIR --docs docs/evidence",
        "commit": commit(),
        "date": datetime.now(timezone.utc).isoformat(timespec="minutes"),
        "environment": environment().to_dict(),
        "rate": rate,
        "recommended": _map_name(*SHOWN["recommended"]),
        "standard": {name: _map_name(*standard) for name, standard in STANDARD.items()},
        "code": _code(*SHOWN["recommended"]),
        "studies": {
            study.name: {
                "sounds": len(study.sounds),
                "shortest": study.lengths[0],
                "longest": study.lengths[1],
            }
            for study in studies
        },
    }
    if not options.only_map:
        _measure_elsewhere(results)
    results.save()
    return results.content


def _measure_published(representations: list[Representation], studies: list[Study], results: Results) -> None:
    """Scores of MFCC under the conditions of the published ones, by map and study."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for study in studies:
        for name, features in as_published(representations, study).items():
            scores = agreement(distances(features, "euclidean"), study.ratings)
            found.setdefault(name, {})[study.name] = {key: round(value, 5) for key, value in scores.items()}
    results.content["as published"] = found


def _measure_weights(studies: list[Study], results: Results, scratch: Path | None) -> None:
    """Scores of the recommended map with weights of its paths that were fitted to other publications."""
    settings, scale = SHOWN["recommended"]
    name = _map_name(settings, scale)
    digests = {study.name: study.digest() for study in studies}
    kept = results.content.get("weights", {})
    if kept.get("map") == name and kept.get("digests") == digests:
        return
    representation = scattering(N_SAMPLES, settings)
    groups = Groups.of(pnp.TimeFrequencyScattering(N_SAMPLES, **{**settings, "pad_mode": "zero"}))
    prepared = []
    for study, coefficients in coefficients_of(representation, studies, scratch):
        # Compressed features are flat, time fastest.
        features = representation.heads[f"scale {scale:.0e}"](coefficients).unflatten(
            1, (len(groups.rows), -1)
        )
        prepared.append(Kept(study.publication, groups.squares(features), study.ratings))
    found = zip(studies, held_out(prepared, groups.factors), strict=True)
    results.content["weights"] = {
        "map": name,
        "digests": digests,
        "factors": groups.factors.shape[1],
        "studies": {
            study.name: round(agreement(distance, study.ratings)["triplets"], 5) for study, distance in found
        },
    }
    results.save()
    sys.stderr.write("weights of paths: fitted\n")


def _map_name(settings: dict[str, Any], scale: float) -> str:
    return scattering(N_SAMPLES, settings).map_names()[f"scale {scale:.0e}"]


def _code(settings: dict[str, Any], scale: float) -> str:
    """Constructor calls of the recommended map."""
    options = "\n".join(
        f"        {name}={_literal(value)}," for name, value in {**settings, "pad_mode": "zero"}.items()
    )
    return (
        f"features = pnp.Features(\n    pnp.TimeFrequencyScattering(\n        shape={N_SAMPLES},  # at {RATE} Hz\n"
        f"{options}\n    ),\n    scale={_literal(scale)},\n)"
    )


def _literal(value: Any) -> str:
    return json.dumps(value) if isinstance(value, str) else repr(value)


def _measure_elsewhere(results: Results) -> None:
    """Behaviour of the standard settings and of the candidates on the chirp and the drum."""
    table = results.content.setdefault(
        "elsewhere", {"sounds": SOUNDS, "length": LENGTH, "dB": SIGNAL_TO_NOISE, "delay": DELAY}
    )
    for name, standard in STANDARD.items():
        rate = round(pnp.synths.make(name).sample_rate)
        rows = table.setdefault(name, {})
        for label, (settings, scale) in {"standard": standard, **SHOWN}.items():
            if label == "standard":
                settings = settings_at(settings, rate, rate, LENGTH)
            else:
                settings = {**settings_at(settings, RATE, rate, LENGTH), "pad_mode": "zero"}
            described = json.loads(json.dumps({**settings, "scale": scale}))
            if rows.get(label, {}).get("settings") != described:
                rows[label] = {"settings": described} | behaviour(name, settings, scale)
                results.save()
            sys.stderr.write(f"{name}, {label}: measured\n")


if __name__ == "__main__":
    sys.exit(main())
