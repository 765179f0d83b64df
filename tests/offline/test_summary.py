"""Summary of a run: what it counts, and how it reads."""

import json
from pathlib import Path

from caches import SIZE, run

from pnp.offline.summary import PrecomputeSummary, group_reasons


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
    plain = summary.to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain == vars(summary) | {"path": "a.h5", "rate": 5.0}


def test_reasons_that_differ_by_numbers_are_one_reason() -> None:
    reasons = [f"ValueError: {1.5 * k:g} Hz is above -{k}e-3" for k in range(9)] + ["the sound is silent"] * 3
    cut = [f"SynthesisError: a pitch of {'9' * k}…" for k in (1, 2)]
    assert group_reasons(reasons + cut) == {
        "ValueError: … Hz is above …": 9,
        "the sound is silent": 3,
        "SynthesisError: a pitch of ……": 2,
    }
    assert group_reasons(["exit status 3"] * 2) == {"exit status 3": 2}
