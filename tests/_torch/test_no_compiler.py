"""Forward mode without the compiler."""

import subprocess
import sys

import pytest
import torch
from packaging.version import Version

from pnp._torch.no_compiler import _left_alone, without_compiler


def test_functions_are_as_before_afterwards() -> None:
    before = [dict(vars(function)) for function in _left_alone()]
    with without_compiler(), without_compiler():
        pass
    assert [vars(function) for function in _left_alone()] == before


@pytest.mark.slow
@pytest.mark.skipif(Version(torch.__version__) < Version("2.14"), reason="others may load it elsewhere")
def test_tangents_of_a_product_with_a_constant_do_not_load_the_compiler() -> None:
    script = """
import sys, torch
from pnp._torch.pushforward import along_axes
t = torch.linspace(0, 1, 5, dtype=torch.float64)
value, tangents = along_axes(lambda theta: 10.0 ** (theta[..., :1].double() * t), torch.ones(1, 1))
expected = 10.0 ** t * t * torch.log(torch.tensor(10.0).double())
torch.testing.assert_close(tangents[0, 0], expected)
print("torch._dynamo" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False"]
