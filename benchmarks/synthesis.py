"""Time and accuracy of every synthesizer: one sound, and one sound with all its tangents, in float32.

    python benchmarks/synthesis.py [--batch 16] [--repeats 5] [--threads 1] [--scattered 2]

Times are the best of interleaved runs, in milliseconds a sound. Errors are against float64, as the norm of
the difference over the norm, at the worst of the batch. The last two columns are the scattering of a sound with
all its tangents, in the standard settings of the synthesizer, and what part of that the synthesis costs.
"""

import argparse
import platform
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
from published import published_features

import pnp


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=16, help="sounds in a batch")
    parser.add_argument("--repeats", type=int, default=5, help="runs of which the best counts")
    parser.add_argument("--threads", type=int, default=1, help="PyTorch threads")
    parser.add_argument("--scattered", type=int, default=2, help="sounds that are scattered, 0 for none")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    say = sys.stdout.write
    say(f"PyTorch {torch.__version__}, {platform.machine()}, {options.threads} thread(s), float32\n\n")
    say(f"{'':8} {'P':>2} {'N':>6} {'sound':>9} {'+ tangents':>11} {'error':>9} {'of tangents':>12}")
    say(f" {'scattering':>13} {'share':>7}\n" if options.scattered else "\n")
    for name in pnp.synths.available():
        synth = pnp.synths.make(name)
        exact = synth.space.from_unit(synth.space.sample(options.batch))
        theta = exact.float()
        runs = [partial(synth, theta), partial(synth.value_and_tangents, theta)]
        forward, both = interleaved(runs, options.repeats)
        pairs = zip(synth.value_and_tangents(theta), synth.value_and_tangents(theta.double()), strict=True)
        x_error, tangent_error = (worst_error(rounded, reference) for rounded, reference in pairs)
        say(
            f"{name:8} {len(synth.space):2} {synth.n_samples:6} {1e3 * forward / options.batch:6.2f} ms "
            f"{1e3 * both / options.batch:8.2f} ms {x_error:9.1e} {tangent_error:12.1e}"
        )
        if options.scattered:
            scattering = (
                scattering_time(synth, theta[: options.scattered], options.repeats) / options.scattered
            )
            say(f" {1e3 * scattering:10.0f} ms {both / options.batch / scattering:7.1%}")
        say("\n")


def scattering_time(synth: pnp.synths.Synthesizer, theta: torch.Tensor, repeats: int) -> float:
    """Best time of the scattering of some sounds and of all their tangents, in seconds."""
    features = published_features(synth)
    x, tangents = synth.value_and_tangents(theta)
    features.value_and_tangents(x, tangents)  # plans and compiles
    return interleaved([partial(features.value_and_tangents, x, tangents)], repeats)[0]


def interleaved(runs: list[Callable[[], object]], repeats: int) -> list[float]:
    """Best time of each run in seconds; alternating, so that what else the machine does falls on all."""
    best = [float("inf")] * len(runs)
    for _ in range(repeats):
        for place, run in enumerate(runs):
            started = time.perf_counter()
            run()
            best[place] = min(best[place], time.perf_counter() - started)
    return best


def worst_error(rounded: torch.Tensor, exact: torch.Tensor) -> float:
    """Relative error of the row that is worst."""
    return float(((rounded - exact).norm(dim=-1) / exact.norm(dim=-1)).max())


if __name__ == "__main__":
    main()
