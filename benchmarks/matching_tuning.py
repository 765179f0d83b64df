"""Fine-tuning of an encoder of drums on recordings whose parameters nobody knows.

    python benchmarks/matching_tuning.py --encoder runs/drum-augmented --out matching/drum-tuned.pt

Recordings are those of the kits that `matching_recordings.py` counts as looked at, less the ones that are matched, and
percussion from other Debian packages. Each one is also heard faster or slower, through an equalizer and under noise.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from matching_recordings import gathered, looked_at, samples, sound_files
from matching_tools import tools

from pnp.matching.catalogue import Catalogue
from pnp.matching.noise import noise_floor
from pnp.matching.recording import Recording, fit_recording, load_recording
from pnp.training.augment import Augmentation
from pnp.training.checkpoint import load_encoder, save_encoder
from pnp.training.fine_tune import fine_tune

# Percussion of other packages, by what is in a path.
OTHERS = {
    # The other kit of this package has recordings that are matched, under other names.
    "hydrogen-data": r"/TR808EmulationKit/",
    "lmms-common": r"/drums/",
    "sonic-pi-samples": r"/(bd|drum|elec|glitch_perc|perc|sn|tabla)_",
}
# Sounds whose correlation at the best lag is above this are one recording.
SAME = 0.99
# Speeds of the variations in twentieths: pitch and length change together, by 0.65 to 1.5.
SPEEDS = [speed for speed in range(13, 31) if speed != 20]
VARIED = Augmentation(
    shift=None, room=None, equalizer=6.0, noise=(15.0, 50.0), level=None, clipping=None, resampling=None
)


def main() -> None:
    """Tune the encoder and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", required=True, help="run of `pnp train` on the cache of drums")
    parser.add_argument("--out", type=Path, required=True, help="file for the tuned encoder")
    parser.add_argument("--steps", type=int, default=3000, help="steps of eight recordings")
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="largest learning rate")
    parser.add_argument("--variations", type=int, default=8, help="variations of each recording")
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
        catalogue = Catalogue.from_cache(cache, synth, features)
    matched = matched_sounds(options, catalogue)
    draws, sounds = np.random.default_rng(0), []
    for number, path in enumerate(recordings(options.work, options.per_kit)):
        recording = loaded(path)
        if recording is None:
            continue
        speeds = [20, *draws.choice(SPEEDS, options.variations, replace=False)]
        heard = list(at_speeds(recording, [int(speed) for speed in speeds], catalogue, seed=number))
        if heard and likeness(heard[0], matched) < SAME:
            sounds += heard
    tuned_on = torch.stack(sounds)
    began, losses = time.monotonic(), []
    tuned = fine_tune(
        load_encoder(options.encoder),
        tuned_on,
        synth,
        features,
        noise=torch.stack([noise_floor(x) for x in tuned_on]),
        level=catalogue.level,
        steps=options.steps,
        learning_rate=options.learning_rate,
        note=lambda _, loss: losses.append(loss),
        progress=True,
    )
    save_encoder(options.out, tuned)
    few = min(40, len(losses))
    first, last = sum(losses[:few]) / few, sum(losses[-few:]) / few
    sys.stderr.write(
        f"{len(sounds)} sounds, {len(losses)} steps, {time.monotonic() - began:.0f} s; mean relative distance of "
        f"the first and the last {few} steps: {first:.3f}, {last:.3f}\n"
    )


def at_speeds(
    recording: Recording, speeds: list[int], catalogue: Catalogue, seed: int
) -> Iterator[torch.Tensor]:
    """Return a recording at some speeds, all but the first also varied otherwise, as the synthesizer would begin."""
    synth = catalogue.synth
    for i, speed in enumerate(speeds):
        played = Recording(recording.samples, recording.sample_rate * speed / 20, recording.name)
        try:
            onset = catalogue.place(played)
            x = fit_recording(played, synth.sample_rate, synth.n_samples, onset=onset).samples
        except ValueError:
            # Nothing is left below the synthesizer's Nyquist frequency.
            continue
        if i:
            rows = torch.tensor([i])
            x = VARIED(x[None], synth.sample_rate, seed=seed, epoch=speed, rows=rows)[0]
        if x.any():
            yield x


def matched_sounds(options: argparse.Namespace, catalogue: Catalogue) -> torch.Tensor:
    """Return all recordings that are matched, as the synthesizer would begin."""
    found = map(loaded, sorted(sound_files(gathered(options.work, options.per_kit))))
    return torch.stack([x for r in found if r is not None for x in at_speeds(r, [20], catalogue, seed=0)])


def loaded(path: Path) -> Recording | None:
    """Return a recording; None where it is refused, as `pnp match` would."""
    try:
        return load_recording(path)
    except ValueError:
        return None


def likeness(sound: torch.Tensor, others: torch.Tensor) -> float:
    """Return the largest correlation of a sound with others, at the best lag."""
    size = 2 * len(sound)
    product = torch.fft.rfft(others, size) * torch.fft.rfft(sound, size).conj()
    largest = torch.fft.irfft(product, size).abs().amax(-1)
    return float((largest / (torch.linalg.vector_norm(others, dim=-1) * sound.norm())).max())


def recordings(work: Path, per_kit: int) -> list[Path]:
    """Percussion of other packages, and recordings of the kits that are looked at, less the ones that are matched."""
    folder = gathered(work, per_kit)
    kits = samples(work) / "usr" / "share" / "hydrogen" / "data" / "drumkits"
    found = []
    for kit in looked_at([path.name for path in folder.iterdir()]):
        matched = {path.name for path in (folder / kit).iterdir()}
        found += [path for path in sorted(sound_files(kits / kit)) if path.name not in matched]
    for package, part in OTHERS.items():
        found += [path for path in sorted(sound_files(samples(work, package))) if re.search(part, str(path))]
    return found


if __name__ == "__main__":
    main()
