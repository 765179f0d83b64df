"""Spaces: sequence, maps to the unit cube, designs, kinds of parameters, serialization."""

import copy
import itertools
import pickle
import warnings

import pytest
import torch

from pnp.parameters import Parameter, ParameterSpace


@pytest.fixture
def space() -> ParameterSpace:
    return ParameterSpace(
        [
            Parameter("f_c", 512.0, 1024.0, "log", "Hz"),
            Parameter("position", -3.0, 2.0, "linear", "cm"),
            Parameter("dispersion", 1e-5, 0.3, "log"),
        ]
    )


def test_an_empty_space_and_repeated_names_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        ParameterSpace([])
    with pytest.raises(ValueError, match="'f' more than once"):
        ParameterSpace([Parameter("f", 0, 1), Parameter("f", 0, 2)])


def test_a_space_is_a_sequence_indexed_by_position_name_and_slice(space):
    assert len(space) == 3
    assert space["position"] is space[1] is list(space)[1]
    assert "position" in space
    assert "gamma" not in space
    assert space[2] in space
    assert space[:2] == ParameterSpace(list(space)[:2])
    assert space.names == ("f_c", "position", "dispersion")
    with pytest.raises(IndexError):
        space[3]


def test_an_unknown_name_suggests_the_closest(space):
    with pytest.raises(ValueError, match=r"'fc'.*f_c, position, dispersion; did you mean 'f_c'"):
        space["fc"]


def test_lows_and_highs_cannot_be_changed_through_what_is_returned(space):
    space.lows.zero_()
    space.highs.zero_()
    assert space.lows.tolist() == [512.0, -3.0, 1e-5]
    assert space.highs.tolist() == [1024.0, 2.0, 0.3]
    assert space.lows.dtype == torch.float64


def test_replace_changes_only_the_ranges_named(space):
    narrow = space.replace({"position": (-1, 1)})
    assert narrow["position"] == Parameter("position", -1, 1, "linear", "cm")
    assert narrow["f_c"] == space["f_c"]
    assert space["position"].high == 2.0
    with pytest.raises(ValueError, match="unknown parameter 'x'"):
        space.replace({"x": (0, 1)})
    with pytest.raises(ValueError, match="pair"):
        space.replace({"position": (0, 1, 2)})


def test_ends_map_to_minus_one_and_one_and_the_middle_to_the_mean(space):
    torch.testing.assert_close(space.to_unit(space.lows), -torch.ones(3).double(), rtol=0, atol=1e-15)
    torch.testing.assert_close(space.to_unit(space.highs), torch.ones(3).double(), rtol=0, atol=1e-15)
    middle = space.from_unit(torch.zeros(3, dtype=torch.float64))
    expected = torch.tensor([(512 * 1024) ** 0.5, -0.5, (1e-5 * 0.3) ** 0.5], dtype=torch.float64)
    torch.testing.assert_close(middle, expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-14), (torch.float32, 1e-5)])
def test_to_unit_inverts_from_unit(space, dtype, tolerance):
    u = space.sample(500, "uniform", seed=1).to(dtype).reshape(5, 100, 3)
    theta = space.from_unit(u)
    assert theta.dtype == dtype
    assert theta.shape == u.shape
    torch.testing.assert_close(space.to_unit(theta), u, rtol=0, atol=tolerance)


def test_from_unit_inverts_to_unit_relative_to_each_value(space):
    theta = space.from_unit(space.sample(500, "uniform", seed=2))
    torch.testing.assert_close(space.from_unit(space.to_unit(theta)), theta, rtol=1e-13, atol=1e-14)


def test_a_narrow_log_range_round_trips():
    space = ParameterSpace([Parameter("f", 440.0, 440.01, "log")])
    u = space.sample(50, "uniform")
    torch.testing.assert_close(space.to_unit(space.from_unit(u)), u, rtol=0, atol=1e-10)


