"""Stage one: the point network, fitted with Lightning; on a GPU its steps are played from a graph (`device`)."""

from __future__ import annotations

import logging
import math
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any, cast

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import DDPStrategy
from torch import nn
from torch.utils.data import DataLoader, Dataset

from napari_sfh.console import Pace, make_stderr_logger
from napari_sfh.model.bundle import Bundle
from napari_sfh.model.calibration import node_weights
from napari_sfh.model.inference import choose_device
from napari_sfh.model.networks import ScalarOutput, StemNetwork
from napari_sfh.model.sfh_model import SfhModel
from napari_sfh.physics.template_basis import TemplateBasis
from napari_sfh.training.fitting import learning_curve
from napari_sfh.training.fitting.device.graphed_steps import CountedAdam, GraphedSteps
from napari_sfh.training.fitting.losses import HISTORY_LOSSES, PAPER_LOSSES, light_loss, paper_loss, scalar_loss
from napari_sfh.training.fitting.provenance import check_seal, make_seal
from napari_sfh.training.fitting.recipe import PointFitSettings, Recipe
from napari_sfh.training.fitting.selection.independent_check import IndependentCheck
from napari_sfh.training.fitting.spectra_sources import Batch, Batches, BatchGroups, SpectraSource
from napari_sfh.training.fitting.transfer.added_bands import extend_network
from napari_sfh.types import I64

#: Spectra from which input shifts and scales are measured.
_N_INITIALISE = 8192
#: Validation spectra looked at after each epoch.
_N_VALIDATE = 8192
#: log10 S/N between which the widths of the loss ``gaussian`` are interpolated.
WIDTH_LG_SNR: tuple[float, ...] = (0.5, 0.8, 1.1, 1.4, 1.7, 2.0, 2.5)
#: Largest norm of a step's gradient.
_CLIP = 1.0
#: Seconds between lines of progress within an epoch.
_BATCH_SECONDS = 30.0


