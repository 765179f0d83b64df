"""Training and evaluation on a cache with choices, integers and conditions."""

import json

import pytest
import torch
from discrete import Organ, Spectrum
from task import SMALL, same, weights
from torch import nn

from pnp.losses import ChoiceCrossEntropy, ChoiceLoss, ParameterLoss, PNPLoss
from pnp.offline.precompute import precompute
from pnp.report.results import evaluations_as_text
from pnp.store import MetricCache
from pnp.training.answers import answer_of, conditions_of
from pnp.training.checkpoint import load_encoder
from pnp.training.criterion import make_choice_criterion
from pnp.training.dataset import CacheDataset
from pnp.training.encoder import Encoder
from pnp.training.evaluate import evaluate
from pnp.training.train import train

SIZE = 48


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    path = tmp_path_factory.mktemp("kinds") / "organ.h5"
    precompute(Organ(), Spectrum(), path, size=SIZE, probe=False, progress=False)
    with MetricCache(path) as cache:
        yield cache


def run(cache, **options):
    return train(
        cache,
        Organ(),
        **({"encoder_options": SMALL, "epochs": 2, "batch_size": 8, "progress": False} | options),
    )


def judged(network, cache, **options):
    return evaluate(network, cache, Organ(), features=Spectrum(), progress=False, **options)


