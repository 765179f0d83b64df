"""One thread of NumPy's linear algebra beside PyTorch's."""

import pytest
from threadpoolctl import ThreadpoolController

from pnp._torch.blas import blas_in_one_thread


def threads() -> list[int]:
    return [
        library.num_threads
        for library in ThreadpoolController().lib_controllers
        if library.internal_api == "openblas"
    ]


@pytest.mark.parametrize("fails", [False, True])
def test_threads_are_as_many_as_before_afterwards(fails: bool) -> None:
    with ThreadpoolController().select(internal_api="openblas").limit(limits=2):
        check(fails)


def check(fails: bool) -> None:
    before = threads()
    # NumPy's wheels carry OpenBLAS; another build has nothing to limit.
    if not before:
        pytest.skip("NumPy has no OpenBLAS")
    assert 2 in before

    def inside() -> None:
        with blas_in_one_thread():
            assert threads() == [1] * len(before)
            assert not fails, "on purpose"

    if fails:
        with pytest.raises(AssertionError, match="on purpose"):
            inside()
    else:
        inside()
    assert threads() == before
