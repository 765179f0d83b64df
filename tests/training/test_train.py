"""train: it learns, it can be interrupted, and it says why it cannot begin."""

import csv
import itertools
import math
import sys
from typing import ClassVar

import pytest
import torch
from task import SMALL, Energies, MemoryCache, Tones
from torch import nn

from pnp.losses import ParameterLoss, PNPLoss
from pnp.training import checkpoint
from pnp.training.encoder import Encoder
from pnp.training.train import Spectrograms, train


@pytest.fixture(scope="module")
def cache():
    return MemoryCache()


def _train(cache, **options):
    return train(
        cache,
        cache.synth,
        **({"encoder_options": SMALL, "epochs": 3, "batch_size": 8, "progress": False} | options),
    )


def _weights(result):
    return result.encoder.state_dict()


def _same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def _deterministic(history):
    return [{name: value for name, value in epoch.items() if name != "seconds"} for epoch in history]


@pytest.mark.parametrize("loss", ["p", "pnp", "spectral"])
def test_every_loss_teaches_the_encoder(cache, loss):
    features = Energies() if loss == "spectral" else None
    result = _train(cache, loss=loss, features=features, epochs=25, learning_rate=1e-2)
    errors = [epoch["validation_error"] for epoch in result.history]
    # Answering with the centre of the cube is wrong by a half on average.
    assert min(errors) < 0.25
    assert result.history[-1]["train_loss"] < 0.2 * result.history[0]["train_loss"]
    assert result.best_validation_loss == min(epoch["validation_loss"] for epoch in result.history)
    assert result.history[result.best_epoch - 1]["validation_loss"] == result.best_validation_loss
    assert (result.stopped, len(result.history), result.loss_name) == ("epochs", 25, loss)


def test_the_surrogate_teaches_the_encoder_though_its_points_are_few(cache):
    result = _train(cache, loss="surrogate", epochs=25, learning_rate=1e-2)
    # Answering with the centre of the cube is wrong by a half on average.
    assert min(epoch["validation_error"] for epoch in result.history) < 0.25
    assert result.loss_name == "surrogate"


def test_result_depends_on_the_seed_alone(cache):
    first = _train(cache, seed=3)
    torch.manual_seed(999)
    again, other = _train(cache, seed=3), _train(cache, seed=4)
    assert _same(_weights(first), _weights(again))
    assert _deterministic(first.history) == _deterministic(again.history)
    assert not _same(_weights(first), _weights(other))


def test_seeds_of_63_bits_train(cache):
    assert len(_train(cache, epochs=2, n_sounds=8, seed=2**63 - 1).history) == 2


def test_training_leaves_the_global_generator_alone(cache):
    state = torch.get_rng_state()
    _train(cache, epochs=1)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("decay", ["cosine", "plateau"])
@pytest.mark.parametrize("schedule", [None, {"brake": 3.0}])
def test_a_resumed_run_ends_like_an_undisturbed_one(cache, tmp_path, schedule, decay):
    options = {"loss": "pnp", "damping_schedule": schedule, "epochs": 5, "decay": decay}
    undisturbed = _train(cache, **options)

    class Killed(PNPLoss):
        """PNP loss under which the process dies in the third epoch."""

        def forward(self, *arguments, **keywords):
            if self.training and torch.is_grad_enabled():
                self.calls = getattr(self, "calls", 0) + 1
                if self.calls > 2.5 * len(cache.rows("train")) / 8:
                    raise KeyboardInterrupt
            return super().forward(*arguments, **keywords)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["pnp.training.train"], "PNPLoss", Killed)
        with pytest.raises(KeyboardInterrupt):
            _train(cache, out=tmp_path, **options)
    assert checkpoint.load(tmp_path / "last.pt")["state"]["epoch"] == 2
    resumed = _train(cache, out=tmp_path, resume=True, **options)
    assert _same(_weights(resumed), _weights(undisturbed))
    assert _deterministic(resumed.history) == _deterministic(undisturbed.history)
    assert not list(tmp_path.glob("*.partial"))


def test_resuming_a_finished_run_returns_it(cache, tmp_path):
    done = _train(cache, out=tmp_path)
    again = _train(cache, out=tmp_path, resume=True)
    assert _same(_weights(done), _weights(again))
    assert done.history == again.history


