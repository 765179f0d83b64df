"""Black boxes: derivatives by finite differences, and programs that go wrong."""

import json
import logging
import math
import pickle
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from task import Energies

from pnp import (
    Features,
    MetricCache,
    Parameter,
    ParameterSpace,
    TimeFrequencyScattering,
    precompute,
    value_and_jacobian,
)
from pnp.errors import SynthesisError
from pnp.offline.verify import verify
from pnp.store import Status
from pnp.synths import BlackBox, Chirp, probe

CHIRP = Chirp(n_samples=4096)
PROGRAM = Path(__file__).with_name("program.py")
SPACE = ParameterSpace([Parameter("f0", 200, 400, "log", "Hz"), Parameter("decay", 0.05, 0.2, "log", "s")])


def chirp(f_c, f_m, gamma):
    return CHIRP(torch.tensor([f_c, f_m, gamma], dtype=torch.float64)).numpy()


def rounded(f_c, f_m, gamma):
    return chirp(f_c, f_m, gamma).astype(np.float32)


def quantized(f_c, f_m, gamma):
    return np.round(chirp(f_c, f_m, gamma) * 2**13) / 2**15


def switched(f_c, f_m, gamma):
    return chirp(f_c, round(f_m), gamma)


def boxed(program, **options):
    return BlackBox(program, CHIRP.space, CHIRP.sample_rate, CHIRP.n_samples, **options)


def external(mode="plain", **options):
    # Without the site's packages, which take longer to find than the sound takes to make.
    command = [sys.executable, "-I", "-S", str(PROGRAM), "{output}", "{f0}", "{decay}", mode]
    return BlackBox(command, SPACE, 8000, 2000, **options)


def tangent_error(box, theta, scale=1.0):
    exact = scale * CHIRP.value_and_tangents(theta)[1]
    return ((box.value_and_tangents(theta)[1] - exact).norm(dim=-1) / exact.norm(dim=-1)).amax(0)


@pytest.fixture
def theta():
    return CHIRP.space.from_unit(CHIRP.space.sample(8))


def test_its_sounds_are_the_program_s(theta):
    box = boxed(chirp)
    assert torch.equal(box(theta), CHIRP(theta))
    assert torch.equal(box(theta.reshape(2, 4, 3)), CHIRP(theta).reshape(2, 4, -1))
    assert box(theta.float()).dtype == torch.float32
    assert torch.equal(box.value_and_tangents(theta)[0], CHIRP(theta))


def test_its_jacobian_on_the_chirp_agrees_with_the_exact_one(theta):
    assert tangent_error(boxed(chirp), theta).max() < 1e-6


def test_noisier_programs_get_longer_steps_and_keep_what_digits_there_are(theta):
    assert tangent_error(boxed(rounded), theta).max() < 1e-3
    assert tangent_error(boxed(quantized), theta, scale=0.25).max() < 0.1
    exact, single, sixteen = (boxed(program).calibrate() for program in (chirp, rounded, quantized))
    for name in CHIRP.space.names:
        assert exact[name] < single[name] < sixteen[name]


def test_parameters_that_turn_the_phase_faster_get_shorter_steps():
    steps = boxed(chirp).calibrate()
    assert steps["f_c"] < steps["f_m"]


def test_derivatives_at_the_faces_of_the_range_stay_inside_it():
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 3)
    seen = []

    def watched(**parameters):
        seen.append(list(parameters.values()))
        return chirp(**parameters)

    box = boxed(watched)
    assert tangent_error(box, CHIRP.space.from_unit(corners)).max() < 1e-5
    CHIRP.space.check_physical(torch.tensor(seen, dtype=torch.float64))


def test_normalization_is_differentiated(theta):
    options = {"n_samples": 4096, "normalization": "peak"}
    exact = Chirp(**options).value_and_tangents(theta)[1]
    tangents = boxed(chirp, normalization="peak").value_and_tangents(theta)[1]
    assert ((tangents - exact).norm(dim=-1) / exact.norm(dim=-1)).max() < 1e-6


