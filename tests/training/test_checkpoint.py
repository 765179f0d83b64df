"""Checkpoints hold what they should, and what is none is named."""

import pytest
import torch
from task import MemoryCache, same, train_small
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


def test_a_flipped_bit_is_found_or_changes_nothing(cache, tmp_path):
    train_small(cache, out=tmp_path, epochs=1)
    path = tmp_path / "best.pt"
    content = path.read_bytes()
    intact = checkpoint.load_encoder(path).state_dict()
    found = 0
    for position in torch.randint(8 * len(content), (300,)).tolist():
        damaged = bytearray(content)
        damaged[position // 8] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            encoder = checkpoint.load_encoder(path)
        except ValueError:
            found += 1
        else:
            assert same(encoder.state_dict(), intact)
    assert found > 0


def test_every_flip_in_a_weight_is_found(cache, tmp_path):
    train_small(cache, out=tmp_path, epochs=1)
    path = tmp_path / "best.pt"
    content = path.read_bytes()
    weights = checkpoint.load(path)["model"]["dense.0.weight"].numpy().tobytes()
    start = content.index(weights)
    for position in torch.randint(start, start + len(weights), (50,)).tolist():
        damaged = bytearray(content)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"best\.pt .* damaged: its checksums do not fit"):
            checkpoint.load_encoder(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_hidden": 10**12}, r"do not fit its network: dense\.0\.weight has shape"),
        ({"n_channels": [10**9, 10**9]}, "do not fit its network"),
        ({"front_end": {"windows": [10**9]}}, "take more memory than any sound needs"),
        ({"front_end": {"frame_rate": 1e-9}}, "take more memory than any sound needs"),
    ],
)
def test_what_a_checkpoint_claims_is_compared_before_memory_is_taken(cache, tmp_path, change, message):
    train_small(cache, out=tmp_path, epochs=1)
    saved = checkpoint.load(tmp_path / "best.pt")
    checkpoint.save(tmp_path / "best.pt", saved | {"encoder": saved["encoder"] | change})
    with pytest.raises(ValueError, match=message):
        checkpoint.load_encoder(tmp_path)
