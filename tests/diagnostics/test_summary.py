"""A survey says what the functions on all metrics at once say."""

import math

import pytest
import torch

from pnp import RiemannianMetric, diagnostics
from pnp.diagnostics import summary as module


@pytest.fixture
def metric(generator) -> RiemannianMetric:
    jacobian = torch.randn(40, 9, 5, generator=generator, dtype=torch.float64)
    jacobian[:10, :, 3] = jacobian[:10, :, 1] - jacobian[:10, :, 0]
    jacobian[10:15, :, 2] = 0
    factor = RiemannianMetric.from_jacobian(jacobian).factor
    factor[20] = math.nan
    return RiemannianMetric(factor)


@pytest.mark.parametrize("entries", [2**21, 200])
def test_a_survey_agrees_with_the_whole(metric: RiemannianMetric, entries: int, monkeypatch) -> None:
    monkeypatch.setattr(module, "_ENTRIES", entries)
    found, valid = diagnostics.survey(metric), metric[metric.valid]
    assert len(found) == 39
    torch.testing.assert_close(found.eigenvalues, valid.eigenvalues)
    torch.testing.assert_close(found.identifiability, diagnostics.identifiability(valid))
    torch.testing.assert_close(found.condition, valid.condition)
    torch.testing.assert_close(found.composition, diagnostics.composition(valid))
    torch.testing.assert_close(found.mean.matrix, valid.mean().matrix)
    torch.testing.assert_close(found.cosines, diagnostics.correlation(valid).abs().median(dim=0).values)
    torch.testing.assert_close(
        diagnostics.odd_traces(found.lengths.square().sum(-1)), diagnostics.outliers(valid)
    )
    assert found.rank.tolist() == diagnostics.rank(valid).tolist()


def test_a_survey_leaves_the_number_of_threads_alone(metric: RiemannianMetric) -> None:
    threads = torch.get_num_threads()
    diagnostics.survey(metric)
    assert torch.get_num_threads() == threads
