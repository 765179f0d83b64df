"""A real synthesizer, end to end: amsynth's knobs, switches and notes, and two losses on the same cache.

python benchmarks/flagship.py --work runs/flagship --json benchmarks/results/flagship.json     # a night on two cores
python benchmarks/flagship.py --results benchmarks/results/flagship.json --page docs/evidence/flagship.md

Every stage is kept as soon as it is there; run the same command again to continue. It needs DawDreamer
(`pip install "pnp-metric[plugin,train]"`) and Debian's amsynth (`apt-get install amsynth`).
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import soundfile
import torch
from panelists.judges import JUDGES, Judges
from torch import Tensor

import pnp
from pnp._files import write_atomically
from pnp._text import markdown_table
from pnp.features.standard import standard_features
from pnp.parameters.values import rounded
from pnp.report.html import write_page
from pnp.training.answers import Answer, ask
from pnp.training.encoder import Encoder
from pnp.training.evaluate import most_frequent
from pnp.training.train import train

PATH = "/usr/lib/vst/amsynth_vst.so"

# Positions of knobs, in ranges where sounds of a second differ.
KNOBS = {
    "amp_attack": (0.0, 0.3),
    "amp_decay": (0.1, 0.5),
    "amp_sustain": (0.0, 1.0),
    "amp_release": (0.0, 0.4),
    "filter_attack": (0.0, 0.3),
    "filter_decay": (0.1, 0.5),
    "filter_sustain": (0.0, 1.0),
    "filter_release": (0.0, 0.4),
    "filter_cutoff": (0.3, 0.9),
    "filter_resonance": (0.0, 0.8),
    "filter_env_amount": (0.3, 0.8),
    "osc_mix": (0.0, 1.0),
    "osc_mix_mode": (0.0, 1.0),
    "osc1_pulsewidth": (0.0, 0.9),
    "osc2_pulsewidth": (0.0, 0.9),
    "osc2_detune": (0.4, 0.6),
    "lfo_freq": (0.1, 0.5),
    "freq_mod_amount": (0.0, 0.4),
    "filter_mod_amount": (0.0, 0.6),
    "amp_mod_amount": (0.0, 0.8),
    "distortion_crunch": (0.0, 0.7),
    "reverb_wet": (0.0, 0.5),
    "reverb_roomsize": (0.0, 0.9),
    "reverb_damp": (0.0, 1.0),
    "master_vol": (0.4, 0.8),
}
# Some of the plug-in's options: noise, which never repeats itself, is left out.
SWITCHES = {
    "osc1_waveform": ("0", "1", "2"),  # sine, pulse, saw
    "osc2_waveform": ("0", "1", "2"),
    "lfo_waveform": ("0", "1", "2", "5", "6"),  # sine, square, triangle, saw up and down
    "filter_type": ("0", "1", "2", "3"),  # low-pass, high-pass, band-pass, notch
    "filter_slope": ("0", "1"),  # 12 and 24 dB an octave
}

# The same network, sounds, order and schedule; only the losses of parameters and of choices differ.
LOSSES = {"PNP + choice loss": "pnp", "P-loss + cross-entropy": "p"}

# Sounds to listen to.
_HEARD = 6

# Seed of the presets that networks are judged on.
_HELD_OUT = 2026

# Presets whose knobs and choices are judged apart.
_APART = 128

# What a network answers in each, the rest being true.
_PARTS = {"knobs": "its knobs, true options", "choices": "its options, true knobs", "both": "both"}

# Sounds that a network hears at a time.
_CHUNK = 32


def make(sample_rate: float = 44100.0, n_samples: int = 44100) -> pnp.synths.Plugin:
    """Return amsynth with 25 knobs, a transposition, five switches, and the note as a condition."""
    space = pnp.ParameterSpace(
        [
            *(pnp.Parameter(name, *bounds) for name, bounds in KNOBS.items()),
            pnp.Parameter("osc2_pitch", -12, 12, kind="integer", unit="st"),
            *(pnp.Parameter(name, choices=options) for name, options in SWITCHES.items()),
        ],
        conditions=[pnp.Parameter("note", 36, 84, kind="integer")],
    )
    return pnp.synths.Plugin(PATH, space, sample_rate=sample_rate, n_samples=n_samples)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Compute the cache, train, and judge.

    Args:
        options: Command line.

    Returns:
        Results, JSON-able.
    """
    work = Path(options.work)
    work.mkdir(parents=True, exist_ok=True)
    synth = make(options.sample_rate, options.samples)
    if not options.as_is:
        _compute(synth, work, options)
    settings = ("step", "samples", "sample_rate", "epochs", "learning_rate")
    results: dict[str, Any] = {
        "settings": {name: getattr(options, name) for name in settings},
        "held_out": options.presets,
        "runs": {},
    }
    with pnp.MetricCache(work / "amsynth.h5") as cache:
        results["sounds"] = {fold: len(cache.rows(fold)) for fold in ("train", "validation", "test")}
        results["failed"] = len(cache.failures)
        if not (work / "report.html").exists():
            write_page(cache, work / "report.html", synth=synth)
        theta = _presets(synth.space, options.presets)
        truth = _sounds(synth, theta)
        judges = Judges(synth, truth)
        centre = _centre(cache, theta)
        results["centre"] = judges(_sounds(synth, centre))
        results["parts_of_centre"] = _parts(synth, theta, centre)
        for seed in options.seeds:
            for label, loss in LOSSES.items():
                begun = time.perf_counter()
                trained = train(
                    cache,
                    synth,
                    loss=loss,
                    epochs=options.epochs,
                    learning_rate=options.learning_rate,
                    seed=seed,
                    out=work / f"{loss}-{seed}",
                    resume=True,
                )
                answer = _answer(trained.encoder, synth.space, theta, truth)
                x = _sounds(synth, _answered(synth.space, answer, theta))
                if seed == options.seeds[0]:
                    _keep(work / "sounds", loss, x, truth, synth.sample_rate)
                results["runs"].setdefault(label, []).append(
                    {
                        "seed": seed,
                        "distances": judges(x),
                        "parts": _parts(synth, theta, _answered(synth.space, answer, theta)),
                        "parameter_error": _errors(synth.space, answer, theta),
                        "choice_accuracy": _accuracy(synth.space, answer, theta),
                        "epoch": trained.best_epoch,
                        "seconds": round(time.perf_counter() - begun, 1),
                    }
                )
                write_atomically(work / "results.json", json.dumps(results, indent=1) + "\n")
    return results


