"""Fixtures of the tests of losses."""

import pytest
import torch
from forms import BATCH, N_PARAMETERS, N_SOUNDS, randn

from pnp.metric.riemannian import RiemannianMetric


@pytest.fixture
def metric():
    return RiemannianMetric.from_jacobian(randn(N_SOUNDS, 30, N_PARAMETERS))


@pytest.fixture
def batch():
    index = torch.tensor([3, 0, 19, 7, 7, 11])
    return randn(BATCH, N_PARAMETERS, seed=1), randn(BATCH, N_PARAMETERS, seed=2), index