@pytest.fixture(scope="module")
def trained(cache, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "organ"
    return run(cache, out=out), out


def test_an_encoder_answers_choices_and_is_told_conditions(cache):
    torch.manual_seed(0)
    encoder = Encoder(cache.space, 2000.0, **SMALL).eval()
    x, conditions = Organ()(cache.theta[:5].float()), conditions_of(cache)[:5].float()
    u_hat, probabilities = encoder(x, conditions)
    # Nothing is known before training.
    assert torch.equal(u_hat, torch.zeros(5, 2))
    torch.testing.assert_close(probabilities["wave"], torch.full((5, 3), 1 / 3))
    nn.init.normal_(encoder.dense[-1].weight)
    other = encoder(x, -conditions)
    assert not torch.allclose(other[0], encoder(x, conditions)[0])
    with pytest.raises(ValueError, match=r"needs the conditions of each sound, note, velocity"):
        encoder(x)
    with pytest.raises(ValueError, match=r"shape \(B, Q\) = \(5, 2\).*note, velocity; got \(5, 1\)"):
        encoder(x, conditions[:, :1])
    again = Encoder.from_config(json.loads(json.dumps(encoder.config())))
    assert again.space == cache.space
    with pytest.raises(
        ValueError, match="predicts decay, voices, wave given note, velocity; x is about decay"
    ):
        encoder.check_fits(cache.select(["decay"]).space, 2000.0, "x")


def test_a_run_ends_with_a_checkpoint_that_answers_the_same(cache, trained):
    result, out = trained
    assert 0 <= result.history[-1]["validation_accuracy"] <= 1
    first, second = judged(result.encoder, cache), judged(load_encoder(out), cache)
    assert first == second
    with pytest.raises(ValueError, match="choice_loss"):
        run(cache, out=out, resume=True, epochs=3, choice_loss=ChoiceCrossEntropy.from_cache(cache))
    assert run(cache, out=out, resume=True, epochs=3).history[:2] == result.history


def test_what_is_reported_is_what_it_says(cache, trained):
    encoder = trained[0].encoder
    result = judged(encoder, cache)
    rows, data = result.rows, CacheDataset(cache, "test", synth=Organ())
    batch = data.batch(range(len(data)))
    u_hat, probabilities = encoder(batch["x"], batch["conditions"])
    torch.testing.assert_close(result.u_hat, u_hat.detach())
    p, distances = probabilities["wave"].detach(), cache.choice_distances["wave"][rows].sqrt()
    chosen = p.argmax(-1)
    right = chosen == batch["choices"][:, 0]
    assert result.choice_accuracy == pytest.approx((float(right.double().mean()),))
    assert result.choice_distance == pytest.approx((float((p * distances).sum(-1).mean()),))
    usual = int(cache.choices[cache.rows("train"), 0].bincount().argmax())
    share = float((batch["choices"][:, 0] == usual).double().mean())
    assert result.centre_choice_accuracy == pytest.approx((share,))
    theta = cache.theta[rows].clone()
    theta[:, :2] = cache.space.from_unit(cache.space.snap(u_hat.detach().double()))
    theta[:, 2] = chosen
    distance = (Spectrum()(Organ()(theta.float())) - cache.features(rows)).norm(dim=-1)
    torch.testing.assert_close(result.feature_distances, distance.double(), rtol=1e-3, atol=1e-3)
    text = evaluations_as_text({"run": result})
    assert "wave right" in text
    assert "most frequent option" in text
    assert json.loads(result.to_json())["choices"] == ["wave"]


def test_a_perfect_network_is_perfect_in_choices(cache):
    class Oracle:
        """Knows the sounds of the test fold in their order, and hears conditions."""

        def __init__(self):
            self.left = cache.rows("test")

        def __call__(self, x, conditions):
            rows, self.left = self.left[: len(x)], self.left[len(x) :]
            torch.testing.assert_close(conditions, conditions_of(cache)[rows].float())
            return cache.u[rows], {"wave": torch.eye(3)[cache.choices[rows, 0]]}

    result = judged(Oracle(), cache)
    assert (result.choice_accuracy, result.choice_distance) == ((1.0,), (0.0,))
    assert result.feature_distance == pytest.approx(0, abs=1e-3)
    assert result.centre_feature_distance > 1


def test_losses_of_choices_go_with_losses_of_parameters(cache):
    pnp_loss = make_choice_criterion(cache, "pnp", {"reach": 3.0, "scale": 2.0}, None)
    assert isinstance(pnp_loss, ChoiceLoss)
    assert pnp_loss.scale == pytest.approx(ChoiceLoss.from_cache(cache, reach=3.0, scale=2.0).scale)
    ceiling = ChoiceLoss.from_cache(cache, ceiling=0.5)
    plain, scaled = (
        PNPLoss.from_cache(cache, ceiling=0.5, normalize=False),
        PNPLoss.from_cache(cache, ceiling=0.5),
    )
    rows = cache.rows("train")[:1]
    u = cache.u[rows].float()
    assert ceiling.scale == pytest.approx(float(scaled(u + 0.1, u, rows) / plain(u + 0.1, u, rows)))
    assert isinstance(make_choice_criterion(cache, "p", {}, None), ChoiceCrossEntropy)
    assert isinstance(make_choice_criterion(cache, ParameterLoss(), {}, None), ChoiceLoss)
    assert make_choice_criterion(cache.select(["decay"]), "pnp", {}, None) is None
    with pytest.raises(ValueError, match=r"choice_loss goes with choices; .* has none: decay"):
        make_choice_criterion(cache.select(["decay"]), "pnp", {}, pnp_loss)


def test_losses_that_do_not_know_kinds_say_so(cache):
    with pytest.raises(ValueError, match="also differ in wave, note, velocity, which are not predicted"):
        run(cache, loss="surrogate")
    with pytest.raises(ValueError, match="also needs wave, note, velocity"):
        run(cache, loss="spectral", features=Spectrum())


def test_a_selection_is_trained_on(cache):
    view = cache.select(["decay", "wave"])
    result = judged(run(view, epochs=1).encoder, view)
    assert (result.parameters, result.choices) == (("decay",), ("wave",))
    without = judged(run(cache.select(["voices"]), epochs=1, loss="p").encoder, cache.select(["voices"]))
    assert (without.parameters, without.choices) == (("voices",), ())


def test_a_run_depends_on_its_seed_alone(cache):
    assert same(weights(run(cache)), weights(run(cache)))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (torch.zeros(4, 3), r"\(B, P\) = \(4, 2\); got \(4, 3\)"),
        ((torch.zeros(4, 2), torch.zeros(4, 3)), "a mapping from the name of each choice.*got û and Tensor"),
        ((torch.zeros(4, 2), {"waves": torch.zeros(4, 3)}), "of the choices wave; got waves"),
        ((torch.zeros(4, 2), {"wave": torch.zeros(4, 2)}), r"'wave' of shape .* = \(4, 3\); got \(4, 2\)"),
        (None, "got NoneType"),
    ],
)
def test_other_answers_are_named(cache, said, message):
    with pytest.raises(ValueError, match=message):
        answer_of(said, 4, cache.space)
