"""The benchmark on a tiny configuration: what it reports, and that it compares what it says. Never a time."""

import json
import sys
from pathlib import Path

import pytest
import torch

from pnp.bench import Configuration, as_markdown, load_results, merge_results, run_benchmark
from pnp.bench.ceilings import measure_ceilings
from pnp.bench.operations import count
from pnp.bench.peer import Peer
from pnp.bench.processes import gradient_memory, throughput
from pnp.bench.sweep import Sweep
from pnp.cli.main import main
from pnp.cli.outcome import EXIT_OK, EXIT_USAGE

SETTINGS = {"J": 6, "Q": (4, 1), "J_fr": 2, "Q_fr": 1, "T": "global", "F": "global"}
TINY = Configuration("tiny", "chirp", SETTINGS, {"n_samples": 1024})
SWEEP = Sweep("P", (1, 2), {"N": 512, "P": 1, "Q": 4}, {"J": 5, "J_fr": 2, "T": "global", "F": "global"})

# Under Kymatio's name, so that the peer's side can be run where Kymatio's development version is not installed.
STAND_IN = """
import sys, types, torch, pnp
class TimeFrequencyScattering(torch.nn.Module):
    def __init__(self, out_type, **options):
        super().__init__()
        self.transform = pnp.TimeFrequencyScattering(**options, normalization="kymatio")
    def forward(self, x):
        print("libraries print")
        return GAIN * self.transform(x)
module = types.ModuleType("kymatio.torch")
module.TimeFrequencyScattering = TimeFrequencyScattering
sys.modules["kymatio.torch"] = module
"""


def stand_in(folder: Path, monkeypatch, gain: float = 1.0) -> str:
    root = Path(__file__).parents[2]
    (folder / "scrapl.py").write_text(STAND_IN.replace("GAIN", str(gain)))
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{root}")
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    return sys.executable


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as monkeypatch:
        peer = stand_in(folder, monkeypatch)
        return run_benchmark(
            [TINY],
            rounds=2,
            peer=peer,
            sections=("table", "cost"),
            json_file=folder / "deep" / "results.json",
            sweeps=[SWEEP],
            ceiling_size=32,
            ceiling_seconds=0.01,
        ) | {"file": str(folder / "deep" / "results.json")}


def test_every_row_has_times_ratios_and_errors(results) -> None:
    rows = results["configurations"]["tiny"]["rows"]
    assert list(rows) == ["forward", "forward and backward", "S and J"]
    for row in rows.values():
        for key in ("ours", "peer", "ratio"):
            assert 0 < row[key]["low"] <= row[key]["median"] <= row[key]["high"]
            assert row[key]["rounds"] == 2


def test_the_same_transform_on_both_sides_has_no_error(results) -> None:
    rows = results["configurations"]["tiny"]["rows"]
    assert max(rows["forward"]["errors"].values()) < 1e-6
    errors = rows["forward and backward"]["errors"]
    assert errors["noise"] < 1e-6
    assert errors["samples"] == pytest.approx(errors["samples_peer"])
    # In float64, against central differences.
    assert rows["S and J"]["errors"]["float64"] < 1e-6


def test_a_wrong_transform_shows_its_error(tmp_path, monkeypatch) -> None:
    peer = stand_in(tmp_path, monkeypatch, gain=2.0)
    results = run_benchmark(
        [TINY], rounds=1, peer=peer, sections=["table"], ceiling_size=32, ceiling_seconds=0.01
    )
    rows = results["configurations"]["tiny"]["rows"]
    for row, key in (("forward", "noise"), ("forward and backward", "noise"), ("S and J", "float64")):
        assert rows[row]["errors"][key] == pytest.approx(0.5, rel=1e-3)


def test_the_file_holds_what_is_returned(results) -> None:
    stored = json.loads(Path(results["file"]).read_text())
    assert stored == json.loads(json.dumps({k: v for k, v in results.items() if k != "file"}))


def test_the_report_names_commit_command_and_machine(results) -> None:
    text = as_markdown(results)
    assert "| tiny S and J" in text
    assert results["environment"]["cpu"] in text
    assert "pnp bench" in text
    assert str(results["runs"][0]["commit"]) in text


