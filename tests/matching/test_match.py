"""A sound in, parameters out."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from commands import refused
from toy import ToyFeatures, ToySynth

import pnp
from pnp.cli.main import main
from pnp.cli.outcome import EXIT_OK
from pnp.features.standard import standard_features
from pnp.matching.problem import Problem
from pnp.matching.recording import load_recording
from pnp.matching.result import MatchResult
from pnp.parameters import Parameter, ParameterSpace
from pnp.training.encoder import Encoder

SYNTH = pnp.synths.make("chirp", n_samples=2048, sample_rate=1024.0, ranges={"f_c": (128.0, 256.0)})
# Off the design of the cache.
U = torch.tensor([0.31, -0.42, 0.17], dtype=torch.float64)


def features(J: int = 8) -> pnp.Features:
    return standard_features(SYNTH, J=J, Q=(8, 1), Q_fr=1, J_fr=3, pad_mode="zero")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("match") / "chirp.h5"
    pnp.precompute(SYNTH, features(), out, size=64, store=("S",), progress=False)
    return out


@pytest.fixture(scope="module")
def sound() -> torch.Tensor:
    return SYNTH(SYNTH.space.from_unit(U[None]))[0]


@pytest.fixture(scope="module")
def found(path: Path, sound: torch.Tensor) -> MatchResult:
    return pnp.match(sound, path, fit_gain=False, align=False, starts=2)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, sound: torch.Tensor) -> Path:
    """The same sound as somebody may have recorded it: soft, stereo, late, at another rate."""
    from scipy.signal import resample_poly

    fast = np.concatenate([np.zeros(7000), 0.05 * resample_poly(sound.numpy(), 44100 // 4, 1024 // 4)])
    file = tmp_path_factory.mktemp("recorded") / "chirp.flac"
    soundfile.write(file, np.stack([fast, 0.5 * fast], 1), 44100, subtype="PCM_24")
    return file


def test_parameters_of_a_sound_of_the_synthesizer_are_found_again(found: MatchResult) -> None:
    assert found.u.numpy() == pytest.approx(U.numpy(), abs=1e-4)
    torch.testing.assert_close(found.theta, SYNTH.space.from_unit(U), rtol=1e-4, atol=0)
    assert found.distance_after < 1e-4 * found.distance_before
    assert not any(p.at_bound for p in found.parameters)


def test_distances_are_those_of_the_sounds_that_are_returned(found: MatchResult, sound: torch.Tensor) -> None:
    phi = features()
    for made, distance in ((found.nearest, found.distance_before), (found.sound, found.distance_after)):
        away = (phi(made[None].float()) - phi(sound[None].float())).norm()
        assert float(away) == pytest.approx(distance, rel=1e-3, abs=1e-5)
    assert found.target_norm == pytest.approx(float(phi(sound[None].float()).norm()), rel=1e-5)


def test_level_onset_rate_and_channels_of_a_recording_do_not_matter(path: Path, recorded: Path) -> None:
    match = pnp.match(recorded, path, starts=3)
    assert 50 * (match.u - U).abs().max() < 1.0
    assert match.distance_after < 0.1 * match.distance_before
    # Half of the level from averaging with a softer channel.
    assert match.gain == pytest.approx(0.05 * 0.75, rel=0.02)
    assert any("resampled" in note for note in match.notes)
    assert float(match.sound.norm() / match.target.norm()) == pytest.approx(1.0, rel=0.02)


def test_a_time_shift_does_not_matter_without_alignment_either(path: Path, sound: torch.Tensor) -> None:
    match = pnp.match(torch.roll(sound, 100), path, fit_gain=False, align=False, starts=2)
    assert 50 * (match.u - U).abs().max() < 0.1


def test_features_forgive_a_shift_under_zero_padding_and_not_under_reflection(sound: torch.Tensor) -> None:
    x = torch.stack([sound, torch.roll(sound, 64)])
    change = {}
    for pad_mode in ("zero", "reflect"):
        here, there = standard_features(SYNTH, J=8, Q=(8, 1), Q_fr=1, J_fr=3, pad_mode=pad_mode)(x)
        change[pad_mode] = float((there - here).norm() / here.norm())
    assert change["zero"] < 1e-4
    assert change["reflect"] > 1e-2


def test_deviations_are_those_of_least_squares(path: Path, sound: torch.Tensor) -> None:
    noisy = sound + 0.01 * torch.randn(len(sound), dtype=sound.dtype)
    match = pnp.match(noisy, path, fit_gain=False, fit_noise=False, align=False, starts=1)
    variance = match.distance_after**2 / (len(features()(noisy[None].float())[0]) - 3)
    expected = (variance * np.linalg.inv(match.metric.matrix.numpy()).diagonal()) ** 0.5
    assert [p.deviation for p in match.parameters] == pytest.approx(expected, rel=1e-6)
    assert all(p.low < p.value < p.high for p in match.parameters)


class HalfDeaf(ToySynth):
    """Toy with a parameter that does nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.space = ParameterSpace([*self.space, Parameter("idle", 0.0, 1.0)])

    def forward(self, theta: torch.Tensor) -> torch.Tensor:
        return super().forward(theta[..., :2])


