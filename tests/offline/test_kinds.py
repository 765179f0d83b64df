"""Choices, integers and conditions, from the offline stage to a training step."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from caches import content
from discrete import Organ, Spectrum
from torch import nn

from pnp.jacobian import choice_distances, value_and_jacobian
from pnp.losses import ChoiceLoss, PNPLoss
from pnp.metric.riemannian import RiemannianMetric
from pnp.offline.precompute import precompute
from pnp.offline.verify import verify
from pnp.store import MetricCache, merge
from pnp.training.dataset import CacheDataset
from pnp.training.evaluate import evaluate

SIZE = 24


class Failing(Organ):
    """Organ whose square wave raises, or has no finite features, for velocities above 0.8."""

    def __init__(self, how="raise"):
        super().__init__()
        self.how = how

    def forward(self, theta):
        bad = (theta[:, 2] == 1) & (theta[:, 4] > 0.8)
        if self.how == "raise" and bad.any():
            raise ValueError("no such table")
        x = super().forward(theta)
        return torch.where(bad[:, None], torch.inf, x) if self.how == "inf" else x


def make(path, synth=None, **options):
    options = {"size": SIZE, "block": 4, "precision": "float64", "dtype": "float64", "probe": False} | options
    precompute(Organ() if synth is None else synth, Spectrum(), path, progress=False, **options)
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1000000000")
        return make(tmp_path_factory.mktemp("kinds") / "organ.h5")


@pytest.fixture
def cache(path):
    with MetricCache(path) as cache:
        yield cache


def test_a_cache_keeps_what_the_synthesizer_receives(cache):
    space = Organ().space
    design = space.sample(SIZE)
    torch.testing.assert_close(cache.design, design, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(cache.theta, space.from_unit(design), rtol=1e-12, atol=1e-12)
    assert torch.equal(cache.u, design[:, :2])
    whole = [space.column(name) for name in ("voices", "wave", "note")]
    assert torch.equal(cache.theta[:, whole], cache.theta[:, whole].round())
    assert torch.equal(cache.choices[:, 0], cache.theta[:, 2].long())
    assert torch.equal(cache.conditions, cache.theta[:, 3:])


def test_metrics_and_distances_are_those_of_the_jacobian_and_of_every_option(cache):
    S, J = value_and_jacobian(Organ(), Spectrum(), cache.design)
    rows = cache.rows()
    assert len(rows) == SIZE
    torch.testing.assert_close(cache.jacobian(rows), J, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(cache.metrics().matrix, J.mT @ J, rtol=1e-8, atol=1e-8)
    expected = choice_distances(Organ(), Spectrum(), cache.design, S)["wave"]
    torch.testing.assert_close(cache.choice_distances["wave"], expected, rtol=1e-8, atol=1e-8)
    true = torch.nn.functional.one_hot(cache.choices[:, 0], 3).bool()
    assert (cache.choice_distances["wave"][true] == 0).all()
    assert (cache.choice_distances["wave"][~true] > 0).all()


@pytest.mark.slow
def test_workers_end_with_the_same_bytes(path, tmp_path):
    assert content(make(tmp_path / "parallel.h5", jobs=2)) == content(path)


def test_shards_and_a_killed_run_end_with_the_same_bytes(path, tmp_path, monkeypatch):
    parts = [make(tmp_path / f"part{i}.h5", shard=(i, 2)) for i in range(2)]
    merge(parts, tmp_path / "copied.h5", copy=True)
    merge(parts, tmp_path / "linked.h5")

    def interrupted(*_):
        raise KeyboardInterrupt

    resumed = tmp_path / "resumed.h5"
    from pnp.offline import workers

    compute, calls = workers._compute, []

    def dies_at_the_third(*arguments):
        calls.append(arguments)
        return interrupted() if len(calls) == 3 else compute(*arguments)

    monkeypatch.setattr(workers, "_compute", dies_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        make(resumed)
    with MetricCache(resumed) as half:
        assert int(half.ok.sum()) == 8
        assert half.choice_distances["wave"][8:].isnan().all()
    monkeypatch.undo()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    make(resumed)
    assert content(resumed) == content(tmp_path / "copied.h5") == content(path)
    with MetricCache(tmp_path / "linked.h5") as linked, MetricCache(path) as one:
        assert torch.equal(linked.theta, one.theta)
        assert torch.equal(linked.choice_distances["wave"], one.choice_distances["wave"])


def test_it_is_verified_byte_by_byte_and_computed_again(path, tmp_path):
    report = verify(path, recompute=6, synth=Organ(), features=Spectrum())
    assert report.ok, str(report)
    louder = Spectrum()
    louder.forward = lambda x: Spectrum().forward(1.1 * x)
    problems = " ".join(verify(path, recompute=2, synth=Organ(), features=louder).problems)
    assert "choice_distances comes out different" in problems
    for name in ("choices", "conditions", "choice_distances"):
        import h5py

        damaged = tmp_path / f"{name}.h5"
        damaged.write_bytes(path.read_bytes())
        with h5py.File(damaged, "r+") as file:
            file[name][3] += 1
        assert any(name in problem for problem in verify(damaged).problems)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("raise", "with wave = 'square': ValueError: no such table"),
        ("inf", "with wave = 'square': the sound is"),
    ],
)
def test_an_option_that_fails_fails_its_sound_alone(how, reason, tmp_path):
    path = make(tmp_path / "failing.h5", Failing(how))
    with MetricCache(path) as cache:
        loud = (cache.conditions[:, 1] > 0.8) & (cache.choices[:, 0] != 1)
        assert loud.any()
        assert all(cache.failures[row].startswith(reason) for row in loud.nonzero().flatten().tolist())
        quiet = cache.conditions[:, 1] <= 0.8
        assert torch.equal(cache.ok, quiet)
        assert torch.equal(cache.choice_distances["wave"].isfinite().all(1), quiet)


class Network(nn.Module):
    """Parameters and probabilities of waves, from a sound and its conditions."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(256 + 2, 2 + 3)

    def forward(self, x, conditions):
        y = self.layer(torch.cat([x, conditions], -1))
        return y[:, :2].tanh(), {"wave": y[:, 2:].softmax(-1)}


