"""Walks through the package as they run: no step goes back to a module that it came from.

A module goes back where its function calls another module, which calls the first one again. Modules whose purpose is to
call what they are given are no station on the way.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from toy import ToyFeatures, ToySynth

import pnp
from pnp.matching.match import match
from pnp.metric.reach import DEFAULT_REACH
from pnp.offline.precompute import precompute
from pnp.store import MetricCache
from pnp.training.dataset import CacheDataset

ROOT = str(Path(pnp.__file__).parent) + "/"
CALLERS = {
    "_torch/pushforward.py",
    "features/scattering/threads.py",
    "jacobian/agreement.py",
    "jacobian/sounds.py",
}


def stations(frame: FrameType | None) -> Iterator[str]:
    """Modules of this package on the stack, the innermost first."""
    last = ""
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(ROOT) and frame.f_code.co_name != "<module>":
            module = path[len(ROOT) :]
            if module != last:
                yield module
            last = module
        frame = frame.f_back


def steps_back(walk: Callable[[], Any]) -> set[tuple[str, ...]]:
    """Run something, and return the ways on which a module came back to itself."""
    found = set()

    def look(frame: FrameType, event: str, _: object) -> None:
        path, caller = frame.f_code.co_filename, frame.f_back
        if event == "call" and path.startswith(ROOT) and caller and caller.f_code.co_filename != path:
            way = list(stations(frame))
            for place, module in enumerate(way[2:], start=2):
                if module == way[0]:
                    if not CALLERS & set(way[:place]):
                        found.add(tuple(reversed(way[: place + 1])))
                    break

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        walk()
    finally:
        sys.setprofile(before)
    return found


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("walks") / "toy.h5"


@pytest.fixture(scope="module")
def back_on_the_way_to_the_file(path: Path) -> set[tuple[str, ...]]:
    return steps_back(lambda: precompute(ToySynth(), ToyFeatures(), path, size=8, progress=False))


def test_parameters_on_their_way_to_the_file_never_go_back(back_on_the_way_to_the_file) -> None:
    assert not back_on_the_way_to_the_file


def test_a_batch_on_its_way_to_the_loss_never_goes_back(back_on_the_way_to_the_file, path: Path) -> None:
    def walk() -> None:
        with MetricCache(path) as cache:
            loss = pnp.PNPLoss.from_cache(cache, reach=DEFAULT_REACH)
            for batch in CacheDataset(cache, "train", synth=ToySynth()).loader(batch_size=4):
                loss(0.9 * batch["u"], batch["u"], batch["index"])

    assert not steps_back(walk)


def test_a_recording_on_its_way_through_match_never_goes_back(
    back_on_the_way_to_the_file, path: Path
) -> None:
    synth = ToySynth()

    def walk() -> None:
        with MetricCache(path) as cache:
            x = synth(cache.theta[:1].float())[0]
            match(
                x, cache, sample_rate=1000.0, synth=synth, features=ToyFeatures(), starts=2, max_evaluations=6
            )

    assert not steps_back(walk)


def test_a_module_that_comes_back_is_seen() -> None:
    names: dict[str, Any] = {}
    for module, source in {
        "there.py": "def out(): return on()\ndef back(): return 1",
        "away.py": "def on(): return back()",
    }.items():
        exec(compile(source, ROOT + module, "exec"), names)
    assert steps_back(names["out"]) == {("there.py", "away.py", "there.py")}
    assert not steps_back(names["on"])
