"""The built site: complete, and without requests to others. Needs the extra `docs`."""

import importlib
import inspect
import json
import pkgutil
import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from pages import ROOT

pytest.importorskip("mkdocs", reason="mkdocs is not installed")
pytest.importorskip("mkdocstrings", reason="mkdocstrings is not installed")

pytestmark = pytest.mark.slow

PACKAGES = ("bench", "diagnostics", "features", "losses", "metric", "parameters", "plots", "store", "synths")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as CI builds it."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


def pages(site: Path) -> dict[str, str]:
    return {str(path.relative_to(site)): path.read_text("utf-8") for path in site.rglob("*.html")}


def public_names() -> list[str]:
    """Names listed by a package, as users import them."""
    listed = {"pnp": re.findall(r" as (\w+)$", (ROOT / "pnp/__init__.pyi").read_text("utf-8"), re.MULTILINE)}
    for package in PACKAGES:
        listed[f"pnp.{package}"] = list(importlib.import_module(f"pnp.{package}").__all__)
    return [f"{package}.{name}" for package, names in listed.items() for name in names]


def found(path: str) -> object:
    """What a dotted path of the reference names, or None."""
    try:
        return pkgutil.resolve_name(path)
    except (ImportError, AttributeError):  # an attribute of instances
        return None


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    inventory = (site / "objects.inv").read_bytes().split(b"zlib.\n", 1)[1]
    documented = {id(found(line.split()[0])) for line in zlib.decompress(inventory).decode().splitlines()}
    for name in public_names():
        value = pkgutil.resolve_name(name)
        # The members of a module are listed by the module itself.
        assert inspect.ismodule(value) or name == "pnp.__version__" or id(value) in documented, name


def test_no_page_asks_another_server(site: Path) -> None:
    """Links may lead away; what a page loads by itself may not."""
    loads = re.compile(
        r"<(?:script|img|iframe|source|audio)\b[^>]*\bsrc=\"?(?:https?:)?//"
        r"|<link\b(?![^>]*rel=\"?canonical)[^>]*\bhref=\"?(?:https?:)?//"
        r"|@import\s+url\(\"?(?:https?:)?//"
    )
    assert not [name for name, html in pages(site).items() if loads.search(html)]
    styles = [
        path for path in site.rglob("*.css") if re.search(r"url\(\"?(?:https?:)?//", path.read_text("utf-8"))
    ]
    assert not styles


def test_formulas_are_rendered_by_what_the_site_ships(site: Path) -> None:
    home = (site / "index.html").read_text("utf-8")
    assert 'class="arithmatex"' in home
    scripts = re.findall(r'<script src="([^"]+)"', home)
    assert {"javascripts/mathjax-settings.js", "javascripts/mathjax.js"} <= set(scripts)
    assert all((site / script).exists() for script in scripts)


def test_formulas_keep_their_width_on_narrow_screens(site: Path) -> None:
    """The theme's `max-width: 100%` of pictures in a box of minimal width leaves formulas of one pixel."""
    assert '<link rel="stylesheet" href="stylesheets/formulas.css">' in (site / "index.html").read_text(
        "utf-8"
    )
    rule = (site / "stylesheets/formulas.css").read_text("utf-8")
    assert re.search(r"div\.arithmatex mjx-container > svg \{\s*max-width: none;", rule)


def test_every_picture_has_a_text(site: Path) -> None:
    for name, html in pages(site).items():
        for picture in re.findall(r"<img\b[^>]*>", html):
            assert re.search(r'alt="[^"]{8,}"', picture), f"{name}: {picture}"


def test_examples_of_docstrings_are_code(site: Path) -> None:
    for name, html in pages(site).items():
        assert "&gt;&gt;&gt;" not in "".join(re.findall(r"<blockquote>.*?</blockquote>", html, re.DOTALL)), (
            name
        )
    reference = pages(site)["reference/losses/index.html"]
    assert re.search(r'<span class="gp">&gt;&gt;&gt;', reference), "no session is highlighted as code"


def test_every_option_of_the_command_line_is_in_the_reference(site: Path) -> None:
    from pnp.cli.main import build_parser

    html = (site / "reference/command-line/index.html").read_text("utf-8")
    (verbs,) = (action for action in build_parser()._actions if action.dest == "verb")
    for name, parser in verbs.choices.items():
        start = html.index(f'<h2 id="pnp-{name}"')
        section = html[start : html.find("<h2", start + 1)]
        for action in parser._actions:
            for option in action.option_strings[-1:]:
                if option not in ("--help", "--quiet", "--traceback"):
                    assert f"{option}" in section, f"pnp {name} {option}"


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_are_published_with_their_results(site: Path, path: Path) -> None:
    html = (site / f"notebooks/{path.stem}/index.html").read_text("utf-8")
    outputs = [
        output for cell in json.loads(path.read_text("utf-8"))["cells"] for output in cell.get("outputs", [])
    ]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    shown = re.findall(r'<img\b[^>]*src="([^"]+)"', html)
    assert len(shown) == len(pictures) > 0
    assert all((site / f"notebooks/{path.stem}" / source).resolve().exists() for source in shown)
    assert all(word in html for output in outputs for word in "".join(output.get("text", [])).split()[:1])