@pytest.mark.parametrize(("content", "message"), [("RIFF", "is not JSON"), ("[]", "holds no runs")])
def test_a_file_without_results_is_named(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(ValueError, match=f"results.json {message}"):
        load_results([tmp_path / "results.json"])


def test_results_are_reported_again_without_measuring(results, capsys) -> None:
    assert main(["bench", "--results", results["file"]]) == EXIT_OK
    assert capsys.readouterr().out == as_markdown(results) + "\n"


def test_runs_on_one_machine_are_joined_and_the_later_counts(results) -> None:
    part = {key: value for key, value in results.items() if key != "file"}
    later = part | {"configurations": {"other": part["configurations"]["tiny"]}, "peer": None, "cost": []}
    joined = merge_results([part, later])
    assert list(joined["configurations"]) == ["tiny", "other"]
    assert joined["runs"] == [*part["runs"], *part["runs"]]
    assert joined["cost"] == part["cost"]
    assert joined["peer"] == part["peer"]


def test_runs_on_different_machines_are_not_joined(results) -> None:
    other = results | {"environment": results["environment"] | {"cores": -1}}
    with pytest.raises(ValueError, match="different machines"):
        merge_results([results, other])


def test_without_a_peer_ours_are_reported_alone() -> None:
    results = run_benchmark([TINY], rounds=1, sections=["table"], ceiling_size=32, ceiling_seconds=0.01)
    assert results["peer"] is None
    assert results["configurations"]["tiny"]["rows"]["forward"]["ratio"] is None
    assert "Kymatio was not measured" in as_markdown(results)


def test_a_peer_that_is_not_there(capsys) -> None:
    argv = [
        "bench",
        "--peer",
        "nowhere/python",
        "--section",
        "table",
        "--configuration",
        "A",
        "--rounds",
        "1",
    ]
    assert main(argv) == EXIT_USAGE
    assert "no Python interpreter at 'nowhere/python'" in capsys.readouterr().err


def test_a_peer_without_kymatio(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "scrapl.py").write_text("raise ImportError('nothing here')")
    with (
        Peer(sys.executable) as peer,
        pytest.raises(RuntimeError, match=r"nothing here.*make its environment"),
    ):
        peer.request("build", settings=dict(SETTINGS, shape=1024), threads=1)


@pytest.mark.parametrize(
    ("changes", "message"), [({"sections": ["tabel"]}, "'tabel'"), ({"rounds": 0}, "at least 1")]
)
def test_what_cannot_be_asked_for(changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        run_benchmark([TINY], **changes)


def test_operations_grow_with_signals_and_length() -> None:
    plan = TINY.transform().plan
    one, four = count(plan), count(plan, n_tangents=3)
    for kind, value in four.to_dict().items():
        assert value == pytest.approx(4 * one.to_dict()[kind])
    longer = Configuration("longer", "chirp", SETTINGS, {"n_samples": 4096}).transform().plan
    # T="global" pads both to a length in proportion, up to the support of the filters.
    assert count(longer).gemm / one.gemm == pytest.approx(longer.n_padded / plan.n_padded)


def test_operations_of_matrix_products_are_those_executed(monkeypatch) -> None:
    counted = 0
    mm = torch.mm

    def counting(a, b, **options):
        nonlocal counted
        counted += 2 * a.shape[0] * a.shape[1] * b.shape[1]
        return mm(a, b, **options)

    jtfs = TINY.transform()
    monkeypatch.setattr(torch, "mm", counting)
    x, _ = TINY.sounds()
    jtfs(x.float())
    # Beside the second-order paths there is the first-order one, at the slowest rate.
    assert counted == pytest.approx(count(jtfs.plan).gemm, rel=0.2)


def test_tangents_of_sounds_are_with_respect_to_scaled_parameters() -> None:
    synth = TINY.synthesizer()
    u = synth.space.sample(1, "uniform", 0)
    x, dx = TINY.sounds()
    step = 1e-6 * torch.eye(len(synth.space), dtype=u.dtype)
    moved = [synth(synth.space.from_unit(u + s * step)) for s in (1, -1)]
    torch.testing.assert_close((moved[0] - moved[1]) / 2e-6, dx[0], rtol=1e-5, atol=1e-6)
    assert torch.equal(x, synth(synth.space.from_unit(u)))


def test_ceilings_are_positive() -> None:
    ceilings, copied = measure_ceilings(seconds=0.01, size=16)
    assert min(*ceilings.to_dict().values(), copied) > 0


@pytest.mark.slow
def test_workers_of_their_own() -> None:
    rate = throughput(TINY, sounds=2, workers=2, batch=2)
    assert rate["sounds_per_second"] > 0
    memory = gradient_memory(TINY, sounds=2, threads=1)
    assert memory["peak_bytes"] >= memory["before_bytes"] > 0