def test_a_parameter_that_is_not_heard_is_said_to_be_unknown(tmp_path: Path) -> None:
    synth, phi = HalfDeaf(), ToyFeatures()
    pnp.precompute(synth, phi, tmp_path / "toy.h5", size=16, store=("S",), progress=False)
    with pnp.MetricCache(tmp_path / "toy.h5") as cache:
        near = cache.u[3].clamp(-0.9, 0.9) + 0.02
    x = synth(synth.space.from_unit(near[None]).float())[0]
    match = pnp.match(x, tmp_path / "toy.h5", synth=synth, features=phi, fit_gain=False, align=False)
    assert float(match.u[0]) == pytest.approx(float(near[0]), abs=1e-2)
    f, _, idle = match.parameters
    assert math.isinf(idle.deviation)
    assert (idle.low, idle.high) == (0.0, 1.0)
    assert f.deviation < 1e-2
    assert match.to_dict()["parameters"][2]["deviation"] is None


def test_the_encoder_is_one_more_start(path: Path, sound: torch.Tensor) -> None:
    encoder = Encoder(SYNTH.space, SYNTH.sample_rate)
    match = pnp.match(sound, path, encoder=encoder, starts=1, max_evaluations=3, align=False)
    assert [start.row is None for start in match.starts] == [False, True]
    assert match.distance_encoder == match.starts[1].before
    other = Encoder(ToySynth().space, 1000.0)
    with pytest.raises(ValueError, match=r"encoder predicts .*; the cache is about"):
        pnp.match(sound, path, encoder=other)
    with pytest.raises(ValueError, match="sounds at 1000 Hz; the cache is about sounds at"):
        pnp.match(sound, path, encoder=Encoder(SYNTH.space, 1000.0))


def test_any_callable_is_an_encoder(path: Path, sound: torch.Tensor) -> None:
    guess = U.float()[None] + 0.02
    untrained = torch.nn.Sequential(torch.nn.Linear(2048, 3), torch.nn.Dropout(0.5), torch.nn.Tanh()).train()
    for encoder in (lambda x: guess.expand(len(x), -1), untrained):
        match = pnp.match(sound, path, encoder=encoder, starts=1, max_evaluations=3, align=False)
        assert match.starts[1].origin == "encoder"
        assert match.distance_encoder == match.starts[1].before
    assert untrained.training
    for output, message in (
        (torch.zeros(1, 2), r"\(B, P\) = \(1, 3\); got \(1, 2\)"),
        (guess * math.nan, "got NaN"),
    ):
        with pytest.raises(
            ValueError, match=f"encoder must predict finite parameters of {message}|{message}"
        ):
            pnp.match(sound, path, encoder=lambda x, output=output: output)


