"""Matching recordings of percussion: how much nearer than the cache's nearest sound the match comes.

    python benchmarks/matching_recordings.py --encoder runs/drum-pnp

Kits of a Debian package are split into those that were looked at while the search was made, and those that were not.
The recordings of a kit are spread over its names. A rerun goes on where it ends.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matching_tools import FORMERLY, RESULTS, Records, described, tools, write_result

from pnp._text import percent
from pnp.bench.environment import environment
from pnp.matching.catalogue import Catalogue
from pnp.matching.folder import MatchedFile, match_folder
from pnp.matching.multistart import refine
from pnp.matching.noise import NOISY
from pnp.matching.problem import Problem
from pnp.matching.recording import load_recording
from pnp.matching.search import Search
from pnp.report.html.matches import write_matches
from pnp.training.checkpoint import load_encoder

PACKAGE = "hydrogen-drumkits"
RESULT = "matching-kits.json"
# Sounds of the cache of which gain and floor are fitted; the nearest one after that counts.
NEIGHBOURS = 3
# Instruments, by words that their names have.
INSTRUMENTS = {
    "hand percussion": r"conga|djembe\w*|cajon|bongo|clap|tambourine|fingersnap|wood|agogo|sangban|kenkeni|shaker",
    "hi-hat": r"hi|hh|chh|ohh|hat|hihat|hhopen|hhclosed|pedalhihat",
    "cymbal": r"crash|ride|rd|rc|splash|cymbal|bell|cowbell|cb",
    "tom": r"toms?|tm|t|tomh",
    "snare": r"snare|sn|sd|sidestick|side|rim|rimshot",
    "bass drum": r"kick|bd|bassdrum|bass|k",
}


def main() -> None:
    """Match the recordings, and write the summary and a page to listen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", help="run of `pnp train` on the cache of drums")
    parser.add_argument(
        "--only-guesses", action="store_true", help="leave kept matches and make the encoder's guesses again"
    )
    parser.add_argument("--per-kit", type=int, default=5, help="recordings of each kit")
    parser.add_argument("--full", action="store_true", help="drums and representation of full size")
    parser.add_argument(
        "--work", type=Path, default=Path("matching"), help="where caches and matches are kept"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    synth, features, cache = tools("drum", options)
    with cache:
        catalogue = Catalogue.from_cache(cache, synth, features)
        settings: dict[str, Any] = {"cache": cache.fingerprint}
    folder = gathered(options.work, options.per_kit)
    if options.only_guesses:
        if not options.encoder:
            parser.error("--only-guesses needs --encoder.")
        summary = json.loads((RESULTS / RESULT).read_text())
        guess_all(summary["rows"], catalogue, options.encoder, folder)
        write_result(RESULT, summary)
        return
    out = options.work / "kits-equalized"
    settings["equalizer"] = True
    search = Search(catalogue, equalize=True)
    found = match_folder(folder, out, search, settings=settings, progress=True)
    write_matches(found, out / "index.html", cache="drums")
    kits = sorted({file.name.split("/")[0] for file in found.files})
    summary = {
        "source": f"Debian package {PACKAGE}",
        "full": options.full,
        "looked_at": looked_at(kits),
        "refused": {file.name: file.refused for file in found.files if file.match is None},
        "synthesizer": synth.config(),
        "features": features.config(),
        "cache_size": len(catalogue.rows),
        "environment": environment().to_dict(),
        "rows": [row_of(file) for file in found.matched],
    }
    records = Records(options.work / "kits-fitted.jsonl")
    known = {record["file"]: record["fitted"] for record in records.rows}
    for row in summary["rows"]:
        if row["file"] not in known:
            fitted_now = fitted_neighbour(catalogue, folder / row["file"])
            records.add({"file": row["file"], "fitted": fitted_now})
        row["fitted"] = known.get(row["file"]) or records.rows[-1]["fitted"]
    if options.encoder:
        guess_all(summary["rows"], catalogue, options.encoder, folder)
    write_result(RESULT, summary)


def looked_at(kits: Iterable[str]) -> list[str]:
    """Kits that were looked at while the search was made: every second one."""
    return sorted(kits)[::2]


def row_of(file: MatchedFile) -> dict[str, Any]:
    """Distances relative to the recording's features, and what else the table says."""
    assert file.match is not None
    shares = {which: file.relative(which) for which in ("before", "after")}
    return {
        "file": file.name,
        "instrument": instrument(file.name),
        **shares,
        "flat": file.match["distance_flat"] / file.match["target_norm"],
        "noise": file.match["noise"],
        "evaluations": file.match["evaluations"],
        "seconds": file.match["seconds"],
    }


def guess_all(rows: list[dict[str, Any]], catalogue: Catalogue, encoder: str, folder: Path) -> None:
    """Write what an encoder guesses about each recording into its row."""
    search = Search(catalogue, load_encoder(encoder), starts=1, max_evaluations=1)
    for row in rows:
        row["guess"] = guess_of(search, folder / row["file"])


def guess_of(search: Search, path: Path) -> dict[str, float]:
    """Distances of the nearest sound and of an encoder's one guess, relative to the recording's features."""
    found = search.match(load_recording(path))
    assert found.distance_encoder is not None
    return {
        "nearest": found.distance_before / found.target_norm,
        "encoder": found.distance_encoder / found.target_norm,
    }


def fitted_neighbour(catalogue: Catalogue, path: Path) -> dict[str, float]:
    """Distances of the nearest sounds with nuisances fitted as the match's are and all else left.

    Relative to that without a fit: with gain and floor, and with an equalizer, too.
    """
    recording = load_recording(path)
    problem = Problem(catalogue, recording, catalogue.place(recording), fit_gain=True)
    if problem.noise > NOISY:
        problem = problem.with_noise()
    _, points = problem.nearest(NEIGHBOURS)
    first = min(float(np.linalg.norm(problem.residual(point))) for point in points)
    flat = fitted(problem, points)
    equalized = problem.equalized()
    return {"flat": flat / first, "equalized": min(fitted(equalized, equalized.flat(points)), flat) / first}


def fitted(problem: Problem, points: np.ndarray) -> float:
    """Least distance of some points with their nuisances fitted."""
    nuisances = list(range(len(problem.synth.space), len(problem.space)))
    ends = refine(
        problem.residual,
        lambda u: problem.jacobian(u)[:, nuisances],
        points,
        free=nuisances,
        max_evaluations=8,
    )
    return min(end.distance for end in ends)


def instrument(name: str) -> str:
    """Instrument of a recording, by its name."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", Path(name).stem)
    words = re.sub(r"[^a-z]+", " ", spaced.lower())
    return next((kind for kind, word in INSTRUMENTS.items() if re.search(rf"\b({word})\b", words)), "other")


def gathered(work: Path, per_kit: int) -> Path:
    """Folder of links to some recordings of each kit."""
    folder = work / f"kits-{per_kit}"
    kits = samples(work) / "usr" / "share" / "hydrogen" / "data" / "drumkits"
    for kit in sorted(path for path in kits.iterdir() if path.is_dir()):
        files = sorted(sound_files(kit))
        for place in np.linspace(0, len(files) - 1, min(per_kit, len(files))).round().astype(int):
            link = folder / kit.name / files[place].name
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                link.symlink_to(files[place].resolve())
    return folder


def samples(work: Path, package: str = PACKAGE) -> Path:
    """Recordings of a Debian package, downloaded and unpacked by apt and dpkg, without installing it."""
    folder = work / package
    if not folder.exists():
        subprocess.run(["apt-get", "download", package], cwd=work, check=True)
        (archived,) = work.glob(f"{package}_*.deb")
        partial = work / f"{package}.partial"
        subprocess.run(["dpkg-deb", "-x", str(archived), str(partial)], check=True)
        for kit in partial.rglob("*.h2drumkit"):
            with tarfile.open(kit) as archive:
                archive.extractall(kit.parent, filter="data")
        partial.replace(folder)
    return folder


def sound_files(folder: Path) -> Iterator[Path]:
    """Sound files below a folder."""
    return (
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in (".wav", ".flac", ".aiff", ".aif", ".ogg")
    )


def recordings_part(summary: dict[str, Any], *, former: bool = False) -> str:
    """Medians by kits that were looked at and not, and by instrument, for the page; of a former table the first."""
    rows, seen = summary["rows"], summary["looked_at"]
    groups = {
        "all": rows,
        "kits that were looked at": [row for row in rows if row["file"].split("/")[0] in seen],
        "kits that were not": [row for row in rows if row["file"].split("/")[0] not in seen],
    }
    for kind in sorted({row["instrument"] for row in rows if not former}):
        groups[kind] = [row for row in rows if row["instrument"] == kind]
    n_kits = len({row["file"].split("/")[0] for row in rows})
    fitted = sum(bool(row["noise"]) for row in rows)
    worse = sum(max(row["flat"], row["after"]) > row["before"] for row in rows)
    lines = [
        f"## {len(rows)} recordings of percussion from {n_kits} kits{FORMERLY if former else ''}",
        "",
        described(summary),
        "",
        (
            f"From {summary['source']}; {len(summary['refused'])} more were refused. Distances are medians, relative "
            "to the recording's features. Ratios to the nearest neighbour's distance are medians, too. The aim was "
            "0.75. The nearest neighbour has the gain at which it was looked up, and the floor that the spectrogram "
            "shows. Fair ratios are those of "
            f"{sum('fitted' in row for row in rows)} recordings to the nearest {NEIGHBOURS} sounds with gain and floor "
            "fitted as the match's are. For the match with an equalizer, theirs is fitted as well. "
            "An encoder is nearer where its guess beats the nearest neighbour as it was looked up. "
            f"A noise floor was found in {fitted}. Matches that are further away than their start: {worse}."
        ),
        "",
        (
            "| recordings | number | nearest neighbour | encoder | encoder nearer | match | ratio | fair ratio "
            "| with equalizer | ratio | fair ratio | seconds |"
        ),
        "|---" * 12 + "|",
    ]
    for title, chosen in groups.items():
        if not chosen:
            continue
        before = np.array([row["before"] for row in chosen])
        pairs = [(row["guess"]["encoder"], row["guess"]["nearest"]) for row in chosen if "guess" in row]
        guess = percent(float(np.median([e for e, _ in pairs])), 1) if pairs else ""
        nearer = percent(float(np.mean([e < b for e, b in pairs])), 0) if pairs else ""
        cells = []
        for match, neighbour in (("flat", "flat"), ("after", "equalized")):
            distances = np.array([row[match] for row in chosen])
            fair = [
                row[match] / (row["before"] * row["fitted"][neighbour]) for row in chosen if "fitted" in row
            ]
            cells += [percent(float(np.median(distances)), 1)]
            cells += [f"{np.median(distances / before):.2f}", f"{np.median(fair):.2f}" if fair else ""]
        lines.append(
            f"| {title} | {len(chosen)} | {percent(float(np.median(before)), 1)} | {guess} | {nearer} "
            f"| {' | '.join(cells)} | {np.median([row['seconds'] for row in chosen]):.2g} |"
        )
    return "\n".join(lines)


def former_part(summary: dict[str, Any]) -> str:
    """Table of the first measurement of recordings, without a noise floor."""
    rows = summary["rows"]
    relative = {
        key: [
            row[f"distance_{key}"] / row["target_norm"] for row in rows if row[f"distance_{key}"] is not None
        ]
        for key in ("before", "encoder", "after")
    }
    titles = {"before": "nearest neighbour", "encoder": "encoder", "after": "match"}
    used = [key for key in titles if relative[key]]
    medians = ", ".join(f"{titles[key]} {percent(float(np.median(relative[key])), 1)}" for key in used)
    lines = [
        f"## {len(rows)} recordings of percussion, as measured before noise floors were fitted",
        "",
        described(summary),
        "",
        f"From {summary['source']}; {len(summary['refused'])} more were refused. Medians: {medians}.",
        "",
        "| recording | " + " | ".join(titles[key] for key in used) + " | evaluations | seconds |",
        "|---" * (len(used) + 3) + "|",
    ]
    for i, row in enumerate(rows):
        name = "/".join(Path(row["file"]).parts[-2:])
        cells = " | ".join(percent(relative[key][i], 1) for key in used)
        lines.append(f"| {name} | {cells} | {row['evaluations']} | {row['seconds']:.2g} |")
    for row in summary["refused"]:
        lines += [
            "",
            f"Refused: {'/'.join(Path(row['file']).parts[-2:])}: {row['refused'].split('; ')[0].split(': ', 1)[-1]}.",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