class PointNetworkModule(lightning.LightningModule):
    """The optimisation of an `SfhModel`'s network by a recipe's loss."""

    ln_width: torch.Tensor

    def __init__(
        self,
        model: SfhModel,
        recipe: Recipe,
        total_steps: int = 0,
        check: IndependentCheck | None = None,
        by_groups: bool = False,
    ) -> None:
        super().__init__()
        self.model, self.recipe, self.total_steps, self.check = model, recipe, total_steps, check
        # Groups of batches come in one, and the module takes the steps itself.
        self.automatic_optimization = not by_groups
        self.steps: GraphedSteps[Batch] | None = None
        self.plateau = PlateauSchedule(recipe.fit)
        # What a checkpoint must have been fitted to, so that this run may go on from it.
        self.origin = (
            f"{recipe.architecture}, prior {recipe.prior}, instrument {recipe.instrument}, seed {recipe.fit.seed}"
        )
        # Widths of the loss ``gaussian`` at some S/N, from a tenth of each scalar's range on.
        ln_width = torch.full((len(WIDTH_LG_SNR), model.targets.size), math.log(0.1))
        if recipe.loss == "gaussian":
            self.ln_width = nn.Parameter(ln_width)
        else:
            self.register_buffer("ln_width", ln_width, persistent=False)

    def loss(self, batch: Batch) -> torch.Tensor:
        """Loss of one batch."""
        decoded, _ = self.model.network(batch.features)
        if isinstance(decoded, ScalarOutput):
            nodes = torch.tensor(WIDTH_LG_SNR, device=batch.y.device)
            ln_width = node_weights(nodes, batch.features.lg_snr[:, 0]) @ self.ln_width
            return scalar_loss(self.recipe.loss, decoded.values, batch.y, ln_width)
        if self.recipe.loss in PAPER_LOSSES:
            n = self.model.targets.n_age
            return paper_loss(decoded, batch.truth["mass_frac"], batch.y[:, n : 2 * n], self.recipe.loss)
        assert self.model.mass_to_light is not None  # histories have a template basis
        return light_loss(decoded, batch.y, batch.truth, self.model.mass_to_light)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Batches are dataclasses of tensors; move each."""
        return batch.change_tensors(lambda x: x.to(device))

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        """Lightning's: the loss of a batch, or of the steps taken with a group of them."""
        loss = self.loss(batch) if self.automatic_optimization else self._step_through(batch)
        self.log("train", loss, on_step=False, on_epoch=True, batch_size=len(batch.y), sync_dist=True)
        return loss

    def _step_through(self, group: Batch) -> torch.Tensor:
        """A step for each whole batch of a group; their mean loss. Lightning counts the group as one step."""
        optimiser = cast(LightningOptimizer, self.optimizers())
        schedule = cast(torch.optim.lr_scheduler.LambdaLR, self.lr_schedulers())
        fit = self.recipe.fit
        if self.steps is None:
            adam = cast(CountedAdam, optimiser.optimizer)
            self.steps = GraphedSteps(self.loss, self.model.network, adam, _CLIP, group, fit.batch)
        n = len(group) // fit.batch
        rates = [fit.learning_rate * self.relative_learning_rate(schedule.last_epoch + k) for k in range(n)]
        loss = self.steps.take_steps(group, rates)
        optimiser.step()
        for _ in range(n):
            schedule.step()
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        """Lightning's."""
        self.log("val", self.loss(batch), batch_size=len(batch.y), sync_dist=True)

    def on_validation_epoch_start(self) -> None:
        """Measure the error on galaxies of the independent simulator, of the weights that would be kept.

        At the epoch's end an average of the weights has already been taken out again.
        """
        if self.check is not None:
            self.log("independent", self.check.measure_error(self.model), sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        """Feed the plateau counter."""
        if not self.trainer.sanity_checking:
            self.plateau.record_loss(float(self.trainer.callback_metrics["val"]))

    def relative_learning_rate(self, step: int) -> float:
        """Learning rate at a step, relative to the initial one."""
        share = min(step / max(self.total_steps, 1), 1.0)
        fall = {"linear": 1 - share, "cosine": 0.5 * (1 + math.cos(math.pi * share)), "constant": 1.0}
        # A short warm-up: instance-normalised layers start from random statistics.
        warm = min(1.0, (step + 1) / 100) if self.recipe.fit.schedule == "cosine" else 1.0
        return warm * max(fall[self.recipe.fit.schedule], 1e-4) * self.plateau.factor

    def configure_optimizers(self) -> Any:
        """Adam and the schedule."""
        widths = [self.ln_width] if isinstance(self.ln_width, nn.Parameter) else []
        fitted = [*self.model.network.parameters(), *widths]
        s = self.recipe.fit
        optimiser: torch.optim.Adam
        if self.automatic_optimization:
            # Lightning does not clip the gradients of a fused optimiser in mixed precision.
            fused = self.device.type == "cpu" and s.precision == "32-true"
            optimiser = torch.optim.Adam(fitted, lr=s.learning_rate, fused=fused or None)
        else:
            on_gpu = self.device.type == "cuda"
            optimiser = CountedAdam(fitted, lr=s.learning_rate, fused=True, capturable=on_gpu)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, self.relative_learning_rate)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the plateau's state, so that a resumed run goes on as if never stopped, and seal the weights."""
        checkpoint["plateau"] = self.plateau.state()
        checkpoint["seal"] = make_seal(checkpoint["state_dict"], self.origin)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Inverse."""
        check_seal(checkpoint.get("seal"), checkpoint["state_dict"], self.origin, Path("checkpoints/last.ckpt"))
        self.plateau.restore(checkpoint["plateau"])
        # How a step is computed is this run's, whatever device the other one had.
        for state in checkpoint["optimizer_states"]:
            for group in state["param_groups"]:
                group["lr"] = float(group["lr"])
                group["capturable"] = not self.automatic_optimization and self.device.type == "cuda"


class PlateauSchedule:
    """Reduces the learning rate when the validation loss has not improved for some epochs."""

    def __init__(self, settings: PointFitSettings) -> None:
        self.patience, self.by = settings.plateau_epochs, settings.plateau_factor
        self.best, self.waited, self.factor = math.inf, 0, 1.0

    def record_loss(self, loss: float) -> None:
        """Count one epoch."""
        if loss < self.best:
            self.best, self.waited = loss, 0
            return
        self.waited += 1
        if self.patience and self.waited >= self.patience:
            self.factor, self.waited = self.factor * self.by, 0

    def state(self) -> dict[str, float]:
        """For a checkpoint."""
        return {"best": self.best, "waited": self.waited, "factor": self.factor}

    def restore(self, state: dict[str, float]) -> None:
        """From a checkpoint."""
        self.best, self.waited, self.factor = state["best"], int(state["waited"]), state["factor"]


class EpochLogger(Callback):
    """Writes each epoch into the run's table, and a line on stderr."""

    def __init__(self, folder: Path, quiet: bool) -> None:
        self.folder, self.say, self.start = folder, make_stderr_logger(quiet), time.perf_counter()
        self.pace = Pace(0.0)  # the first batch of all is told

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Forget epochs that an interrupted run did beyond its checkpoint; go on counting its seconds."""
        if not trainer.is_global_zero:
            return
        known = [e for e in learning_curve.read_learning_curve(self.folder) if e.epoch < trainer.current_epoch]
        learning_curve.write_learning_curve(self.folder, known)
        if known and not math.isnan(known[-1].seconds):
            self.start -= known[-1].seconds

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Tell the first batch of a run, later one every half minute."""
        if trainer.is_global_zero and self.pace.is_due():
            self.pace = Pace(_BATCH_SECONDS)
            of = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}: batch {batch_idx + 1}"
            self.say(f"{of}/{trainer.num_training_batches}, {time.perf_counter() - self.start:.0f} s")

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Keep and print the epoch's losses and the time so far."""
        if not trainer.is_global_zero:
            return
        train, val = (float(trainer.callback_metrics[k]) for k in ("train", "val"))
        spent = time.perf_counter() - self.start
        row = learning_curve.Epoch(trainer.current_epoch, train, val, round(spent, 1))
        learning_curve.write_learning_curve(self.folder, [*learning_curve.read_learning_curve(self.folder), row])
        of = f"{trainer.current_epoch + 1}/{trainer.max_epochs}"
        error = trainer.callback_metrics.get("independent")
        independent = "" if error is None else f"independent galaxies {float(error):.4f} dex, "
        self.say(f"epoch {of}: loss {train:.4f}, validation {val:.4f}, {independent}{spent:.0f} s")