def test_a_network_is_trained_and_evaluated(cache):
    data = CacheDataset(cache, "train", synth=Organ())
    batch = data.batch(range(8))
    rows = batch["index"]
    assert torch.equal(batch["theta"], cache.theta[rows].float())
    torch.testing.assert_close(batch["conditions"], cache.design[rows, 3:].float())
    assert torch.equal(batch["choices"], cache.choices[rows])
    network, choice_loss = Network(), ChoiceLoss.from_cache(cache)
    pnp_loss = PNPLoss.from_cache(cache)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        u_hat, waves = network(batch["x"], batch["conditions"])
        loss = pnp_loss(u_hat, batch["u"], rows) + choice_loss(waves, rows)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]

    test = cache.rows("test")
    oracle = evaluate(lambda x: cache.u[test][: len(x)], cache, Organ(), features=Spectrum(), progress=False)
    assert oracle.mean_parameter_error == 0
    assert oracle.feature_distance == pytest.approx(0, abs=1e-3)
    assert oracle.centre_feature_distance > 1
    middle = evaluate(lambda x: torch.zeros(len(x), 2), cache, Organ(), features=Spectrum(), progress=False)
    assert middle.feature_distance == pytest.approx(middle.centre_feature_distance, rel=1e-6)


def test_the_two_losses_have_one_unit(cache):
    """Normalization divides both by the same number, which follows from the metrics."""
    row = cache.rows("train")[:1]
    u, wave = cache.u[row].float(), {"wave": torch.eye(3)[(cache.choices[row, 0] + 1) % 3]}
    for reach in (None, 0.1, 10.0):
        plain, normalized = (
            PNPLoss.from_cache(cache, normalize=on, reach=reach)(u + 0.1, u, row) for on in (False, True)
        )
        choice, normalized_choice = (
            ChoiceLoss.from_cache(cache, normalize=on, reach=reach)(wave, row) for on in (False, True)
        )
        torch.testing.assert_close(choice / normalized_choice, plain / normalized)
    defaults = [kind.from_cache(cache).scale for kind in (PNPLoss, ChoiceLoss)]
    assert defaults[0] == 1
    assert defaults[1] == ChoiceLoss.from_cache(cache, normalize=True, reach=3.0).scale
    assert ChoiceLoss.from_cache(cache, reach=None).scale == 1
    distance = cache.choice_distances["wave"][row, (cache.choices[row, 0] + 1) % 3]
    torch.testing.assert_close(choice, 0.5 * distance[0].float())


