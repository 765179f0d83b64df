import importlib
import subprocess
import sys
import textwrap

import pytest
import torch
from discrete import Organ, Spectrum
from torch import nn
from torch.func import jacfwd, vmap

import pnp
from pnp import Features, Parameter, ParameterSpace, TimeFrequencyScattering, value_and_jacobian
from pnp._torch.memory import TangentBounds
from pnp.jacobian import choice_distances


@pytest.fixture(scope="module")
def chirp():
    return pnp.synths.make("chirp", n_samples=2048, sample_rate=4096.0)


@pytest.fixture(scope="module")
def features():
    # By reflection: f_c then moves the features well above the rounding of differences at every point.
    return Features(
        TimeFrequencyScattering(shape=2048, J=8, Q=(8, 1), J_fr=3, T="global", F="global", pad_mode="reflect")
    )


class Sines(nn.Module):
    """Two partials; the second parameter is detached on request."""

    sample_rate, n_samples = 100.0, 64
    space = ParameterSpace([Parameter("rate", 1.0, 2.0), Parameter("level", 0.5, 2.0, scale="log")])

    def __init__(self, detach=False, length=64):
        super().__init__()
        self.detach, self.length = detach, length

    def forward(self, theta):
        t = torch.arange(self.length, dtype=theta.dtype) / 10
        level = theta[..., 1:].detach() if self.detach else theta[..., 1:]
        return level * torch.sin(theta[..., :1] * t)


def central_differences(synth, features, u, step):
    """Fourth-order central differences of features with respect to scaled parameters."""

    def at(offset):
        return features(synth(synth.space.from_unit(u + offset)))

    columns = []
    for p in range(u.shape[1]):
        h = torch.zeros_like(u)
        h[:, p] = step
        columns.append((8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * step))
    return torch.stack(columns, dim=-1)


def jacobian_errors(synth, features, u, J):
    """Relative error of each column against the better of two steps: where a modulus is close to zero, the features
    bend within the larger one."""
    steps = (1e-5, 1e-6)
    differences = [central_differences(synth, features, u, step) for step in steps]
    return torch.stack([(d - J).norm(dim=1) / J.norm(dim=1) for d in differences]).amin(0)


def test_jacobian_against_central_differences_over_the_whole_range(chirp, features):
    u = 0.99 * chirp.space.sample(8, method="sobol", seed=1)
    S, J = value_and_jacobian(chirp, features, u)
    torch.testing.assert_close(S, features(chirp(chirp.space.from_unit(u))), rtol=1e-12, atol=1e-14)
    assert jacobian_errors(chirp, features, u, J).max() < 1e-6


@pytest.mark.slow
def test_jacobian_of_full_length_chirps_against_central_differences():
    synth = pnp.synths.make("chirp")
    features = Features(
        TimeFrequencyScattering(shape=synth.n_samples, J=12, Q=(8, 2), J_fr=5, Q_fr=2, T="global", F="global")
    )
    u = 0.99 * synth.space.sample(2, method="sobol", seed=1)
    _, J = value_and_jacobian(synth, features, u)
    assert jacobian_errors(synth, features, u, J).max() < 1e-6


def test_amplitude_factor_of_the_chirp_rate_is_differentiated(chirp):
    # x is gamma times a sound: detaching the factor would change the column by this term.
    u = torch.zeros(1, 3, dtype=torch.float64)
    theta = chirp.space.from_unit(u)
    _, J = value_and_jacobian(chirp, nn.Identity(), u)
    h = 1e-6
    step = torch.tensor([[0.0, 0.0, h]], dtype=torch.float64)
    difference = (chirp(chirp.space.from_unit(u + step)) - chirp(chirp.space.from_unit(u - step))) / (2 * h)
    error = (J[..., 2] - difference).norm() / difference.norm()
    dropped = chirp(theta) * torch.log(torch.tensor(8.0)) / 2
    assert error < 1e-7
    assert dropped.norm() / difference.norm() > 1e-4


def test_jacobian_against_dense_forward_mode_of_the_plain_path(chirp, features):
    u = chirp.space.sample(2, seed=5)

    def plain(u):
        return features(chirp(chirp.space.from_unit(u)))

    _, J = value_and_jacobian(chirp, features, u)
    torch.testing.assert_close(J, vmap(jacfwd(plain))(u), rtol=1e-9, atol=1e-11)


