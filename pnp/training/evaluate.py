"""Errors of an encoder on held-out sounds: in parameters, and by ear."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from pnp._arguments import check_cache, truth, whole_number
from pnp._progress import Bar
from pnp._protocols import FeatureMap, SynthesizerLike
from pnp._torch.device import usable_device
from pnp._torch.modes import full_precision
from pnp.errors import CacheError
from pnp.parameters.values import rounded
from pnp.store.fitting import check_fits
from pnp.training.answers import Answer, Network, answer_of, ask, conditions_of
from pnp.training.encoder import Encoder
from pnp.training.spectrograms import Spectrograms

if TYPE_CHECKING:
    from pnp._protocols import CacheLike, ChoiceCacheLike

# Sounds analysed at a time.
_CHUNK = 16


@dataclass(frozen=True)
class Evaluation:
    """Errors of an encoder over a fold of a cache.

    Each stands beside the same error of a predictor that always answers with the centre of the cube and with the most
    frequent option of the training fold: what is learned is what lies below. Sounds are made with the predicted
    parameters and options, and with the true conditions. Options are the true ones where the network leaves them alone.

    Attributes:
        fold: Fold that was evaluated.
        n_sounds: Number of sounds.
        parameters: Names of the P parameters.
        parameter_error: Mean |û − u| for each parameter, in units of the cube [−1, 1].
        parameter_error_percent: The same in percent of the parameter's range (of its logarithm on a log
            scale).
        mean_parameter_error: Mean of `parameter_error` over parameters.
        centre_parameter_error: `parameter_error` of the centre.
        feature_distance: Mean distance ‖Φ(g(û)) − Φ(g(u))‖ over sounds; None if it was not asked for.
        relative_feature_distance: Mean of the distance divided by ‖Φ(g(u))‖.
        centre_feature_distance: `feature_distance` of the centre.
        choices: Names of the choices that the network answers, K of them.
        choice_accuracy: Share of sounds whose most probable option is the true one, for each choice.
        choice_distance: Expected distance Σₖ pₖ dₖ of each choice under the network's probabilities, mean over sounds,
            in the unit of `feature_distance`: dₖ is that between a sound and the same sound with option k.
        centre_choice_accuracy: `choice_accuracy` of the most frequent option.
        centre_choice_distance: `choice_distance` of the most frequent option.
        rows: Rows of the sounds in the cache, shape (n,).
        u_hat: Predictions, shape (n, P).
        feature_distances: Distance of each sound, shape (n,), or None.
        probabilities: Probabilities of the options, by the name of each choice, shape (n, options).
    """

    fold: str
    n_sounds: int
    parameters: tuple[str, ...]
    parameter_error: tuple[float, ...]
    parameter_error_percent: tuple[float, ...]
    mean_parameter_error: float
    centre_parameter_error: tuple[float, ...]
    feature_distance: float | None
    relative_feature_distance: float | None
    centre_feature_distance: float | None
    rows: Tensor = field(repr=False, compare=False)
    u_hat: Tensor = field(repr=False, compare=False)
    feature_distances: Tensor | None = field(repr=False, compare=False)
    probabilities: Mapping[str, Tensor] = field(default_factory=dict, repr=False, compare=False)
    choices: tuple[str, ...] = ()
    choice_accuracy: tuple[float, ...] = ()
    choice_distance: tuple[float, ...] = ()
    centre_choice_accuracy: tuple[float, ...] = ()
    centre_choice_distance: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The summary, without what belongs to single sounds."""
        per_sound = ("rows", "u_hat", "feature_distances", "probabilities")
        return {name: value for name, value in asdict(self).items() if name not in per_sound}

    def to_json(self) -> str:
        """The summary as JSON."""
        return json.dumps(self.to_dict(), indent=2)