def test_threads_and_batches_do_not_change_a_bit(theta):
    alone = boxed(chirp)
    x, tangents = boxed(chirp, jobs=4).value_and_tangents(theta)
    for row in range(len(theta)):
        one, its_tangents = alone.value_and_tangents(theta[row : row + 1])
        assert torch.equal(one[0], x[row])
        assert torch.equal(its_tangents[0], tangents[row])


def test_a_parameter_that_switches_is_named_and_gets_a_longer_step(caplog):
    box = boxed(switched)
    with caplog.at_level(logging.WARNING):
        probe(box)
    assert "parameter 'f_m' of the program 'switched' has no derivative" in caplog.text
    step = box.numerical.measured["f_m"]
    assert step.always
    u = CHIRP.space.sample(2)
    J = value_and_jacobian(box, Energies(), u)[1]
    assert torch.equal(
        J[..., 1], value_and_jacobian(box, Energies(), u, step={"f_m": step.secant})[1][..., 1]
    )


def test_a_parameter_of_jumps_in_one_waveform_gets_a_longer_step_there_alone(tmp_path):
    def voice(decay, width, wave):
        t = np.arange(2000) / 8000
        pulse = np.where(300 * t % 1 < width, 0.5, -0.5)
        return np.exp(-t / decay) * (pulse if wave == "pulse" else np.sin(600 * np.pi * t))

    # One option in nine: not among the sounds that steps are measured on.
    waves = Parameter("wave", choices=(*"abcdefgh", "pulse"))
    space = ParameterSpace([SPACE["decay"], Parameter("width", 0.1, 0.9), waves])
    box = BlackBox(voice, space, 8000, 2000)
    u = torch.tensor([[0.1, 0.2, -1.0], [0.1, 0.2, 1.0]], dtype=torch.float64)
    J = value_and_jacobian(box, Energies(), u)[1]
    assert not box.numerical.measured["width"].secant
    assert not J[0, :, 1].any()
    assert J[1, :, 1].any()
    assert torch.equal(J[:, :, 1], value_and_jacobian(box, Energies(), u, step={"width": 0.1})[1][:, :, 1])
    # Also where the first sound of a run, with which the features are probed, is one of them.
    assert precompute(box, Energies(), tmp_path / "a.h5", u=u.flip(0), progress=False).n_failed == 0


def test_a_given_step_is_taken_unmeasured(theta):
    box = boxed(switched, steps={"f_m": 0.5})
    assert box.calibrate()["f_m"] == 0.5
    assert torch.isfinite(box.value_and_tangents(theta)[1]).all()


def test_a_program_that_is_not_deterministic_is_named():
    generator = np.random.default_rng(0)

    def dithered(**parameters):
        return chirp(**parameters) + 1e-9 * generator.random(4096)

    with pytest.raises(ValueError, match="dithered' is not deterministic"):
        boxed(dithered).calibrate()


def test_an_inaudible_parameter_has_derivative_zero_and_is_named_in_the_log(theta, caplog):
    box = boxed(lambda f_c, f_m, gamma: chirp(f_c, 8.0, gamma))
    with caplog.at_level(logging.WARNING):
        tangents = box.value_and_tangents(theta)[1]
    assert not tangents[:, 1].any()
    assert "'f_m'" in caplog.text


def test_steps_are_measured_where_the_program_sounds_if_it_fails_elsewhere():
    def brittle(f_c, f_m, gamma):
        if gamma > 1.4:
            raise RuntimeError("unstable")
        return chirp(f_c, f_m, gamma)

    box = boxed(brittle)
    assert set(box.calibrate()) == set(CHIRP.space.names)
    theta = torch.tensor([[700.0, 8.0, 1.0]], dtype=torch.float64)
    assert tangent_error(box, theta).max() < 1e-6
    with pytest.raises(SynthesisError, match="raised RuntimeError: unstable"):
        boxed(lambda **_: brittle(700, 8, 2)).calibrate()


