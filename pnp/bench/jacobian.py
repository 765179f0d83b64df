"""Jacobian of a sound as the offline stage computes it, synthesis included, beside the time of its parts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch

import pnp
from pnp._torch.single_thread import single_thread
from pnp.bench.configurations import Configuration, scaled_tangents
from pnp.bench.processes import throughput
from pnp.bench.results import Spread, WholeJacobian
from pnp.bench.timing import timed
from pnp.synths import BlackBox


def measure_jacobian(configuration: Configuration, rounds: int) -> WholeJacobian:
    """Time the Jacobian of one sound, its parts and one forward in turn, each in one thread, by processor time.

    Args:
        configuration: Transform and synthesizer.
        rounds: Times that each is run in turn.

    Returns:
        Times, ratios within a round, and the peak memory of a process that computes Jacobians.
    """
    synth, features = configuration.synthesizer(), pnp.Features(configuration.transform())
    black_box = synth if isinstance(synth, BlackBox) else None
    u = synth.space.sample(1, "uniform", 1).float()
    theta = synth.space.from_unit(u)
    calls = list[dict[str, float]]()
    with single_thread(), torch.no_grad():
        started = time.process_time()
        if black_box is not None:
            black_box.calibrate()
        steps_seconds = time.process_time() - started
        with _recorded(black_box, calls):
            x, dx = scaled_tangents(synth, u)
        S, _ = pnp.value_and_jacobian(synth, features, u)

        def sounds() -> None:
            if black_box is None:
                synth.value_and_tangents(theta)
            else:
                for parameters in calls:
                    black_box.program(**parameters)

        runs: dict[str, Callable[[], object]] = {
            "forward": lambda: features(synth(theta)),
            "sounds": sounds,
            "transform": partial(features.value_and_tangents, x, dx),
            "whole": partial(pnp.value_and_jacobian, synth, features, u),
        }
        # A worker has a core of its own: what else this machine does is no part of its time.
        rows = [
            {name: timed(run, clock=time.process_time)[0] for name, run in runs.items()}
            for _ in range(rounds)
        ]
    return WholeJacobian(
        configuration=configuration,
        n_samples=synth.n_samples,
        n_tangents=u.shape[1],
        n_coefficients=S.shape[1],
        **{name: Spread.of([row[name] for row in rows]) for name in runs},
        over_forward=Spread.of([row["whole"] / row["forward"] for row in rows]),
        over_parts=Spread.of([row["whole"] / (row["sounds"] + row["transform"]) for row in rows]),
        renders=len(calls) or None,
        steps_seconds=None if black_box is None else steps_seconds,
        peak_bytes=throughput(configuration, sounds=1, workers=1, batch=1).peak_bytes,
    )


@contextmanager
def _recorded(synth: BlackBox | None, calls: list[dict[str, float]]) -> Iterator[None]:
    """Note what a black box asks of its program."""
    if synth is None:
        yield
        return
    program = synth.program

    def recording(**parameters: float) -> object:
        calls.append(parameters)
        return program(**parameters)

    synth.program = recording
    try:
        yield
    finally:
        synth.program = program
