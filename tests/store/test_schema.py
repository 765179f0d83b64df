"""The schema: datasets, attributes, configuration and sizes."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from caches import SIZE, make

from pnp import synths
from pnp.errors import CacheConfigMismatch
from pnp.store import CacheHeader, MetricCache, cache_bytes
from pnp.store.schema import STORE_LEVELS


def test_plain_h5py_reads_every_dataset_of_the_contract(path: Path) -> None:
    with h5py.File(path) as file:
        shapes = {name: file[name].shape for name in file}
        assert shapes == {
            "id": (SIZE,),
            "fold": (SIZE,),
            "theta": (SIZE, 2),
            "u": (SIZE, 2),
            "S": (SIZE, 7),
            "J": (SIZE, 7, 2),
            "M": (SIZE, 2, 2),
            "R": (SIZE, 2, 2),
            "sigma": (SIZE, 2),
            "status": (SIZE,),
            "reason": (SIZE,),
            "moments": (9, 9),
            "checksum": (9, 12, 32),
            "seal": (9, 32),
        }
        assert all(file[name].dtype == np.float32 for name in "SJ")
        assert all(file[name].dtype == np.float64 for name in ("theta", "u", "M", "R", "sigma"))
        assert all(file[name].chunks is not None for name in file)
        assert file.attrs["schema"].decode() == "pnp-metric-cache"
        assert [name.decode() for name in file.attrs["parameter_names"]] == ["f", "decay"]
        assert [unit.decode() for unit in file.attrs["parameter_units"]] == ["Hz", "1/s"]
        assert file.attrs["parameter_lows"].tolist() == [100.0, 1.0]
        assert file.attrs["date"].decode() == "2001-09-09T01:46:40+00:00"


def test_folds_are_eighty_ten_ten_and_disjoint(path: Path) -> None:
    with MetricCache(path) as cache:
        sizes = [len(cache.rows(fold)) for fold in ("train", "validation", "test")]
        assert sizes == [56, 7, 7]
        assert torch.equal(
            torch.cat([cache.rows(f) for f in ("train", "validation", "test")]).sort()[0], cache.rows()
        )


@pytest.mark.parametrize(("name", "P", "C"), [("chirp", 3, 520), ("drum", 5, 5305)])
def test_the_sizes_that_the_documentation_gives_are_those_of_the_file(name: str, P: int, C: int) -> None:
    columns = (
        ("metric", "float32"),
        ("features", "float32"),
        ("jacobian", "float32"),
        ("jacobian", "float16"),
    )
    space = synths.make(name).space
    sizes = []
    for store, dtype in columns:
        header = CacheHeader(space, 100_000, C, 16, STORE_LEVELS[store], dtype, {"size": 100_000}, {}, "")
        sizes.append(f"{cache_bytes(header) / 1e6:.0f} MB")
    page = (Path(__file__).parents[2] / "docs/reference/cache-file.md").read_text(encoding="utf-8")
    assert f"| {name}, P = {P}, C = {C} | {' | '.join(sizes)} |" in page


def test_the_size_that_is_announced_is_that_of_the_file(path: Path) -> None:
    with MetricCache(path) as cache:
        assert 0 <= path.stat().st_size - cache_bytes(cache.header) < 2**15


def test_other_configuration_is_refused_with_the_fields(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(CacheConfigMismatch, match=r"seed: the file has 0, asked 1") as caught:
        make(path, seed=1)
    assert "u_sha256" not in str(caught.value)
    with pytest.raises(
        CacheConfigMismatch, match=r"synthesizer\.config\.trouble: the file has \"\", asked \"nan\""
    ):
        make(path, trouble="nan")
    assert path.read_bytes() == before
