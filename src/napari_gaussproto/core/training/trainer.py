"""The stages of a fit, and the state that they share and keep on disk."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from napari_gaussproto.core.base.seeds import seeded
from napari_gaussproto.core.base.steps import TrainingStep, WithValue, without_pauses
from napari_gaussproto.core.measure.evaluation import RunningOverlap
from napari_gaussproto.core.mixture import objective, placement
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training.cells import LabelledCells, cells_of_crops, draw_cells
from napari_gaussproto.core.training.checkpoint import identity, load_checkpoint, save_checkpoint
from napari_gaussproto.core.training.descent import (
    ASTRAY,
    Clock,
    RunSettings,
    Trained,
    Watch,
    descend,
    descent_step,
    fit_temperature,
    move_average,
    one_cycle,
    reset_moments,
    trainable,
)
from napari_gaussproto.core.training.describe import finish_steps
from napari_gaussproto.core.training.pyramid import encode_pyramid
from napari_gaussproto.core.training.samples import (
    Crops,
    CropSampler,
    TrainingImage,
    check_crop,
    full_scales_of,
    pixel_counts,
)

# Drawn cells of a batch, and those whose latents are computed at a time.
_BATCH = 4096
# Joint steps between two searches for dead prototypes, and the share of the stage with any.
_RESEED_EVERY = 50
_RESEED_UNTIL = 0.5


class Trainer:
    """The stages of a fit and what they share.

    Parameters
    ----------
    model : PrototypeSegmenter
    data, validation : sequence of TrainingImage
    settings : RunSettings

    Raises
    ------
    ConfigError
        See `check_crop`.
    """

    name, lead = "fit", 0.0  # and how much better than the start the first best has to be

    def __init__(
        self,
        model: PrototypeSegmenter,
        data: Sequence[TrainingImage],
        validation: Sequence[TrainingImage],
        settings: RunSettings,
    ) -> None:
        self.model = model
        self.data = data
        self.validation = validation
        self.settings, self.seed = settings, settings.seed
        self.config = config = settings.training
        check_crop(config.crop_size, model.config.output_stride)
        n_classes = len(model.classes)
        self.sampler = CropSampler(
            data, n_classes, config.crop_size, config.augmentation, self.seed
        )
        counts = pixel_counts(data, n_classes)
        self.class_weight = objective.class_weights(counts, config.class_balance).to(model.device)
        # Of each prototype's class, the share that it explains, averaged over steps, (M,).
        self.used: Tensor | None = None
        self.best: dict[str, Tensor] | None = None
        self.best_miou: float | None = None
        self.best_step = self.looks = 0
        self.steps_done = 0
        self.seconds_before = 0.0
        self.progress = 0.0
        self.labelled = RunningOverlap(n_classes)
        self.watch = Watch(n_classes)
        self.started = time.monotonic()

    def run(self) -> Generator[TrainingStep, None, Trained]:
        """Take all stages; those before the joint one are skipped where a checkpoint is.

        Raises
        ------
        ConfigError, ModelFileError
            See `joint`.
        """
        if not self._goes_on:
            yield from self.start()
        yield from self.joint()
        self.model.eval()
        if self.settings.finish:
            yield from self.finish()
        self.model.card.log_training(self.name, **self.log_details())
        astray = self.watch.astray
        about = (self.steps_done, self.best_step, self.best_miou, astray, self.looks)
        return Trained(self.model, *about)

    @property
    def _goes_on(self) -> bool:
        return self.settings.checkpoint is not None and self.settings.checkpoint.exists()

    # -- stages before the joint one --------------------------------------------------------

    def start(self) -> Iterator[TrainingStep]:
        """Draw cells, warm up the neck, place the prototypes, train neck and layer."""
        layer, neck = self.model.layer, self.model.extractor.neck
        cells = yield from self.draw_cells()
        with seeded(self.seed):
            head = nn.Linear(self.model.config.latent_dim, len(self.model.classes))
        head.to(self.model.device)

        def under_head(z: Tensor, target: Tensor) -> dict[str, Tensor]:
            return {"classification": nn.functional.cross_entropy(head(z), target)}

        parameters = [*neck.parameters(), *head.parameters()]
        yield from self.neck_stage(
            "warm-up", cells, under_head, parameters, self.config.warm_up_steps
        )
        with torch.no_grad():
            self.model.eval()
            parts = [neck.points(part) for part in cells.values.split(_BATCH)]
        latents = cells.with_values(torch.cat(parts))
        placement.place_by_kmeans(layer, latents.values, latents.majority, self.seed)
        fit_temperature(layer, latents)

        def under_layer(z: Tensor, target: Tensor) -> dict[str, Tensor]:
            # Cells were drawn evenly over the classes.
            even, same = z.new_ones(len(z)), z.new_ones(target.shape[1])
            return objective.terms(layer, z, target, even, same, self.config.loss)

        parameters = [*neck.parameters(), *trainable(layer)]
        yield from self.neck_stage("layer", cells, under_layer, parameters, self.config.layer_steps)

    def draw_cells(self) -> Generator[TrainingStep, None, LabelledCells]:
        """Labelled cells of all images with their backbone features."""
        self.model.eval()
        generator = torch.Generator().manual_seed(self.seed)
        parts = []
        for index, image in enumerate(self.data):
            encoded = encode_pyramid(image.source, self.model)
            count = self.config.cells_per_image
            parts.append(
                draw_cells(encoded, image.full_labels, self.model, count, generator, index)
            )
            yield TrainingStep("features", index + 1, len(self.data))
        return LabelledCells.joined(parts)

    def neck_stage(
        self,
        stage: str,
        cells: LabelledCells,
        terms: Callable[[Tensor, Tensor], dict[str, Tensor]],
        parameters: Sequence[nn.Parameter],
        steps: int,
    ) -> Iterator[TrainingStep]:
        """Train the neck, and what stands on it, on features of drawn cells.

        The terms of the objective are of latents (B, D) and soft labels (B, C).
        """
        neck = self.model.extractor.neck.train()
        generator = torch.Generator().manual_seed(self.seed)

        def of_batch() -> dict[str, Tensor]:
            rows = torch.randint(len(cells), (_BATCH,), generator=generator)
            rows = rows.to(cells.values.device)
            return terms(neck.points(cells.values[rows]), cells.target[rows])

        optimizer = torch.optim.AdamW(parameters, lr=self.config.learning_rate)
        yield from descend(stage, of_batch, optimizer, steps)

    # -- the joint stage --------------------------------------------------------------------

    def joint(self) -> Iterator[TrainingStep]:
        """Train everything end to end; afterwards the model holds the best weights.

        Raises
        ------
        ConfigError, ModelFileError
            When the checkpoint is of another training, or no checkpoint.
        """
        clock = self.settings.clock(self.config.steps, self.settings.minutes)

        def skip(seconds: float) -> None:
            clock.skip(seconds)
            self.started += seconds

        # Whoever holds the generator may pause it.
        yield from without_pauses(self._joint(clock), skip)

    def _joint(self, clock: Clock) -> Generator[TrainingStep, None, None]:
        self.model.to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(self._groups(), weight_decay=self.config.weight_decay)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        step = first = self._resume() if self._goes_on else 0
        self.watch.keep(first, self.average)
        clock.begin(first, self.seconds_before)
        while not clock.over(step) and not self._quits():
            self.progress = clock.progress(step)
            for group in self.optimizer.param_groups:
                group["lr"] = group["peak"] * one_cycle(self.progress)
            losses = self._watched(step)
            step += 1
            if self.watch.astray is not None:
                yield from self._turn_back(step)
                break
            if step % _RESEED_EVERY == 0 and clock.progress(step) < _RESEED_UNTIL:
                self._reseed(step)
            # The decay starts small: early weights are far off and must be forgotten.
            decay = min(self.config.ema_decay, (1 + step) / (10 + step))
            move_average(self.average, self.model, decay)
            last = clock.over(step) or self.settings.stop()
            miou = None
            if not self._quits() and (last or step % self.config.validate_every == 0):
                self.watch.keep(step, self.average)
                miou = yield from self._validate(step)
                last = last or self.settings.stop()
                self._save(step, clock.spent())
            yield TrainingStep(
                "joint",
                step,
                clock.total(step),
                losses,
                miou,
                self.best_miou,
                self.labelled.miou,
                clock.left(step),
            )
            if last:
                break
        self.steps_done = step
        self.model.load_state_dict(self.best or self.average.state_dict())

    def _watched(self, step: int) -> dict[str, float]:
        """A step; what it raises where there is no way down is noted, and nothing has moved."""
        try:
            losses = self._step(step)
        except ASTRAY:
            self.watch.lose(step + 1)
            return {}
        self.watch.look(step + 1, losses)
        return losses

    def _turn_back(self, step: int) -> Iterator[TrainingStep]:
        """Go back to the last good weights, which may be the best ones."""
        good = self.watch.turn_back(self.average)
        yield from self._validate(good)
        note = self.watch.sentence
        yield TrainingStep("joint", step, step, best_miou=self.best_miou, note=note)

    def _quits(self) -> bool:
        return self.settings.at_once and self.settings.stop()

    def _groups(self) -> list[dict[str, Any]]:
        """Parameters in three groups: backbone; weights; and those that must not decay."""
        backbone, neck = self.model.extractor.backbone, self.model.extractor.neck
        peak, backbone_peak = self.config.learning_rate, self.config.backbone_learning_rate
        return [
            {"params": list(backbone.parameters()), "peak": backbone_peak},
            {"params": list(neck.parameters()), "peak": peak},
            # Decay would pull means to the origin and scales to an arbitrary value.
            {"params": trainable(self.model.layer), "peak": peak, "weight_decay": 0.0},
        ]

    def _step(self, step: int) -> dict[str, float]:
        crops = self.sampler.batch(step, self.config.batch_size)
        self.model.train()
        cells = self.crop_cells(crops, self.model)
        z, target, weight = cells.values, cells.target, cells.weight
        terms = self.terms(z, target, weight) | self.further_terms(cells, crops, step)
        losses = descent_step(self.optimizer, terms, self.config.gradient_clip)
        z = z.detach()
        self.labelled.add(self.model, z, target, weight)
        self.used = placement.averaged(self.used, self.usage(z, target, weight))
        return losses

    def crop_cells(self, crops: Crops, model: PrototypeSegmenter) -> LabelledCells:
        """Cells of crops, by this model or a copy of it."""
        return cells_of_crops(crops, model)

    def further_terms(self, cells: LabelledCells, crops: Crops, step: int) -> dict[str, Tensor]:
        """Terms besides the supervised ones, scalars by name; none here."""
        return {}

    def terms(self, z: Tensor, target: Tensor, weight: Tensor) -> dict[str, Tensor]:
        """Terms of the objective on cells (N, D), (N, C), (N,); scalars by name."""
        return objective.terms(
            self.model.layer, z, target, weight, self.class_weight, self.config.loss
        )

    def usage(self, z: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Share (M,) that each prototype explains of its class' cells; see `placement.usage`."""
        return placement.usage(self.model.layer, z, target, weight)

    def _reseed(self, step: int) -> None:
        """Move dead prototypes to a new place, where the optimiser starts without moments."""
        assert self.used is not None
        layer = self.model.layer
        dead = ((self.used < self.config.min_usage) & layer.active).nonzero().flatten()
        if not len(dead):
            return
        crops = self.sampler.batch(step, self.config.batch_size)
        with torch.no_grad():
            cells = self.crop_cells(crops, self.model)
        moved = placement.reseed(layer, dead, cells.values, cells.target, cells.weight)
        reset_moments(self.optimizer, [layer.mean, layer.raw_scale], moved)
        self.used[moved] = math.nan

    def _validate(self, step: int) -> Generator[TrainingStep, None, float | None]:
        """Mean IoU of the averaged weights; keeps them when they are the best so far."""
        if not self.validation:
            return None
        self.average.eval()
        pairs = ((image.source, image.full_labels.numpy()) for image in self.validation)
        for number in (work := WithValue(self.settings.judge(self.average, pairs))):
            # Large images take long: in between, a person may pause or cancel.
            yield TrainingStep("validation", number, len(self.validation))
            if self._quits():
                return None
        miou = work.value
        if math.isnan(miou):
            return None
        self.looks += 1
        lead = 0.0 if self.best_step else self.lead
        if self.best_miou is None or miou > self.best_miou + lead:
            self.best_miou, self.best_step = miou, step
            self.best = {key: value.clone() for key, value in self.average.state_dict().items()}
        return miou

    def _save(self, step: int, seconds: float) -> None:
        """Write the checkpoint, if one is wanted."""
        if self.settings.checkpoint is None:
            return
        assert self.used is not None
        states = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "usage": {"usage": self.used},
        }
        if self.best is not None:
            states["best"] = self.best
        states["good"] = self.watch.good
        progress = {
            "step": step,
            "best_miou": self.best_miou,
            "best_step": self.best_step,
            "looks": self.looks,
            "seconds": seconds,
            "watch": self.watch.memory,
            "training": self._identity(),
        }
        save_checkpoint(self.settings.checkpoint, states, self.optimizer, progress)

    def _identity(self) -> dict[str, Any]:
        return identity(self.model.config, self.config, self.seed, self.data)

    def _resume(self) -> int:
        """Go on from the checkpoint; returns the steps that were taken."""
        assert self.settings.checkpoint is not None
        states, progress = load_checkpoint(
            self.settings.checkpoint, self.optimizer, self._identity()
        )
        self.model.load_state_dict(states["model"])
        self.average.load_state_dict(states["average"])
        self.used = states["usage"]["usage"].to(self.model.device)
        self.best = states.get("best")
        self.watch.recall(progress.get("watch"), states.get("good"))
        self.best_miou, self.best_step = progress["best_miou"], int(progress["best_step"])
        self.seconds_before, self.looks = float(progress["seconds"]), progress.get("looks", 0)
        return int(progress["step"])

    # -- the end ----------------------------------------------------------------------------

    def finish(self) -> Iterator[TrainingStep]:
        """Prune, calibrate, and give every prototype its statistics and patches."""
        self.model.eval()
        total = max(len(self.data), len(self.validation))
        for done in finish_steps(self.model, self.data, self.validation, self.config, self.seed):
            yield TrainingStep("finish", done, total, best_miou=self.best_miou)

    def log_details(self) -> dict[str, Any]:
        """What the model's card says of this training."""
        return {
            "images": len(self.data),
            "validation_images": len(self.validation),
            "steps": self.steps_done,
            "seed": self.seed,
            "seconds": round(self.seconds_before + time.monotonic() - self.started),
            "validation_miou": self.best_miou,
            "best_step": self.best_step,
            "looks": self.looks,
            "training": self.config.model_dump(),
            **full_scales_of(image.source for image in self.data),
        } | ({} if self.watch.astray is None else {"astray": self.watch.sentence})
