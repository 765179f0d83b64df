"""The configuration tells apart what gives different numbers."""

from pathlib import Path

import pytest
from caches import BLOCK, SIZE
from toy import ToyFeatures, ToySynth

from pnp.errors import CacheConfigMismatch
from pnp.offline.precompute import precompute


def test_modules_without_config_are_told_apart_by_their_state(path: Path) -> None:
    other = ToyFeatures()
    other.get_buffer("cosines").mul_(1.5)
    with pytest.raises(CacheConfigMismatch, match=r"features\.state_sha256"):
        precompute(ToySynth(), other, path, size=SIZE, block=BLOCK, progress=False)
