"""Speed table of one configuration: times of ours and of the peer in turn, and the differences of their results."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from pnp.bench.configurations import Configuration
from pnp.bench.operations import count
from pnp.bench.peer import Peer
from pnp.bench.results import Ceilings, ConfigurationTable, OperationsAtCeiling, Row, Spread
from pnp.bench.timing import relative_error, timed
from pnp.features.scattering import TimeFrequencyScattering

# Calls in a row of ours, of which the median is one round's time: one alone would start on a cache that the peer,
# whose calls are longer by orders of magnitude, has just swept.
REPEATS = 3
# Steps of central differences relative to the norm of the sound: about the cube root of the precision.
_STEPS = {"float32": 3e-3, "float64": 1e-5}


def measure_configuration(
    configuration: Configuration, peer: Peer | None, rounds: int, ceilings: Ceilings
) -> tuple[ConfigurationTable, Mapping[str, str] | None]:
    """Time ours and the peer in turn, and compare their results.

    One thread is timed by the processor's clock, so that other programs of the machine count little.

    Args:
        configuration: The transform, and the synthesizer of its sounds.
        peer: Kymatio; None to measure ours alone, as where it has no such transform.
        rounds: Times that each is run in turn.
        ceilings: Rates of the machine.

    Returns:
        The table, and the versions in the peer's environment.
    """
    peer = peer if configuration.has_peer else None
    jtfs = configuration.transform("kymatio")
    default = configuration.transform()
    fast = configuration.zero_padded(precision="fast")
    exact, exact_tangents = configuration.sounds()
    x, dx = exact.float(), exact_tangents.float()
    n_tangents = dx.shape[1]
    S = jtfs(x)
    weights = torch.randn(S.shape, generator=torch.Generator().manual_seed(0))
    ours = _operations(jtfs, x, dx, weights)
    # Short padding and zeros change neither the number of coefficients nor their order.
    quick = _operations(fast, x, dx, weights)
    for run in (*ours.values(), *quick.values()):
        run()
    default.value_and_tangents(x, dx)

    # The processor's time is blind to other programs; of several threads it would be the sum.
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    files: dict[str, str] = {}
    described = None
    if peer is not None:
        settings = {**configuration.settings, "shape": jtfs.n_samples}
        described = peer.request(
            "build", settings=settings, threads=torch.get_num_threads(), clock=clock.__name__
        )
        files = {"x": peer.store(x), "dx": peer.store(dx), "weights": peer.store(weights)}
        peer.request("forward", x=files["x"])

    own_times: dict[str, list[float]] = {name: [] for name in [*ours, "default"]}
    quick_times: dict[str, list[float]] = {name: [] for name in quick}
    peer_times: dict[str, list[float]] = {name: [] for name in ours}
    theirs: dict[str, Tensor] = {}
    for _ in range(rounds):
        for name, run in ours.items():
            own_times[name].append(timed(run, repeats=REPEATS, clock=clock)[0])
            quick_times[name].append(timed(quick[name], repeats=REPEATS, clock=clock)[0])
            if peer is None:
                continue
            if name == "forward and backward":
                seconds, theirs[name] = peer.result("gradient", x=files["x"], weights=files["weights"])
            else:
                seconds, theirs[name] = peer.result("forward", x=files["x"])
            # The last forward of the peer stands for all of its central differences.
            peer_times[name].append(2 * n_tangents * seconds if name == "S and J" else seconds)
        rerun = partial(default.value_and_tangents, x, dx)
        own_times["default"].append(timed(rerun, repeats=REPEATS, clock=clock)[0])

    errors: dict[str, dict[str, float]] = {}
    at_once = None
    if peer is not None:
        errors, at_once = _errors(configuration, jtfs, peer, weights, theirs)
    rows = {name: _row(own_times[name], peer_times[name], errors.get(name, {})) for name in ours}
    rows["S and J"] = replace(rows["S and J"], peer_seconds_at_once=at_once)
    counts = {name: count(jtfs.plan, p) for name, p in (("forward", 0), ("S and J", n_tangents))}
    table = ConfigurationTable(
        configuration=configuration,
        n_samples=jtfs.n_samples,
        n_tangents=n_tangents,
        n_coefficients=S[0].numel(),
        rows=rows,
        default_normalization=Spread.of(own_times["default"]),
        operations={
            name: OperationsAtCeiling(
                **operations.to_dict(),
                ceiling_seconds=operations.seconds(ceilings),
                part_of_ceiling=operations.seconds(ceilings) / rows[name].ours.median,
            )
            for name, operations in counts.items()
        },
        ceilings=ceilings,
        fast={name: _row(quick_times[name], peer_times[name], {}) for name in quick},
    )
    return table, described


def _operations(
    jtfs: TimeFrequencyScattering, x: Tensor, dx: Tensor, weights: Tensor
) -> dict[str, Callable[[], Tensor]]:
    """Return what is timed of a transform, by name."""
    return {
        "forward": lambda: jtfs(x),
        "forward and backward": lambda: _gradient(jtfs, x, weights),
        "S and J": lambda: jtfs.value_and_tangents(x, dx)[1],
    }


def _row(own: list[float], peer: list[float], errors: Mapping[str, float]) -> Row:
    """Return the row of one operation; ratios are of times within a round."""
    if not peer:
        return Row(Spread.of(own), None, None, errors)
    ratios = [b / a for a, b in zip(own, peer, strict=True)]
    return Row(Spread.of(own), Spread.of(peer), Spread.of(ratios), errors)


def _errors(
    configuration: Configuration,
    jtfs: TimeFrequencyScattering,
    peer: Peer,
    weights: Tensor,
    theirs: dict[str, Tensor],
) -> tuple[dict[str, dict[str, float]], float]:
    """Return relative differences, of a synthesized sound and of noise, and the time of all central differences.

    The reference of Jacobians is ours in float64, itself checked against central differences of the peer in float64, in
    one direction that has a part of every tangent.
    """
    exact, exact_tangents = configuration.sounds()
    x, dx = exact.float(), exact_tangents.float()
    noise = configuration.noise(0)[0].float()
    v, noise_file = peer.store(weights), peer.store(noise)
    noise_S = peer.result("forward", x=noise_file)[1]
    noise_gradient = peer.result("gradient", x=noise_file, weights=v)[1]

    # What float32 rounds in the sound is common to all.
    J = jtfs.value_and_tangents(x, dx)[1].flatten(2)
    J64 = jtfs.value_and_tangents(x.double(), dx.double())[1].flatten(2)
    mixed = (dx.double() / dx.double().norm(dim=-1, keepdim=True)).sum(1, keepdim=True)
    along_mixed = jtfs.value_and_tangents(x.double(), mixed)[1].flatten(2)
    files = {"x": peer.store(x)}
    _, reference = peer.result(
        "finite_differences", **files, dx=peer.store(mixed), step=_STEPS["float64"], dtype="float64"
    )
    at_once, differences = peer.result(
        "finite_differences", **files, dx=peer.store(dx), step=_STEPS["float32"]
    )

    # The gradient with respect to the parameters is what the gradient of the samples is for. Where the sound is silent
    # the latter is rounding noise (see the report), but in directions that the synthesizer cannot take.
    gradients = _gradient(jtfs, x, weights), theirs["forward and backward"]
    gradient64 = _gradient(jtfs, x.double(), weights.double())
    along = [g.double() @ exact_tangents[0].mT for g in gradients]
    along_reference = (J64 @ weights.double().reshape(-1, 1)).reshape(1, -1)
    errors = {
        "forward": {
            "sound": relative_error(jtfs(x).flatten(1), theirs["forward"].flatten(1)),
            "noise": relative_error(jtfs(noise).flatten(1), noise_S.flatten(1)),
        },
        "forward and backward": {
            "sound": relative_error(along[0], along_reference),
            "peer": relative_error(along[1], along_reference),
            "noise": relative_error(_gradient(jtfs, noise, weights), noise_gradient),
            "samples": relative_error(gradients[0], gradient64),
            "samples_peer": relative_error(gradients[1], gradient64),
        },
        "S and J": {
            "sound": relative_error(J, J64),
            "peer": relative_error(differences.flatten(2), J64),
            "float64": relative_error(along_mixed, reference.flatten(2)),
        },
    }
    return errors, at_once


def _gradient(jtfs: TimeFrequencyScattering, x: Tensor, weights: Tensor) -> Tensor:
    signal = x.detach().clone().requires_grad_()
    (jtfs(signal) * weights).sum().backward()
    assert signal.grad is not None
    return signal.grad
