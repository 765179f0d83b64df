"""The offline stage: its numbers do not depend on how it is run, and what goes wrong is told."""

import inspect
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from toy import ToyFeatures, ToySynth

import pnp.offline.block
from pnp.errors import CacheConfigMismatch, SynthesisError
from pnp.jacobian import sound_and_jacobian, value_and_jacobian
from pnp.offline.block import compute_block
from pnp.offline.precompute import precompute
from pnp.offline.summary import PrecomputeSummary, group_reasons
from pnp.offline.verify import verify
from pnp.store import MetricCache, Status
from pnp.store.provenance import canonical_json, describe, differences, fingerprint

SIZE, BLOCK = 70, 8


@pytest.fixture(autouse=True)
def _fixed_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")


def run(path: Path, synth: nn.Module | None = None, features: nn.Module | None = None, **options: Any) -> Any:
    options = {"size": SIZE, "block": BLOCK, "progress": False} | options
    return precompute(synth or ToySynth(), features or ToyFeatures(), path, **options)


# -- numbers -------------------------------------------------------------------------------------------------


def test_rows_are_value_and_jacobian(tmp_path: Path) -> None:
    synth, features = ToySynth().double(), ToyFeatures().double()
    run(tmp_path / "toy.h5", synth, features, dtype="float64")
    with MetricCache(tmp_path / "toy.h5") as cache:
        S, J = value_and_jacobian(synth, features, cache.u)
        assert torch.allclose(cache.features(slice(None)), S, rtol=1e-12)
        assert torch.allclose(cache.jacobian(slice(None)), J, rtol=1e-10, atol=1e-14)
        assert torch.allclose(cache.metrics().matrix, J.mT @ J, rtol=1e-10)
        assert cache.config["precision"] == "float64"


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


def test_result_does_not_depend_on_the_threads_of_the_caller(tmp_path: Path) -> None:
    run(tmp_path / "1.h5")
    torch.set_num_threads(2)
    try:
        run(tmp_path / "2.h5")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()


def test_the_users_modules_are_left_alone(tmp_path: Path) -> None:
    features = ToyFeatures().train()
    before = features.get_buffer("cosines").clone()
    run(tmp_path / "toy.h5", features=features, precision="float64")
    assert features.training
    assert torch.equal(features.get_buffer("cosines"), before)


def test_given_design_is_kept_as_it_is(tmp_path: Path) -> None:
    u = torch.linspace(-1, 1, 10, dtype=torch.float64)[:, None].expand(-1, 2)
    summary = run(tmp_path / "toy.h5", u=u, size=None)
    with MetricCache(tmp_path / "toy.h5") as cache:
        assert torch.equal(cache.u, u)
        assert cache.config["method"] == "given"
    assert summary.n_total == 10
    with pytest.raises(CacheConfigMismatch, match="u_sha256"):
        run(tmp_path / "toy.h5", u=-u, size=None)


@pytest.mark.parametrize(("method", "size"), [("uniform", 12), ("lhs", 12), ("grid", (3, 4))])
def test_designs(tmp_path: Path, method: str, size: Any) -> None:
    run(tmp_path / "toy.h5", size=size, method=method, seed=5)
    with MetricCache(tmp_path / "toy.h5") as cache:
        assert torch.equal(cache.u, ToySynth().space.sample(size, method=method, seed=5))
        assert len(cache) == 12


def test_folds_follow_seed_and_split(tmp_path: Path) -> None:
    folds = {}
    for name, options in {"a": {}, "b": {"seed": 1}, "c": {"split": (0.5, 0.25, 0.25)}}.items():
        run(tmp_path / f"{name}.h5", **options)
        with MetricCache(tmp_path / f"{name}.h5") as cache:
            folds[name] = cache.fold
    assert not torch.equal(folds["a"], folds["b"])
    assert folds["c"].bincount().tolist() == [35, 17, 18]


def test_shards_hold_consecutive_whole_blocks(tmp_path: Path) -> None:
    ids = []
    for part in range(3):
        run(tmp_path / f"{part}.h5", shard=(part, 3))
        with MetricCache(tmp_path / f"{part}.h5") as cache:
            assert int(cache.id[0]) % BLOCK == 0
            ids.append(cache.id)
    assert torch.equal(torch.cat(ids), torch.arange(SIZE))


