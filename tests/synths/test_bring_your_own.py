"""The page "Bring your own synthesizer": its code runs as printed."""

import re
from pathlib import Path

import pytest

from pnp.synths import registry

PAGE = Path(__file__).parents[2] / "docs/tutorials/own-synthesizer.md"


@pytest.mark.slow
def test_the_code_of_the_page_runs_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_factories", dict(registry._factories))
    text = PAGE.read_text(encoding="utf-8")
    blocks = list(re.finditer(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL))
    assert len(blocks) >= 8
    namespace = {"__name__": "page"}
    for block in blocks:
        # Compiled with the page's line numbers, so that a failure points into it.
        before = text[: block.start(1)].count("\n")
        exec(compile("\n" * before + block.group(1), str(PAGE), "exec"), namespace)