def test_checkpoints_and_log(cache, tmp_path):
    result = _train(cache, out=tmp_path / "run", loss="pnp", loss_options={"damping": 0.5})
    for path in (tmp_path / "run", tmp_path / "run" / "best.pt"):
        encoder = checkpoint.load_encoder(path)
        assert _same(encoder.state_dict(), _weights(result))
        assert encoder.space == cache.space
        assert not encoder.training
    with (tmp_path / "run" / "log.csv").open() as file:
        log = list(csv.DictReader(file))
    assert [int(line["epoch"]) for line in log] == [1, 2, 3]
    assert [float(line["validation_loss"]) for line in log] == [e["validation_loss"] for e in result.history]
    assert {float(line["damping"]) for line in log} == {0.5}


def test_learning_rate_falls_along_a_cosine(cache):
    rates = [epoch["learning_rate"] for epoch in _train(cache, epochs=6, learning_rate=1e-2).history]
    assert all(later < earlier for earlier, later in itertools.pairwise(rates))
    assert rates[-1] < 1e-3


class _Stagnant(nn.Module):
    """A validation loss that falls for some epochs and then no more."""

    def __init__(self, epochs):
        super().__init__()
        self.epochs, self.seen = epochs, 0

    def forward(self, u_hat, u, index):
        self.seen += torch.is_grad_enabled()
        return 0 * u_hat.sum() + max(100 - self.seen, 100 - self.epochs)


@pytest.mark.parametrize("learning_rate", [1e-2, 1e-7])
def test_on_plateaus_the_rate_falls_in_thirds_until_it_has_converged(cache, learning_rate):
    n_sounds = 8
    result = _train(
        cache,
        loss=_Stagnant(3),
        epochs=None,
        decay="plateau",
        n_sounds=n_sounds,
        batch_size=n_sounds,
        learning_rate=learning_rate,
    )
    rates = [epoch["learning_rate"] / learning_rate for epoch in result.history]
    # Three epochs that gain, then five stretches of nine that do not.
    expected = [1.0] * 3 + [3.0**-step for step in range(5) for _ in range(9)]
    assert rates == pytest.approx(expected)
    assert result.stopped == "converged"


def test_training_that_gains_does_not_end_as_converged(cache):
    result = _train(cache, loss=_Stagnant(99), decay="plateau", epochs=12, n_sounds=8)
    assert result.stopped == "epochs"
    assert {epoch["learning_rate"] for epoch in result.history} == {3e-3}


def test_reverting_does_not_bring_an_older_learning_rate_back(cache):
    class Stagnant(PNPLoss):
        """PNP loss whose validation loss does not fall after the first epoch."""

        def forward(self, u_hat, u, index=None, **options):
            loss = super().forward(u_hat, u, index, **options)
            return loss if torch.is_grad_enabled() else 0 * loss + 1

    result = _train(
        cache,
        loss=Stagnant.from_cache(cache),
        damping_schedule={"patience": 0},
        decay="plateau",
        epochs=25,
        n_sounds=8,
    )
    rates = [epoch["learning_rate"] for epoch in result.history]
    assert rates == pytest.approx([3e-3] * 10 + [1e-3] * 9 + [1e-3 / 3] * 6)


def test_a_checkpoint_from_before_a_setting_was_there_can_be_resumed(cache, tmp_path):
    _train(cache, out=tmp_path, epochs=1)
    saved = checkpoint.load(tmp_path / "last.pt")
    del saved["settings"]["decay"], saved["settings"]["cache"]
    checkpoint.save(tmp_path / "last.pt", saved)
    assert len(_train(cache, out=tmp_path, epochs=2, resume=True).history) == 2


def test_a_run_is_not_resumed_on_another_cache(cache, tmp_path):
    _train(cache, out=tmp_path, epochs=1)
    with pytest.raises(
        ValueError,
        match=r"another cache, cache/tones\.h5 with fingerprint 96 tones; .* has fingerprint 80 tones",
    ):
        _train(MemoryCache(80), out=tmp_path, resume=True)
    # The fingerprint of a design is that of its shards, too, and there before all of its sounds are.
    grown = MemoryCache(failed=(0, 1))
    with pytest.raises(
        ValueError, match=r"other sounds of the same design, 60 for training and 18 .* has 59 and 17"
    ):
        _train(grown, out=tmp_path, resume=True)
    moved = MemoryCache()
    moved.path = "elsewhere.h5"
    # Sounds that neither trained nor validated may come and go.
    moved.ok[cache.rows("test")] = False
    assert len(_train(moved, out=tmp_path, epochs=2, resume=True).history) == 2


