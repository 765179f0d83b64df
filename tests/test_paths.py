"""Paths that scripts and slow tests name, which nobody sees break before the night."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PATH = re.compile(r"(?<![\w/.$-])(?:tests|docs|scripts|benchmarks|\.ci)/[\w/.-]*[\w/]")

# Made where the site is built.
MADE = {"docs/notebooks/"}


def sources() -> list[Path]:
    """Scripts of CI, and tests."""
    scripts = [path for path in sorted((ROOT / ".ci").glob("*")) if path.is_file()]
    return [*scripts, *sorted(path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__))]


@pytest.mark.skipif(not (ROOT / ".ci").is_dir(), reason="needs a checkout")
def test_paths_of_the_repository_that_scripts_and_tests_name_are_there() -> None:
    missing = {
        f"{source.relative_to(ROOT)}: {path}"
        for source in sources()
        for path in PATH.findall(source.read_text(encoding="utf-8"))
        if path not in MADE and not (ROOT / path).exists()
    }
    assert not missing
