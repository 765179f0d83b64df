"""A disk that fails at any write ends in an `OSError` or a sentence, never in a crash of HDF5."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from caches import make, shards

import pnp
from pnp.errors import CacheError
from pnp.store import check_integrity, merge
from pnp.store.hdf5 import new_file


class Failing(FileIO):
    """File whose disk fails from the n-th write on."""

    remaining = 10**9
    error: BaseException = OSError(errno.ENOSPC, "No space left on device")
    once = False

    def _count(self) -> None:
        Failing.remaining -= 1
        if Failing.remaining == 0 or (Failing.remaining < 0 and not Failing.once):
            raise Failing.error

    def write(self, data: Any) -> int:
        self._count()
        return super().write(data)

    def truncate(self, size: int | None = None) -> int:
        self._count()
        return super().truncate(size)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the n-th write of a file in the making fail."""
    monkeypatch.setattr("pnp.store.hdf5.open_unbuffered", lambda path: Failing(path, "w+b"))

    def set_to(n: int, error: BaseException | None = None, once: bool = False) -> None:
        Failing.remaining, Failing.once = n, once
        Failing.error = error or OSError(errno.ENOSPC, "No space left on device")

    return set_to


def count_writes(action: Callable[[], object], failing: Callable[..., None]) -> int:
    failing(10**9)
    action()
    return 10**9 - Failing.remaining


@pytest.mark.parametrize("once", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_every_write_of_a_compression_may_fail(path: Path, failing: Any, once: bool) -> None:
    plain = path.read_bytes()
    n = count_writes(lambda: make(path, compression="gzip"), failing)
    packed = path.read_bytes()
    assert n > 20
    for position in range(1, n + 1):
        path.write_bytes(plain)
        failing(position, once=once)
        with pytest.raises(
            CacheError, match=r"^cannot compress .*toy\.h5: No space left on device; it is fin"
        ):
            make(path, compression="gzip")
        assert path.read_bytes() == plain
        assert not path.with_name("toy.h5.partial").exists()
    failing(10**9)
    make(path, compression="gzip")
    assert path.read_bytes() == packed


@pytest.mark.parametrize("once", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_every_write_of_a_creation_may_fail(tmp_path: Path, failing: Any, once: bool) -> None:
    parts = shards(tmp_path, 2, size=16)
    out = tmp_path / "merged.h5"
    for copy, message in ((False, r"^cannot write .*merged\.h5: No space left"), (True, r"and the disk has")):
        n = count_writes(lambda copy=copy: merge(parts, out, copy=copy), failing)
        for position in range(1, n + 1):
            out.unlink(missing_ok=True)
            failing(position, once=once)
            with pytest.raises(CacheError, match=message):
                merge(parts, out, copy=copy)
            assert {file.name for file in tmp_path.iterdir()} == {part.name for part in parts}
        failing(10**9)
        merge(parts, out, copy=copy)
        assert check_integrity(out).ok
        out.unlink()


def test_ctrl_c_in_the_midst_of_hdf5_passes_when_it_is_done(tmp_path: Path, failing: Any) -> None:
    def write() -> None:
        with new_file(tmp_path / "x.h5") as (file, check):
            file["x"] = np.arange(1000)
            check()

    for position in range(1, count_writes(write, failing) + 1):
        failing(position, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            write()


LIMITED = """
import resource, sys
from pathlib import Path
from caches import make
from pnp.errors import CacheError
path, limit = Path(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    make(path, compression="gzip")
except CacheError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_limit_of_the_operating_system_is_a_sentence(path: Path) -> None:
    """The same with a kernel that refuses, in a process of its own that may crash."""
    plain = path.read_bytes()
    roots = [str(Path(__file__).parents[1]), str(Path(pnp.__file__).parents[1])]
    for share in (0.05, 0.3, 0.6):
        done = subprocess.run(
            [sys.executable, "-c", LIMITED, str(path), str(int(share * len(plain)))],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(roots)},
            text=True,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"cannot compress {path}: File too large; it is finished")
        assert path.read_bytes() == plain