@pytest.mark.parametrize("direction", ["to_unit", "from_unit"])
def test_maps_are_differentiable_in_both_modes_and_under_vmap(space, direction):
    f = getattr(space, direction)
    u = space.sample(4, seed=3)
    points = u if direction == "from_unit" else space.from_unit(u)
    rows = torch.stack([f(row) for row in points])
    torch.testing.assert_close(torch.func.vmap(f)(points), rows, rtol=0, atol=0)
    forward = torch.func.vmap(torch.func.jacfwd(f))(points)
    reverse = torch.func.vmap(torch.func.jacrev(f))(points)
    torch.testing.assert_close(forward, reverse)
    assert torch.isfinite(forward).all()
    assert torch.autograd.gradcheck(f, points.clone().requires_grad_(), eps=1e-8, atol=1e-4, rtol=1e-5)


def test_maps_raise_on_wrong_shape_and_dtype(space):
    for f in (space.to_unit, space.from_unit, space.check_unit, space.check_physical):
        with pytest.raises(ValueError, match=r"\(\.\.\., 3\).*f_c, position, dispersion.*\(2,\)"):
            f(torch.zeros(2))
    for f in (space.check_unit, space.check_physical):
        with pytest.raises(TypeError, match=r"floating-point.*int64"):
            f(torch.zeros(3, dtype=torch.int64))


def test_check_unit_names_parameter_value_and_row(space):
    u = torch.zeros(4, 3)
    space.check_unit(u)
    u[2, 1] = 1.5
    with pytest.raises(ValueError, match=r"'position' must lie in \[-1, 1\], got 1.5 in row 2"):
        space.check_unit(u)


def test_check_physical_names_parameter_range_unit_and_value(space):
    theta = space.from_unit(torch.zeros(2, 2, 3))
    space.check_physical(theta)
    theta[1, 0, 0] = 2000.0
    with pytest.raises(ValueError, match=r"'f_c' must lie in \[512, 1024\] Hz, got 2000 Hz in row \(1, 0\)"):
        space.check_physical(theta)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_checks_refuse_values_that_are_not_finite(space, value):
    theta = space.from_unit(torch.zeros(3))
    theta[0] = value
    with pytest.raises(ValueError, match=r"'f_c'.*finite"):
        space.check_physical(theta)


def test_a_negative_value_on_a_log_scale_is_outside(space):
    theta = space.from_unit(torch.zeros(3))
    theta[2] = -1.0
    with pytest.raises(ValueError, match=r"'dispersion'.*got -1"):
        space.check_physical(theta)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_corners_of_the_cube_pass_both_checks_after_a_round_trip(space, dtype):
    corners = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=3)), dtype=dtype)
    theta = space.from_unit(corners)
    space.check_physical(theta)
    space.check_unit(space.to_unit(theta))


def test_checks_skip_values_under_functorch_transforms(space):
    outside = torch.full((2, 3), 5.0)

    def checked(u):
        space.check_unit(u)
        return u.sum()

    torch.func.vmap(checked)(outside)
    torch.func.jvp(checked, (outside,), (outside,))
    torch.func.grad(checked)(outside)


@pytest.mark.usefixtures("without_shape_checks")
def test_maps_and_checks_compile_without_a_graph_break(space):
    def map_both_ways(u):
        space.check_unit(u)
        theta = space.from_unit(u)
        space.check_physical(theta)
        return space.to_unit(theta)

    u = torch.rand(4, 3)
    compiled = torch.compile(map_both_ways, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(u), map_both_ways(u))


@pytest.mark.parametrize("method", ["sobol", "uniform", "lhs"])
@pytest.mark.parametrize("n", [1, 7, 64, 100])
def test_designs_have_n_points_in_the_cube_and_depend_only_on_the_seed(space, method, n):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        u = space.sample(n, method, seed=5)
    assert u.shape == (n, 3)
    assert u.dtype == torch.float64
    assert (u.abs() <= 1).all()
    assert torch.equal(u, space.sample(n, method, seed=5))
    assert not torch.equal(u, space.sample(n, method, seed=6))


@pytest.mark.parametrize("method", ["sobol", "uniform"])
def test_a_smaller_design_is_the_beginning_of_a_larger_one(space, method):
    large = space.sample(300, method, seed=1)
    for n in (1, 17, 128, 299):
        assert torch.equal(space.sample(n, method, seed=1), large[:n])


def test_latin_hypercube_has_one_point_in_each_of_n_slices(space):
    u = space.sample(40, "lhs", seed=2)
    slices = ((u + 1) / 2 * 40).floor().sort(dim=0).values
    assert torch.equal(slices, torch.arange(40).double()[:, None].expand(40, 3))


