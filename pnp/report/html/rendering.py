"""Templates of the package, filled in."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

__all__ = ["rendered"]


def rendered(template: str, **values: Any) -> str:
    """Return a page that needs no other file: style and script are in it.

    Args:
        template: Name of a template of this package.
        **values: Values by the names that the template has for them.
    """
    templates = Environment(
        loader=PackageLoader("pnp.report.html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = templates.get_template(template)
    return page.render(style=_part("style.css"), script=_part("script.js"), **values).lstrip()


def _part(name: str) -> Markup:
    text = (files("pnp.report.html") / "templates" / name).read_text(encoding="utf-8")
    return Markup(text.rstrip())
