"""Fixtures that every test can use."""

import random
import signal
from collections.abc import Iterator
from pathlib import Path

import annotation_checks
import jaxtyping
import numpy as np
import pytest
import torch

annotation_checks.install("pnp")


def pytest_configure(config: pytest.Config) -> None:
    """A warning in a helper of the tests is the suite's own, as `filterwarnings` in pyproject.toml has it for tests."""
    for helper in Path(__file__).parent.glob("*.py"):
        config.addinivalue_line("filterwarnings", rf"error:::{helper.stem}\b")


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    """Same numbers in every test, whatever ran before; the default dtype is put back."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  (what third parties draw from)
    torch.manual_seed(0)
    dtype = torch.get_default_dtype()
    yield
    torch.set_default_dtype(dtype)


@pytest.fixture(autouse=True, scope="session")
def _single_thread() -> None:
    """One thread: sums come out in the same order on every machine, and pytest-xdist workers do not fight."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _forward_mode_prepared() -> None:
    """PyTorch warns about itself at a process's first dual tensor; some tests make it by PyTorch's own functions."""
    from pnp._torch.pushforward import _load_decompositions

    _load_decompositions()


@pytest.fixture(autouse=True, scope="session")
def _interruptible() -> None:
    """A shell starts its background jobs deaf to Ctrl-C, and their children inherit that: tests interrupt theirs."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def without_shape_checks() -> Iterator[None]:
    """Dynamo cannot trace through the shape checks of the tests; outside of tests they are off."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