def test_parameters_are_dropped_from_a_finished_cache(cache):
    view = cache.select(["wave", "decay"])
    assert view.space.names == ("decay",)
    assert view.space.choices == cache.space.choices
    assert view.synth_space == cache.space
    assert torch.equal(view.u, cache.u[:, :1])
    assert torch.equal(view.theta, cache.theta)
    rows = view.rows("train")
    J = cache.jacobian(rows)
    assert torch.equal(view.jacobian(rows), J[..., :1])
    torch.testing.assert_close(view.metric(rows).matrix, J[..., :1].mT @ J[..., :1], rtol=1e-8, atol=1e-8)
    assert view.fingerprint != cache.fingerprint
    copy = pickle.loads(pickle.dumps(view))
    assert copy.space == view.space
    assert torch.equal(copy.factors(rows), view.factors(rows))
    assert cache.select(["voices"]).choice_distances == {}
    assert cache.select(["voices"]).choices.shape == (SIZE, 0)
    batch = CacheDataset(view, "train", synth=Organ()).batch([0, 1])
    assert batch["u"].shape == (2, 1)
    assert torch.equal(batch["x"], Organ()(cache.theta[rows[:2]].float()))
    result = evaluate(lambda x: torch.zeros(len(x), 1), view, Organ(), features=Spectrum(), progress=False)
    assert result.parameters == ("decay",)
    with pytest.raises(ValueError, match=r"'note'.*expected some of wave, decay, voices"):
        cache.select(["decay", "note"])


def test_columns_of_a_selection_have_the_metric_of_their_columns(tmp_path):
    from toy import ToyFeatures, ToySynth

    precompute(ToySynth(trouble="nan"), ToyFeatures(), tmp_path / "toy.h5", size=16, progress=False)
    with MetricCache(tmp_path / "toy.h5") as cache:
        view = cache.select(["decay"])
        assert torch.equal(view.ok, cache.ok)
        assert torch.equal(view.metrics().valid, cache.ok)
        M = cache.metric(cache.rows()).matrix[:, 1:, 1:]
        torch.testing.assert_close(view.metric(cache.rows()).matrix, M, rtol=1e-10, atol=0)
        assert isinstance(view.metrics(), RiemannianMetric)


def test_a_design_has_all_columns(tmp_path):
    with pytest.raises(
        ValueError, match=r"shape \(size, 5\).*decay, voices, wave, note, velocity; got \(3, 2\)"
    ):
        make(tmp_path / "few.h5", size=None, u=torch.zeros(3, 2))
    u = torch.tensor([[0.1, 0.4, 0.9, -0.33, 0.5]], dtype=torch.float64)
    make(tmp_path / "one.h5", size=None, u=u)
    with MetricCache(tmp_path / "one.h5") as cache:
        assert cache.theta[0, 1:4].tolist() == [3, 2, 47]
        torch.testing.assert_close(cache.u[0, 0], u[0, 0])


def test_plain_spaces_have_no_new_datasets(tmp_path):
    from toy import ToyFeatures, ToySynth

    precompute(ToySynth(), ToyFeatures(), tmp_path / "toy.h5", size=4, progress=False)
    names = {name for name in content(tmp_path / "toy.h5") if not name.startswith("@")}
    assert not names & {"choices", "conditions", "choice_distances"}
    with MetricCache(tmp_path / "toy.h5") as cache:
        assert cache.design is cache.u or torch.equal(cache.design, cache.u)
        assert (cache.choices.shape, cache.conditions.shape) == ((4, 0), (4, 0))
        assert cache.choice_distances == {}
        with pytest.raises(ValueError, match="has no choices, f, decay"):
            ChoiceLoss.from_cache(cache)


def test_the_header_says_in_plain_attributes_what_the_columns_are(path):
    import h5py

    with h5py.File(path) as file:
        read = {
            name: [text.decode() for text in file.attrs[name]] for name in ("choice_names", "choice_options")
        }
        assert read["choice_names"] == ["wave"]
        assert read["choice_options"] == ["wave: sine", "wave: square", "wave: soft_square"]
        assert file.attrs["condition_lows"].tolist() == [40, 0.2]
        assert json.loads(file.attrs["config"])["space"]["conditions"][0]["name"] == "note"
        assert file["choices"].dtype == np.int64
        assert isinstance(Path(file.filename), Path)


def test_a_report_about_one_sound_says_options_and_conditions(cache):
    from pnp.report.numbers import sound_report
    from pnp.report.terminal import as_text

    report = sound_report(cache, 3)
    assert report.names == ["decay", "voices"]
    assert report.others["wave"] == ("sine", "square", "soft_square")[cache.choices[3, 0]]
    assert report.others["note"] == int(cache.conditions[3, 0])
    assert f"wave      {report.others['wave']}" in as_text(report)


def test_factors_are_read_without_being_kept(path):
    rows = [5, 2, 9]
    with MetricCache(path) as cache:
        found = cache.factors(rows)
        assert "_factors" not in vars(cache)
        assert torch.equal(found, cache.metric(rows).factor)
        view = cache.select(["decay"])
        torch.testing.assert_close(view.factors(rows).abs(), view.metric(rows).factor.abs())