def fit_point_network(
    recipe: Recipe,
    source: SpectraSource,
    parts: tuple[I64, I64],
    basis: TemplateBasis,
    folder: Path,
    device: str = "auto",
    resume: bool = False,
    quiet: bool = False,
    devices: int = 1,
    check: IndependentCheck | None = None,
    start: Bundle | None = None,
) -> SfhModel:
    """Fit the point network; the weights of the best epoch are returned.

    Parameters
    ----------
    recipe : Recipe
    source : SpectraSource
    parts : (training rows, validation rows)
    basis : TemplateBasis
    folder : Path
        Gets ``checkpoints/`` and ``metrics.csv``.
    device : str
        auto, cpu, cuda or mps.
    resume : bool
        Go on from ``checkpoints/last.ckpt`` where there is one.
    quiet : bool
        No line per epoch.
    devices : int
        GPUs, or processes on a processor, that share every batch (`DDPStrategy`): a step sees as many spectra as with
        one. Each makes its own spectra, and all look at the same validation spectra.
    check : IndependentCheck, optional
        Measured after each epoch: the best epoch is the one of its least error. Without it, that of the least
        validation loss.
    start : Bundle, optional
        Weights whose network is fitted further, of the same shape or with fewer bands (`transfer.added_bands`); else
        it starts from random weights.
    """
    _silence_lightning()
    lightning.seed_everything(recipe.fit.seed, workers=True, verbose=False)
    # The deterministic mode fills every new array with NaN; here each is written before it is read.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    s = recipe.fit
    model = SfhModel(recipe.model_config(), source.instrument, source.targets, basis)
    kind = choose_device(device).type
    # Of several processes, each moves the spectra to its own device.
    moved, later = (source.to(kind), None) if devices == 1 else (source, kind)
    by_groups = devices == 1 and allows_graphed_steps(recipe, kind)
    module = PointNetworkModule(model, recipe, check=check, by_groups=by_groups)
    epoch = partial(getattr, module, "current_epoch")
    train = Batches(moved, parts[0], s.batch, recipe.augment, s.seed, epoch, later)
    module.total_steps = s.epochs * len(train)
    validate = Batches(moved, parts[1][:_N_VALIDATE], 1024, recipe.augment, s.seed + 1, device=later)
    _initialise(model, source, parts[0], recipe, start)
    monitor = "val" if check is None else "independent"
    best = ModelCheckpoint(
        folder / "checkpoints", "best", monitor=monitor, save_last=True, enable_version_counter=False
    )
    callbacks: list[Callback] = [best, EarlyStopping(monitor, patience=s.stop_epochs), EpochLogger(folder, quiet)]
    if s.average_decay > 0:
        callbacks.append(EMAWeightAveraging(decay=s.average_decay))
    trainer = _make_trainer(s, callbacks, device, devices, None if by_groups else _CLIP)
    last = folder / "checkpoints" / "last.ckpt"
    # What is validated on is the same after each epoch: made once, unless another process has to make it.
    held = cast(Dataset[Batch], list(validate)) if devices == 1 else validate
    loaders = DataLoader(BatchGroups(train) if by_groups else train, batch_size=None), DataLoader(held, batch_size=None)
    begun = str(last) if resume and last.is_file() else None
    trainer.fit(module, loaders[0], loaders[1], ckpt_path=begun, weights_only=True)
    # The folder's own, as a copied run's checkpoint names the folder that it was copied from.
    kept = folder / "checkpoints" / "best.ckpt"
    stored = torch.load(kept, map_location="cpu", weights_only=True)
    check_seal(stored.get("seal"), stored["state_dict"], module.origin, kept)
    module.load_state_dict(stored["state_dict"])
    return model.cpu().eval()


