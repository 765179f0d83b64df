"""Features, Jacobians and metrics of one block of sounds, failures included."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from pnp._protocols import check_synthesizer
from pnp._torch.environment import environment_fault
from pnp._torch.single_thread import single_thread
from pnp.errors import NoSoundError
from pnp.jacobian import Derivatives, option_distance, sound_and_jacobian, true_options
from pnp.jacobian.jacobian import ScaledTangents
from pnp.metric.riemannian import RiemannianMetric
from pnp.offline.draws import with_draw
from pnp.parameters import Parameter
from pnp.store.schema import REASON_BYTES, Status

# What happens to a row that fails: its number, status and reason.
_Fail = Callable[[int, Status, str], None]

_Results = TypeVar("_Results")


@dataclass(frozen=True)
class Known:
    """Row of which something is known before its block is computed.

    Args:
        row: Its number.
        tangents: Sound and tangents of a synthesizer that makes every sound alone; None where the results are known.
        results: Sound x, shape (1, N), features S, shape (1, C), and Jacobian J, shape (1, C, P), where each row is
            computed alone; None otherwise: together with other rows, sums are rounded otherwise.
    """

    row: int
    tangents: ScaledTangents | None = None
    results: tuple[Tensor, Tensor, Tensor] | None = None


def compute_block(
    synth: nn.Module,
    features: nn.Module,
    u: np.ndarray,
    n_features: int,
    dtype: torch.dtype,
    device: str,
    storage: torch.dtype = torch.float64,
    derivatives: Derivatives | None = None,
    seeds: int = 1,
    known: Known | None = None,
) -> dict[str, np.ndarray]:
    """Compute the columns "S", "J", "M", "R", "sigma", "status" and "reason" of one block.

    Where the space has choices, also "choice_distances". Rows that fail are NaN and carry a status and a reason.

    Args:
        synth: Synthesizer with P parameters.
        features: Map from sounds (B, N) to (B, C).
        u: Scaled parameters with all columns that the synthesizer receives, (B, D), float64.
        n_features: C.
        dtype: Type of u that the synthesizer is given.
        device: Device of `synth` and `features`.
        storage: Type in which S and J will be stored; a sound that it cannot hold fails.
        derivatives: Kind of derivative of each parameter; exact ones if not given.
        seeds: Draws of a random synthesizer that the metric is the mean over; J has those of all draws, one below the
            other and divided by √seeds.
        known: Row of the block of which something is not computed again.

    Returns:
        Columns by name; floating-point ones in float64.
    """
    points = torch.from_numpy(u).to(device=device, dtype=dtype)
    space = check_synthesizer(synth).space
    n, p = len(u), len(space)
    S = torch.full((n, n_features), torch.nan, dtype=torch.float64)
    J = torch.full((n, seeds * n_features, p), torch.nan, dtype=torch.float64)
    status = np.full(n, Status.OK, np.int8)
    reason = np.zeros(n, f"S{REASON_BYTES}")

    def fail(row: int, kind: Status, why: str) -> None:
        status[row], reason[row] = kind, _cut(why)
        S[row] = J[row] = torch.nan

    def evaluate(some: slice) -> tuple[Tensor, Tensor, Tensor]:
        parts = [_few(synth, features, points, rows, derivatives, known) for rows in _around(known, some)]
        sound, value, jacobian = parts[0] if len(parts) == 1 else map(torch.cat, zip(*parts, strict=True))
        if value.shape[1:] != (n_features,):
            raise ValueError(
                f"features returned {tuple(value.shape[1:])} coefficients, first sound had {n_features}"
            )
        draws = [jacobian.to("cpu", torch.float64)]
        for draw in range(1, seeds):
            other = sound_and_jacobian(synth, features, with_draw(space, points[some], draw), derivatives)[2]
            draws.append(other.to("cpu", torch.float64))
        stacked = draws[0] if seeds == 1 else torch.cat(draws, 1) / seeds**0.5
        return sound, value.to("cpu", torch.float64), stacked

    with single_thread():
        for rows, outcome in _attempts(evaluate, n):
            if isinstance(outcome, Exception):
                fail(rows.start, *_failure(outcome))
            else:
                sounds, S[rows], J[rows] = outcome
                for row, x in zip(range(n)[rows], sounds, strict=True):
                    problem = _problem(x, S[row], J[row], storage)
                    if problem is not None:
                        fail(row, *problem)
        distances = _choice_distances(synth, features, points, S, status, fail) if space.choices else None
        ok = torch.from_numpy(status == Status.OK)
        R = torch.full((n, p, p), torch.nan, dtype=torch.float64)
        sigma = torch.full((n, p), torch.nan, dtype=torch.float64)
        M = R.clone()
        if ok.any():
            metric = RiemannianMetric.from_jacobian(J[ok])
            R[ok], M[ok], sigma[ok] = metric.factor, metric.matrix, metric.singular_values
    floating = {"S": S, "J": J, "M": M, "R": R, "sigma": sigma}
    if distances is not None:
        distances[~ok] = torch.nan
        floating["choice_distances"] = distances
    return {name: tensor.numpy() for name, tensor in floating.items()} | {"status": status, "reason": reason}


def _few(
    synth: nn.Module,
    features: nn.Module,
    points: Tensor,
    rows: slice,
    derivatives: Derivatives | None,
    known: Known | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Sounds, features and Jacobians of some rows, on the CPU."""
    given = None
    if known is not None and rows.start <= known.row < rows.stop:
        if known.results is not None:
            return known.results
        if known.tangents is not None:
            given = known.row - rows.start, known.tangents
    x, S, J = sound_and_jacobian(synth, features, points[rows], derivatives, None, given)
    return x.cpu(), S.cpu(), J.cpu()