def test_shard_of_another_run_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "toy.h5", shard=(0, 3))
    with pytest.raises(CacheConfigMismatch, match=r"shard: the file has \[0, 3\], asked \[1, 3\]"):
        run(tmp_path / "toy.h5", shard=(1, 3))


# -- sounds that fail ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trouble", "status", "reason"),
    [
        ("nan", Status.NOT_FINITE, "the sound is NaN or infinite, first at sample 0"),
        ("silence", Status.SILENT, "the sound is silent"),
        ("detached", Status.ZERO_JACOBIAN, "J is zero though the sound is not"),
    ],
)
def test_failed_sounds_are_recorded_and_counted(
    tmp_path: Path, trouble: str, status: Status, reason: str
) -> None:
    summary = run(tmp_path / "toy.h5", ToySynth(trouble=trouble), probe=False)
    with MetricCache(tmp_path / "toy.h5") as cache:
        failing = cache.theta[:, 1] > 16
        assert failing.any()
        assert torch.equal(cache.status == status, failing)
        assert torch.equal(cache.ok, ~failing)
        assert torch.equal(cache.metrics().valid, ~failing)
        assert all(text.startswith(reason) for text in cache.failures.values())
    assert summary.n_failed == int(failing.sum())
    assert summary.n_done == SIZE
    assert sum(summary.reasons.values()) == summary.n_failed
    assert f"{summary.n_failed} failed" in str(summary)


def test_neighbours_of_a_failed_sound_are_what_they_would_have_been(tmp_path: Path) -> None:
    run(tmp_path / "good.h5")
    run(tmp_path / "bad.h5", ToySynth(trouble="nan"))
    with MetricCache(tmp_path / "good.h5") as good, MetricCache(tmp_path / "bad.h5") as bad:
        assert torch.equal(bad.metrics().factor[bad.ok], good.metrics().factor[bad.ok])


def test_exception_of_one_sound_does_not_take_its_block_along(monkeypatch: pytest.MonkeyPatch) -> None:
    def picky(synth: nn.Module, features: nn.Module, u: Tensor, *_: object) -> tuple[Tensor, Tensor, Tensor]:
        if bool((u[:, 0] > 0.9).any()):
            raise ArithmeticError("too high\nfor me")
        return sound_and_jacobian(synth, features, u)

    monkeypatch.setattr(pnp.offline.block, "sound_and_jacobian", picky)
    u = np.array([[0.0, 0.0], [0.95, 0.0], [0.5, 0.5]])
    columns = compute_block(ToySynth(), ToyFeatures(), u, 7, torch.float32, "cpu")
    assert columns["status"].tolist() == [Status.OK, Status.EXCEPTION, Status.OK]
    assert columns["reason"].tolist() == [b"", b"ArithmeticError: too high for me", b""]
    for name in ("S", "J", "M", "R", "sigma"):
        assert np.isnan(columns[name][1]).all()
        assert np.isfinite(columns[name][[0, 2]]).all()


def wrapped(fault: Exception) -> Exception:
    """A fault as a synthesizer that catches everything passes it on."""
    try:
        raise SynthesisError(f"the program raised {fault}") from fault
    except SynthesisError as error:
        return error


