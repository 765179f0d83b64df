"""Docstrings open with a noun or a verb, and say what each argument is."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULES = [
    path for folder in ("pnp", "scripts", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))
]
QUESTIONS = "What|Whether|Which|How|Where|Why|When|Who"


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Docstrings of a module and of all that it defines, each with its line."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "lineno", 1), text


def test_no_docstring_opens_with_a_question() -> None:
    """Neither as a whole, nor in its entries `name: …`, nor in what it says of a returned value."""
    questions = re.compile(
        rf"\A(?:{QUESTIONS})\b|^ +[\w`*, ]+: (?:{QUESTIONS})\b|^(?:Returns|Yields):\n +(?:{QUESTIONS})\b",
        re.MULTILINE,
    )
    found = [
        f"{path.relative_to(ROOT)}:{line}: {match[0].strip()!r}"
        for path in MODULES
        for line, text in docstrings(path)
        for match in questions.finditer(text)
    ]
    assert not found, "begin with a noun or a verb: " + "; ".join(found)