def table(results: dict[str, Any]) -> str:
    """Return the table of held-out distances in Markdown, relative to the centre of the cube and its usual options."""
    headings = ["network", "seeds", *JUDGES.values(), "parameter error", "choices right"]
    centre, runs = results["centre"], results["runs"]
    lines = []
    for label, some in runs.items():
        lines.append(
            [
                label,
                str(len(some)),
                *(_range([run["distances"][judge] / centre[judge] for run in some]) for judge in JUDGES),
                _range([_mean(run["parameter_error"]) for run in some]),
                f"{statistics.fmean(_mean(run['choice_accuracy']) for run in some):.0%}",
            ]
        )
    ours, theirs = (runs[label] for label in LOSSES)
    pairs = list(zip(ours, theirs, strict=False))
    ratios = [_range([a["distances"][judge] / b["distances"][judge] for a, b in pairs]) for judge in JUDGES]
    lines.append(["the first relative to the second", str(len(pairs)), *ratios, "", ""])
    return markdown_table(headings, lines)


def parts_table(results: dict[str, Any]) -> str:
    """Return the table of JTFS distances where only knobs, or only choices, are a network's, in Markdown."""
    centre = results["parts_of_centre"]
    whole = centre["both"]["jtfs"]
    lines = [
        ["centre of the cube, usual options", *(f"{centre[part]['jtfs'] / whole:.2f}" for part in _PARTS)]
    ]
    for label, runs in results["runs"].items():
        lines.append(
            [label, *(_range([run["parts"][part]["jtfs"] / whole for run in runs]) for part in _PARTS)]
        )
    return markdown_table(["network", *_PARTS.values()], lines)


def write_tables(page: Path, tables: Mapping[str, str]) -> None:
    """Replace tables of a page.

    Args:
        page: Markdown, with a comment before and after each table.
        tables: Tables by the name in the comments.
    """
    text = page.read_text("utf-8")
    for name, lines in tables.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{lines}\n{end}{rest.split(end)[1]}"
    write_atomically(page, text)


def _range(values: list[float]) -> str:
    return f"{statistics.fmean(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def _mean(values: dict[str, float]) -> float:
    return sum(values.values()) / len(values)


def _compute(synth: pnp.synths.Plugin, work: Path, options: argparse.Namespace) -> None:
    """Compute the cache, or what is left of it, and note how long a sound takes."""
    spent = time.process_time()
    summary = pnp.precompute(
        synth,
        standard_features(synth),
        work / "amsynth.h5",
        size=options.size,
        step=options.step,
        split=(0.8, 0.1, 0.1),
        jobs=options.jobs,
        block=4,
        store="features",
    )
    made = summary.n_done - summary.n_resumed
    if made:
        print(f"{made} sounds, {(time.process_time() - spent) / made:.2f} s of CPU time each")  # noqa: T201


def _presets(space: pnp.ParameterSpace, count: int) -> Tensor:
    """Return presets that no fold of the cache has."""
    return rounded(space, space.from_unit(space.sample(count, method="uniform", seed=_HELD_OUT)))


