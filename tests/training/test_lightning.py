"""DampingCallback: the schedule is stepped by the trainer and comes back with its checkpoints."""

import pytest
import torch
from task import MemoryCache
from torch import nn

from pnp.losses import ParameterLoss, PNPLoss

pytest.importorskip("lightning")

from lightning.pytorch import LightningModule, Trainer

from pnp.training.lightning import DampingCallback

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*isinstance.*LeafSpec"),
]


class _Module(LightningModule):
    """Linear regression of parameters on their own sines."""

    def __init__(self, values=None):
        super().__init__()
        cache = MemoryCache(32)
        self.loss = PNPLoss.from_cache(cache)
        self.net = nn.Linear(2, 2)
        self.u, self.index = cache.u.float(), torch.arange(32)
        self.values = values

    def training_step(self, batch, _):
        (index,) = batch
        return self.loss(self.net(self.u[index].sin()), self.u[index], index)

    def validation_step(self, batch, _):
        (index,) = batch
        value = ParameterLoss()(self.net(self.u[index].sin()), self.u[index])
        self.log("distance", value if self.values is None else torch.tensor(self.values[self.current_epoch]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-6)

    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(self.index), batch_size=16)

    val_dataloader = train_dataloader


def _trainer(tmp_path, callback, epochs):
    return Trainer(
        max_epochs=epochs,
        callbacks=[callback],
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        enable_checkpointing=False,
        num_sanity_val_steps=2,
    )


def test_the_trainer_steps_the_schedule_once_an_epoch(tmp_path):
    module = _Module(values=[3.0, 2.0, 5.0, 1.0])
    callback = DampingCallback("distance", initial=8.0, decrease=0.5, brake=4.0, patience=0)
    _trainer(tmp_path, callback, 4).fit(module)
    assert module.loss.damping == pytest.approx(8.0 * 0.5 * 0.5 * 4.0 * 0.5)
    assert callback.schedule.best == 1.0


def test_validating_after_training_changes_nothing(tmp_path):
    module = _Module(values=[3.0, 5.0, 9.0])
    callback = DampingCallback("distance", initial=8.0, decrease=0.5, brake=4.0, patience=1)
    trainer = _trainer(tmp_path, callback, 2)
    trainer.fit(module)
    with torch.no_grad():
        module.net.weight.fill_(7.0)
    trainer.validate(module, verbose=False)
    assert module.loss.damping == 4.0
    assert (module.net.weight == 7.0).all()
    assert callback.schedule.n_failures == 1


def test_the_schedule_resumes_with_the_trainer(tmp_path):
    options = {"initial": 8.0, "decrease": 0.5, "brake": 4.0, "patience": 0}
    values = [3.0, 2.0, 2.5, 1.0]
    trainer = _trainer(tmp_path, DampingCallback("distance", **options), 2)
    trainer.fit(_Module(values))
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    module = _Module(values)
    _trainer(tmp_path, DampingCallback("distance", **options), 4).fit(
        module, ckpt_path=tmp_path / "half.ckpt"
    )
    assert module.loss.damping == pytest.approx(8.0 * 0.5 * 0.5 * 4.0 * 0.5)


def test_bad_use_is_named(tmp_path):
    with pytest.raises(TypeError, match=r"_Module\.net must be the PNPLoss.*got Linear"):
        _trainer(tmp_path, DampingCallback("distance", loss="net"), 1).fit(_Module())
    with pytest.raises(ValueError, match="must log 'loss' in validation; it logged distance"):
        _trainer(tmp_path, DampingCallback("loss"), 1).fit(_Module())
