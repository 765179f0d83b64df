"""The package's annotations are checked while tests run, shapes included."""

import pytest
import torch

from pnp.features.scattering.temporal import add_low_bins
from pnp.losses import ParameterLoss
from pnp.parameters import Parameter
from pnp.store.schema import Column, digest_rows


@pytest.mark.parametrize(
    "call",
    [
        lambda: digest_rows([1, 2]),
        lambda: Column("u", "<f8", "shape", "1", "a dataclass"),
        lambda: add_low_bins(torch.zeros(3, 5), torch.zeros(3, 5)),
        lambda: add_low_bins(torch.zeros(3, 5) + 0j, torch.zeros(4, 5) + 0j),
    ],
    ids=["function", "dataclass", "dtype", "two sizes of one name"],
)
def test_what_does_not_fit_an_annotation_raises(call) -> None:
    with pytest.raises(TypeError, match=r"violates type hint|Type-check error"):
        call()


def test_an_int_serves_as_float() -> None:
    assert Parameter("f", 1, 2).high == 2
    assert ParameterLoss()(torch.zeros(2, 3), torch.ones(2, 3), torch.arange(2)) > 0