def test_a_cache_is_made_of_it_and_failing_sounds_cost_only_their_rows(tmp_path):
    def brittle(f_c, f_m, gamma):
        if gamma > 2.5:
            raise RuntimeError("unstable")
        return chirp(f_c, f_m, gamma)

    scattering = TimeFrequencyScattering(shape=4096, J=8, Q=(4, 1), J_fr=2, Q_fr=1, T="global", F="global")
    features = Features(scattering).double()
    paths = [tmp_path / name for name in ("box.h5", "exact.h5")]
    options = {"size": 8, "block": 4, "progress": False, "dtype": "float64"}
    summary = precompute(boxed(brittle), features, paths[0], **options)
    precompute(CHIRP, features, paths[1], **options)
    with MetricCache(paths[0]) as cache, MetricCache(paths[1]) as exact:
        unstable = cache.theta[:, 2] > 2.5
        assert torch.equal(cache.ok, ~unstable)
        assert summary.n_failed == int(unstable.sum()) > 0
        assert "unstable" in next(iter(summary.reasons))
        for row in cache.ok.nonzero().flatten().tolist():
            M, expected = cache.metric(row).matrix, exact.metric(row).matrix
            assert (M - expected).norm() < 1e-4 * expected.norm()
    assert verify(paths[0]).ok


def _spoiled(fault):
    """The chirp, spoiled above 3.2 octaves a second: beyond where steps are measured."""

    def program(f_c, f_m, gamma):
        x = chirp(f_c, f_m, gamma)
        return fault(x, f_c) if gamma > 3.2 else x

    return program


