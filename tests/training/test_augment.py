"""Augmentation: what a network hears in training, and what stays as it was."""

import math

import pytest
import torch
from commands import refused
from task import MemoryCache, deterministic, same, train_small, train_until_killed, weights

from pnp.training.augment import KINDS, Augmentation
from pnp.training.options import TrainOptions

RATE = 8000.0
ROWS = torch.arange(4)


def tones(n: int = 2048) -> torch.Tensor:
    t = torch.arange(n) / RATE
    return (
        torch.sin(2 * math.pi * 500.0 * t) * torch.exp(-8.0 * t) * torch.tensor([1.0, 0.5, 0.2, 0.1])[:, None]
    )


def heard(kind: str, extent, x: torch.Tensor | None = None, seed: int = 0) -> torch.Tensor:
    """What one kind, certain to befall, makes of sounds."""
    augment = Augmentation(1.0, **(dict.fromkeys(KINDS) | {kind: extent}))
    return augment(tones() if x is None else x, RATE, seed=seed, epoch=0, rows=ROWS)


def test_a_draw_depends_on_seed_epoch_and_row_alone() -> None:
    x, augment = tones(), Augmentation()
    y = augment(x, RATE, seed=1, epoch=2, rows=ROWS)
    order = torch.tensor([2, 0])
    assert torch.equal(augment(x[order], RATE, seed=1, epoch=2, rows=ROWS[order]), y[order])
    for seed, epoch in ((2, 2), (1, 3), (1, -1)):
        assert not torch.equal(augment(x, RATE, seed=seed, epoch=epoch, rows=ROWS), y)
    assert y.shape == x.shape
    assert y.isfinite().all()


def test_a_kind_befalls_some_sounds_and_not_others() -> None:
    draws = [
        Augmentation(0.5, **(dict.fromkeys(KINDS) | {"shift": 0.01, "level": (6.0, 6.0)}))(
            tones(), RATE, seed=0, epoch=epoch, rows=ROWS
        )
        for epoch in range(8)
    ]
    delayed = torch.stack([y[:, 0] == 0 for y in draws]) & torch.stack([y[:, 1] == 0 for y in draws])
    assert 0 < delayed.sum() < delayed.numel()


@pytest.mark.parametrize("ratio", [0.0, 20.0])
def test_noise_has_the_ratio_that_is_asked_for(ratio: float) -> None:
    x = tones()
    noise = heard("noise", (ratio, ratio)) - x
    measured = 20 * torch.log10(x.norm(dim=-1) / noise.norm(dim=-1))
    torch.testing.assert_close(measured, torch.full((4,), ratio), atol=1e-3, rtol=0)


def test_each_kind_does_what_it_says() -> None:
    x = tones()
    torch.testing.assert_close(heard("level", (-6.0, -6.0)), x * 10 ** (-6 / 20))
    late = heard("shift", 0.01)
    for before, after in zip(x, late, strict=True):
        delay = int((after != 0).nonzero()[0]) - 1
        assert 0 <= delay <= 80
        assert torch.equal(after[delay:], before[: len(before) - delay])
    clipped = heard("clipping", 0.3)
    limits = clipped.abs().amax(-1) / x.abs().amax(-1)
    assert ((limits > 0.3) & (limits < 1.0)).all()
    assert all(
        (after == before.clamp(-top, top)).all()
        for before, after, top in zip(x, clipped, clipped.amax(-1), strict=True)
    )
    white = torch.randn(4, 2048, generator=torch.Generator().manual_seed(1))
    dull = torch.fft.rfft(heard("resampling", 0.3, white)).abs()
    assert (dull[:, -20:].mean(-1) < 0.05 * dull[:, :200].mean(-1)).all()
    shaped = torch.fft.rfft(heard("equalizer", 6.0, white)).abs() / torch.fft.rfft(white).abs()
    octave = shaped[:, 300:500].median(-1).values
    assert (octave.log10() * 20).abs().max() <= 6.5
    assert (octave - 1).abs().max() > 0.05
    click = torch.zeros(4, 2048)
    click[:, 10] = 1.0
    wet = heard("room", (0.1, 0.1), click)
    assert not wet[:, :10].abs().gt(1e-5).any()
    torch.testing.assert_close(wet[:, 10], torch.ones(4))
    # 60 dB in 800 samples.
    assert (wet[:, 11:111].norm(dim=-1) > 10 * wet[:, 500:600].norm(dim=-1)).all()


def test_targets_stay_and_the_input_changes() -> None:
    cache = MemoryCache()
    clean, augmented = (train_small(cache, loss="p", augment=choice) for choice in (None, True))
    assert not same(weights(clean), weights(augmented))
    again = train_small(cache, loss="p", augment={"probability": 0.5})
    assert same(weights(augmented), weights(again))
    assert deterministic(augmented.history) == deterministic(again.history)


def test_a_resumed_run_hears_what_an_undisturbed_one_would(tmp_path) -> None:
    cache, options = MemoryCache(), {"loss": "pnp", "epochs": 4, "augment": True}
    undisturbed = train_small(cache, **options)
    train_until_killed(cache, tmp_path, 1.5, **options)
    with pytest.raises(ValueError, match=r"trained with other settings .*augment"):
        train_small(cache, out=tmp_path, resume=True, **{**options, "augment": None})
    resumed = train_small(cache, out=tmp_path, resume=True, **options)
    assert same(weights(resumed), weights(undisturbed))


def test_sounds_that_do_not_fit_into_memory_are_made_again(monkeypatch) -> None:
    cache = MemoryCache()
    kept = train_small(cache, loss="p", epochs=1, augment=True)
    monkeypatch.setattr("pnp.training.run._MOST_BYTES", 0)
    assert same(weights(train_small(cache, loss="p", epochs=1, augment=True)), weights(kept))


def test_options_out_of_range_are_named() -> None:
    with pytest.raises(TypeError, match=r"no option 'nois'; did you mean 'noise'\?"):
        TrainOptions(augment={"nois": (0, 1)})
    for options, message in (
        ({"probability": 0.0}, "probability of an augmentation must be above 0 and at most 1; got 0.0"),
        ({"noise": (30.0, 10.0)}, r"noise must be a lowest and a highest value, or None; got \(30.0, 10.0\)"),
        ({"room": (0.0, 1.0)}, "room must be"),
        ({"clipping": 1.5}, "clipping must be above 0 and at most 1, or None; got 1.5"),
        ({"shift": -1.0}, "shift must be positive or None; got -1.0"),
    ):
        with pytest.raises(ValueError, match=message):
            TrainOptions(augment=options)
    assert TrainOptions(augment=False).augment is None


def test_the_command_line_names_an_unknown_kind(capsys) -> None:
    error = refused(["train", "none.h5", "--augment", "level,nois"], capsys)
    assert "got 'nois'; did you mean 'noise'?" in error
