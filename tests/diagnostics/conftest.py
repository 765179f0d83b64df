"""Metrics whose answers are known."""

import pytest
import torch

from pnp import RiemannianMetric

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