def test_float32_agrees_with_float64(chirp, features):
    u = chirp.space.sample(8, seed=2)
    S, J = value_and_jacobian(chirp, features, u)
    S32, J32 = value_and_jacobian(chirp, features, u.float())
    assert S32.dtype == J32.dtype == torch.float32
    assert ((S32 - S).norm(dim=1) / S.norm(dim=1)).max() < 1e-5
    assert ((J32 - J).flatten(1).norm(dim=1) / J.flatten(1).norm(dim=1)).max() < 1e-3


def test_rows_of_a_batch_do_not_meet(chirp, features):
    u = chirp.space.sample(4, seed=3).float()
    S, J = value_and_jacobian(chirp, features, u)
    S_1, J_1 = value_and_jacobian(chirp, features, u[2:3])
    torch.testing.assert_close(S[2:3], S_1, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(J[2:3], J_1, rtol=1e-4, atol=1e-4)


def test_linear_case_in_closed_form():
    matrix = torch.randn(5, 64, dtype=torch.float64)
    linear = nn.Linear(64, 5, bias=False).double()
    linear.weight.data = matrix
    synth = Sines()
    u = torch.tensor([[0.3, -0.5]], dtype=torch.float64)
    _, J = value_and_jacobian(synth, linear, u)
    # level = 0.5 * 4 ** ((u + 1) / 2), so d level / du = level log(4) / 2, and x is linear in it.
    x = synth(synth.space.from_unit(u))
    torch.testing.assert_close(
        J[0, :, 1], matrix @ x[0] * torch.log(torch.tensor(4.0, dtype=torch.float64)) / 2
    )


def test_features_without_an_axis_of_their_own_are_flattened():
    class Grid(nn.Module):
        def forward(self, x):
            return x.unflatten(-1, (4, 16)).cumsum(-1)

    u = torch.zeros(3, 2)
    S, J = value_and_jacobian(Sines(), Grid(), u)
    assert S.shape == (3, 64)
    assert J.shape == (3, 64, 2)


class TestBadInput:
    def test_dropped_gradient(self):
        with pytest.raises(ValueError, match="drops the gradient of parameter 'level'"):
            value_and_jacobian(Sines(detach=True), nn.Identity(), torch.zeros(2, 2))

    def test_outside_the_cube(self):
        with pytest.raises(ValueError, match="rate"):
            value_and_jacobian(Sines(), nn.Identity(), torch.tensor([[1.5, 0.0]]))

    def test_wrong_shape(self):
        with pytest.raises(ValueError, match=r"\(B, 2\), got \(2,\)"):
            value_and_jacobian(Sines(), nn.Identity(), torch.zeros(2))

    def test_wrong_length(self):
        with pytest.raises(ValueError, match=r"\(1, 64\), got \(1, 63\)"):
            value_and_jacobian(Sines(length=63), nn.Identity(), torch.zeros(1, 2))

    def test_not_a_synthesizer(self):
        with pytest.raises(TypeError, match="'Identity' needs an attribute 'space' of type ParameterSpace"):
            value_and_jacobian(nn.Identity(), nn.Identity(), torch.zeros(1, 2))


# -- integers, choices and conditions ------------------------------------------------------------------------


def organ_point(n: int = 6) -> tuple[Organ, Spectrum, torch.Tensor]:
    synth = Organ()
    return synth, Spectrum(), 0.98 * synth.space.sample(n, seed=4)


def test_columns_are_derivatives_of_continuous_and_differences_of_integer_parameters() -> None:
    synth, features, u = organ_point()
    u = synth.space.snap(u)
    S, J = value_and_jacobian(synth, features, u)
    assert J.shape == (6, S.shape[1], 2)

    def at(moved: torch.Tensor) -> torch.Tensor:
        return features(synth(synth.space.from_unit(moved)))

    h = 1e-6
    step = torch.zeros_like(u)
    step[:, 0] = h
    torch.testing.assert_close(J[..., 0], (at(u + step) - at(u - step)) / (2 * h), rtol=1e-5, atol=1e-6)
    # One voice more is 2/3 of the cube's side, [1, 4] having three steps; at the top, one voice less.
    up = torch.where(synth.space.from_unit(u)[:, 1].round() < 4, 1.0, -1.0).double()
    step = torch.zeros_like(u)
    step[:, 1] = up * 2 / 3
    torch.testing.assert_close(J[..., 1], (at(u + step) - S) / (up * 2 / 3)[:, None], rtol=1e-9, atol=1e-9)


def test_a_space_of_integers_alone_has_a_jacobian() -> None:
    whole = Organ()
    whole.space = ParameterSpace([Parameter("voices", 1, 4, kind="integer")])

    class Fixed(torch.nn.Module):
        space, sample_rate, n_samples = whole.space, whole.sample_rate, whole.n_samples

        def forward(self, theta: torch.Tensor) -> torch.Tensor:
            rest = theta.new_tensor([0.0, 50.0, 1.0]).expand(len(theta), -1)
            return whole(torch.cat([theta.new_full((len(theta), 1), 5.0), theta, rest], -1))

    S, J = value_and_jacobian(Fixed(), Spectrum(), Fixed.space.sample(3))
    assert J.shape == (3, S.shape[1], 1)
    assert torch.isfinite(J).all()
    assert J.any()


def test_distances_of_choices_are_those_of_the_features_and_zero_at_the_true_option() -> None:
    synth, features, u = organ_point(9)
    u = synth.space.snap(u)
    S, _ = value_and_jacobian(synth, features, u)
    found = choice_distances(synth, features, u, S)["wave"]
    theta = synth.space.from_unit(u)
    column = synth.space.column("wave")
    true = theta[:, column].round().long()
    assert found.shape == (9, 3)
    assert (found.gather(1, true[:, None]) == 0).all()
    for option in range(3):
        moved = theta.clone()
        moved[:, column] = option
        expected = (features(synth(moved)) - S).square().sum(-1)
        torch.testing.assert_close(found[:, option], expected, rtol=1e-9, atol=1e-9)
    # A square and a softer one sound alike; a sine does not.
    square = true == 1
    assert (found[square, 2] < 0.1 * found[square, 0]).all()


def test_all_columns_are_needed() -> None:
    synth, features, u = organ_point()
    with pytest.raises(ValueError, match=r"u must have shape \(B, 5\), got \(6, 2\)"):
        value_and_jacobian(synth, features, u[:, :2])


def test_an_empty_batch_has_an_empty_jacobian(chirp, features) -> None:
    S, J = value_and_jacobian(chirp, features, torch.zeros(0, 3))
    assert S.shape[0] == J.shape[0] == 0
    assert J.shape[1:] == (S.shape[1], 3)


def test_a_few_tangents_at_a_time_give_the_same(chirp, features, monkeypatch) -> None:
    u = 0.9 * chirp.space.sample(3)
    S, J = value_and_jacobian(chirp, features, u)
    module = importlib.import_module("pnp.jacobian.jacobian")
    monkeypatch.setattr(module, "NUMBERS_AT_ONCE", 1)
    monkeypatch.setattr(module, "FEATURE_TANGENTS", TangentBounds(at_once=0, in_groups=1))
    one, columns = value_and_jacobian(chirp, features, u)
    torch.testing.assert_close(one, S, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(columns, J, rtol=1e-8, atol=1e-10)


@pytest.mark.slow
def test_memory_is_bounded_for_many_parameters() -> None:
    """One second at 44.1 kHz, beyond what a plain transform takes; a third of it is what forward mode imports."""
    script = """
        import resource, torch, pnp
        torch.set_num_threads(1)
        N = 44100

        class Swells(pnp.synths.Synthesizer):
            name = "swells"

            def __init__(self, n):
                space = pnp.ParameterSpace([pnp.Parameter(f"p{k}", 0.1, 1.0) for k in range(n)])
                super().__init__(space, sample_rate=N, n_samples=N)

            def synthesize(self, theta):
                t = torch.arange(N, dtype=theta.dtype) / N
                powers = torch.arange(1, theta.shape[-1] + 1, dtype=theta.dtype)
                return torch.sin(600 * t) * (theta.unsqueeze(-2) / powers * t[:, None] ** (1 / powers)).sum(-1)

        peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        options = {"shape": N, "J": 12, "Q": (12, 1), "J_fr": 4, "T": "global", "F": 2, "pad_mode": "zero"}
        features = pnp.Features(pnp.TimeFrequencyScattering(**options))
        features(torch.randn(1, N))
        before = peak()
        for n in (32, 80):
            synth = Swells(n)
            pnp.value_and_jacobian(synth, features, 0.9 * synth.space.sample(2).float())
            print(peak() - before)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True
    )
    few, many = map(int, run.stdout.split())
    assert few < 300_000
    assert many < 450_000
