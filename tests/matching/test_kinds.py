"""Match over choices, integers and conditions."""

import json
import re

import numpy as np
import pytest
import torch
from discrete import Organ, Spectrum
from torch import nn

from pnp.jacobian import value_and_jacobian
from pnp.matching.match import match
from pnp.matching.multistart import refine
from pnp.matching.unknowns import Unknowns
from pnp.offline.precompute import precompute
from pnp.report.results import match_as_text
from pnp.store import MetricCache

TRUE = [5.0, 3, 1, 52, 0.6]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    path = tmp_path_factory.mktemp("kinds") / "organ.h5"
    precompute(Organ(), Spectrum(), path, size=64, store="features", probe=False, progress=False)
    with MetricCache(path) as cache:
        yield cache


def matched(cache, **options):
    x = Organ()(torch.tensor([TRUE], dtype=torch.float64))[0]
    return match(x, cache, synth=Organ(), features=Spectrum(), align=False, **options)


@pytest.fixture(scope="module")
def found(cache):
    return matched(cache, conditions={"note": 52}, starts=4, fit_gain=False)


def test_all_kinds_are_found_and_a_given_condition_is_kept(cache, found):
    assert found.theta[1:4].tolist() == TRUE[1:4]
    assert float(found.theta[0]) == pytest.approx(TRUE[0], rel=0.02)
    assert float(found.theta[4]) == pytest.approx(TRUE[4], rel=0.01)
    assert found.distance_after < 0.2 * found.distance_before
    assert [p.name for p in found.parameters] == ["decay", "voices"]
    assert [c.name for c in found.conditions] == ["velocity"]
    assert found.given == {"note": 52}
    assert all(len(start.theta) == 5 and start.theta[3] == 52 for start in found.starts)


def test_a_choice_has_the_distances_that_the_other_options_would_have(cache, found):
    (wave,) = found.choices
    assert wave.option == "square"
    target = Spectrum()(found.target[None].float())
    for position, name in enumerate(("sine", "square", "soft_square")):
        theta = found.theta.clone()
        theta[2] = position
        expected = float((Spectrum()(Organ()(theta[None].float())) - target).norm())
        assert wave.distances[name] == pytest.approx(expected, rel=1e-3, abs=1e-3)
    text = match_as_text(found)
    assert re.search(r"^wave +square +soft_square .*, sine ", text, re.MULTILINE)
    assert "given            note = 52" in text
    assert "condition" in text
    assert json.loads(json.dumps(found.to_dict()))["given"] == {"note": 52}


def test_a_condition_that_is_not_given_is_searched_beside_the_gain(cache):
    found = matched(cache, starts=4)
    assert found.theta[1:4].tolist() == TRUE[1:4]
    # Level and velocity are one thing to the ear: which of both it was is not known.
    velocity = next(c for c in found.conditions if c.name == "velocity")
    assert velocity.deviation == float("inf")
    assert found.gain * velocity.value == pytest.approx(TRUE[4], rel=0.05)


def test_an_encoder_is_told_what_is_known_and_its_options_are_a_start(cache):
    told = []

    class Oracle(nn.Module):
        def forward(self, x, conditions):
            told.append(conditions)
            space = cache.space
            u = space.to_unit(torch.tensor([TRUE]))[:, :2]
            return u, {"wave": torch.tensor([[0.1, 0.8, 0.1]])}

    found = matched(
        cache, conditions={"note": 52, "velocity": 0.6}, encoder=Oracle(), starts=1, fit_gain=False
    )
    space = Organ().space
    torch.testing.assert_close(told[0], space.to_unit(torch.tensor([TRUE]))[:, 3:])
    start = next(start for start in found.starts if start.origin == "encoder")
    assert start.before < 0.5 * found.target_norm * 0.1
    matched(cache, encoder=lambda x: torch.zeros(len(x), 2), starts=1, max_evaluations=3)
    with pytest.raises(ValueError, match="of the choices wave; got waves"):
        matched(cache, encoder=lambda x: (torch.zeros(1, 2), {"waves": x}), starts=1)


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"nte": 50}, "unknown condition 'nte', expected some of note, velocity; did you mean 'note'"),
        ({"decay": 3.0}, "unknown condition 'decay'.*it is to be found and is no condition"),
        ({"note": 50.5}, "'note' needs a whole number, got 50.5"),
        ({"note": "C4"}, "'note' needs a number, got 'C4'"),
        ({"velocity": 2.0}, r"'velocity' must lie in \[0.2, 1\], the range of the cache; got 2"),
    ],
)
def test_bad_conditions_are_named(cache, conditions, message):
    with pytest.raises(ValueError, match=message):
        matched(cache, conditions=conditions)


def test_an_unknown_condition_has_a_derivative_whatever_the_synthesizer_differentiates():
    class Own(Organ):
        """Organ that differentiates its parameters alone, as a black box does."""

        def value_and_tangents(self, theta):
            x = self(theta)
            _, decay = torch.func.jvp(self, (theta,), (torch.eye(5, dtype=theta.dtype)[0].expand_as(theta),))
            zero = torch.zeros_like(x)
            return x, torch.stack([decay, zero, zero, zero, zero], 1)

    known = {"note": 50.0}
    u = torch.tensor([[0.2, 0.5, -0.3, 1.0]], dtype=torch.float64)
    u[:, 1] = Unknowns(Organ(), known).space.snap(u)[:, 1]
    exact, differences = (
        value_and_jacobian(Unknowns(synth, known), Spectrum(), u)[1] for synth in (Organ(), Own())
    )
    assert Unknowns(Organ(), known).space.column_names == ("decay", "voices", "velocity", "wave")
    torch.testing.assert_close(exact, differences, rtol=1e-4, atol=1e-6)
    assert exact[..., 2].abs().max() > 0.1


def test_exchange_finds_what_descent_cannot():
    """A distance along one free column, with its floor at another value of a whole one."""

    def residual(u):
        return np.array([u[0] - 0.3, float(u[1] != 0.5)])

    (end,) = refine(
        residual,
        lambda u: np.array([[1.0], [0.0]]),
        np.array([[-0.9, -1.0]]),
        free=[0],
        moves=lambda u: [np.array([u[0], value]) for value in (-1.0, -0.5, 0.0, 0.5, 1.0) if value != u[1]],
    )
    assert end.u == pytest.approx([0.3, 0.5])
    assert end.distance == pytest.approx(0, abs=1e-6)
