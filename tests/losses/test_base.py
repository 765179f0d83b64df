"""Common parts of all losses: scale, reduction, and checks of a batch."""

import pytest
import torch
from forms import BATCH

from pnp.losses import ParameterLoss, PNPLoss


def test_scale_multiplies_every_loss(metric, batch):
    for make in (lambda **k: PNPLoss(metric, damping=0.1, **k), ParameterLoss):
        torch.testing.assert_close(make(scale=2.5)(*batch), 2.5 * make()(*batch))


@pytest.mark.parametrize("make", [lambda m: PNPLoss(m, damping=0.1), lambda m: ParameterLoss()])
def test_reductions_agree(metric, batch, make):
    loss = make(metric)
    values = {}
    for loss.reduction in ("none", "mean", "sum"):
        values[loss.reduction] = loss(*batch)
    assert values["none"].shape == (BATCH,)
    torch.testing.assert_close(values["mean"], values["none"].mean())
    torch.testing.assert_close(values["sum"], values["none"].sum())
