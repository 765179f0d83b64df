"""Fine-tuning of an encoder of drums on recordings whose parameters nobody knows.

    python benchmarks/matching_tuning.py --encoder runs/drum-augmented --out matching/drum-tuned.pt

Recordings are those of the kits that `matching_recordings.py` counts as looked at, less the ones that are matched.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch
from matching_recordings import gathered, looked_at, samples, sound_files
from matching_tools import tools

from pnp.matching.catalogue import Catalogue
from pnp.matching.noise import noise_floor
from pnp.matching.recording import fit_recording, load_recording
from pnp.training.checkpoint import load_encoder, save_encoder
from pnp.training.fine_tune import fine_tune


def main() -> None:
    """Tune the encoder and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", required=True, help="run of `pnp train` on the cache of drums")
    parser.add_argument("--out", type=Path, required=True, help="file for the tuned encoder")
    parser.add_argument("--steps", type=int, default=1000, help="steps of eight recordings")
    parser.add_argument("--per-kit", type=int, default=5, help="recordings of each kit that are matched")
    parser.add_argument("--full", action="store_true", help="drums and representation of full size")
    parser.add_argument(
        "--work", type=Path, default=Path("matching"), help="where caches and recordings are kept"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    synth, features, cache = tools("drum", options)
    with cache:
        onset = Catalogue.from_cache(cache, synth, features).onset
    sounds = []
    for path in recordings(options.work, options.per_kit):
        try:
            recording = load_recording(path)
        except ValueError:
            # Refused, as `pnp match` would.
            continue
        sounds.append(fit_recording(recording, synth.sample_rate, synth.n_samples, onset=onset)[0])
    began, losses = time.monotonic(), []
    tuned = fine_tune(
        load_encoder(options.encoder),
        torch.stack(sounds),
        synth,
        features,
        noise=torch.stack([noise_floor(x) for x in sounds]),
        steps=options.steps,
        note=lambda _, loss: losses.append(loss),
        progress=True,
    )
    save_encoder(options.out, tuned)
    few = min(40, len(losses))
    first, last = sum(losses[:few]) / few, sum(losses[-few:]) / few
    sys.stderr.write(
        f"{len(sounds)} recordings, {len(losses)} steps, {time.monotonic() - began:.0f} s; mean relative distance of "
        f"the first and the last {few} steps: {first:.3f}, {last:.3f}\n"
    )


def recordings(work: Path, per_kit: int) -> list[Path]:
    """Recordings of the kits that are looked at, less the ones that are matched."""
    folder = gathered(work, per_kit)
    matched = {path.resolve() for path in folder.rglob("*") if path.is_file()}
    kits = samples(work) / "usr" / "share" / "hydrogen" / "data" / "drumkits"
    chosen = looked_at([path.name for path in folder.iterdir()])
    return [p for kit in chosen for p in sorted(sound_files(kits / kit)) if p.resolve() not in matched]


if __name__ == "__main__":
    main()
