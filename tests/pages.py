"""The pages of the documentation and their blocks of code, as tests read them."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>.+?) -->\n+)?"
    r'^```(?P<language>\w*)(?: title="(?P<title>[^"]+)")?\n(?P<code>.*?)^```$',
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """Code between two fences of a page."""

    page: str
    line: int
    language: str
    code: str
    title: str | None
    """Name of the file that the block is, if it is one."""
    reason: str | None
    """Why no test runs it, from a comment before it."""


def blocks(page: str) -> list[Block]:
    """Every block of a page, in order."""
    text = (ROOT / page).read_text("utf-8")
    found = [
        Block(page, text[: m.start("code")].count("\n"), m["language"], m["code"], m["title"], m["reason"])
        for m in _BLOCK.finditer(text)
    ]
    assert len(found) * 2 == len(re.findall(r"^```", text, re.MULTILINE)), (
        f"{page}: a fence that is not closed"
    )
    return found