def _around(known: Known | None, rows: slice) -> list[slice]:
    """Cut a row whose results are known out of the others."""
    if known is None or known.results is None or not rows.start <= known.row < rows.stop:
        return [rows]
    ends = (rows.start, known.row, known.row + 1, rows.stop)
    return [slice(*pair) for pair in pairwise(ends) if pair[0] < pair[1]]


def _choice_distances(
    synth: nn.Module, features: nn.Module, points: Tensor, S: Tensor, status: np.ndarray, fail: _Fail
) -> Tensor:
    """Squared distances to every option of every choice, (B, options); a sound whose option fails, fails."""
    space, found = check_synthesizer(synth).space, []
    for choice in space.choices:
        true = true_options(space, points, choice.name).cpu()
        for option, name in enumerate(choice.choices):
            column = torch.zeros(len(points), dtype=torch.float64)
            # Those that have failed since are passed over.
            others = ((true != option) & torch.from_numpy(status == Status.OK)).nonzero().flatten()

            def distance(
                part: slice, others: Tensor = others, choice: Parameter = choice, option: int = option
            ) -> Tensor:
                rows = others[part]
                value = S[rows].to(points)
                return option_distance(synth, features, points[rows], value, choice.name, option).cpu()

            for part, outcome in _attempts(distance, len(others)):
                if not isinstance(outcome, Exception):
                    column[others[part]] = outcome
                    continue
                kind, why = _failure(outcome)
                fail(int(others[part.start]), kind, f"with {choice.name} = {name!r}: {why}")
            for row in others[~column[others].isfinite()].tolist():
                fail(row, Status.NOT_FINITE, f"with {choice.name} = {name!r}: features are NaN or infinite")
            found.append(column)
    return torch.stack(found, dim=1)


def _attempts(evaluate: Callable[[slice], _Results], n: int) -> Iterator[tuple[slice, _Results | Exception]]:
    """Evaluate all rows at once or, if that raises, one by one: a sound must not take others along."""
    if not n:
        return
    try:
        yield slice(0, n), evaluate(slice(0, n))
        return
    except Exception as error:  # noqa: BLE001  (whatever a user's synthesizer raises is a property of the sound)
        _let_the_environment_pass(error, alone=n == 1)
        if n == 1:
            yield slice(0, 1), error
            return
    for row in range(n):
        rows = slice(row, row + 1)
        try:
            outcome: _Results | Exception = evaluate(rows)
        except Exception as error:  # noqa: BLE001
            _let_the_environment_pass(error, alone=True)
            outcome = error
        yield rows, outcome


def _let_the_environment_pass(error: Exception, *, alone: bool) -> None:
    """Raise a fault of the machine: recorded as a property of the sound, it would be permanent."""
    if alone and environment_fault(error) is not None:
        raise error


def _problem(x: Tensor, S: Tensor, J: Tensor, storage: torch.dtype) -> tuple[Status, str] | None:
    if not bool(torch.isfinite(x).all()):
        first = int((~torch.isfinite(x)).nonzero()[0])
        return Status.NOT_FINITE, f"the sound is NaN or infinite, first at sample {first}"
    if not bool(x.any()):
        return Status.SILENT, "the sound is silent"
    finite = bool(torch.isfinite(S).all()), bool(torch.isfinite(J).all())
    if not all(finite):
        if finite[0]:
            why = "J is NaN or infinite, though sound and features are finite: a derivative of either is not"
            return Status.NOT_FINITE, why
        what = "S is" if finite[1] else "S and J are"
        return Status.NOT_FINITE, f"{what} NaN or infinite, though the sound is finite"
    if not bool(J.any()):
        return (
            Status.ZERO_JACOBIAN,
            "J is zero though the sound is not: a gradient is dropped, or nothing is audible",
        )
    unfit = [name for name, values in (("S", S), ("J", J)) if not _fits(values, storage)]
    if unfit:
        return Status.NOT_FINITE, f"{unfit[0]} is beyond the range of {str(storage).removeprefix('torch.')}"
    return None


def _fits(values: Tensor, storage: torch.dtype) -> bool:
    """Tell if storage in this type costs rounding alone: nothing overflows, and little enough falls to zero."""
    error = values.to(storage).double() - values
    return bool(error.norm() <= torch.finfo(storage).eps * values.norm())


def _failure(error: Exception) -> tuple[Status, str]:
    """Return status and reason of a failure, without the parameters where the error keeps them apart."""
    if isinstance(error, NoSoundError):
        return Status.SILENT if error.silent else Status.NOT_FINITE, error.reason
    return Status.EXCEPTION, f"{type(error).__name__}: {getattr(error, 'reason', error)}"


def _cut(text: str) -> bytes:
    """Fit a reason into its column: cut between words, or between characters where a word is very long."""
    encoded = " ".join(text.split()).encode()
    if len(encoded) <= REASON_BYTES:
        return encoded
    ellipsis = "…".encode()
    start = encoded[: REASON_BYTES - len(ellipsis)]
    whole, _, rest = start.rpartition(b" ")
    if len(whole) < len(rest):
        whole = start.decode(errors="ignore").encode()
    return whole + ellipsis