@torch.no_grad()
def evaluate(
    encoder: Network,
    cache: CacheLike,
    synth: SynthesizerLike,
    *,
    features: FeatureMap | None = None,
    fold: str = "test",
    n_sounds: int | None = None,
    spectrograms: Spectrograms | None = None,
    device: str | torch.device = "cpu",
    progress: bool = True,
) -> Evaluation:
    """Evaluate an encoder on one fold of a cache.

    Args:
        encoder: Encoder, as `train` or `load_encoder` returns it; or any callable from sounds (B, N) to scaled
            parameters (B, P). It may answer with a pair instead: these, and a mapping from the name of each choice to
            probabilities (B, options). If it has an argument `conditions`, it is told them, scaled, (B, Q). A module is
            moved to `device` and put into evaluation mode.
        cache: Sounds and folds.
        synth: The synthesizer that the cache was made with.
        features: Features Φ that the cache was made with, for distances between sounds; None to leave them
            out. The features of the true sounds are read from the cache if it keeps them.
        fold: "train", "validation" or "test".
        n_sounds: Evaluate on the first so many sounds of the fold alone; None for all.
        spectrograms: Spectrograms of these sounds by the encoder's front end, if they are there already.
        device: Device to compute on.
        progress: Show a progress bar.

    Returns:
        Errors in parameters, and distances if `features` are given.

    Raises:
        ValueError: If the fold is empty or unknown, `n_sounds` is not positive, the device cannot be used, encoder,
            synthesizer and cache differ in their parameter space or sampling rate, `features` are not those of the
            cache, or `spectrograms` were made by another front end.
        FloatingPointError: If a prediction is not finite.
    """
    progress = truth("progress", progress)
    n_sounds = None if n_sounds is None else whole_number("n_sounds", n_sounds, least=1)
    device = usable_device(device)
    check_cache(cache)
    rows = cache.rows(fold)[:n_sounds]
    if not len(rows):
        raise ValueError(f"The {fold} fold of {cache.path} has no sound with a metric to evaluate on.")
    check_fits(cache, synth, features)
    conditions = conditions_of(cache)
    if isinstance(encoder, nn.Module):
        encoder = encoder.to(device).eval()
    if isinstance(encoder, Encoder):
        encoder.check_fits(cache.space, float(synth.sample_rate), str(cache.path))
        if spectrograms is None:
            spectrograms = Spectrograms(
                encoder.front_end, synth, cache.theta, rows, device, progress=progress
            )
        spectrograms.check_serve(encoder.front_end, rows)
        answer = Answer.joined(
            [
                answer_of(
                    _heard(encoder, spectrograms(chunk), conditions, chunk, device), len(chunk), cache.space
                )
                for chunk in torch.split(rows, _CHUNK)
            ]
        )
    elif spectrograms is not None:
        raise ValueError(
            "Spectrograms are the input of this package's Encoder; another network hears the sounds."
        )
    else:
        answer = _answer(encoder, synth, cache, conditions, rows, device)
    u_hat = answer.u_hat
    bad = ~torch.isfinite(torch.cat([u_hat, *answer.probabilities.values()], -1)).all(-1)
    if bad.any():
        raise FloatingPointError(
            f"The encoder predicts NaN or infinite parameters for {int(bad.sum())} of {len(rows)} sounds. "
            "Likely cause: its training diverged, or its weights are damaged."
        )
    u = cache.u[rows]
    error = (u_hat - u).abs().mean(0)

    distances = relative = centre = None
    if features is not None:
        target = _target_features(cache, synth, features, rows, device, progress)
        # Where other columns than the predicted ones vary, so does the sound of the centre.
        several = rows if cache.theta.shape[1] > len(cache.space) else rows[:1]
        nothing_learned = torch.zeros(len(several), len(cache.space))
        options = answer.options(cache.space) if answer.probabilities else None
        usual = None if options is None else most_frequent(cache).expand(len(several), -1)
        middle = _completed(cache, nothing_learned, usual, several)
        one = _analyse(synth, features, middle, device, progress=False)
        centre = float(torch.linalg.vector_norm(one - target, dim=-1).mean())
        matched = _analyse(synth, features, _completed(cache, u_hat, options, rows), device, progress)
        distances = torch.linalg.vector_norm(matched - target, dim=-1)
        relative = float((distances / torch.linalg.vector_norm(target, dim=-1)).mean())
    return Evaluation(
        fold=fold,
        n_sounds=len(rows),
        parameters=cache.space.names,
        parameter_error=tuple(error.tolist()),
        parameter_error_percent=tuple((50 * error).tolist()),
        mean_parameter_error=float(error.mean()),
        centre_parameter_error=tuple(u.abs().mean(0).tolist()),
        feature_distance=None if distances is None else float(distances.mean()),
        relative_feature_distance=relative,
        centre_feature_distance=centre,
        rows=rows,
        u_hat=u_hat,
        feature_distances=distances,
        probabilities=answer.probabilities,
        **_choices(cache, answer, rows),
    )


