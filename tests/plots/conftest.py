"""Space and metrics to draw."""

from collections.abc import Callable

import pytest
import torch

from pnp import Parameter, ParameterSpace, RiemannianMetric


@pytest.fixture
def space() -> ParameterSpace:
    return ParameterSpace(
        [
            Parameter("f_c", 512, 1024, scale="log", unit="Hz"),
            Parameter("depth", 0, 10),
            Parameter("gamma", 0.5, 4, scale="log", unit="oct/s"),
        ]
    )


@pytest.fixture
def metric_of(generator: torch.Generator) -> Callable[[torch.Tensor], RiemannianMetric]:
    """Random metrics at some points."""

    def make(u: torch.Tensor) -> RiemannianMetric:
        jacobian = torch.randn(len(u), 12, u.shape[1], generator=generator, dtype=torch.float64)
        return RiemannianMetric.from_jacobian(jacobian)

    return make