def test_sobol_fills_each_dyadic_box_equally(space):
    u = space.sample(64, "sobol", seed=9)[:, :2]
    boxes = ((u + 1) * 4).floor()
    _, counts = (boxes[:, 0] * 8 + boxes[:, 1]).unique(return_counts=True)
    assert counts.tolist() == [1] * 64


def test_a_grid_is_a_product_with_both_ends_and_the_last_parameter_fastest(space):
    u = space.sample(27, "grid")
    expected = torch.tensor(list(itertools.product([-1.0, 0.0, 1.0], repeat=3)), dtype=torch.float64)
    assert torch.equal(u, expected)
    assert torch.equal(space.sample((3, 3, 3), "grid"), expected)
    uneven = space.sample((2, 1, 4), "grid")
    assert uneven.shape == (8, 3)
    assert uneven[:, 1].eq(0).all()
    one = ParameterSpace([Parameter("a", 0, 1)])
    assert one.sample(3, "grid").tolist() == [[-1.0], [0.0], [1.0]]


def test_impossible_designs_are_refused(space):
    with pytest.raises(ValueError, match=r"k\*\*3 points, got n = 26; take 27 or 64"):
        space.sample(26, "grid")
    with pytest.raises(ValueError, match="each of f_c"):
        space.sample((2, 2), "grid")
    for n in (0, -1):
        with pytest.raises(ValueError, match="n must be a whole number from 1 to"):
            space.sample(n)
        with pytest.raises(ValueError, match="n must be a whole number from 1 to"):
            space.sample(n, "grid")
    with pytest.raises(ValueError, match="'halton', expected one of 'sobol', 'uniform', 'lhs', 'grid'"):
        space.sample(3, "halton")


def test_json_round_trip_is_exact():
    space = ParameterSpace([Parameter("a", 0.1, 1 / 3, "log", "µs"), Parameter("b", -1e-300, 1e300)])
    restored = ParameterSpace.from_json(space.to_json())
    assert restored == space
    assert hash(restored) == hash(space)
    assert ParameterSpace.from_dict(space.to_dict()) == space


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "one key 'parameters'"),
        ({"parameters": [{"name": "a", "low": 0.0}]}, "parameter 0 lacks field 'high'"),
        ({"parameters": [{"name": "a", "low": 0, "high": 1, "max": 1}]}, "unknown field 'max'"),
    ],
)
def test_a_dictionary_with_wrong_keys_is_refused(data, message):
    with pytest.raises(ValueError, match=message):
        ParameterSpace.from_dict(data)
    with pytest.raises(ValueError, match="JSON object"):
        ParameterSpace.from_json("[]")


def test_spaces_compare_copy_and_pickle(space):
    assert pickle.loads(pickle.dumps(space)) == space
    assert copy.deepcopy(space) == space
    assert space != ParameterSpace(list(space)[::-1])
    assert space != 3
    middle = torch.zeros(3)
    assert torch.equal(copy.deepcopy(space).from_unit(middle), space.from_unit(middle))


def test_a_space_made_in_inference_mode_passes_gradients():
    with torch.inference_mode():
        space = ParameterSpace([Parameter("a", 1.0, 2.0, "log"), Parameter("b", -1.0, 3.0)])
        space.from_unit(torch.zeros(3, 2))
    u = torch.zeros(3, 2, requires_grad=True)
    space.to_unit(space.from_unit(u)).sum().backward()
    torch.testing.assert_close(u.grad, torch.ones(3, 2))


# -- integers, choices and conditions ------------------------------------------------------------------------


@pytest.fixture
def mixed() -> ParameterSpace:
    return ParameterSpace(
        [
            Parameter("wave", choices=("saw", "square", "sine")),
            Parameter("cutoff", 50.0, 12000.0, "log", "Hz"),
            Parameter("voices", 1, 8, kind="integer"),
        ],
        conditions=[Parameter("note", 36, 84, kind="integer"), Parameter("velocity", 0.0, 1.0)],
    )


