"""Sound matching by optimization: which parameters make a synthesizer sound like a given recording."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
from torch import Tensor, nn

from pnp._arguments import truth
from pnp._protocols import FeatureMap, SynthesizerLike
from pnp.matching.catalogue import Catalogue
from pnp.matching.recording import Recording, as_recording, load_recording
from pnp.matching.result import MatchResult, ParameterEstimate, Start
from pnp.matching.search import Search, check_options, known_conditions
from pnp.offline.rebuild import features_of, synthesizer_of
from pnp.store import MetricCache
from pnp.training.answers import Network

__all__ = ["MatchResult", "ParameterEstimate", "Start", "match"]


def match(
    sound: str | os.PathLike[str] | Tensor | np.ndarray,
    cache: MetricCache | str | os.PathLike[str],
    *,
    sample_rate: float | None = None,
    synth: SynthesizerLike | None = None,
    features: FeatureMap | None = None,
    encoder: Network | None = None,
    conditions: Mapping[str, float | str] | None = None,
    starts: int = 8,
    max_evaluations: int = 60,
    fit_gain: bool = True,
    fit_noise: bool | None = None,
    align: bool = True,
    long_steps: bool | None = None,
    equalize: bool = False,
    coarse: bool = True,
    allow_clipped: bool = False,
    progress: bool = False,
) -> MatchResult:
    """Find the parameters with which a synthesizer comes closest to a sound.

    The sound is brought to the synthesizer's sampling rate and length. Its onset is moved, unless some of the
    synthesizer's sounds begin there. In the search, the synthesizer's sounds are faded or cut as the recording was, see
    `pnp.matching.recording.fit_recording`. The cache's sounds nearest to it in features are the starts of a bounded
    Levenberg-Marquardt search with exact Jacobians, see `pnp.matching.multistart.refine`.

    The search is on coarse spectrograms first, which cost little and have wider valleys, and on the features from where
    that ends, see `pnp.matching.coarse_to_fine`. All distances are those of the features.

    Integers and choices are searched by exchange, in turn with the continuous parameters: another option, or a whole
    number nearer or further, is taken where it brings the sound closer. Conditions that are given are kept; others are
    searched like parameters.

    The level of a recording is a nuisance. The recording is scaled to the median level of the synthesizer's
    sounds, where the features' compression works as it did for the cache; it is looked up in the cache at a
    range of levels; and the search has the synthesizer's gain as one more unknown.

    So is its noise floor. Where the recording has one, x = a g(θ) + η n is fitted, with one fixed draw n of white noise
    and its level η as one more unknown; averages over time hardly depend on the draw. A floor that is not needed falls
    to silence. A match with a floor is then refined under many draws, by the mean and covariance that they give
    features and coarse spectrograms, see `pnp.matching.likelihood`. That is done where noise explains what is left of
    the recording, and it is kept where `misfit` is lower.

    Where the search ends far away from a sound that the synthesizer can make, it has missed it: partials that interfere
    make derivatives that see nothing else. Then the nearest starts are tried again by differences over long steps, see
    `pnp.matching.long_steps`.

    The uncertainty is that of least squares to first order: with residual r of C features at the match and
    metric M = JᵀJ there, the covariance is ‖r‖²/(C − P) M⁻¹. It tells how well the sound determines a parameter
    next to this match, and takes the features' errors for independent. Starts that ended elsewhere, at less than
    twice the distance, are other explanations: their mean squared offset adds to the variance. After a refinement under
    noise, the covariance is that of estimates over fresh draws, times `misfit` where that is above 1. What no start
    found, it does not know. `warnings` gives reasons to doubt the match, the gravest first, see `pnp.matching.doubts`.

    A point at which the synthesizer raises or makes NaN is a bad point: a step there is shortened, and a start there is
    given up.

    Args:
        sound: File that soundfile reads, or samples of shape (n,) or (n, channels).
        cache: Cache of the synthesizer, with features, or its path.
        sample_rate: Of samples, in Hz; the synthesizer's by default. A file says for itself.
        synth: Synthesizer; by default the one that the cache names.
        features: Feature map; by default the one that the cache names.
        encoder: Any callable from sounds (B, N) to parameters in the cube (B, P), as `evaluate` takes it; its
            prediction is one more start.
        conditions: From the name of each condition that is known, such as a MIDI note, to its value.
        starts: Number of starts from the cache.
        max_evaluations: Most sounds to synthesize from one start in each of the searches, the start included.
        fit_gain: Estimate the gain; otherwise samples are compared at their own level.
        fit_noise: Estimate the level of a noise floor; None leaves that to the recording.
        align: Move the onset.
        long_steps: Search again by differences over long steps; None does so where the search ended far away from a
            sound that the synthesizer can make.
        equalize: Estimate a gentle equalizer behind the synthesizer, for recordings of what it cannot make.
        coarse: Search on coarse spectrograms first; otherwise on the features alone.
        allow_clipped: Accept a clipped recording.
        progress: Show a progress bar.

    Returns:
        Parameters with their uncertainty, distances before and after, and sounds.

    Raises:
        FileNotFoundError: If there is no such file or cache.
        CacheError: If the cache keeps no features or has no finished sound, or its synthesizer or features are
            not known.
        SynthesisError: If the synthesizer fails at every start.
        ValueError: If the sound is one that `load_recording` refuses, an option or a condition is out of its range, or
            cache, synthesizer, features and encoder do not fit each other.
    """
    check_options(starts, max_evaluations)
    flags = {
        "fit_gain": fit_gain,
        "align": align,
        "equalize": equalize,
        "coarse": coarse,
        "allow_clipped": allow_clipped,
        "progress": progress,
    }
    optional = {"fit_noise": fit_noise, "long_steps": long_steps}
    for name, flag in (flags | {name: flag for name, flag in optional.items() if flag is not None}).items():
        truth(name, flag)
    opened = cache if isinstance(cache, MetricCache) else MetricCache(cache)
    try:
        engine: SynthesizerLike = synthesizer_of(opened) if synth is None else synth
        rate = engine.sample_rate if sample_rate is None else sample_rate
        # Before the catalogue, which takes longer.
        recording = _recording(sound, rate, allow_clipped)
        module = engine if isinstance(engine, nn.Module) else None
        analysis: FeatureMap = features_of(opened, module) if features is None else features
        catalogue = Catalogue.from_cache(opened, engine, analysis)
    finally:
        if opened is not cache:
            opened.close()
    known = known_conditions(engine.space, conditions or {})
    search = Search(
        catalogue,
        encoder,
        known,
        starts,
        max_evaluations,
        fit_gain,
        fit_noise,
        align,
        long_steps,
        equalize,
        coarse,
    )
    return search.match(recording, progress=progress)


def _recording(
    sound: str | os.PathLike[str] | Tensor | np.ndarray, sample_rate: float, allow_clipped: bool
) -> Recording:
    if isinstance(sound, Tensor):
        sound = sound.numpy(force=True)
    if isinstance(sound, np.ndarray):
        return as_recording(sound, sample_rate, allow_clipped=allow_clipped)
    return load_recording(sound, allow_clipped=allow_clipped)
