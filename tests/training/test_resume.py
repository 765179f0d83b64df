"""A run is resumed where it stopped, with the settings that it had, and no other run is."""

import sys

import pytest
import torch
from task import SMALL, Diverging, MemoryCache, deterministic, same, train_small, train_until_killed, weights

from pnp.training import checkpoint


@pytest.fixture(scope="module")
def cache():
    return MemoryCache()


@pytest.mark.parametrize("decay", ["cosine", "plateau"])
@pytest.mark.parametrize("schedule", [None, {"brake": 3.0}])
def test_a_resumed_run_ends_like_an_undisturbed_one(cache, tmp_path, schedule, decay):
    options = {"loss": "pnp", "damping_schedule": schedule, "epochs": 5, "decay": decay}
    undisturbed = train_small(cache, **options)
    train_until_killed(cache, tmp_path, 2.5, **options)
    assert checkpoint.load(tmp_path / "last.pt")["state"]["epoch"] == 2
    resumed = train_small(cache, out=tmp_path, resume=True, **options)
    assert same(weights(resumed), weights(undisturbed))
    assert deterministic(resumed.history) == deterministic(undisturbed.history)
    assert not list(tmp_path.glob("*.partial"))


def test_resuming_a_finished_run_returns_it(cache, tmp_path):
    done = train_small(cache, out=tmp_path)
    again = train_small(cache, out=tmp_path, resume=True)
    assert same(weights(done), weights(again))
    assert done.history == again.history


def test_a_checkpoint_from_before_a_setting_was_there_can_be_resumed(cache, tmp_path):
    train_small(cache, out=tmp_path, epochs=1)
    saved = checkpoint.load(tmp_path / "last.pt")
    del saved["settings"]["decay"], saved["settings"]["cache"]
    checkpoint.save(tmp_path / "last.pt", saved)
    assert len(train_small(cache, out=tmp_path, epochs=2, resume=True).history) == 2


def test_a_run_is_not_resumed_on_another_cache(cache, tmp_path):
    train_small(cache, out=tmp_path, epochs=1)
    with pytest.raises(
        ValueError,
        match=r"another cache, cache/tones\.h5 with fingerprint 96 tones; .* has fingerprint 80 tones",
    ):
        train_small(MemoryCache(80), out=tmp_path, resume=True)
    # The fingerprint of a design is that of its shards, too, and there before all of its sounds are.
    grown = MemoryCache(failed=(0, 1))
    with pytest.raises(
        ValueError, match=r"other sounds of the same design, 60 for training and 18 .* has 59 and 17"
    ):
        train_small(grown, out=tmp_path, resume=True)
    moved = MemoryCache()
    moved.path = "elsewhere.h5"
    # Sounds that neither trained nor validated may come and go.
    moved.ok[cache.rows("test")] = False
    assert len(train_small(moved, out=tmp_path, epochs=2, resume=True).history) == 2


def test_a_run_is_not_resumed_with_other_parameters(cache, tmp_path):
    train_small(cache, out=tmp_path, epochs=1)
    other = MemoryCache()
    other.synth.space = other.space = other.space.replace({"f": (50, 500)})
    with pytest.raises(ValueError) as refusal:
        train_small(other, out=tmp_path, resume=True)
    assert str(refusal.value) == (
        f"{tmp_path / 'last.pt'} was trained on another parameter space, f in [50, 400] Hz (log), "
        "decay in [1, 20] 1/s (log); the cache has f in [50, 500] Hz (log), decay in [1, 20] 1/s (log). "
        "Resume it with the cache that it was trained on."
    )


def test_settings_of_settings_that_differ_are_named_alone(cache, tmp_path):
    train_small(cache, out=tmp_path, epochs=1)
    with pytest.raises(
        ValueError, match=r"other settings \(encoder\.n_hidden: the file has 16, asked 8\); resume it"
    ):
        train_small(cache, out=tmp_path, resume=True, encoder_options=SMALL | {"n_hidden": 8})


def test_what_is_no_checkpoint_of_a_run_is_not_resumed(cache, tmp_path):
    last = tmp_path / "last.pt"
    train_small(cache, out=tmp_path, epochs=1)
    saved = checkpoint.load(last)
    (tmp_path / "best.pt").replace(last)
    with pytest.raises(ValueError, match=r"last\.pt is not the last .*: it lacks optimizer, best_weights\."):
        train_small(cache, out=tmp_path, resume=True)
    checkpoint.save(last, {"weights": torch.zeros(2)})
    with pytest.raises(ValueError, match=r"it lacks settings, state, model, optimizer, best_weights\."):
        train_small(cache, out=tmp_path, resume=True)
    checkpoint.save(last, saved | {"settings": {**saved["settings"], "warmup": 3}})
    with pytest.raises(ValueError, match="settings that this version of the package does not know"):
        train_small(cache, out=tmp_path, resume=True)


def test_a_directory_that_holds_a_run_is_not_overwritten_unasked(cache, tmp_path):
    train_small(cache, out=tmp_path, epochs=1)
    with pytest.raises(FileExistsError, match="holds a training run"):
        train_small(cache, out=tmp_path, epochs=1)
    with pytest.raises(
        ValueError,
        match=r"other settings \(batch_size: the file has 8, asked 4; seed: the file has 0, asked 1\)",
    ):
        train_small(cache, out=tmp_path, resume=True, batch_size=4, seed=1)
    assert len(train_small(cache, out=tmp_path, epochs=2, overwrite=True, seed=1).history) == 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # TensorBoard's own
def test_overwriting_leaves_nothing_of_the_old_run(cache, tmp_path):
    pytest.importorskip("tensorboard")
    train_small(cache, out=tmp_path, epochs=1, tensorboard=True)
    for name in ("notes.txt", "tensorboard/notes.txt", "last.pt.partial"):
        (tmp_path / name).touch()
    with pytest.raises(FloatingPointError):
        train_small(cache, out=tmp_path, loss=Diverging(1), overwrite=True)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    # The epoch that diverged is logged.
    assert left == {"notes.txt", "tensorboard/notes.txt", "last.pt", "log.csv"}
    assert ",nan," in (tmp_path / "log.csv").read_text()
    with pytest.raises(FileNotFoundError):
        checkpoint.load_encoder(tmp_path)


def test_what_cannot_begin_overwrites_nothing(cache, tmp_path, monkeypatch):
    done = train_small(cache, out=tmp_path, epochs=1)
    with pytest.raises(ValueError, match="must be one of"):
        train_small(cache, out=tmp_path, overwrite=True, loss="mse")
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match="TensorBoard needs it installed"):
        train_small(cache, out=tmp_path, overwrite=True, tensorboard=True)
    assert same(checkpoint.load_encoder(tmp_path).state_dict(), weights(done))


def test_best_weights_alone_are_a_run_that_is_not_overwritten_unasked(cache, tmp_path):
    train_small(cache, out=tmp_path, epochs=1)
    (tmp_path / "last.pt").unlink()
    with pytest.raises(FileExistsError, match="holds a training run"):
        train_small(cache, out=tmp_path, epochs=1)
