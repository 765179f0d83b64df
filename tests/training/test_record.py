"""Files of a run say what its result says."""

import csv

import pytest
from task import MemoryCache, same, train_small, weights

from pnp.training import checkpoint


@pytest.fixture(scope="module")
def cache():
    return MemoryCache()


def test_checkpoints_and_log(cache, tmp_path):
    result = train_small(cache, out=tmp_path / "run", loss="pnp", loss_options={"damping": 0.5})
    for path in (tmp_path / "run", tmp_path / "run" / "best.pt"):
        encoder = checkpoint.load_encoder(path)
        assert same(encoder.state_dict(), weights(result))
        assert encoder.space == cache.space
        assert not encoder.training
    with (tmp_path / "run" / "log.csv").open() as file:
        log = list(csv.DictReader(file))
    assert [int(line["epoch"]) for line in log] == [1, 2, 3]
    assert [float(line["validation_loss"]) for line in log] == [e["validation_loss"] for e in result.history]
    assert {float(line["damping"]) for line in log} == {0.5}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # TensorBoard's own
def test_tensorboard_log_says_what_the_csv_says(cache, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    result = train_small(cache, epochs=2, out=tmp_path, tensorboard=True)
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    logged = [(event.step, event.value) for event in events.Scalars("validation_loss")]
    assert logged == [(row["epoch"], pytest.approx(row["validation_loss"])) for row in result.history]
    with pytest.raises(ValueError, match="needs a directory"):
        train_small(cache, tensorboard=True)