def test_a_run_is_not_resumed_with_other_parameters(cache, tmp_path):
    _train(cache, out=tmp_path, epochs=1)
    other = MemoryCache()
    other.synth.space = other.space = other.space.replace({"f": (50, 500)})
    with pytest.raises(ValueError) as refusal:
        _train(other, out=tmp_path, resume=True)
    assert str(refusal.value) == (
        f"{tmp_path / 'last.pt'} was trained on another parameter space, f in [50, 400] Hz (log), "
        "decay in [1, 20] 1/s (log); the cache has f in [50, 500] Hz (log), decay in [1, 20] 1/s (log). "
        "Resume it with the cache that it was trained on."
    )


def test_settings_of_settings_that_differ_are_named_alone(cache, tmp_path):
    _train(cache, out=tmp_path, epochs=1)
    with pytest.raises(ValueError, match=r"other settings \(encoder\.n_hidden: 16 there, 8 now\); resume it"):
        _train(cache, out=tmp_path, resume=True, encoder_options=SMALL | {"n_hidden": 8})


def test_what_is_no_checkpoint_of_a_run_is_not_resumed(cache, tmp_path):
    last = tmp_path / "last.pt"
    _train(cache, out=tmp_path, epochs=1)
    saved = checkpoint.load(last)
    (tmp_path / "best.pt").replace(last)
    with pytest.raises(ValueError, match=r"last\.pt is not the last .*: it lacks optimizer, best_weights\."):
        _train(cache, out=tmp_path, resume=True)
    checkpoint.save(last, {"weights": torch.zeros(2)})
    with pytest.raises(ValueError, match=r"it lacks settings, state, model, optimizer, best_weights\."):
        _train(cache, out=tmp_path, resume=True)
    checkpoint.save(last, saved | {"settings": {**saved["settings"], "warmup": 3}})
    with pytest.raises(ValueError, match="settings that this version of the package does not know"):
        _train(cache, out=tmp_path, resume=True)


def test_stops_when_the_time_is_up(cache):
    result = _train(cache, epochs=None, time_budget=0.3)
    assert result.stopped == "time"
    assert result.seconds >= 0.3
    assert all(epoch["seconds"] < 0.3 for epoch in result.history[:-1])


def test_without_any_end_given_there_is_one(cache):
    assert len(_train(cache, epochs=None, n_sounds=8).history) == 40


def test_stops_when_patience_is_out(cache):
    class Worse(nn.Module):
        calls = 0

        def forward(self, u_hat, u, index):
            self.calls += 1
            return self.calls + 0 * u_hat.sum()

    result = _train(cache, loss=Worse(), epochs=100, patience=4)
    assert (result.stopped, result.best_epoch, len(result.history)) == ("patience", 1, 5)
    assert result.loss_name == "Worse"


class _Diverging(nn.Module):
    """P-loss that is NaN on validation data once so many sounds were trained on."""

    def __init__(self, sounds):
        super().__init__()
        self.left = sounds

    def forward(self, u_hat, u, index):
        if u_hat.requires_grad:
            self.left -= len(u)
            return ParameterLoss()(u_hat, u)
        return ParameterLoss()(u_hat, u) if self.left > 0 else torch.tensor(math.nan)


def test_diverging_keeps_the_best_weights_before_or_says_so(cache):
    epoch = len(cache.rows("train"))
    result = _train(cache, loss=_Diverging(3 * epoch), epochs=10)
    assert (result.stopped, len(result.history), result.best_epoch) == ("diverged", 3, 2)
    with pytest.raises(FloatingPointError, match=r"not finite after epoch 1.*learning rate 0\.003"):
        _train(cache, loss=_Diverging(epoch))


def test_damping_schedule_lowers_damping_as_validation_improves(cache):
    result = _train(
        cache, loss="pnp", damping_schedule={"initial": 8.0, "decrease": 0.5}, epochs=6, learning_rate=1e-2
    )
    damping = [epoch["damping"] for epoch in result.history]
    assert damping[0] == 8.0
    assert min(damping) < 8.0


def test_a_schedule_begins_at_the_damping_of_the_loss(cache):
    options = {"loss": "pnp", "loss_options": {"damping": 123.0}, "epochs": 1}
    assert _train(cache, **options, damping_schedule={}).history[0]["damping"] == 123.0
    assert _train(cache, **options, damping_schedule={"initial": 123.0}).history[0]["damping"] == 123.0
    with pytest.raises(ValueError, match=r"got damping=123\.0 and initial=8\.0\. Give one"):
        _train(cache, **options, damping_schedule={"initial": 8.0})