RUN = {"size": 16, "block": 4, "progress": False, "store": "metric"}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Metrics of the chirp where nothing goes wrong."""
    path = tmp_path_factory.mktemp("black-box") / "good.h5"
    precompute(boxed(chirp), Energies().double(), path, **RUN)
    with MetricCache(path) as cache:
        return cache.metrics().matrix


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        (lambda x, _: 0 * x, Status.SILENT, "the sound is silent"),
        (lambda x, _: x * np.nan, Status.EXCEPTION, "returned NaN or infinite samples"),
        (
            lambda x, _: (9e4 * x / abs(x).max()).clip(-(2**15), 2**15 - 1).astype(np.int16),
            Status.EXCEPTION,
            "returned a clipped sound",
        ),
        (lambda x, _: x[:-1], Status.EXCEPTION, "shape (4095,), expected (4096,)"),
        # A chatter so fast that every step crosses some of it.
        (
            lambda x, f_c: np.roll(x, np.float64(f_c).view(np.int64) % 2000),
            Status.EXCEPTION,
            "parameter 'f_c' of the program 'program' has no derivative here",
        ),
        (lambda x, _: 1 // 0 * x, Status.EXCEPTION, "raised ZeroDivisionError"),
    ],
    ids=["silent", "nan", "clipped", "short", "jumping", "raising"],
)
def test_a_sound_that_goes_wrong_is_recorded_and_the_run_goes_on(tmp_path, good, fault, status, reason):
    summary = precompute(boxed(_spoiled(fault)), Energies().double(), tmp_path / "bad.h5", **RUN)
    assert summary.n_done == 16
    with MetricCache(tmp_path / "bad.h5") as bad:
        spoiled = bad.theta[:, 2] > 3.2
        assert torch.equal(~bad.ok, spoiled)
        assert summary.n_failed == int(spoiled.sum()) > 0
        assert set(bad.status[spoiled].tolist()) == {status}
        assert all(reason in told for told in bad.failures.values()), bad.failures
        # The row has the parameters; with them in the reason, every row would be a reason of its own.
        assert not any(
            name in told for told in bad.failures.values() for name in ("f_c =", "f_m =", "gamma =")
        )
        # Steps are measured elsewhere where a long one would reach a sound that fails.
        M, expected = bad.metrics().matrix[bad.ok], good[bad.ok]
        assert ((M - expected).norm(dim=(1, 2)) < 1e-4 * expected.norm(dim=(1, 2))).all()


def test_automatic_differentiation_is_refused_with_the_way_out(theta):
    box = boxed(chirp)
    for attempt in (
        lambda: box(theta.requires_grad_()),
        lambda: torch.func.jvp(box, (theta.detach(),), (theta.detach(),)),
        lambda: torch.func.vmap(box)(theta.detach()),
    ):
        with pytest.raises(RuntimeError, match="value_and_tangents"):
            attempt()


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (lambda **_: np.zeros(10), r"shape \(10,\), expected \(4096,\) \(f_c = 700, f_m = 8, gamma = 1\)"),
        (lambda **_: np.full(4096, np.nan), "NaN or infinite samples"),
        (lambda **_: None, "shape|TypeError|float"),
        (lambda **_: ["loud"] * 4096, "raised ValueError"),
        (lambda **_: 1 / 0, "raised ZeroDivisionError: division by zero"),
        (lambda f0: f0, "raised TypeError"),
    ],
)
def test_what_a_function_does_wrong_is_named_with_its_parameters(program, message):
    with pytest.raises(SynthesisError, match=message):
        boxed(program)(torch.tensor([700.0, 8.0, 1.0]))


def test_config_is_json_and_names_program_steps_and_version():
    config = json.loads(json.dumps(boxed(chirp, version="2", steps={"f_m": 0.1}).config()))
    assert config["program"].endswith("test_black_box.chirp")
    assert config["version"] == "2"
    assert config["steps"] == {"f_m": 0.1}
    assert external().config()["program"][-1] == "plain"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"jobs": 0}, "jobs must be a whole number of at least 1"),
        ({"timeout": 0}, "timeout must be a finite number above 0"),
        ({"steps": {"f0": 0.1}}, "unknown parameter 'f0' in steps, expected f_c, f_m, gamma"),
        (
            {"steps": {"f_c": 0}},
            "steps of 'f_c' must be a finite number above 0 and at most 1",
        ),
    ],
)
def test_impossible_options_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        boxed(chirp, **options)


# -- programs on the command line ----------------------------------------------------------------------------


def expected(theta):
    f0, decay = theta.double().unsqueeze(-2).unbind(-1)
    t = torch.arange(2000) / 8000
    return 0.5 * torch.exp(-t / decay) * torch.sin(2 * math.pi * f0 * t)


def test_an_external_program_is_run_and_read():
    theta = SPACE.from_unit(SPACE.sample(3))
    assert (external()(theta) - expected(theta)).abs().max() < 2**-15


@pytest.mark.slow
def test_an_external_program_s_derivatives_are_right_to_what_16_bits_allow():
    box = external()
    probe(box)
    theta = SPACE.from_unit(SPACE.sample(3))
    exact = torch.stack(
        [torch.func.jvp(expected, (theta,), (torch.eye(2).double()[p].expand(3, -1),))[1] for p in (0, 1)], 1
    )
    tangents = box.value_and_tangents(theta)[1]
    assert ((tangents - exact).norm(dim=-1) / exact.norm(dim=-1)).max() < 0.02


def test_it_pickles_for_workers():
    theta = SPACE.from_unit(SPACE.sample(1))
    box = external()
    assert torch.equal(pickle.loads(pickle.dumps(box))(theta), box(theta))


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("fail", r"failed with status 1, saying: error: no such instrument \(f0 = 300, decay = 0.1\)"),
        ("garbage", "wrote garbage: not a WAV file: it begins with b'Csound"),
        ("nothing", "did not write {output}"),
        ("short", r"shape \(1999,\), expected \(2000,\)"),
        ("clipped", "clipped"),
        ("stereo", "wrote 2 channels, expected 1"),
        ("slow", "wrote 4000 Hz, expected 8000 Hz"),
    ],
)
def test_what_an_external_program_does_wrong_is_named(mode, message):
    with pytest.raises(SynthesisError, match=message):
        external(mode)(torch.tensor([300.0, 0.1]))


def test_a_program_that_hangs_is_stopped():
    started = time.monotonic()
    with pytest.raises(SynthesisError, match="was stopped after 1 s"):
        external("hang", timeout=1.0)(torch.tensor([300.0, 0.1]))
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("fail", "failed with status 1, saying: error: no such instrument"),
        ("hang", "was stopped after 2 s"),
        ("garbage", "wrote garbage: not a WAV file"),
        ("clipped", "wrote a clipped sound"),
        ("short", "shape (1999,), expected (2000,)"),
    ],
)
def test_an_external_program_that_goes_wrong_costs_only_its_sounds(tmp_path, mode, reason):
    box = external(f"{mode}@0.14", timeout=2.0, steps={"f0": 0.01, "decay": 0.01})
    u = torch.tensor([[-0.5, -0.5], [0.3, 0.9], [0.1, 0.0]], dtype=torch.float64)
    path = tmp_path / "cache.h5"
    summary = precompute(box, Energies().double(), path, u=u, split=(1, 0, 0), block=3, progress=False)
    assert (summary.n_done, summary.n_failed) == (3, 1)
    with MetricCache(path) as cache:
        assert cache.ok.tolist() == [True, False, True]
        assert reason in cache.failures[1]


def test_a_program_that_does_not_exist_is_named():
    box = BlackBox(["no-such-synth", "{f0}", "{decay}", "{output}"], SPACE, 8000, 2000)
    with pytest.raises(SynthesisError, match="'no-such-synth' cannot be started: No such file"):
        box(torch.tensor([300.0, 0.1]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["synth", "{f0}", "{output}"], "lacks the placeholder {decay}"),
        (["synth", "{f0}", "{decay}"], "lacks the placeholder {output}"),
        (["synth", "{f0}", "{decay}", "{output}", "{gain}"], "has an unknown placeholder {gain}"),
    ],
)
def test_a_command_must_mention_every_parameter_and_no_other(arguments, message):
    with pytest.raises(ValueError, match=message):
        BlackBox(arguments, SPACE, 8000, 2000)


def test_a_program_receives_int_and_str_and_is_rendered_along_continuous_parameters_alone():
    calls = []

    def organ(decay, voices, wave, note):
        calls.append((decay, voices, wave, note))
        t = np.arange(64) / 1000
        x = sum(np.sin(2 * np.pi * (k + 1) * note * t) for k in range(voices))
        return np.exp(-decay * t) * (np.tanh(3 * x) if wave == "square" else x)

    space = ParameterSpace(
        [
            Parameter("voices", 1, 4, kind="integer"),
            Parameter("wave", choices=("sine", "square")),
            Parameter("decay", 1.0, 20.0, "log"),
        ],
        conditions=[Parameter("note", 50, 70, kind="integer")],
    )
    synth = BlackBox(organ, space, sample_rate=1000, n_samples=64)
    theta = torch.tensor([[2.9999999, 5.0, 1.0, 60.0]], dtype=torch.float64)
    assert torch.equal(synth(theta)[0], torch.from_numpy(organ(5.0, 3, "square", 60)))
    assert [type(value) for value in calls[0]] == [float, int, str, int]
    assert calls[0] == (5.0, 3, "square", 60)
    assert set(synth.calibrate()) == {"decay"}
    calls.clear()
    tangents = synth.value_and_tangents(theta)[1]
    assert len(calls) == 5
    assert {(voices, wave, note) for _, voices, wave, note in calls} == {(3, "square", 60)}
    expected = -torch.arange(64) / 1000 * synth(theta)[0]
    torch.testing.assert_close(tangents[0, 1], expected, rtol=1e-6, atol=1e-9)
    assert not tangents[0, [0, 2, 3]].any()
    for column, value, message in (
        (0, 2.5, "'voices' must be a whole number, got 2.5 in row 0"),
        (2, 0.4, "'wave' must be the position of an option, got 0.4 in row 0"),
        (3, 60.2, "'note' must be a whole number, got 60.2 in row 0"),
    ):
        between = theta.clone()
        between[0, column] = value
        with pytest.raises(ValueError, match=message):
            synth(between)
    with pytest.raises(ValueError, match="unknown parameter 'voices' in steps, expected decay"):
        BlackBox(organ, space, sample_rate=1000, n_samples=64, steps={"voices": 0.1})
    with pytest.raises(
        ValueError, match=r"shape \(\.\.\., 4\), one column for each of voices, decay, wave, note"
    ):
        synth(theta[:, :2])


def test_a_failing_sound_names_whole_numbers_and_options():
    def fails(decay, wave):
        raise RuntimeError("no such wave")

    space = ParameterSpace([Parameter("decay", 1.0, 20.0), Parameter("wave", choices=("sine", "square"))])
    synth = BlackBox(fails, space, sample_rate=1000, n_samples=64)
    with pytest.raises(SynthesisError, match=r"decay = 2.5, wave = square"):
        synth(torch.tensor([[2.5, 1.0]]))