FAULTS = [
    MemoryError("no room"),
    OSError(24, "Too many open files"),
    RuntimeError("Trying to set a forward gradient that has a different size"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    torch.OutOfMemoryError("no room"),
]


@pytest.mark.parametrize("fault", [*FAULTS, *map(wrapped, FAULTS)], ids=repr)
def test_faults_of_the_machine_are_not_blamed_on_the_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    calls = [0]

    def failing(
        synth: nn.Module, features: nn.Module, u: Tensor, *_: object
    ) -> tuple[Tensor, Tensor, Tensor]:
        calls[0] += 1
        if calls[0] > 1:
            raise fault
        return sound_and_jacobian(synth, features, u)

    with monkeypatch.context() as patch:
        patch.setattr(pnp.offline.block, "sound_and_jacobian", failing)
        with pytest.raises(
            SynthesisError, match=r"block 1 could not be computed here .* fault of the machine"
        ):
            run(tmp_path / "toy.h5")
    summary = run(tmp_path / "toy.h5")
    assert (summary.n_resumed, summary.n_done, summary.n_failed) == (BLOCK, SIZE, 0)


def test_failed_sounds_can_be_asked_for_again(tmp_path: Path) -> None:
    path, trouble = tmp_path / "toy.h5", {"above": 0.9}

    class Moody(ToySynth):
        def forward(self, theta: Tensor) -> Tensor:
            if bool((self.space.to_unit(theta)[..., 1] > trouble["above"]).any()):
                raise ArithmeticError("not today")
            return super().forward(theta)

    first = run(path, Moody(), probe=False)
    assert 0 < first.n_failed < SIZE
    trouble["above"] = 2.0
    assert run(path, Moody()).n_failed == first.n_failed
    again = run(path, Moody(), retry_failed=True)
    assert 0 < again.n_resumed < SIZE
    assert (again.n_done, again.n_failed) == (SIZE, 0)
    run(tmp_path / "reference.h5", Moody())
    assert path.read_bytes() == (tmp_path / "reference.h5").read_bytes()
    assert run(path, Moody(), retry_failed=True).n_resumed == SIZE


def test_long_reasons_are_cut_between_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    def verbose(
        synth: nn.Module, features: nn.Module, u: Tensor, *_: object
    ) -> tuple[Tensor, Tensor, Tensor]:
        raise ValueError("é" * 300)

    monkeypatch.setattr(pnp.offline.block, "sound_and_jacobian", verbose)
    columns = compute_block(ToySynth(), ToyFeatures(), np.zeros((1, 2)), 7, torch.float32, "cpu")
    reason = columns["reason"][0].decode()
    assert set(reason.removeprefix("ValueError: ").removesuffix("…")) == {"é"}


def test_long_reasons_are_cut_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def verbose(
        synth: nn.Module, features: nn.Module, u: Tensor, *_: object
    ) -> tuple[Tensor, Tensor, Tensor]:
        raise ValueError("a frequency of 123.456789 " * 20)

    monkeypatch.setattr(pnp.offline.block, "sound_and_jacobian", verbose)
    columns = compute_block(ToySynth(), ToyFeatures(), np.zeros((1, 2)), 7, torch.float32, "cpu")
    *words, last = columns["reason"][0].decode().split(" ")
    assert set(words) <= {"ValueError:", "a", "frequency", "of", "123.456789"}
    assert last.removesuffix("…") in words


def test_synthesizer_that_never_works_is_refused_before_a_file_is_made(tmp_path: Path) -> None:
    class Broken(ToySynth):
        def forward(self, theta: Tensor) -> Tensor:
            raise NotImplementedError("no oscillator")

    with pytest.raises(SynthesisError, match=r"none of the first 8 sounds .*Error: no oscillator"):
        run(tmp_path / "toy.h5", Broken())
    assert not list(tmp_path.iterdir())


def test_dropped_gradient_is_refused_before_a_file_is_made(tmp_path: Path) -> None:
    class Detached(ToySynth):
        def forward(self, theta: Tensor) -> Tensor:
            return super().forward(torch.stack([theta[..., 0], theta[..., 1].detach()], -1))

    with pytest.raises(ValueError, match=r"drops the gradient of 'decay'"):
        run(tmp_path / "toy.h5", Detached())
    with pytest.raises(SynthesisError, match=r"drops the gradient of parameter 'decay'"):
        run(tmp_path / "toy.h5", Detached(), probe=False)
    assert not list(tmp_path.iterdir())


def test_probe_refuses_a_synthesizer_that_drifts(tmp_path: Path) -> None:
    class Noisy(ToySynth):
        calls = 0

        def forward(self, theta: Tensor) -> Tensor:
            self.calls += 1
            return super().forward(theta) * (1.0 + 0.1 * self.calls)

    with pytest.raises(ValueError, match="is not deterministic"):
        run(tmp_path / "toy.h5", Noisy())
    assert not list(tmp_path.iterdir())
    assert run(tmp_path / "toy.h5", Noisy(), probe=False).n_done == SIZE


# -- workers that die ----------------------------------------------------------------------------------------


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


# -- telling -------------------------------------------------------------------------------------------------


def test_summary_of_a_rerun_says_that_nothing_was_left(tmp_path: Path) -> None:
    first = run(tmp_path / "toy.h5")
    again = run(tmp_path / "toy.h5")
    assert (first.n_resumed, first.n_done, again.n_resumed) == (0, SIZE, SIZE)
    assert again.rate == 0
    assert f"{SIZE} of {SIZE} sounds, {SIZE} of them earlier, none failed" in str(again)


def test_summary_counts_reasons() -> None:
    summary = PrecomputeSummary(Path("a.h5"), 10, 0, 10, 3, {"the sound is silent": 2, "other": 1}, 2.0)
    assert str(summary) == (
        "a.h5: 10 of 10 sounds, 3 failed (2 × the sound is silent; 1 × other), 2.0 s, 5 sounds/s"
    )


def test_reasons_that_differ_by_numbers_are_one_reason() -> None:
    reasons = [f"ValueError: {1.5 * k:g} Hz is above -{k}e-3" for k in range(9)] + ["the sound is silent"] * 3
    cut = [f"SynthesisError: a pitch of {'9' * k}…" for k in (1, 2)]
    assert group_reasons(reasons + cut) == {
        "ValueError: … Hz is above …": 9,
        "the sound is silent": 3,
        "SynthesisError: a pitch of ……": 2,
    }
    assert group_reasons(["exit status 3"] * 2) == {"exit status 3": 2}


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_whole_numbers_of_numpy_are_whole_numbers(tmp_path: Path, kind: type) -> None:
    run(tmp_path / "a.h5", seed=kind(3), block=kind(8), jobs=kind(1))
    assert run(tmp_path / "a.h5", seed=3, block=8).n_resumed == SIZE


@pytest.mark.parametrize("name", ["seed", "block", "jobs"])
@pytest.mark.parametrize("value", [1.5, "2", None])
def test_what_is_no_whole_number_is_named(tmp_path: Path, name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"{name} must be a whole number, got {value!r}"):
        inspect.unwrap(precompute)(ToySynth(), ToyFeatures(), tmp_path / "a.h5", size=8, **{name: value})


@pytest.mark.parametrize("n_samples", [0, -1, 10**12])
def test_impossible_lengths_are_named(tmp_path: Path, n_samples: int) -> None:
    with pytest.raises(
        ValueError, match=r"must have between 1 and 2,147,483,647 samples, for memory, got n_samples="
    ):
        run(tmp_path / "a.h5", ToySynth(n_samples=n_samples))
    assert not list(tmp_path.iterdir())


def test_options_that_are_nested_too_deep_are_named() -> None:
    nested: list[Any] = []
    for _ in range(100_000):  # deeper than any Python's encoder goes
        nested = [nested]

    class Deep(nn.Identity):
        def config(self) -> dict[str, Any]:
            return {"option": nested}

    with pytest.raises(TypeError, match="nested too deep"):
        describe(Deep())


def test_progress_goes_to_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path / "toy.h5", ToySynth(trouble="silence"), progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "70/70" in captured.err
    assert "failed=" in captured.err


def test_size_is_announced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "pnp"):
        run(tmp_path / "toy.h5")
    assert "70 sounds, at most 0.2896 MB of disk, new" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": None}, "needs `size`"),
        ({"size": 0}, "n >= 1, got 0"),
        ({"jobs": 0}, "jobs must be at least 1, got 0"),
        ({"block": 0}, "block must be at least 1, got 0"),
        ({"backend": "threads"}, "backend must be one of 'loky', 'dask', got 'threads'"),
        ({"store": "all"}, "store must be one of 'metric', 'features', 'jacobian', got 'all'"),
        ({"store": ["K"]}, "store must hold 'S', 'J', both or none, got 'K'"),
        ({"dtype": "float8"}, "dtype must be one of 'float16', 'float32', 'float64', got 'float8'"),
        ({"compression": "zip"}, "compression must be one of 'none', 'gzip', got 'zip'"),
        ({"precision": "half"}, "precision must be 'float32' or 'float64', got 'half'"),
        ({"device": "cuda:99"}, "can use here, cpu.*; got 'cuda:99'"),
        ({"seed": -1}, "seed must be at least 0 and below 2⁶³, got -1"),
        ({"device": "cuda", "jobs": 2}, "on device 'cuda' use jobs=1, got 2"),
        ({"shard": (3, 3)}, r"shard must be \(i, n\) with 0 <= i < n, got \(3, 3\)"),
        ({"shard": (0, 20)}, "70 sounds in blocks of 8 make 9 blocks, too few for 20 shards"),
        ({"split": (0.5, 0.6, 0.1)}, r"split must be three shares that sum to 1"),
        ({"method": "halton"}, "unknown sampling method 'halton'"),
        ({"u": torch.zeros(3)}, r"u must have shape \(size, 2\) .* got \(3,\)"),
        ({"u": torch.zeros(3, 2)}, "got 70 for 3 rows"),
        ({"u": torch.full((2, 2), 1.5), "size": 2}, "1.5"),
    ],
)
def test_bad_arguments(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(tmp_path / "toy.h5", **options)
    assert not list(tmp_path.iterdir())


def test_what_is_not_a_synthesizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="needs an attribute 'space'"):
        run(tmp_path / "toy.h5", nn.Identity())