def allows_graphed_steps(recipe: Recipe, device: str) -> bool:
    """Whether a recipe's steps can be recorded: on CUDA, unless they wait for it or weights are averaged over steps.

    Parameters
    ----------
    recipe : Recipe
    device : str
        cpu, cuda or mps.
    """
    plain = recipe.fit.precision == "32-true" and not recipe.fit.average_decay
    return device == "cuda" and plain and recipe.loss in HISTORY_LOSSES


def _make_trainer(
    s: PointFitSettings, callbacks: list[Callback], device: str, devices: int, clip: float | None
) -> lightning.Trainer:
    return lightning.Trainer(
        accelerator={"cuda": "gpu"}.get(device, device),
        devices=devices,
        strategy="auto" if devices == 1 else DDPStrategy(start_method="spawn", find_unused_parameters=True),
        max_epochs=s.epochs,
        precision=s.precision,
        gradient_clip_val=clip,
        callbacks=callbacks,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        deterministic="warn",
    )


def _initialise(model: SfhModel, source: SpectraSource, rows: I64, recipe: Recipe, start: Bundle | None) -> None:
    """Random weights with what is measured on training spectra, or the weights of ``start``."""
    if start is None:
        _initialise_on_spectra(model, source, rows, recipe)
    elif start.instrument.n_bands != source.instrument.n_bands:
        _initialise_on_spectra(model, source, rows, recipe)
        extend_network(start.model, start.instrument, model, source.instrument)
    else:
        model.network.load_state_dict(start.model.network.state_dict())
        model.posterior.dust_default.copy_(start.model.posterior.dust_default)


def _initialise_on_spectra(model: SfhModel, source: SpectraSource, rows: I64, recipe: Recipe) -> None:
    """Measure what is measured on training spectra before the first step."""
    rng = np.random.default_rng([recipe.fit.seed, 7])
    some = np.sort(rng.permutation(rows)[:_N_INITIALISE])
    batch = source.batch(some, recipe.augment, rng)
    if isinstance(model.network, StemNetwork):
        model.network.centre(batch.features)
    n, mean = model.targets.n_age, batch.y.mean(0)
    if n:
        light, mh, dust = (batch.y[:, k : k + n] for k in (0, n, 2 * n))
        model.posterior.dust_default.copy_(dust.mean(0))
        mean = torch.cat([torch.log((light**2).mean(0) + 1e-3), mh.mean(0), dust.mean(0)])
    # The decoder starts from the mean answer instead of from solar metallicity.
    if isinstance(model.network, StemNetwork):
        with torch.no_grad():
            cast(nn.Linear, model.network.decoder[-1]).bias.copy_(mean)


def _silence_lightning() -> None:
    """Lightning's advice about workers and devices is not for the user of this command."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\.pytorch")
    warnings.filterwarnings("ignore", message=".*lightning.*")
