"""Eigenvectors in shares and in words."""

import math

import pytest
import torch

from pnp import RiemannianMetric, diagnostics


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
