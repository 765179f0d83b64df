"""Statements about each synthesizer of this package."""

import copy
import json
import pickle

import pytest
import torch

import pnp
from pnp.synths import NORMALIZATIONS, make, probe

NAMES = ["chirp", "drum", "ripple", "string"]
SHORT = {"n_samples": 4096}


@pytest.fixture(params=NAMES)
def name(request) -> str:
    return request.param


def points(synth, n=5, seed=0):
    """Points of the whole range, with room for a central difference at its faces."""
    return synth.space.from_unit(0.999 * synth.space.sample(n, "sobol", seed=seed))


def central_difference(synth, theta, column, relative_step):
    """Fourth-order central difference: exact for quartics, so that a phase of many radians costs little."""
    step = torch.zeros_like(theta)
    step[:, column] = relative_step * theta[:, column]

    def slope(k):
        above, below = theta + k * step, theta - k * step
        return (synth(above) - synth(below)) / (above - below)[:, column, None]

    return (4 * slope(1) - slope(2)) / 3


def error_of(tangent, synth, theta, column):
    """Relative error against central differences, a sound at a time, at the step that suits it best.

    A pitch takes a step of millionths before the phase turns too far, a dispersion that is hardly heard one
    of a tenth before the change rises above rounding.
    """
    errors = []
    for step in (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1):
        # Wherever a step would leave the range, at the faces of the cube, it is not tried.
        low, high = synth.space.lows[column], synth.space.highs[column]
        inside = (theta[:, column] * (1 - 2 * step) >= low) & (theta[:, column] * (1 + 2 * step) <= high)
        error = torch.full((len(theta),), torch.inf, dtype=torch.float64)
        if inside.any():
            difference = central_difference(synth, theta[inside], column, step)
            error[inside] = (tangent[inside] - difference).norm(dim=-1) / difference.norm(dim=-1)
        errors.append(error)
    return torch.stack(errors).amin(0)


def test_config_rebuilds_the_same_synthesizer(name):
    synth = make(name, **SHORT, normalization="peak")
    config = json.loads(json.dumps(synth.config()))
    again = make(**config)
    theta = points(synth)
    assert again.config() == synth.config()
    assert again.space == synth.space
    assert torch.equal(again(theta), synth(theta))