def test_columns_are_parameters_then_choices_then_conditions(mixed):
    assert mixed.names == ("cutoff", "voices")
    assert mixed.column_names == ("cutoff", "voices", "wave", "note", "velocity")
    assert [p.name for p in mixed.choices] == ["wave"]
    assert [p.name for p in mixed.conditions] == ["note", "velocity"]
    assert len(mixed) == 2
    assert mixed.column("note") == 3
    assert mixed["wave"].choices == ("saw", "square", "sine")
    assert "velocity" in mixed


def test_maps_take_all_columns_or_the_parameters_alone(mixed):
    u = mixed.sample(50, "uniform", seed=1)
    assert u.shape == (50, 5)
    torch.testing.assert_close(mixed.from_unit(u)[:, :2], mixed.from_unit(u[:, :2]), rtol=0, atol=0)
    torch.testing.assert_close(mixed.to_unit(mixed.from_unit(u)), u, rtol=0, atol=1e-14)
    with pytest.raises(ValueError, match=r"\(\.\.\., 5\) or \(\.\.\., 2\).*got shape \(3,\)"):
        mixed.from_unit(torch.zeros(3))


@pytest.mark.parametrize("method", ["sobol", "uniform", "lhs", "grid"])
def test_sampled_integers_and_choices_are_whole_and_snapping_leaves_them(mixed, method):
    u = mixed.sample(4**5 if method == "grid" else 300, method)
    theta = mixed.from_unit(u)
    for name in ("voices", "wave", "note"):
        column = theta[:, mixed.column(name)]
        torch.testing.assert_close(column, column.round(), rtol=0, atol=1e-12)
    mixed.check_unit(u)
    torch.testing.assert_close(mixed.snap(u), u, rtol=0, atol=1e-14)


def test_every_whole_value_is_drawn_equally_often(mixed):
    theta = mixed.from_unit(mixed.sample(4800, "lhs"))
    for name, count in (("voices", 8), ("wave", 3)):
        drawn = theta[:, mixed.column(name)].round().long() - int(mixed[name].low)
        assert (drawn.bincount(minlength=count) - 4800 / count).abs().max() <= 1


def test_snapping_moves_to_the_nearest_whole_value(mixed):
    u = mixed.sample(200, "uniform") + 0.05
    moved = mixed.snap(u)
    theta, whole = mixed.from_unit(u.clamp(-1, 1)), mixed.from_unit(moved)
    voices = mixed.column("voices")
    torch.testing.assert_close(whole[:, voices], theta[:, voices].round())
    assert torch.equal(moved[:, 0], u[:, 0])


def test_selecting_leaves_conditions_and_order(mixed):
    fewer = mixed.select(("wave", "cutoff"))
    assert fewer.column_names == ("cutoff", "wave", "note", "velocity")
    with pytest.raises(ValueError, match="'note', expected some of wave, cutoff, voices"):
        mixed.select(["note"])
    with pytest.raises(ValueError, match="no choice"):
        mixed.select(["wave"])


def test_mixed_spaces_survive_json_copy_and_replacement(mixed):
    assert ParameterSpace.from_json(mixed.to_json()) == mixed
    assert pickle.loads(pickle.dumps(mixed)) == mixed
    narrow = mixed.replace({"note": (48, 60)})
    assert narrow["note"].high == 60
    assert narrow["wave"] == mixed["wave"]
    assert narrow != mixed


def test_a_space_of_choices_alone_is_refused():
    with pytest.raises(ValueError, match="no choice, for the metric; got 1 choices"):
        ParameterSpace([Parameter("wave", choices=("a", "b"))])


def test_names_are_unique_over_parameters_choices_and_conditions():
    with pytest.raises(ValueError, match="'a' more than once"):
        ParameterSpace([Parameter("a", 0, 1)], conditions=[Parameter("a", 0, 1)])


def test_the_dictionary_of_continuous_parameters_is_that_of_the_first_version(space):
    # Fingerprints of caches hash it.
    assert space.to_dict() == {
        "parameters": [
            {"name": "f_c", "low": 512.0, "high": 1024.0, "scale": "log", "unit": "Hz"},
            {"name": "position", "low": -3.0, "high": 2.0, "scale": "linear", "unit": "cm"},
            {"name": "dispersion", "low": 1e-5, "high": 0.3, "scale": "log", "unit": ""},
        ]
    }
