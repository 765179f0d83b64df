"""ParameterLoss: the mean squared error, and what it shares with PNP loss."""

import torch
from forms import N_PARAMETERS, N_SOUNDS
from torch import nn

from pnp.losses import ParameterLoss, PNPLoss
from pnp.metric.riemannian import RiemannianMetric


def test_with_the_identity_as_metric_pnp_loss_is_parameter_loss(batch):
    u_hat, u, index = batch
    eye = RiemannianMetric.from_factor(torch.eye(N_PARAMETERS).expand(N_SOUNDS, -1, -1))
    torch.testing.assert_close(PNPLoss(eye)(u_hat, u, index), ParameterLoss()(u_hat, u, index))


def test_parameter_loss_is_half_the_squared_error_per_sound(batch):
    u_hat, u, index = batch
    expected = 0.5 * nn.functional.mse_loss(u_hat, u) * N_PARAMETERS
    torch.testing.assert_close(ParameterLoss()(u_hat, u, index), expected)


def test_parameter_loss_keeps_the_type_of_the_prediction(batch):
    u_hat, u, _ = batch
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert ParameterLoss()(u_hat.to(dtype), u).dtype == dtype