def test_pnp_loss_is_normalized_unless_told_otherwise(cache):
    normalized = _train(cache, loss="pnp", epochs=1).history[0]["train_loss"]
    raw = _train(cache, loss="pnp", loss_options={"normalize": False}, epochs=1).history[0]["train_loss"]
    trained = cache.metrics()[cache.rows("train")]
    assert raw / normalized == pytest.approx(float(trained.trace.mean()) / 2, rel=0.5)


def test_failed_sounds_are_left_out():
    cache = MemoryCache(failed=(0, 1, 4))
    result = _train(cache, loss="pnp", epochs=1)
    assert math.isfinite(result.history[0]["validation_loss"])


def test_spectrograms_on_demand_are_those_kept(cache):
    encoder = Encoder(cache.space, 1024.0, **SMALL)
    rows, asked = cache.rows(), torch.tensor([7, 0, 7])
    kept = Spectrograms(encoder.front_end, cache.synth, cache.theta, rows, torch.device("cpu"))
    on_demand = Spectrograms(
        encoder.front_end, cache.synth, cache.theta, rows, torch.device("cpu"), most_bytes=0
    )
    torch.testing.assert_close(kept(asked), on_demand(asked))


def test_runs_that_share_spectrograms_are_those_that_make_their_own(cache):
    front_end = Encoder(cache.space, 1024.0, **SMALL).front_end
    shared = Spectrograms(front_end, cache.synth, cache.theta, cache.rows(), torch.device("cpu"))
    ours = _train(cache, loss="pnp", epochs=2, spectrograms=shared)
    theirs = _train(cache, loss="pnp", epochs=2)
    assert [e["train_loss"] for e in ours.history] == [e["train_loss"] for e in theirs.history]


def test_spectrograms_of_another_front_end_are_refused(cache):
    other = Encoder(cache.space, 1024.0, **(SMALL | {"front_end": {"n_bands": 5}})).front_end
    foreign = Spectrograms(other, cache.synth, cache.theta, cache.rows(), torch.device("cpu"))
    with pytest.raises(ValueError, match=r"were made with .*'n_bands': 5.*; the encoder takes"):
        _train(cache, spectrograms=foreign)


def test_spectrograms_without_the_sounds_are_refused(cache):
    rows = cache.rows()
    front_end = Encoder(cache.space, 1024.0, **SMALL).front_end
    some = Spectrograms(front_end, cache.synth, cache.theta, rows[rows != 2], torch.device("cpu"))
    with pytest.raises(ValueError, match="without row 2"):
        _train(cache, spectrograms=some)


def test_a_time_budget_is_read_from_the_clock_given(cache):
    ticks = itertools.count()
    result = _train(cache, epochs=None, time_budget=100.0, clock=lambda: float(next(ticks)))
    assert result.stopped == "time"
    assert 100 <= result.seconds < 120
    assert result.history[-1]["seconds"] == result.seconds
    assert result.history[-2]["seconds"] < 100


def test_a_learning_curve_trains_on_the_first_sounds_of_the_fold(cache):
    class Seen(ParameterLoss):
        rows: ClassVar[set[int]] = set()

        def forward(self, u_hat, u, index, **options):
            if torch.is_grad_enabled():
                self.rows.update(index.tolist())
            return super().forward(u_hat, u, index, **options)

    _train(cache, loss=Seen(), epochs=1, n_sounds=5)
    assert Seen.rows == set(cache.rows("train")[:5].tolist())


