"""Machine and versions that a benchmark ran on."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import pnp
from pnp.store.provenance import library_versions


def environment(device: str = "cpu") -> dict[str, Any]:
    """Processor, cores, threads, versions, and how busy the machine is, as JSON can hold them."""
    described = {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": _load(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": library_versions() | _numba_version(),
    }
    if device == "cuda":
        described["gpu"] = torch.cuda.get_device_name()
    return described


def commit() -> str | None:
    """Commit of the package where it runs from a repository, with a plus sign if its code is not as committed."""
    folder = Path(pnp.__file__).parent

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _cpu_model() -> str:
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _load() -> float | None:
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _numba_version() -> dict[str, str]:
    try:
        return {"numba": version("numba")}
    except PackageNotFoundError:
        return {}
