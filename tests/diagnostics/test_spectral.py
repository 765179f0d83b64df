"""Spectra, ranks and outliers of metrics whose answers are known."""

import pytest
import torch

from pnp import RiemannianMetric, diagnostics


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
