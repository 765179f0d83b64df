"""Rows computed again, and compared."""

from pathlib import Path

from caches import run
from toy import ToyFeatures, ToySynth

from pnp.offline.verify import verify


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
