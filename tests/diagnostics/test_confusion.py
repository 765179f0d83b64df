"""Parameters that sound alike, and steps that are just heard."""

import math

import pytest
import torch

from pnp import RiemannianMetric, diagnostics


def test_correlation_is_the_cosine_between_jacobian_columns(generator: torch.Generator) -> None:
    jacobian = torch.randn(3, 30, 4, generator=generator, dtype=torch.float64)
    cosine = torch.nn.functional.cosine_similarity(jacobian[..., :, None], jacobian[..., None, :], dim=-3)
    torch.testing.assert_close(diagnostics.correlation(RiemannianMetric.from_jacobian(jacobian)), cosine)


def test_correlation_does_not_depend_on_the_scale_of_parameters(random_metric: RiemannianMetric) -> None:
    scaled = RiemannianMetric.from_factor(
        random_metric.factor * torch.tensor([1e-3, 5.0, 1e6, 7.0], dtype=torch.float64)
    )
    torch.testing.assert_close(diagnostics.correlation(scaled), diagnostics.correlation(random_metric))


def test_identifiability_is_one_over_root_of_the_inverse_diagonal(random_metric: RiemannianMetric) -> None:
    # Inverting R, whose condition is the root of M's, keeps the reference accurate.
    inverse = torch.linalg.inv(random_metric.factor)
    expected = 1 / torch.linalg.vector_norm(inverse, dim=-1)
    absolute = diagnostics.identifiability(random_metric, relative=False)
    torch.testing.assert_close(absolute, expected, rtol=1e-8, atol=0)
    length = torch.linalg.vector_norm(random_metric.factor, dim=-2)
    torch.testing.assert_close(
        diagnostics.identifiability(random_metric), expected / length, rtol=1e-8, atol=0
    )


def test_orthogonal_columns_are_fully_identifiable() -> None:
    metric = RiemannianMetric.from_factor(torch.diag(torch.tensor([1e6, 1.0, 1e-6])))
    torch.testing.assert_close(diagnostics.identifiability(metric), torch.ones(3, dtype=torch.float64))


def test_a_parameter_that_others_imitate_is_not_identifiable_and_the_rest_is(
    generator: torch.Generator,
) -> None:
    jacobian = torch.randn(50, 4, generator=generator, dtype=torch.float64)
    jacobian[:, 3] = 2 * jacobian[:, 0] - jacobian[:, 1]  # 0, 1 and 3 explain one another
    result = diagnostics.identifiability(RiemannianMetric.from_jacobian(jacobian))
    assert result[[0, 1, 3]].max() < 1e-10
    assert result[2] > 0.5


def test_two_identical_columns_do_not_explain_a_third() -> None:
    jacobian = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    result = diagnostics.identifiability(RiemannianMetric.from_jacobian(jacobian))
    torch.testing.assert_close(result, torch.tensor([0.0, 0, 1], dtype=torch.float64), atol=1e-12, rtol=0)


def test_an_inaudible_parameter_has_identifiability_zero_and_an_infinite_step() -> None:
    metric = RiemannianMetric.from_factor(torch.diag(torch.tensor([1.0, 0.0])))
    assert diagnostics.identifiability(metric)[1] == 0
    assert diagnostics.just_noticeable_steps(metric).axes[1] == math.inf
    assert diagnostics.correlation(metric).tolist() == [[1, 0], [0, 1]]


def test_one_parameter_is_identifiable_alone() -> None:
    metric = RiemannianMetric.from_factor(torch.full((3, 1, 1), 2.0))
    assert diagnostics.identifiability(metric).tolist() == [[1.0]] * 3


def test_every_just_noticeable_step_is_as_long_as_it_says(random_metric: RiemannianMetric) -> None:
    steps = diagnostics.just_noticeable_steps(random_metric, distance=0.3)
    for p, axis in enumerate(torch.eye(4, dtype=torch.float64)):
        length = random_metric.norm(steps.axes[:, p : p + 1] * axis)
        torch.testing.assert_close(length, torch.full_like(length, 0.3))
        vectors = steps.eigenvectors[:, p : p + 1] * random_metric.eigenvectors[:, :, p]
        torch.testing.assert_close(
            random_metric.norm(vectors), torch.full_like(length, 0.3), rtol=1e-6, atol=0
        )


def test_a_distance_that_is_not_positive_is_refused(random_metric: RiemannianMetric) -> None:
    with pytest.raises(ValueError, match="distance must be a finite number above 0, got 0"):
        diagnostics.just_noticeable_steps(random_metric, distance=0)


def test_a_missing_metric_stays_missing(with_missing: RiemannianMetric) -> None:
    steps = diagnostics.just_noticeable_steps(with_missing)
    for result in (
        diagnostics.correlation(with_missing).flatten(1),
        diagnostics.identifiability(with_missing),
        steps.axes,
        steps.eigenvectors,
    ):
        assert result.isnan().all(1).tolist() == [False, False, True, False, False, False, False]
    assert diagnostics.rank(with_missing)[2] == 0
    assert not diagnostics.outliers(with_missing)[2]


def projected(factor: torch.Tensor, p: int) -> float:
    """Sine between a column and the span of the others, by least squares."""
    others = torch.cat([factor[:, :p], factor[:, p + 1 :]], dim=1)
    column = factor[:, p : p + 1]
    solution = torch.linalg.lstsq(others, column, driver="gelsd", rcond=1e-12).solution
    return float((column - others @ solution).norm() / column.norm())


@pytest.mark.parametrize("kind", ["regular", "dependent", "twice", "silent", "nearly"])
def test_identifiability_is_the_sine_to_the_span_of_the_others(kind: str, generator) -> None:
    jacobian = torch.randn(12, 6, generator=generator, dtype=torch.float64)
    if kind == "dependent":
        jacobian[:, 2] = 3 * jacobian[:, 0] - jacobian[:, 4]
    if kind == "twice":
        jacobian[:, 1] = jacobian[:, 5] = jacobian[:, 3]
    if kind == "silent":
        jacobian[:, 4] = 0
    if kind == "nearly":
        jacobian[:, 1] = jacobian[:, 0] + 1e-9 * jacobian[:, 1]
    jacobian *= torch.logspace(3, -6, 6, dtype=torch.float64)
    found = diagnostics.identifiability(RiemannianMetric.from_jacobian(jacobian))
    unit = jacobian / jacobian.norm(dim=0).clamp(min=1e-300)
    expected = [projected(unit, p) if jacobian[:, p].any() else 0.0 for p in range(6)]
    assert found.tolist() == pytest.approx(expected, rel=1e-5, abs=1e-10)
