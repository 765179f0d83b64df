"""Refuse a Python that is too old. pip before 24.2 looks for every dependency first, and blames one of them."""

from __future__ import annotations

import platform
import sys
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class PythonCheck(MetadataHookInterface):
    """Ends the installation in one sentence on a Python older than 3.10."""

    def update(self, metadata: dict[str, Any]) -> None:  # noqa: ARG002, D102  (hatchling's interface)
        if sys.version_info < (3, 10):  # noqa: UP036
            raise SystemExit(
                f"pnp needs Python 3.10 or newer, and this is Python {platform.python_version()}."
            )
