"""Results beside their settings: used again for the same ones, computed anew for others."""

import torch

from pnp.landscapes.memo import memoized


def test_a_result_is_used_again_for_the_same_settings_alone(tmp_path) -> None:
    calls = []

    def compute():
        calls.append(1)
        return {"loss": torch.tensor([float(len(calls))])}

    path = tmp_path / "new" / "stage.npz"
    assert memoized(path, {"n": 1}, compute)["loss"].item() == 1.0
    assert memoized(path, {"n": 1}, compute)["loss"].item() == 1.0
    assert memoized(path, {"n": 2}, compute)["loss"].item() == 2.0
    path.write_bytes(path.read_bytes()[:100])
    assert memoized(path, {"n": 2}, compute)["loss"].item() == 3.0
    assert [file.name for file in path.parent.iterdir()] == ["stage.npz"]