def _heard(
    encoder: Encoder, spectrograms: Tensor, conditions: Tensor | None, rows: Tensor, device: torch.device
) -> object:
    if conditions is None:
        return encoder.body(spectrograms)
    return encoder.body(spectrograms, conditions=conditions[rows].float().to(device))


def _answer(
    network: Network,
    synth: SynthesizerLike,
    cache: CacheLike,
    conditions: Tensor | None,
    rows: Tensor,
    device: torch.device,
) -> Answer:
    """Return what any network says about the sounds themselves."""
    parts = []
    for chunk in torch.split(rows, _CHUNK):
        sounds = synth(cache.theta[chunk].float().to(device))
        told = None if conditions is None else conditions[chunk].float().to(device)
        parts.append(ask(network, sounds, told, cache.space))
    return Answer.joined(parts)


def _choices(cache: CacheLike, answer: Answer, rows: Tensor) -> dict[str, Any]:
    """Return how well a network answers choices, beside the most frequent options."""
    if not answer.probabilities:
        return {}
    space, choosing = cache.space, cast("ChoiceCacheLike", cache)
    true, usual, chosen = choosing.choices[rows], most_frequent(cache), answer.options(space)
    expected, constant = [], []
    for column, choice in enumerate(space.choices):
        distances = choosing.choice_distances[choice.name][rows].sqrt()
        expected.append(float((answer.probabilities[choice.name] * distances).sum(-1).mean()))
        constant.append(float(distances[:, usual[column]].mean()))
    return {
        "choices": tuple(choice.name for choice in space.choices),
        "choice_accuracy": tuple((chosen == true).double().mean(0).tolist()),
        "choice_distance": tuple(expected),
        "centre_choice_accuracy": tuple((usual == true).double().mean(0).tolist()),
        "centre_choice_distance": tuple(constant),
    }


def most_frequent(cache: CacheLike) -> Tensor:
    """Return the position of the most frequent option of each choice in the training fold, shape (K,)."""
    rows = cache.rows("train")
    return cast("ChoiceCacheLike", cache).choices[rows if len(rows) else cache.rows()].mode(0).values


def _completed(cache: CacheLike, u_hat: Tensor, options: Tensor | None, rows: Tensor) -> Tensor:
    """Physical values with which predictions are made into sounds, shape (n, D).

    Integers are rounded. Conditions, what `select` left out, and choices that the network leaves alone are the true
    ones.
    """
    space = cache.space
    full = getattr(cache, "synth_space", space)
    theta = cache.theta[rows].to(u_hat)
    theta[:, [full.column(name) for name in space.names]] = rounded(space, space.from_unit(space.snap(u_hat)))
    if options is not None:
        theta[:, [full.column(choice.name) for choice in space.choices]] = options.to(theta)
    return theta


def _target_features(
    cache: CacheLike,
    synth: SynthesizerLike,
    features: FeatureMap,
    rows: Tensor,
    device: torch.device,
    progress: bool,
) -> Tensor:
    try:
        return cache.features(rows).double()
    except CacheError:
        # The cache keeps no features.
        return _analyse(synth, features, cache.theta[rows], device, progress)


def _analyse(
    synth: SynthesizerLike, features: FeatureMap, theta: Tensor, device: torch.device, progress: bool
) -> Tensor:
    """Φ(g(θ)), computed in float32, returned in float64 on the CPU, shape (n, C)."""
    chunks = torch.split(theta.float(), _CHUNK)
    bar = Bar(chunks, desc="features", unit="batch", disable=not progress, leave=False)
    with full_precision(torch.empty(0, device=device)):
        return torch.cat([features(synth(chunk.to(device))).flatten(1).cpu().double() for chunk in bar])