def test_what_is_saved_reads_back(found: MatchResult, tmp_path: Path) -> None:
    paths = found.save(tmp_path / "new" / "folder")
    assert all(p.stat().st_size for p in paths.values())
    for name, samples in (("match", found.sound), ("target", found.target), ("nearest", found.nearest)):
        read = load_recording(paths[name])
        assert read.sample_rate == 1024
        assert np.allclose(read.samples, samples.numpy(), atol=1e-6)
    stored = json.loads(paths["json"].read_text())
    assert stored["parameters"][0]["value"] == found.parameters[0].value


def test_a_cache_that_cannot_serve_is_named(path: Path, sound: torch.Tensor, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no cache at .*none\.h5"):
        pnp.match(sound, tmp_path / "none.h5")
    bare = tmp_path / "bare.h5"
    pnp.precompute(SYNTH, features(), bare, size=2, store=(), progress=False)
    with pytest.raises(pnp.CacheError, match=r"bare.h5 keeps no features .*--store"):
        pnp.match(sound, bare)
    with pytest.raises(ValueError, match="different parameter spaces"):
        pnp.match(sound, path, synth=pnp.synths.make("drum", n_samples=2048))
    with pytest.raises(ValueError, match=r"These features are \d+ numbers a sound, and .*keeps \d+"):
        pnp.match(sound, path, features=features(J=6))
    toy = tmp_path / "toy.h5"
    pnp.precompute(ToySynth(), ToyFeatures(), toy, size=2, store=("S",), progress=False)
    with pytest.raises(pnp.CacheError, match="ToySynth"):
        pnp.match(sound, toy)


def test_options_and_samples_that_make_no_sense_are_refused(path: Path, sound: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="starts must be a whole number of at least 1, got 0"):
        pnp.match(sound, path, starts=0)
    with pytest.raises(ValueError, match="silent"):
        pnp.match(torch.zeros(2048), path)
    with pytest.raises(ValueError, match="NaN"):
        pnp.match(sound * math.nan, path)


def test_from_the_command_line(path: Path, recorded: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    call = ["match", str(recorded), "--cache", str(path), "--out", str(out), "--starts", "1", "--quiet"]
    assert main([*call, "--max-evaluations", "4", "--json"]) == EXIT_OK
    printed = capsys.readouterr()
    assert json.loads(printed.out) == json.loads((out / "match.json").read_text())
    assert {Path(line) for line in printed.err.splitlines()} == set(out.iterdir())
    assert main([*call, "--max-evaluations", "4", "--keep-level", "--keep-onset"]) == EXIT_OK
    text = capsys.readouterr().out
    assert all(
        name in text for name in ("f_c", "gamma", "distance before", "octave/s", "channels were averaged")
    )


def test_the_command_line_names_bad_input(path: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "song.wav").write_text("la la la")
    call = ["match", str(tmp_path / "song.wav"), "--cache"]
    assert "not a sound file" in refused([*call, str(path)], capsys)
    assert "no cache at" in refused([*call, str(tmp_path / "none.h5")], capsys)
    assert "--cache" in refused(call[:2], capsys)


# -- bad points, other explanations, and names ---------------------------------------------------------------


class Walled(ToySynth):
    """Toy that fails above a frequency: it raises, or makes NaN."""

    def __init__(self, wall: float, trouble: str) -> None:
        super().__init__()
        self.wall, self.kind = wall, trouble

    def forward(self, theta: torch.Tensor) -> torch.Tensor:
        x = super().forward(theta)
        if self.kind == "raises" and (theta[..., 0] > self.wall).any():
            raise RuntimeError("no such note")
        return torch.where(theta[..., :1] > self.wall, torch.nan, x) if self.kind == "nan" else x


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("toy") / "toy.h5"
    pnp.precompute(ToySynth(), ToyFeatures(), out, size=32, store=("S",), progress=False)
    return out


@pytest.mark.parametrize("trouble", ["raises", "nan"])
def test_a_synthesizer_that_fails_in_a_region_is_searched_elsewhere(
    trouble: str, toy: Path, monkeypatch
) -> None:
    # The probes are sounds of the cache, which were made.
    monkeypatch.setattr("pnp.matching.catalogue._PROBES", 1)
    beyond = ToySynth()(torch.tensor([[330.0, 8.0]]))[0]
    with pnp.MetricCache(toy) as cache:
        first = float(cache.theta[cache.rows()[0], 0])
    synth = Walled(max(300.0, first + 1.0), trouble)
    match = pnp.match(
        beyond, toy, synth=synth, features=ToyFeatures(), fit_gain=False, align=False, starts=16
    )
    failed = [start for start in match.starts if math.isinf(start.before)]
    assert failed
    assert len(failed) < len(match.starts)
    assert f"The synthesizer failed at {len(failed)} of 16 starts." in match.warnings
    assert match.theta[0] <= synth.wall
    assert math.isfinite(match.distance_before)
    stored = match.to_dict()["starts"]
    assert sum(start["before"] is None for start in stored) == len(failed)
    json.dumps(match.to_dict(), allow_nan=False)


def test_a_synthesizer_that_fails_everywhere_says_how(toy: Path, monkeypatch) -> None:
    sound = ToySynth()(torch.tensor([[330.0, 8.0]]))[0]
    synth = Walled(0.0, "off")

    def broken_after_the_catalogue(*options):
        synth.kind = "raises"
        return Problem(*options)

    monkeypatch.setattr("pnp.matching.search.Problem", broken_after_the_catalogue)
    with pytest.raises(pnp.SynthesisError, match=r"at any of the 3 starts.*RuntimeError: no such note"):
        pnp.match(sound, toy, synth=synth, features=ToyFeatures(), fit_gain=False, align=False, starts=3)


class Amplified(ToySynth):
    """Toy whose second parameter is called as the search calls its own."""

    def __init__(self) -> None:
        super().__init__()
        self.space = ParameterSpace([self.space["f"], Parameter("gain", 1.0, 20.0, unit="1/s")])


def test_a_parameter_may_be_called_gain(tmp_path: Path) -> None:
    synth, phi = Amplified(), ToyFeatures()
    pnp.precompute(synth, phi, tmp_path / "toy.h5", size=32, store=("S",), progress=False)
    x = synth(torch.tensor([[211.0, 7.0]]))[0]
    match = pnp.match(0.3 * x, tmp_path / "toy.h5", synth=synth, features=phi, align=False)
    assert [p.name for p in match.parameters] == ["f", "gain"]
    assert match.theta.tolist() == pytest.approx([211.0, 7.0], rel=0.1)
    assert match.gain == pytest.approx(0.3, rel=0.1)


def test_a_local_minimum_is_doubted(tmp_path: Path) -> None:
    synth, phi, truth = HalfDeaf(), ToyFeatures(), 200.0
    pnp.precompute(synth, phi, tmp_path / "toy.h5", size=16, store=("S",), progress=False)
    x = synth(torch.tensor([[truth, 8.0, 0.5]]))[0]
    options = {"fit_gain": False, "fit_noise": False, "align": False}
    found = pnp.match(x, tmp_path / "toy.h5", synth=synth, features=phi, **options)
    assert found.theta[0] == pytest.approx(truth, rel=1e-3)
    match = pnp.match(
        x, tmp_path / "toy.h5", synth=synth, features=phi, **options, long_steps=False, coarse=False
    )
    # Eight starts end in wrong valleys, which long steps leave. An end that differs by the silent parameter alone is
    # none of them.
    assert abs(match.theta[0] / truth - 1) > 0.1
    assert match.warnings[0].startswith("The starts disagree: 1 of 8 ended at other parameters")
    assert any(warning.startswith("The distance of the match is large: 21 %") for warning in match.warnings)
    # Least squares next to the match know nothing of it; the spread of the starts does.
    assert match.parameters[0].deviation > 0.1


def test_a_sound_that_the_synthesizer_cannot_make_is_said_so_first(path: Path) -> None:
    click = torch.zeros(2048)
    click[900:903] = torch.tensor([1.0, -1.0, 0.5])
    match = pnp.match(click, path, starts=2, max_evaluations=4, align=False)
    assert match.warnings[0].startswith("The synthesizer most likely cannot make this sound: the match is")
    assert next(iter(match.to_dict())) == "warnings"


@pytest.mark.slow
def test_a_parameter_at_its_bound_is_doubted(path: Path) -> None:
    beyond = pnp.synths.make("chirp", n_samples=2048, sample_rate=1024.0, ranges={"f_c": (128.0, 300.0)})
    high = beyond(torch.tensor([[262.0, 8.0, 1.0]], dtype=torch.float64))[0]
    match = pnp.match(high, path, starts=2, align=False, fit_gain=False)
    assert match.parameters[0].at_bound
    assert (
        "f_c lies at an end of its range: the best match may be beyond, where the cache has no sounds."
        in match.warnings
    )


NOISE = torch.randn(2048, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


@pytest.mark.slow
def test_a_noise_floor_is_estimated_with_the_parameters(path: Path, sound: torch.Tensor) -> None:
    noisy = sound + NOISE * (0.1 * sound.norm() / NOISE.norm())
    with_floor, without = (
        pnp.match(0.3 * noisy, path, starts=4, align=False, fit_noise=choice) for choice in (None, False)
    )
    assert 50 * (with_floor.u - U).abs().max() < 1.5
    assert 50 * (with_floor.u - U).abs().max() < 0.3 * 50 * (without.u - U).abs().max()
    assert with_floor.noise_level == pytest.approx(-20.0, abs=1.0)
    assert without.noise is None
    assert with_floor.gain == pytest.approx(0.3, rel=0.05)
    # What is heard of the match is the synthesizer alone.
    assert float((with_floor.sound - 0.3 * sound).norm() / (0.3 * sound.norm())) < 0.5
    assert with_floor.distance_after < 0.5 * without.distance_after


def test_without_a_floor_none_is_fitted(found: MatchResult) -> None:
    assert found.noise is None
    assert found.metric.matrix.shape == (3, 3)


def test_an_exact_match_is_not_doubted(found: MatchResult) -> None:
    assert found.warnings == ()


def test_distances_before_and_after_belong_to_the_target_that_is_returned(path: Path) -> None:
    late = SYNTH(SYNTH.space.from_unit(torch.tensor([[0.6, 0.5, 0.9]], dtype=torch.float64)))[0]
    recorded = torch.cat([torch.zeros(300, dtype=late.dtype), late])
    match = pnp.match(recorded, path, starts=4, max_evaluations=12, fit_gain=False)
    # The recording was moved onto a first match, which shows in its starts.
    assert "alignment" in [start.origin for start in match.starts]
    phi = features()
    target = phi(match.target[None].float())
    for made, distance in ((match.nearest, match.distance_before), (match.sound, match.distance_after)):
        assert float((phi(made[None].float()) - target).norm()) == pytest.approx(distance, rel=1e-3, abs=1e-4)
    assert match.distance_before == min(s.before for s in match.starts if s.origin == "cache")
    assert match.distance_after == min(s.after for s in match.starts)


def test_a_single_evaluation_is_the_nearest_sound(
    path: Path, sound: torch.Tensor, tmp_path: Path, capsys
) -> None:
    match = pnp.match(sound, path, max_evaluations=1, align=False, fit_gain=False)
    assert match.distance_after == match.distance_before
    soundfile.write(tmp_path / "chirp.wav", 0.5 * sound.numpy(), 1024, subtype="FLOAT")
    call = [
        "match",
        str(tmp_path / "chirp.wav"),
        "--cache",
        str(path),
        "--out",
        str(tmp_path / "out"),
        "--quiet",
    ]
    assert main([*call, "--max-evaluations", "1", "--keep-onset"]) == EXIT_OK
    assert "8 starts, 8 evaluations" in capsys.readouterr().out
