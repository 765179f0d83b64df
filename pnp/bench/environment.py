"""Machine and versions that a benchmark ran on."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import pnp
from pnp.bench.record import JsonRecord
from pnp.store.provenance import library_versions


@dataclass(frozen=True)
class Environment(JsonRecord):
    """Machine and versions.

    Attributes:
        cpu: Model of the processor.
        cores: Number of its cores.
        threads: Threads that PyTorch uses.
        load: Load average; None where the system does not tell it, or where each run has its own.
        system: Operating system and architecture.
        versions: Versions of Python and of the packages.
        gpu: Model of the GPU; None where none is used.
    """

    cpu: str
    cores: int | None
    threads: int
    load: float | None = field(default=None, kw_only=True)
    system: str
    versions: Mapping[str, str]
    gpu: str | None = None


def environment(device: str = "cpu") -> Environment:
    """Return processor, cores, threads, versions, and how busy the machine is."""
    return Environment(
        cpu=_cpu_model(),
        cores=os.cpu_count(),
        threads=torch.get_num_threads(),
        load=_load(),
        system=f"{platform.system()} {platform.machine()}",
        versions=library_versions() | _numba_version(),
        gpu=torch.cuda.get_device_name() if device == "cuda" else None,
    )


def commit() -> str | None:
    """Return the commit of the package in a repository, with a plus sign if its code is not as committed."""
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
