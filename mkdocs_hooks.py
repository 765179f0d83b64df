"""Pages that MkDocs makes as it builds: options of the command line, and notebooks with their results."""

from __future__ import annotations

import argparse
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from pnp.cli.main import build_parser

ROOT = Path(__file__).parent
# Place of the options in reference/command-line.md.
OPTIONS = "<!-- options of every verb -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the options of every verb where a page asks for them."""
    return markdown.replace(OPTIONS, command_line()) if OPTIONS in markdown else markdown


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each notebook, with what it printed and drew."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        folder = f"notebooks/{path.stem}"
        page, pictures = notebook_page(json.loads(path.read_text("utf-8")), path.stem)
        files.append(File.generated(config, f"{folder}.md", content=page))
        for name, content in pictures.items():
            files.append(File.generated(config, f"notebooks/{name}", content=content))
    return files


def command_line() -> str:
    """Return sections of Markdown, one a verb, with its usage and a table of its arguments."""
    (verbs,) = (a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    return "\n".join(line for name, verb in verbs.choices.items() for line in _verb(name, verb))


def _verb(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    summary = parser.description or ""
    formatter = parser.formatter_class(parser.prog, width=100)
    actions = [action for action in parser._actions if action.dest not in ("help", "quiet", "traceback")]
    formatter.add_usage(parser.usage, actions, parser._mutually_exclusive_groups, prefix="")
    usage = formatter.format_help().strip()
    yield from (f"## pnp {name}", "", f"{summary[:1].upper()}{summary[1:]}.", "", "```text", usage, "```", "")
    yield from ("| argument | meaning |", "|---|---|")
    for action in actions:
        invocation = formatter._format_action_invocation(action)
        meaning = formatter._expand_help(action) if action.help else ""
        yield f"| `{_cell(invocation)}` | {_cell(meaning)} |"
    yield ""


def _cell(text: str) -> str:
    """Return text that does not end a cell of a table, and is no HTML."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def notebook_page(notebook: dict[str, Any], name: str) -> tuple[str, dict[str, bytes]]:
    """Convert a notebook with its results into a page.

    Args:
        notebook: Content of the file.
        name: Its name, from which pictures are named.

    Returns:
        Markdown, and the pictures by name. The text of a picture is the heading above it.
    """
    lines: list[str] = []
    pictures: dict[str, bytes] = {}
    heading = name
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            heading = next(
                (line.lstrip("# ") for line in source.splitlines() if line.startswith("#")), heading
            )
            lines += [source, ""]
            continue
        lines += ["```python", source, "```", ""]
        printed = ""
        for output in cell["outputs"]:
            data = output.get("data", {})
            if "image/png" in data:
                picture = f"{name}-{len(pictures) + 1}.png"
                pictures[picture] = base64.b64decode("".join(data["image/png"]))
                lines += [f"![{heading}]({picture})", ""]
            else:
                printed += "".join(output.get("text", data.get("text/plain", "")))
        if printed:
            lines += ["```text", printed.rstrip(), "```", ""]
    return "\n".join(lines), pictures
