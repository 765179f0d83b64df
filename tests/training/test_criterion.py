"""Losses by name, and the schedule of their damping."""

import pytest
from task import MemoryCache, train_small

from pnp.metric.reach import DEFAULT_REACH, ceiling_of_reach
from pnp.training.criterion import with_defaults


@pytest.fixture(scope="module")
def cache():
    return MemoryCache()


def test_damping_schedule_lowers_damping_as_validation_improves(cache):
    result = train_small(
        cache, loss="pnp", damping_schedule={"initial": 8.0, "decrease": 0.5}, epochs=6, learning_rate=1e-2
    )
    damping = [epoch["damping"] for epoch in result.history]
    assert damping[0] == 8.0
    assert min(damping) < 8.0


def test_a_schedule_begins_at_the_damping_of_the_loss(cache):
    options = {"loss": "pnp", "loss_options": {"damping": 123.0}, "epochs": 1}
    assert train_small(cache, **options, damping_schedule={}).history[0]["damping"] == 123.0
    assert train_small(cache, **options, damping_schedule={"initial": 123.0}).history[0]["damping"] == 123.0
    with pytest.raises(ValueError, match=r"got damping=123\.0 and initial=8\.0\. Give one"):
        train_small(cache, **options, damping_schedule={"initial": 8.0})


def test_pnp_loss_is_normalized_unless_told_otherwise(cache):
    normalized = train_small(cache, loss="pnp", epochs=1).history[0]["train_loss"]
    raw = train_small(cache, loss="pnp", loss_options={"normalize": False}, epochs=1).history[0]["train_loss"]
    trained = cache.metrics()[cache.rows("train")].saturated(ceiling_of_reach(cache, DEFAULT_REACH))
    assert raw / normalized == pytest.approx(float(trained.trace.mean()) / 2, rel=0.5)


def test_the_default_reach_is_spelled_out_so_that_no_run_is_continued_with_another():
    assert with_defaults("pnp", {}) == {"reach": DEFAULT_REACH}
    assert with_defaults("pnp", {"reach": None}) == {"reach": None}
    assert with_defaults("pnp", {"ceiling": 2.0}) == {"ceiling": 2.0}
    assert with_defaults("p", {}) == {}