# -- provenance ----------------------------------------------------------------------------------------------


def test_fingerprint_does_not_depend_on_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": [1.5, "x"]}) == fingerprint({"b": [1.5, "x"], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
    assert canonical_json({"b": 1, "a": "é"}) == '{"a":"é","b":1}'


def test_differences_name_nested_fields() -> None:
    found = differences({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 4}, "e": 5})
    assert found == [
        "a.c: the file has 2, asked 4",
        "d: the file has 3, asked null",
        "e: the file has null, asked 5",
    ]


def test_weights_are_part_of_a_description() -> None:
    class Learned(nn.Linear):
        def config(self) -> dict[str, Any]:
            return {"size": (2, 2)}

    first, second = Learned(2, 2), Learned(2, 2)
    assert describe(first)["config"] == describe(second)["config"] == {"size": [2, 2]}
    assert describe(first)["state_sha256"] != describe(second)["state_sha256"]


def test_parts_without_config_are_told_apart_by_their_state() -> None:
    class Wrapper(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def config(self) -> dict[str, Any]:
            return {}

    louder = ToyFeatures()
    louder.get_buffer("cosines").mul_(2.0)
    assert describe(Wrapper(ToyFeatures())) == describe(Wrapper(ToyFeatures()))
    assert describe(Wrapper(ToyFeatures())) != describe(Wrapper(louder))
    assert "state_sha256" not in describe(Wrapper(ToySynth()))


def test_config_that_json_cannot_hold_is_refused() -> None:
    class Odd(nn.Identity):
        def config(self) -> dict[str, Any]:
            return {"tensor": torch.zeros(1)}

    with pytest.raises(TypeError, match=r"Odd\.config\(\) must return what JSON can hold"):
        describe(Odd())


# -- recomputing ---------------------------------------------------------------------------------------------


def test_rows_can_be_derived_anew(tmp_path: Path) -> None:
    run(tmp_path / "toy.h5")
    report = verify(tmp_path / "toy.h5", recompute=20, synth=ToySynth(), features=ToyFeatures())
    assert report.ok
    assert report.n_recomputed == 20


def test_rows_that_come_out_different_are_reported(tmp_path: Path) -> None:
    run(tmp_path / "toy.h5")
    other = ToyFeatures()
    other.get_buffer("cosines").mul_(1.01)
    report = verify(tmp_path / "toy.h5", recompute=3, synth=ToySynth(), features=other)
    assert len(report.problems) == 6
    assert "comes out different when it is computed again" in str(report)
