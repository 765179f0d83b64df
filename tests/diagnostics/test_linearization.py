"""Error of the quadratic form, where the answers are known."""

import math

import pytest
import torch
from torch import Tensor, nn

from pnp import Parameter, ParameterSpace, RiemannianMetric, diagnostics, value_and_jacobian


class Curved(nn.Module):
    """Sounds that are a quadratic function of the parameters: x = A v + curvature |v|² b, b ⟂ A."""

    def __init__(self, curvature: float) -> None:
        super().__init__()
        self.space = ParameterSpace([Parameter("a", -1, 1), Parameter("b", -1, 1)])
        self.sample_rate, self.n_samples = 1.0, 3
        self.curvature = curvature

    def forward(self, theta: Tensor) -> Tensor:
        bend = self.curvature * theta.square().sum(-1, keepdim=True)
        return torch.cat([2 * theta, bend], dim=-1)


def metric_of(synth: nn.Module, u: Tensor) -> RiemannianMetric:
    return RiemannianMetric.from_jacobian(value_and_jacobian(synth, nn.Identity(), u)[1])


def test_a_linear_map_has_no_linearization_error() -> None:
    synth, u = Curved(0.0), torch.rand(4, 2, dtype=torch.float64) * 2 - 1
    result = diagnostics.linearization_error(synth, nn.Identity(), u, metric_of(synth, u))
    assert result.relative.max() < 1e-10
    assert result.trusted_radius().tolist() == [1.0] * 4


def test_linearization_error_is_that_of_the_curvature() -> None:
    synth, u = Curved(3.0), torch.zeros(1, 2, dtype=torch.float64)
    radii = (0.1, 0.4)
    result = diagnostics.linearization_error(
        synth, nn.Identity(), u, metric_of(synth, u), radii, directions=5
    )
    for k, r in enumerate(radii):
        predicted, actual = 2 * r, math.hypot(2 * r, 3 * r**2)
        torch.testing.assert_close(result.predicted[0, k], torch.full((5,), predicted, dtype=torch.float64))
        torch.testing.assert_close(result.actual[0, k], torch.full((5,), actual, dtype=torch.float64))
        assert result.relative[0, k, 0] == pytest.approx(1 - predicted / actual)
    assert result.trusted_radius(0.1).item() == 0.1
    assert result.trusted_radius(1e-6).item() == 0.0


def test_no_step_leaves_the_cube() -> None:
    class Strict(Curved):
        def forward(self, theta: Tensor) -> Tensor:
            assert theta.abs().max() <= 1
            return super().forward(theta)

    synth = Strict(1.0)
    u = torch.tensor([[1.0, -1.0], [0.3, 0.999], [0.0, 0.0]], dtype=torch.float64)
    diagnostics.linearization_error(synth, nn.Identity(), u, metric_of(synth, u), radii=[1.0], directions=40)


def test_a_sound_without_metric_has_no_linearization_error() -> None:
    synth, u = Curved(1.0), torch.zeros(2, 2, dtype=torch.float64)
    factor = metric_of(synth, u).factor.clone()
    factor[0] = math.nan
    result = diagnostics.linearization_error(synth, nn.Identity(), u, RiemannianMetric.from_factor(factor))
    assert result.relative.isnan().all(-1).all(-1).tolist() == [True, False]
    assert result.trusted_radius().isnan().tolist() == [True, False]


def test_linearization_error_of_nothing_is_nothing() -> None:
    synth, u = Curved(1.0), torch.zeros(0, 2, dtype=torch.float64)
    result = diagnostics.linearization_error(synth, nn.Identity(), u, metric_of(synth, torch.zeros(1, 2))[:0])
    assert result.relative.shape == (0, 7, 8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"radii": [2.0]}, "above 0 and at most 1, got 2.0"),
        ({"radii": []}, "radii must be several numbers"),
        ({"directions": 0}, "directions must be a whole number"),
    ],
)
def test_impossible_steps_are_refused(options, message) -> None:
    synth, u = Curved(1.0), torch.zeros(1, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match=message):
        diagnostics.linearization_error(synth, nn.Identity(), u, metric_of(synth, u), **options)
    with pytest.raises(ValueError, match=r"shape \(1, 2\), one row per metric, got \(2, 2\)"):
        diagnostics.linearization_error(synth, nn.Identity(), u.expand(2, 2), metric_of(synth, u))