def test_bad_settings_are_named(cache, tmp_path):
    for options, message in [
        ({"decay": "linear"}, "must be one of cosine, plateau; got 'linear'"),
        ({"epochs": 0}, "epochs must be positive or None; got 0"),
        ({"time_budget": -1.0}, r"time_budget must be positive or None; got -1\.0"),
        ({"seed": 10**20}, "seed must be a whole number between .*; got 100000000000000000000"),
        ({"device": "abacus"}, "must be one that PyTorch can use here, cpu.*; got 'abacus'"),
        ({"device": "cuda:99"}, "must be one that PyTorch can use here, cpu.*; got 'cuda:99'"),
        ({"patience": 0}, "patience must be positive"),
        ({"n_sounds": 0}, "n_sounds must be positive or None; got 0"),
        ({"batch_size": 0}, "batch_size must be positive; got 0"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"loss": "mse"}, "pnp, p, surrogate, spectral, multiscale, or a module; got 'mse'"),
        ({"loss": "spectral"}, "features=None"),
        ({"loss": "p", "damping_schedule": {}}, "needs PNP loss; got ParameterLoss"),
        ({"loss": ParameterLoss(), "loss_options": {"scale": 2.0}}, "module has its options already"),
    ]:
        with pytest.raises(ValueError, match=message):
            _train(cache, **options)
    with pytest.raises(ValueError, match=r"validation fold of cache/tones\.h5 has no sound"):
        _train(MemoryCache(failed=tuple(MemoryCache().rows("validation").tolist())))
    other = Tones()
    other.space = other.space[::-1]
    with pytest.raises(ValueError, match=r"different parameter spaces: Tones has decay.*tones\.h5 has f in"):
        train(cache, other)


def test_a_directory_that_holds_a_run_is_not_overwritten_unasked(cache, tmp_path):
    _train(cache, out=tmp_path, epochs=1)
    with pytest.raises(FileExistsError, match="holds a training run"):
        _train(cache, out=tmp_path, epochs=1)
    with pytest.raises(
        ValueError, match=r"other settings \(batch_size: 8 there, 4 now; seed: 0 there, 1 now\)"
    ):
        _train(cache, out=tmp_path, resume=True, batch_size=4, seed=1)
    assert len(_train(cache, out=tmp_path, epochs=2, overwrite=True, seed=1).history) == 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # TensorBoard's own
def test_overwriting_leaves_nothing_of_the_old_run(cache, tmp_path):
    pytest.importorskip("tensorboard")
    _train(cache, out=tmp_path, epochs=1, tensorboard=True)
    for name in ("notes.txt", "tensorboard/notes.txt", "last.pt.partial"):
        (tmp_path / name).touch()
    with pytest.raises(FloatingPointError):
        _train(cache, out=tmp_path, loss=_Diverging(1), overwrite=True)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    # The epoch that diverged is logged.
    assert left == {"notes.txt", "tensorboard/notes.txt", "last.pt", "log.csv"}
    assert ",nan," in (tmp_path / "log.csv").read_text()
    with pytest.raises(FileNotFoundError):
        checkpoint.load_encoder(tmp_path)


def test_what_cannot_begin_overwrites_nothing(cache, tmp_path, monkeypatch):
    done = _train(cache, out=tmp_path, epochs=1)
    with pytest.raises(ValueError, match="must be one of"):
        _train(cache, out=tmp_path, overwrite=True, loss="mse")
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match="TensorBoard needs it installed"):
        _train(cache, out=tmp_path, overwrite=True, tensorboard=True)
    assert _same(checkpoint.load_encoder(tmp_path).state_dict(), _weights(done))


def test_best_weights_alone_are_a_run_that_is_not_overwritten_unasked(cache, tmp_path):
    _train(cache, out=tmp_path, epochs=1)
    (tmp_path / "last.pt").unlink()
    with pytest.raises(FileExistsError, match="holds a training run"):
        _train(cache, out=tmp_path, epochs=1)


def test_damaged_checkpoints_are_named(cache, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint .*best\.pt"):
        checkpoint.load_encoder(tmp_path)
    _train(cache, out=tmp_path, epochs=1)
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


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # TensorBoard's own
def test_tensorboard_log_says_what_the_csv_says(cache, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    result = _train(cache, epochs=2, out=tmp_path, tensorboard=True)
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    logged = [(event.step, event.value) for event in events.Scalars("validation_loss")]
    assert logged == [(row["epoch"], pytest.approx(row["validation_loss"])) for row in result.history]
    with pytest.raises(ValueError, match="needs a directory"):
        _train(cache, tensorboard=True)


def test_a_time_budget_cuts_an_epoch_short(cache):
    # Nothing is shorter than this budget: one step, and one validation.
    result = _train(cache, epochs=None, time_budget=1e-9)
    assert (result.stopped, len(result.history)) == ("time", 1)


def test_another_optimizer_takes_the_place_of_adamw(cache):
    made = []

    def factory(parameters):
        made.append(torch.optim.SGD(parameters, lr=5.0))
        return made[0]

    _train(cache, epochs=1, learning_rate=1e-3, optimizer=factory)
    assert 0 < made[0].param_groups[0]["lr"] <= 1e-3
