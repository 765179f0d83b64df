"""The demo, small: everything it promises is there, and running it again uses what is there."""

from pathlib import Path

import pytest
import torch

import pnp
from pnp.cli import demo
from pnp.features.standard import standard_features


def run(out: Path, **options) -> str:
    """The demo on half-second sounds."""
    synth = pnp.synths.make("chirp", n_samples=4096)
    features = standard_features(synth, J=8)
    return "\n".join(demo.run_demo(synth, features, out, size=24, epochs=2, progress=False, **options))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("demo") / "demo"
    return out, run(out)


def test_the_demo_leaves_what_it_says(finished: tuple[Path, str]) -> None:
    out, text = finished
    for name in ("chirp.h5", "metric.png", "training.png"):
        assert (out / name).stat().st_size > 0
        assert str(out / name) in text
    for loss in ("pnp", "p"):
        assert (out / loss / "best.pt").exists()
        assert str(out / loss) in text
    for word in ("PNP loss", "P-loss", "centre of the cube", "eigenvector", "lower distance"):
        assert word in text


def test_running_it_again_uses_what_is_there_and_says_the_same(finished: tuple[Path, str]) -> None:
    out, text = finished
    again = run(out)
    assert "24 of 24 sounds, 24 of them earlier" in again
    heading = "4. Held-out"
    assert again.partition(heading)[2] == text.partition(heading)[2] != ""


def test_another_demo_in_the_same_place_is_refused(finished: tuple[Path, str]) -> None:
    with pytest.raises(pnp.CacheConfigMismatch, match="seed"):
        run(finished[0], seed=1)


def test_the_verdict_names_the_lower_of_each_measure() -> None:
    from pnp.training.evaluate import Evaluation

    def evaluation(error: float, distance: float) -> Evaluation:
        nothing = torch.empty(0)
        return Evaluation(
            "test",
            5,
            ("a",),
            (error,),
            (error,),
            error,
            (1.0,),
            distance,
            distance,
            1.0,
            nothing,
            nothing,
            None,
        )

    text = demo._verdict({"PNP loss": evaluation(0.4, 1.0), "P-loss": evaluation(0.3, 4.0)})
    assert "PNP loss has the lower distance, by 75 %" in text
    assert "P-loss has the lower parameter error, by 25 %" in text
    assert "5 held-out sounds" in text