def test_any_leading_shape_gives_the_same_sounds(name):
    synth = make(name, **SHORT)
    theta = points(synth, 6)
    x = synth(theta)
    assert x.shape == (6, 4096)
    torch.testing.assert_close(synth(theta.reshape(2, 3, -1)), x.reshape(2, 3, -1), rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.stack([synth(row) for row in theta]), x, rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.func.vmap(synth)(theta), x, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_of_theta_is_the_dtype_of_the_sound(name, dtype):
    synth = make(name, **SHORT)
    assert synth(points(synth).to(dtype)).dtype == dtype


def test_float32_sound_is_within_1e_4_of_float64_at_full_length(name):
    synth = make(name)
    theta = points(synth, 16).float()
    x = synth(theta.double())
    error = (synth(theta) - x).abs().amax(-1) / x.abs().amax(-1)
    assert error.max() < 1e-4


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_tangents_match_central_differences(name, normalization):
    synth = make(name, **SHORT, normalization=normalization)
    theta = points(synth, 16)
    x, tangents = synth.value_and_tangents(theta)
    torch.testing.assert_close(x, synth(theta), rtol=0, atol=1e-12)
    for column in range(len(synth.space)):
        error = error_of(tangents[:, column], synth, theta, column)
        assert error.max() < 1e-6, synth.space.names[column]


def test_forward_and_reverse_mode_agree(name):
    synth = make(name, **SHORT, normalization="energy")
    theta = points(synth, 2)
    tangents = synth.value_and_tangents(theta)[1].mT
    forward = torch.func.vmap(torch.func.jacfwd(synth))(theta)
    scale = tangents.abs().amax(1, keepdim=True)
    torch.testing.assert_close(forward / scale, tangents / scale, rtol=0, atol=1e-10)
    weight = torch.randn(4096, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    leaf = theta.clone().requires_grad_()
    (synth(leaf) @ weight).sum().backward()
    expected = (tangents / scale * weight[:, None]).sum(1)
    torch.testing.assert_close(leaf.grad / scale[:, 0], expected, rtol=1e-8, atol=1e-8)
    reverse = torch.func.vmap(torch.func.grad(lambda point: synth(point) @ weight))(theta)
    torch.testing.assert_close(reverse, leaf.grad)


def test_float32_tangents_are_within_1e_3_of_float64(name):
    synth = make(name)
    theta = points(synth, 4).float()
    exact = synth.value_and_tangents(theta.double())[1]
    error = (synth.value_and_tangents(theta)[1] - exact).norm(dim=-1) / exact.norm(dim=-1)
    assert error.max() < 1e-3


def test_the_corners_of_the_cube_sound_and_have_finite_tangents(name):
    synth = make(name, **SHORT)
    axes = [torch.tensor([-1.0, 1.0], dtype=torch.float64)] * len(synth.space)
    x, tangents = synth.value_and_tangents(synth.space.from_unit(torch.cartesian_prod(*axes)))
    assert torch.isfinite(x).all()
    assert torch.isfinite(tangents).all()
    assert (x.abs().amax(-1) > 1e-3).all()


def test_peak_and_energy_normalization_do_what_they_say(name):
    theta = points(make(name), 3)
    peak = make(name, **SHORT, normalization="peak")(theta)
    energy = make(name, **SHORT, normalization="energy")(theta)
    torch.testing.assert_close(peak.abs().amax(-1), torch.ones(3).double())
    torch.testing.assert_close(energy.square().sum(-1), torch.ones(3).double())


@pytest.mark.usefixtures("without_shape_checks")
def test_it_compiles_without_a_graph_break(name):
    synth = make(name, **SHORT)
    theta = points(synth, 2)
    compiled = torch.compile(synth, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(theta), synth(theta), rtol=0, atol=1e-10)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_sounds_and_tangents_of_the_cpu(name):
    synth = make(name)
    theta = points(synth, 4)
    x, tangents = synth.value_and_tangents(theta)
    x_cuda, tangents_cuda = synth.cuda().value_and_tangents(theta.cuda())
    assert x_cuda.is_cuda
    torch.testing.assert_close(x_cuda.cpu(), x, rtol=0, atol=1e-9)
    error = (tangents_cuda.cpu() - tangents).norm(dim=-1) / tangents.norm(dim=-1)
    assert error.max() < 1e-9


def test_the_probe_accepts_it(name):
    synth = make(name)
    probe(synth)
    probe(synth, points(synth, 2).float())


def test_theta_out_of_range_is_refused_with_parameter_range_unit_and_value(name):
    synth = make(name, **SHORT)
    parameter = synth.space[0]
    theta = points(synth)
    theta[3, 0] = 2 * parameter.high
    with pytest.raises(ValueError, match=rf"'{parameter.name}'.*{parameter.unit}, got .* in row 3"):
        synth(theta)
    theta[3, 0] = torch.nan
    with pytest.raises(ValueError, match=rf"'{parameter.name}'.*finite"):
        synth.value_and_tangents(theta)


def test_wrong_shape_and_dtype_are_refused(name):
    synth = make(name, **SHORT)
    theta = points(synth)
    with pytest.raises(ValueError, match=r"shape \(\.\.\., "):
        synth(theta[:, :-1])
    with pytest.raises(TypeError, match="int64"):
        synth(theta.long())
    with pytest.raises(TypeError, match="float16"):
        synth(theta.half())


def test_options_out_of_range_are_refused(name):
    with pytest.raises(ValueError, match="sample_rate must be a finite number above 0, got 0"):
        make(name, sample_rate=0)
    with pytest.raises(ValueError, match="n_samples must be a whole number of at least 1, got 0"):
        make(name, n_samples=0)
    with pytest.raises(ValueError, match="'rms', expected one of 'none', 'peak', 'energy'"):
        make(name, normalization="rms")


def test_ranges_can_be_narrowed(name):
    parameter = make(name).space[0]
    middle = (parameter.low + parameter.high) / 2
    synth = make(name, ranges={parameter.name: (middle, parameter.high)})
    assert synth.space[0].low == middle
    assert synth.space[1:] == make(name).space[1:]


def test_it_copies_pickles_and_casts(name):
    synth = make(name, **SHORT)
    theta = points(synth)
    x = synth(theta)
    for twin in (copy.deepcopy(synth), pickle.loads(pickle.dumps(synth)), synth.float(), synth.double()):
        assert torch.equal(twin(theta), x)


def test_it_is_listed_and_its_class_is_public(name):
    assert name in pnp.synths.available()
    assert type(make(name)).__name__ in pnp.synths.__all__
