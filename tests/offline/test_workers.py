"""Threads that compute at the same time do not touch each other's derivatives, and what workers need is named."""

import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from caches import SIZE, run
from torch import Tensor, nn
from toy import ToyFeatures, ToySynth

from pnp import precompute
from pnp.errors import PnpError, SynthesisError
from pnp.synths import BlackBox

OPTIONS: dict[str, Any] = {"size": 60, "block": 4, "progress": False}


class Slow(ToySynth):
    """Long enough under way for threads to meet."""

    def forward(self, theta: Tensor) -> Tensor:
        return super().forward(theta) + sum(0.0 * super(Slow, self).forward(theta) for _ in range(10))


def test_threads_with_a_cache_each_write_what_one_would(tmp_path: Path) -> None:
    precompute(Slow(), ToyFeatures(), tmp_path / "reference.h5", **OPTIONS)
    torch.set_num_threads(2)
    threads = [
        threading.Thread(
            target=precompute, args=(Slow(), ToyFeatures(), tmp_path / f"{k}.h5"), kwargs=OPTIONS
        )
        for k in range(4)
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    expected = (tmp_path / "reference.h5").read_bytes()
    assert all((tmp_path / f"{k}.h5").read_bytes() == expected for k in range(4))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("processes", [True, False])
def test_a_dask_worker_of_four_threads_fails_no_sound(tmp_path: Path, processes: bool) -> None:
    distributed = pytest.importorskip("distributed")
    precompute(Slow(), ToyFeatures(), tmp_path / "reference.h5", **OPTIONS)
    options = {"n_workers": 1, "threads_per_worker": 4, "processes": processes, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster):
        summary = precompute(Slow(), ToyFeatures(), tmp_path / "toy.h5", jobs=4, backend="dask", **OPTIONS)
    assert summary.n_failed == 0
    assert (tmp_path / "toy.h5").read_bytes() == (tmp_path / "reference.h5").read_bytes()


def test_a_function_is_never_called_by_two_threads_at_once() -> None:
    playing, together = threading.Lock(), []

    def program(f: float, decay: float) -> Tensor:
        if not playing.acquire(blocking=False):
            together.append((f, decay))
            return torch.ones(64)
        try:
            return ToySynth()(torch.tensor([f, decay], dtype=torch.float64)).numpy()
        finally:
            playing.release()

    synths = [BlackBox(program, ToySynth().space, 1000.0, 64) for _ in range(2)]
    theta = ToySynth().space.from_unit(ToySynth().space.sample(100))
    threads = [threading.Thread(target=synth, args=(theta,)) for synth in synths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not together


def test_dask_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"install it with `pip install pnp-metric\[dask\]`"):
        precompute(ToySynth(), ToyFeatures(), tmp_path / "toy.h5", backend="dask", **OPTIONS)


def test_dask_without_a_cluster_is_named(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    with pytest.raises(ValueError, match="needs a cluster: set DASK_SCHEDULER_ADDRESS"):
        precompute(ToySynth(), ToyFeatures(), tmp_path / "toy.h5", backend="dask", **OPTIONS)
    assert not list(tmp_path.iterdir())


def test_modules_that_cannot_travel_work_with_one_job_and_are_named_with_more(tmp_path: Path) -> None:
    class Guarded(ToySynth):
        def __init__(self) -> None:
            super().__init__()
            self.guard = threading.Lock()

    assert precompute(Guarded(), ToyFeatures(), tmp_path / "1.h5", jobs=1, **OPTIONS).n_failed == 0
    with pytest.raises(
        PnpError, match=r"Guarded and features ToyFeatures cannot be sent to workers .*use jobs=1"
    ):
        precompute(Guarded(), ToyFeatures(), tmp_path / "2.h5", jobs=2, **OPTIONS)


def test_a_bound_method_of_an_engine_with_a_lock_is_a_synthesizer(tmp_path: Path) -> None:
    class Engine:
        def __init__(self) -> None:
            self.guard = threading.Lock()

        def play(self, f: float, decay: float) -> Any:
            with self.guard:
                return ToySynth()(torch.tensor([f, decay], dtype=torch.float64)).numpy()

    synth = BlackBox(Engine().play, ToySynth().space, 1000.0, 64)
    assert precompute(synth, ToyFeatures().double(), tmp_path / "toy.h5", **OPTIONS).n_failed == 0


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
@pytest.mark.parametrize(
    ("kind", "jobs"), [("hooks", 1), ("parametrization", 1), pytest.param("hooks", 2, marks=pytest.mark.slow)]
)
def test_features_with_weight_norm_work(tmp_path: Path, kind: str, jobs: int) -> None:
    layer = nn.Linear(64, 7)
    norm = nn.utils.weight_norm if kind == "hooks" else nn.utils.parametrizations.weight_norm
    features = nn.Sequential(norm(layer), nn.Tanh())
    summary = precompute(ToySynth(), features, tmp_path / "toy.h5", jobs=jobs, **OPTIONS)
    assert summary.n_failed == 0


@pytest.mark.slow
def test_result_does_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    contents = set()
    for jobs in (1, 2, 3):
        run(tmp_path / f"{jobs}.h5", jobs=jobs)
        contents.add((tmp_path / f"{jobs}.h5").read_bytes())
    assert len(contents) == 1


@pytest.mark.slow
def test_workers_get_what_was_set_in_this_process(tmp_path: Path) -> None:
    """A default dtype set by the user, and classes that only exist in this session."""

    class Local(ToyFeatures):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * torch.ones(1)

    torch.set_default_dtype(torch.float64)
    features = Local()
    run(tmp_path / "1.h5", features=features, jobs=1)
    run(tmp_path / "2.h5", features=features, jobs=2)
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()


@pytest.mark.slow
def test_worker_that_dies_once_costs_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "bomb").touch()
    run(tmp_path / "reference.h5")
    synth = ToySynth(deadly=str(tmp_path / "bomb"))
    summary = run(tmp_path / "toy.h5", synth, jobs=2)
    assert not (tmp_path / "bomb").exists()
    assert "a worker died" in caplog.text
    assert summary.n_done == SIZE
    assert (tmp_path / "toy.h5").read_bytes() == (tmp_path / "reference.h5").read_bytes()


@pytest.mark.slow
def test_block_that_always_kills_its_worker_ends_the_run_and_keeps_the_rest(tmp_path: Path) -> None:
    (tmp_path / "bomb").touch()
    synth = ToySynth(deadly=str(tmp_path / "bomb"), once=False)
    with pytest.raises(SynthesisError, match=r"rows 0 to 7 died twice, the second time alone"):
        run(tmp_path / "toy.h5", synth, jobs=2)
    (tmp_path / "bomb").unlink()
    assert run(tmp_path / "toy.h5", synth, jobs=2).n_done == SIZE


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_dask_cluster_gives_the_same_bytes_though_a_worker_is_killed(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    run(tmp_path / "reference.h5")
    (tmp_path / "bomb").touch()
    synth = ToySynth(deadly=str(tmp_path / "bomb"))
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster):
        run(tmp_path / "toy.h5", synth, jobs=2, backend="dask")
    assert not (tmp_path / "bomb").exists()
    assert (tmp_path / "toy.h5").read_bytes() == (tmp_path / "reference.h5").read_bytes()
