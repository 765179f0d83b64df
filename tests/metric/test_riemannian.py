"""RiemannianMetric: the algebra of M = RᵀR, its spectrum, damping, and what it refuses."""

import copy
import math
import pickle

import pytest
import torch

from pnp.metric.riemannian import RiemannianMetric


def _jacobian(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def _drumlike(n=6, seed=0):
    """Jacobians whose metrics have eigenvalues 1.4e4, 68, 2.9, 2e-2, 4e-17, with known eigenvectors."""
    eigenvalues = torch.tensor([1.4e4, 68.0, 2.9, 2e-2, 4e-17], dtype=torch.float64)
    left = torch.linalg.qr(_jacobian(n, 40, 5, seed=seed)).Q
    right = torch.linalg.qr(_jacobian(n, 5, 5, seed=seed + 1)).Q
    return left * eigenvalues.sqrt() @ right.mT, eigenvalues, right


@pytest.mark.parametrize("batch", [(), (3,), (2, 3), (0,)])
@pytest.mark.parametrize("channels", [1, 3, 20])
def test_matrix_is_jacobian_transposed_times_jacobian(batch, channels):
    jacobian = _jacobian(*batch, channels, 3)
    metric = RiemannianMetric.from_jacobian(jacobian)
    assert metric.batch_shape == batch
    torch.testing.assert_close(metric.matrix, jacobian.mT @ jacobian)


@pytest.mark.parametrize("channels", [2, 3, 20])
def test_factor_is_upper_triangular_with_non_negative_diagonal(channels):
    factor = RiemannianMetric.from_jacobian(_jacobian(50, channels, 3)).factor
    assert torch.equal(factor, factor.triu())
    assert (factor.diagonal(dim1=-2, dim2=-1) >= 0).all()


def test_factor_depends_on_the_metric_alone():
    jacobian = _jacobian(4, 20, 3)
    rotation = torch.linalg.qr(_jacobian(20, 20, seed=1)).Q
    torch.testing.assert_close(
        RiemannianMetric.from_jacobian(rotation @ jacobian).factor,
        RiemannianMetric.from_jacobian(jacobian).factor,
    )


def test_spectrum_agrees_with_eigh_of_the_matrix():
    metric = RiemannianMetric.from_jacobian(_jacobian(7, 20, 4))
    values = torch.linalg.eigvalsh(metric.matrix).flip(-1)
    torch.testing.assert_close(metric.eigenvalues, values)
    torch.testing.assert_close(metric.singular_values, values.sqrt())
    torch.testing.assert_close(metric.condition, values[:, 0] / values[:, -1])
    vectors = metric.eigenvectors
    torch.testing.assert_close(metric.matrix @ vectors, vectors * values[:, None, :])
    torch.testing.assert_close(vectors.mT @ vectors, torch.eye(4, dtype=torch.float64).expand(7, 4, 4))


def test_eigenvectors_have_a_positive_largest_component():
    vectors = RiemannianMetric.from_jacobian(_jacobian(50, 20, 4)).eigenvectors
    largest = vectors.gather(-2, vectors.abs().argmax(-2, keepdim=True))
    assert (largest > 0).all()
    negated = RiemannianMetric.from_jacobian(-_jacobian(50, 20, 4)).eigenvectors
    torch.testing.assert_close(negated, vectors)


def test_spectrum_spans_twenty_decades():
    jacobian, eigenvalues, right = _drumlike()
    metric = RiemannianMetric.from_jacobian(jacobian)
    torch.testing.assert_close(metric.eigenvalues[:, :4], eigenvalues[:4].expand(6, 4), rtol=1e-9, atol=0)
    assert (metric.eigenvalues[:, 4] < 1e-15).all()
    alignment = (metric.eigenvectors * right).sum(-2).abs()
    torch.testing.assert_close(alignment, torch.ones_like(alignment))


def test_log_volume_is_half_the_log_determinant():
    metric = RiemannianMetric.from_jacobian(_jacobian(7, 20, 4))
    torch.testing.assert_close(metric.log_volume, 0.5 * torch.logdet(metric.matrix))


def test_effective_rank_counts_equal_eigenvalues():
    singular_values = torch.tensor([[3.0, 0.0, 0.0], [3.0, 3.0, 0.0], [3.0, 3.0, 3.0], [0.0, 0.0, 0.0]])
    ranks = RiemannianMetric.from_factor(torch.diag_embed(singular_values)).effective_rank()
    torch.testing.assert_close(ranks, torch.tensor([1.0, 2.0, 3.0, 0.0], dtype=torch.float64))


def test_singular_metric_has_infinite_condition_and_no_volume():
    jacobian = torch.cat([_jacobian(2, 20, 2), torch.zeros(2, 20, 1, dtype=torch.float64)], -1)
    metric = RiemannianMetric.from_jacobian(torch.cat([jacobian, torch.zeros(1, 20, 3, dtype=torch.float64)]))
    assert torch.isinf(metric.condition).all()
    assert torch.equal(metric.log_volume, torch.full((3,), -math.inf, dtype=torch.float64))


def test_norm_is_the_length_of_the_first_order_change():
    jacobian, du = _jacobian(7, 20, 4), _jacobian(7, 4, seed=1)
    metric = RiemannianMetric.from_jacobian(jacobian)
    change = (jacobian @ du.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(metric.norm(du), torch.linalg.vector_norm(change, dim=-1))
    torch.testing.assert_close(metric.distance_squared(du), change.square().sum(-1))
    torch.testing.assert_close(metric.norm(du[:1]), metric.norm(du[:1].expand(7, 4)))


def test_distance_is_never_negative_even_along_an_inaudible_direction():
    jacobian, _, right = _drumlike(200)
    metric = RiemannianMetric.from_jacobian(jacobian)
    assert (metric.distance_squared(right[..., -1]) >= 0).all()
    # The same form through M in float32, for which this is false: the reason why the factor is what is
    # stored.
    du, matrix = right[..., -1].float(), metric.matrix.float()
    assert (torch.einsum("bi,bij,bj->b", du, matrix, du) < 0).any()


def test_mean_is_the_arithmetic_mean():
    metric = RiemannianMetric.from_jacobian(_jacobian(7, 20, 4))
    torch.testing.assert_close(metric.mean().matrix, metric.matrix.mean(0))
    torch.testing.assert_close(metric[0].mean().matrix, metric[0].matrix)


def test_scaled_multiplies_the_matrix():
    metric = RiemannianMetric.from_jacobian(_jacobian(3, 20, 4))
    mu = torch.tensor([1.0, 0.0, 2.5])
    torch.testing.assert_close(metric.scaled(2.0).matrix, 2.0 * metric.matrix)
    torch.testing.assert_close(metric.scaled(mu).matrix, mu.double()[:, None, None] * metric.matrix)


def test_damping_adds_lambda_d():
    metric = RiemannianMetric.from_jacobian(_jacobian(5, 20, 3))
    matrix, lam = metric.matrix, 0.7
    torch.testing.assert_close(metric.damped(lam).matrix, matrix + lam * torch.eye(3, dtype=torch.float64))
    diagonal = torch.diag_embed(matrix.diagonal(dim1=-2, dim2=-1))
    torch.testing.assert_close(metric.damped(lam, "diagonal").matrix, matrix + lam * diagonal)
    torch.testing.assert_close(metric.damped(lam, "mean").matrix, matrix + lam * matrix.mean(0))
    one = metric[2].damped(lam, "mean", reference=metric)
    torch.testing.assert_close(one.matrix, matrix[2] + lam * matrix.mean(0))
    per_point = torch.linspace(0, 1, 5, dtype=torch.float64)
    torch.testing.assert_close(
        metric.damped(per_point).matrix, matrix + per_point[:, None, None] * torch.eye(3, dtype=torch.float64)
    )


@pytest.mark.parametrize("lam", [1e-17, 1e-8, 1.0, 1e4, 1e17])
def test_identity_damping_shifts_every_eigenvalue_over_the_whole_range(lam):
    jacobian, eigenvalues, _ = _drumlike()
    damped = RiemannianMetric.from_jacobian(jacobian).damped(lam)
    expected = (eigenvalues + lam).expand(6, 5)
    torch.testing.assert_close(damped.eigenvalues[:, :4], expected[:, :4], rtol=1e-9, atol=0)
    assert (damped.eigenvalues[:, 4] >= lam * (1 - 1e-6)).all()


def test_interpolated_or_given_matrix_becomes_the_same_metric():
    matrix = RiemannianMetric.from_jacobian(_jacobian(5, 20, 3)).matrix
    torch.testing.assert_close(RiemannianMetric.from_matrix(matrix).matrix, matrix)
    singular = torch.ones(2, 3, 3)
    torch.testing.assert_close(RiemannianMetric.from_matrix(singular).matrix, singular.double())


def test_a_square_factor_need_not_be_triangular():
    root = _jacobian(5, 3, 3)
    metric = RiemannianMetric.from_factor(root)
    torch.testing.assert_close(metric.matrix, root.mT @ root)
    assert torch.equal(metric.factor, metric.factor.triu())


def test_points_without_a_metric_are_marked_and_left_out():
    factor = RiemannianMetric.from_jacobian(_jacobian(4, 20, 3)).factor.clone()
    factor[1] = math.nan
    metric = RiemannianMetric.from_factor(factor)
    whole = metric[torch.tensor([0, 2, 3])]
    assert metric.valid.tolist() == [True, False, True, True]
    assert torch.isnan(metric.eigenvalues[1]).all()
    assert torch.isnan(metric.condition[1])
    torch.testing.assert_close(metric.mean().matrix, whole.mean().matrix)
    for kind in ("identity", "diagonal", "mean"):
        damped = metric.damped(0.5, kind)
        assert damped.valid.tolist() == metric.valid.tolist()
        torch.testing.assert_close(damped.matrix[[0, 2, 3]], whole.damped(0.5, kind).matrix)
    assert "missing=1" in repr(metric)


def test_container_indexing():
    metric = RiemannianMetric.from_jacobian(_jacobian(4, 20, 3))
    assert (len(metric), len(metric[1:3]), metric[0].batch_shape) == (4, 2, ())
    torch.testing.assert_close(metric[torch.tensor([3, 0])].matrix, metric.matrix[[3, 0]])
    assert len(list(metric)) == 4


def test_copies_and_pickles():
    metric = RiemannianMetric.from_jacobian(_jacobian(4, 20, 3))
    for twin in (copy.deepcopy(metric), pickle.loads(pickle.dumps(metric)), metric.to("cpu")):
        assert torch.equal(twin.factor, metric.factor)


def test_float32_jacobian_is_decomposed_in_float64():
    jacobian = _jacobian(4, 20, 3, dtype=torch.float32)
    metric = RiemannianMetric.from_jacobian(jacobian)
    assert metric.factor.dtype == torch.float64
    assert torch.equal(metric.factor, RiemannianMetric.from_jacobian(jacobian.double()).factor)


def test_gradient_of_the_squared_distance_is_twice_m_du():
    metric = RiemannianMetric.from_jacobian(_jacobian(4, 20, 3))
    du = _jacobian(4, 3, seed=1).requires_grad_()
    (gradient,) = torch.autograd.grad(metric.distance_squared(du).sum(), du)
    torch.testing.assert_close(gradient, 2 * (metric.matrix @ du.detach().unsqueeze(-1)).squeeze(-1))


def test_bad_input_is_named():
    good = _jacobian(4, 20, 3)
    metric = RiemannianMetric.from_jacobian(good)
    for value in (math.nan, math.inf):
        bad = good.clone()
        bad[[1, 3], 5, 0] = value
        with pytest.raises(ValueError, match="rows 1, 3"):
            RiemannianMetric.from_jacobian(bad)
    with pytest.raises(TypeError, match="int64"):
        RiemannianMetric.from_jacobian(torch.ones(4, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"\(\.\.\., C, P\).*\(3,\)"):
        RiemannianMetric.from_jacobian(good[0, 0])
    with pytest.raises(ValueError, match=r"\(\.\.\., P, P\).*\(4, 20, 3\)"):
        RiemannianMetric.from_factor(good)
    partly = metric.factor.clone()
    partly[2, 0, 1] = math.nan
    with pytest.raises(ValueError, match="row 2"):
        RiemannianMetric.from_factor(partly)
    negative = metric.matrix - 0.9 * metric.eigenvalues[:, :1, None] * torch.eye(3, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"positive semi-definite.*rows 0, 1, 2, 3"):
        RiemannianMetric.from_matrix(negative)
    with pytest.raises(ValueError, match="symmetric"):
        RiemannianMetric.from_matrix(metric.factor)
    with pytest.raises(ValueError, match=r"identity, diagonal, mean.*'cholesky'"):
        metric.damped(1.0, "cholesky")
    for lam in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="lam must be a finite number of at least 0"):
            metric.damped(lam)
    huge = RiemannianMetric.from_factor(metric.factor * 1e200)
    with pytest.raises(ValueError, match="overflows"):
        huge.damped(1e300, "diagonal")
    with pytest.raises(ValueError, match=r"\(\.\.\., 3\).*\(4, 2\)"):
        metric.norm(torch.zeros(4, 2))
    with pytest.raises(IndexError, match="4 is out of range for a metric at 4 points"):
        metric[4]
    with pytest.raises(TypeError, match="single point"):
        metric[0][0]
    with pytest.raises(TypeError, match="single point"):
        len(metric[0])
    with pytest.raises(ValueError, match="none of 2"):
        RiemannianMetric.from_factor(torch.full((2, 3, 3), math.nan)).mean()


def test_saturated_is_a_metric_in_series():
    metric = RiemannianMetric.from_jacobian(_jacobian(6, 20, 3))
    for ceiling in (0.1, 10.0, 1e6):
        expected = (metric.matrix.inverse() + torch.eye(3, dtype=torch.float64) / ceiling).inverse()
        torch.testing.assert_close(metric.saturated(ceiling).matrix, expected)


def test_saturated_metric_is_safe_over_all_eigenvalues():
    diagonal = torch.tensor([1e200, 1e4, 1.0, 1e-17, 0.0], dtype=torch.float64)
    factor = torch.stack([torch.diag(diagonal), torch.full((5, 5), math.nan, dtype=torch.float64)])
    saturated = RiemannianMetric.from_factor(factor).saturated(4.0)
    expected = torch.tensor([4.0, 4.0, 0.8, 1e-34, 0.0], dtype=torch.float64)
    torch.testing.assert_close(saturated.eigenvalues[0], expected, rtol=1e-6, atol=0)
    assert saturated.valid.tolist() == [True, False]


@pytest.mark.parametrize("ceiling", [0.0, -1.0, math.inf, math.nan])
def test_impossible_ceilings_are_refused(ceiling):
    with pytest.raises(ValueError, match="ceiling must be a finite number above 0"):
        RiemannianMetric.from_factor(torch.eye(2)[None]).saturated(ceiling)
