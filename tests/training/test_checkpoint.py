"""Checkpoints hold what they should, and what is none is named."""

import pytest
import torch
from task import MemoryCache, train_small
from torch import nn

from pnp.training import checkpoint


@pytest.fixture(scope="module")
def cache():
    return MemoryCache()


def test_damaged_checkpoints_are_named(cache, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint .*best\.pt"):
        checkpoint.load_encoder(tmp_path)
    train_small(cache, out=tmp_path, epochs=1)
    content = (tmp_path / "best.pt").read_bytes()
    for damaged, reason in [
        (b"", "the file is empty"),
        (b"text", "its 4 bytes do not begin as those of a checkpoint do"),
        # Where PyTorch's own message is a number, "101".
        (b"e" * 8, "its 8 bytes do not begin"),
        (content[: len(content) // 2], f"cut short after {len(content) // 2} bytes"),
        (content[:-30], "cut short"),
    ]:
        (tmp_path / "best.pt").write_bytes(damaged)
        message = rf"best\.pt is not a checkpoint of this package, or it is damaged: .*{reason}.*\.$"
        with pytest.raises(ValueError, match=message):
            checkpoint.load_encoder(tmp_path)


def test_files_of_other_programs_are_named(tmp_path):
    path = tmp_path / "best.pt"
    for content, message in [
        ({"something": 1}, "holds no encoder;"),
        ({"encoder": {"layers": 3}, "model": {}}, "holds no encoder of this package"),
        ({"encoder": [1, 2], "model": {}}, "holds no encoder of this package"),
        ([torch.zeros(3)], "expected a dictionary in it, got list"),
        (nn.Linear(2, 2), "something other than tensors, numbers and text"),
    ]:
        torch.save(content, path)
        with pytest.raises(ValueError, match=message):
            checkpoint.load_encoder(path)