def _centre(cache: pnp.MetricCache, theta: Tensor) -> Tensor:
    """Return the middle of every range with the most frequent options, on the true note."""
    space, theta = cache.space, theta.clone()
    middle = space.from_unit(space.snap(torch.zeros(len(theta), len(space), dtype=theta.dtype)))
    theta[:, : len(space)] = rounded(space, middle)
    theta[:, len(space) : len(space) + len(space.choices)] = most_frequent(cache).to(theta)
    return theta


@torch.no_grad()
def _answer(encoder: Encoder, space: pnp.ParameterSpace, theta: Tensor, sounds: Tensor) -> Answer:
    """Return what a network says about sounds, told their notes."""
    notes = space.to_unit(theta)[:, -len(space.conditions) :].float()
    parts = zip(sounds.split(_CHUNK), notes.split(_CHUNK), strict=True)
    return Answer.joined([ask(encoder.eval(), x, note, space) for x, note in parts])


def _answered(space: pnp.ParameterSpace, answer: Answer, theta: Tensor) -> Tensor:
    """Return the presets that a network answers, with its most probable options, on the true note."""
    theta = theta.clone()
    theta[:, : len(space)] = rounded(space, space.from_unit(space.snap(answer.u_hat.double())))
    theta[:, len(space) : len(space) + len(space.choices)] = answer.options(space).to(theta)
    return theta


def _errors(space: pnp.ParameterSpace, answer: Answer, theta: Tensor) -> dict[str, float]:
    """Return the mean error of each parameter in units of the cube."""
    error = (answer.u_hat - space.to_unit(theta)[:, : len(space)]).abs().mean(0)
    return {name: round(value, 4) for name, value in zip(space.names, error.tolist(), strict=True)}


def _accuracy(space: pnp.ParameterSpace, answer: Answer, theta: Tensor) -> dict[str, float]:
    """Return the share of sounds whose most probable option is the true one, for each choice."""
    right = (answer.options(space) == theta[:, len(space) :][:, : len(space.choices)]).double().mean(0)
    return {choice.name: round(share, 4) for choice, share in zip(space.choices, right.tolist(), strict=True)}


def _parts(synth: pnp.synths.Plugin, theta: Tensor, answered: Tensor) -> dict[str, dict[str, float]]:
    """Return distances of the first presets with true choices, with true knobs, and with neither."""
    space, true, found = synth.space, theta[:_APART], answered[:_APART]
    judges, n = Judges(synth, _sounds(synth, true)), len(space)
    knobs, choices = true.clone(), true.clone()
    knobs[:, :n] = found[:, :n]
    choices[:, n:] = found[:, n:]
    tried = {"knobs": knobs, "choices": choices, "both": found}
    return {name: judges(_sounds(synth, some)) for name, some in tried.items()}


def _sounds(synth: pnp.synths.Plugin, theta: Tensor) -> Tensor:
    sounds: Tensor = synth(theta.double()).float()
    return sounds


def _keep(folder: Path, loss: str, x: Tensor, truth: Tensor, sample_rate: float) -> None:
    folder.mkdir(exist_ok=True)
    for number in range(min(_HEARD, len(x))):
        for name, sound in (("true", truth[number]), (loss, x[number])):
            soundfile.write(folder / f"{number}-{name}.wav", sound.numpy(), round(sample_rate))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", default="runs/flagship", help="cache, report, networks and sounds")
    parser.add_argument("--json", help="also write the results to this file")
    parser.add_argument("--results", nargs="+", help="compute nothing; print the tables of these results")
    parser.add_argument("--page", help="write the tables of --results into this page, too")
    parser.add_argument("--size", type=int, default=4096, help="sounds")
    parser.add_argument(
        "--step", type=float, default=0.1, help="step of the differences, the range being -1 to 1"
    )
    parser.add_argument("--samples", type=int, default=44100, help="length of a sound")
    parser.add_argument("--sample-rate", type=float, default=44100.0, help="in Hz")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of weights and order")
    parser.add_argument("--presets", type=int, default=256, help="held-out presets to be judged on")
    parser.add_argument(
        "--as-is", action="store_true", help="take the sounds that are there; compute no more"
    )
    parser.add_argument("--jobs", type=int, default=2, help="worker processes of the offline stage")
    options = parser.parse_args()
    if options.results:
        found = {Path(file).stem: json.loads(Path(file).read_text("utf-8")) for file in options.results}
        tables = {name: table(results) for name, results in found.items()}
        tables |= {f"{name}, apart": parts_table(r) for name, r in found.items() if "parts_of_centre" in r}
        if options.page:
            write_tables(Path(options.page), tables)
    else:
        results = run(options)
        if options.json:
            write_atomically(Path(options.json), json.dumps(results, indent=1) + "\n")
        tables = {"": table(results), "apart": parts_table(results)}
    print("\n\n".join(tables.values()))  # noqa: T201


if __name__ == "__main__":
    main()
