"""Diagnostics on metrics whose answers are known."""

import math

import pytest
import torch

from pnp import RiemannianMetric, diagnostics

NAN = float("nan")


@pytest.fixture
def random_metric(generator: torch.Generator) -> RiemannianMetric:
    jacobian = torch.randn(7, 20, 4, generator=generator, dtype=torch.float64)
    return RiemannianMetric.from_jacobian(jacobian * torch.tensor([100.0, 1.0, 1e-2, 1e-4]))


@pytest.fixture
def with_missing(random_metric: RiemannianMetric) -> RiemannianMetric:
    factor = random_metric.factor.clone()
    factor[2] = NAN
    return RiemannianMetric.from_factor(factor)


def test_spectrum_quantiles_are_those_of_the_eigenvalues() -> None:
    scales = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0], dtype=torch.float64)
    metric = RiemannianMetric.from_factor(scales[:, None, None] * torch.diag(torch.tensor([3.0, 1.0])))
    result = diagnostics.spectrum(metric, quantiles=(0.0, 0.5, 1.0))
    torch.testing.assert_close(result, torch.tensor([[9.0, 1], [81, 9], [225, 25]], dtype=torch.float64))


def test_spectrum_leaves_missing_sounds_out(with_missing: RiemannianMetric) -> None:
    present = with_missing[with_missing.valid]
    torch.testing.assert_close(diagnostics.spectrum(with_missing), diagnostics.spectrum(present))


@pytest.mark.parametrize("function", [diagnostics.spectrum, diagnostics.composition])
def test_summaries_of_nothing_are_refused(function, with_missing: RiemannianMetric) -> None:
    with pytest.raises(ValueError, match="no sound has a metric, out of 1"):
        function(with_missing[2:3])


def test_spectrum_refuses_what_is_no_probability(random_metric: RiemannianMetric) -> None:
    with pytest.raises(ValueError, match=r"each of quantiles must be a finite number from 0 to 1, got 50"):
        diagnostics.spectrum(random_metric, quantiles=[50])


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


def test_composition_of_a_rotation() -> None:
    c, s = math.cos(0.3), math.sin(0.3)
    rotation = torch.tensor([[c, s], [-s, c]])  # rows are the eigenvectors
    metric = RiemannianMetric.from_factor((torch.diag(torch.tensor([10.0, 1.0])) @ rotation)[None])
    expected = torch.tensor([[c * c, s * s], [s * s, c * c]], dtype=torch.float64)
    torch.testing.assert_close(diagnostics.composition(metric), expected, atol=1e-6, rtol=0)


def test_words_need_one_name_per_parameter() -> None:
    with pytest.raises(ValueError, match="expected 2 names, one per parameter, got 1"):
        diagnostics.describe_eigenvectors(torch.eye(2), ["pitch"])


def test_words_leave_small_components_out() -> None:
    vectors = torch.tensor([[0.999, 0.04], [-0.04, 0.999]])
    assert diagnostics.describe_eigenvectors(vectors, ["pitch", "decay"]) == ["1.00 pitch", "1.00 decay"]


def test_rank_counts_audible_directions() -> None:
    diagonals = torch.tensor([[1.0, 1e-3, 1e-5], [1.0, 1e-3, 1e-9], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    metric = RiemannianMetric.from_factor(torch.diag_embed(diagonals))
    assert diagnostics.rank(metric).tolist() == [3, 2, 1, 0]


def test_outliers_are_the_odd_ones(generator: torch.Generator) -> None:
    scale = torch.exp(0.1 * torch.randn(50, generator=generator))
    scale[7], scale[11] = 1e4, 0.0
    metric = RiemannianMetric.from_factor(scale[:, None, None] * torch.eye(2))
    assert diagnostics.outliers(metric).nonzero().flatten().tolist() == [7, 11]


def test_copies_have_no_outliers() -> None:
    metric = RiemannianMetric.from_factor(torch.eye(2).expand(9, 2, 2))
    assert not diagnostics.outliers(metric).any()


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
