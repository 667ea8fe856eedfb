"""Fine-tune a model end to end, on what is labelled and on everything else in the images.

The joint stage of a fit goes on from an existing model, with the terms of ``semi.py`` added.
The teacher is the running average of the weights that is kept anyway. It sees a crop as the
sampler draws it, warped only; the student sees the same crop under another light. So nothing
has to be warped back, and the state of a training is what `Trainer` stores already.
"""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from napari_gaussproto.core.base.config import Augmentation, TrainingConfig
from napari_gaussproto.core.base.errors import LabelError
from napari_gaussproto.core.base.steps import TrainingStep, run
from napari_gaussproto.core.editing.new_classes import place_unfitted, waiting_classes
from napari_gaussproto.core.labels.amount import Amount
from napari_gaussproto.core.mixture.layer import MixtureScores
from napari_gaussproto.core.model.encode import as_source
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter, make_layer, name_prototypes
from napari_gaussproto.core.training import semi
from napari_gaussproto.core.training.cells import LabelledCells, areas_of_crops, sample_cells_steps
from napari_gaussproto.core.training.checkpoint import classes_of_prototypes
from napari_gaussproto.core.training.descent import RunSettings, Trained
from napari_gaussproto.core.training.full_fit import Pairs, prepare_validation
from napari_gaussproto.core.training.samples import (
    Crops,
    CropSampler,
    TrainingImage,
    pixel_counts,
    prepare,
)
from napari_gaussproto.core.training.semi import SemiSettings
from napari_gaussproto.core.training.trainer import Trainer

# How far the student's view of an unlabelled crop differs in brightness and contrast, and
# between channels.
_VIEW, _VIEW_CHANNELS = 0.2, 0.05
_STILL = Augmentation(
    zoom=(1, 1), rotation_degrees=0, brightness=0, contrast=0, saturation=0, hue=0
)
_FROM_LITTLE: dict[str, Any] = {
    "steps": 200,
    "learning_rate": 2e-4,
    "backbone_learning_rate": 2e-4,
    "class_balance": 1.0,
    "augmentation": _STILL,
    "validate_every": 25,
}
_FROM_MUCH: dict[str, Any] = {
    "steps": 600,
    "learning_rate": 1e-3,
    "backbone_learning_rate": 1e-3,
    "validate_every": 50,
}
# Unlabelled crops are drawn from a stream of their own.
_STREAM = 1 << 20


def fine_tuning(amount: Amount | None = None, **changes: Any) -> TrainingConfig:
    """Settings to start from, by how much is labelled.

    One large crop a step instead of many small ones of the same area: a network sees beyond
    the border of a small crop nothing but padding, in nearly all of its cells, so that a start
    that fits its labels has to learn that first.

    Little moves the network a little, all of it alike; classes count evenly, for strokes don't
    say how common they are. Crops are mirrored, but neither turned, zoomed nor lit otherwise: in
    few steps a start learns to see through that at the cost of what it is asked for. From as many
    dense photographs as pay training is longer, faster and under all changes; from strokes or from
    two photographs that was far worse than none (python -m benchmarks.loop).

    Nothing is pruned, merged or moved by force: a prototype that the labels do not use is
    what the model knew before.
    """
    settings: dict[str, Any] = {"batch_size": 1, "crop_size": 384}
    settings |= {"min_usage": 0.0, "min_hellinger": 0.0}
    much = amount is not None and amount.pays
    settings |= _FROM_MUCH if much else _FROM_LITTLE
    return TrainingConfig(**(settings | changes))


@dataclass(frozen=True)
class TuneSettings(RunSettings):
    """How a model is trained end to end, as `RunSettings`, and by which terms.

    Attributes
    ----------
    semi : SemiSettings
    lead : float
        By how much weights have to be better than those of the start in mean IoU.
    """

    training: TrainingConfig = field(default_factory=fine_tuning)
    semi: SemiSettings = field(default_factory=SemiSettings)
    lead: float = 0.0


def fine_tune_steps(
    model: PrototypeSegmenter,
    images: Sequence[Any],
    labels: Sequence[Any],
    settings: TuneSettings | None = None,
    *,
    unlabelled: Sequence[Any] = (),
    validation: Pairs | None = None,
) -> Generator[TrainingStep, None, Trained]:
    """Train a copy of a model, one optimiser step at a time.

    Parameters
    ----------
    model : PrototypeSegmenter
        Where to start; it is not changed.
    images, labels : sequence of array
        As for `fit`; a class may be without labels.
    settings : TuneSettings, optional
    unlabelled : sequence of array
        Further images; the unlabelled parts of ``images`` are used anyway.
    validation : tuple of sequences, optional
        Images and labels (H, W) to keep the best weights by, those of the start included. See
        `hold_out_strokes`.

    Yields
    ------
    TrainingStep
        Its ``losses`` also hold ``"gate"``, the share of the unlabelled area that got a
        pseudo-label, where there is such a term.

    Raises
    ------
    LabelError, ImageError
        See `prepare`; also when nothing is labelled, or when a labelled class has prototypes
        that a person switched off and no others.
    ConfigError, ModelFileError
        See `Trainer`.
    """
    data = prepare(images, labels, model.config, every_class=False)
    counts = pixel_counts(data, len(model.classes))
    if not counts.any():
        raise LabelError("Nothing is labelled yet: draw some strokes, then fine-tune.")
    settings = settings or TuneSettings()
    further = _prepare_unlabelled(unlabelled, model)
    held_out = prepare_validation(validation, model.config)
    labelled = counts.nonzero().flatten().tolist()
    own = _with_every_labelled_class(model, data, labelled, settings.seed)
    if settings.checkpoint is not None:
        _take_prototypes(own, settings.checkpoint)
    return (yield from FineTuner(own, data, held_out, settings, further).run())


def _with_every_labelled_class(
    model: PrototypeSegmenter, data: Sequence[TrainingImage], labelled: list[int], seed: int
) -> PrototypeSegmenter:
    """A copy to train, in which labelled classes that were new have prototypes in place."""
    waiting = waiting_classes(model, labelled)
    own = copy.deepcopy(model)
    if waiting:
        cells = run(sample_cells_steps(own.eval(), data, seed))
        place_unfitted(own, waiting, cells.values, cells.target, seed)
    return own


def _take_prototypes(model: PrototypeSegmenter, checkpoint: Path) -> None:
    """As many prototypes as the training that goes on has: a quick fit may have added some."""
    index = classes_of_prototypes(checkpoint)
    if index is not None and index != model.layer.class_index.tolist():
        model.layer = make_layer(model.config, index).to(model.device)
        model.prototypes = name_prototypes(model.classes, index)


class FineTuner(Trainer):
    """The joint stage from an existing model, with semi-supervised terms.

    Parameters
    ----------
    model, data, validation, settings
        See `Trainer`.
    unlabelled : sequence of TrainingImage
        Besides those of ``data``.
    """

    name = "fine-tune"

    def __init__(
        self,
        model: PrototypeSegmenter,
        data: Sequence[TrainingImage],
        validation: Sequence[TrainingImage],
        settings: TuneSettings,
        unlabelled: Sequence[TrainingImage] = (),
    ) -> None:
        super().__init__(model, data, validation, settings)
        self.semi, self.lead = settings.semi, settings.lead
        self.gate_share: float | None = None
        self._former = semi.remember(model) if self.semi.anchoring else {}
        self._backbone = model.extractor.backbone.digest()
        # The teacher, too.
        self.average = copy.deepcopy(model).requires_grad_(False).eval()
        self._everywhere = [*data, *unlabelled]

    @cached_property
    def _even_sampler(self) -> CropSampler:
        return _even_sampler(self._everywhere, self.config, self.seed)

    def start(self) -> Iterator[TrainingStep]:
        """Judge the weights that training starts from: the first candidates for the best."""
        miou = yield from self._validate(0)
        yield TrainingStep("start", 1, 1, validation_miou=miou, best_miou=self.best_miou)

    def finish(self) -> Iterator[TrainingStep]:
        """See `Trainer.finish`; the description of a prototype without a labelled cell is kept."""
        former = self.model.prototypes
        self.model.prototypes = [copy.copy(prototype) for prototype in former]
        yield from super().finish()
        if self.config.min_usage or self.config.min_hellinger:
            return
        for m, (before, after) in enumerate(zip(former, self.model.prototypes, strict=True)):
            # Quantiles are made from a prototype's own cells alone: it owns no labelled one.
            if after.distance_quantiles is before.distance_quantiles:
                self.model.prototypes[m] = before

    def log_details(self) -> dict[str, Any]:
        """As of a fit, and the terms."""
        return super().log_details() | {"semi": self.semi.model_dump()}

    def _identity(self) -> dict[str, Any]:
        """As for a fit, and the terms and the network that training began with.

        Not neck and prototypes: a quick fit to more strokes is still the same start.
        """
        return super()._identity() | {
            "terms": self.semi.model_dump(),
            "backbone": self._backbone,
        }

    def crop_cells(self, crops: Crops, model: PrototypeSegmenter) -> LabelledCells:
        """As `Trainer.crop_cells`, with the statistics of all normalisations left alone.

        Those of a few crops around strokes are not those of images, and the prototypes would
        have to follow.
        """
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return super().crop_cells(crops, model)

    def further_terms(self, cells: LabelledCells, crops: Crops, step: int) -> dict[str, Tensor]:
        """The semi-supervised terms that are on, scalars by name, times their weights."""
        settings = self.semi
        terms: dict[str, Tensor] = {}
        if settings.affinity:
            terms["affinity"] = settings.affinity * self._affinity(cells, crops)
        if settings.density or settings.needs_teacher:
            terms |= self._unlabelled_terms(crops, step)
        if settings.anchoring:
            terms["anchoring"] = settings.anchoring * semi.anchoring(self.model, self._former)
        return terms

    def _step(self, step: int) -> dict[str, float]:
        losses = super()._step(step)
        return losses if self.gate_share is None else losses | {"gate": self.gate_share}

    def _affinity(self, cells: LabelledCells, crops: Crops) -> Tensor:
        return semi.affinity(
            cells.values,
            self.model.layer(cells.values),
            cells.target,
            cells.weight,
            areas_of_crops(crops, self.model),
            cells.image.to(cells.values.device),
            cosine=self.semi.affinity_cosine,
            temperature=self.semi.affinity_temperature,
        )

    def _unlabelled_terms(self, labelled: Crops, step: int) -> dict[str, Tensor]:
        settings, layer = self.semi, self.model.layer
        weak = self._even_sampler.batch(step, self.config.batch_size)
        strong = replace(weak, images=strong_view(weak.images, (self.seed, step)))
        cells = self.crop_cells(strong, self.model)
        # The sampler's labels say which pixels lie inside the image.
        z, area = cells.values, cells.weight
        terms: dict[str, Tensor] = {}
        if settings.density:
            terms["unlabelled density"] = settings.density * semi.density(layer, z, area)
        if not settings.needs_teacher:
            return terms
        rise = semi.ramp(self.progress, settings.ramp_up)
        scores = layer.scores(z)
        taught = self._teach(weak)
        if settings.soft_labels:
            value = semi.soft_labels(scores.log_assignment, taught.log_assignment.exp(), area)
            terms["soft labels"] = rise * settings.soft_labels * value
        if settings.pseudo_labels:
            gate = self._gate(taught, labelled)
            self.gate_share = gate.share(area)
            value = semi.pseudo_labels(scores.class_log_posterior, gate, area)
            terms["pseudo-labels"] = rise * settings.pseudo_labels * value
        return terms

    @torch.no_grad()
    def _teach(self, crops: Crops) -> MixtureScores:
        """What the teacher says about the cells of crops."""
        self.average.eval()
        return self.average.layer.scores(self.crop_cells(crops, self.average).values)

    @torch.no_grad()
    def _gate(self, taught: MixtureScores, labelled: Crops) -> semi.Gate:
        cells = self.crop_cells(labelled, self.average)
        # From this batch alone: a memory would have to be stored to resume a training.
        limits = semi.class_density_quantiles(
            self.average.layer, cells.values, cells.target, cells.weight, self.semi.density_level
        )
        return semi.double_gate(
            taught.class_log_posterior, taught.log_density, limits, self.semi.tau
        )


def strong_view(images: Tensor, key: tuple[int, int]) -> Tensor:
    """Images (B, C, S, S) under another light: gain by channel, contrast and brightness.

    For any number of channels; the same key gives the same view. A weaker light than usual in
    semi-supervised learning: the start of a fine-tune was fitted without any.
    """
    rng = np.random.default_rng((*key, _STREAM))
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    batch, channels = images.shape[:2]

    def factors(spread: float, count: int) -> Tensor:
        drawn = torch.rand(batch, count, 1, 1, generator=generator)
        return 1 + spread * (2 * drawn - 1)

    mean = images.mean((1, 2, 3), keepdim=True)
    changed = (images - mean) * factors(_VIEW, 1) + mean
    changed = changed * factors(_VIEW, 1) * factors(_VIEW_CHANNELS, channels)
    return changed.clamp(0, 1)


def _even_sampler(
    images: Sequence[TrainingImage], config: TrainingConfig, seed: int
) -> CropSampler:
    """Crops from anywhere, warped only; label 1 marks what lies inside the image."""
    everywhere = [replace(image, labels=torch.ones_like(image.labels)) for image in images]
    geometry = config.augmentation.model_copy(
        update={"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
    )
    return CropSampler(everywhere, 1, config.crop_size, geometry, seed + _STREAM)


def _prepare_unlabelled(images: Sequence[Any], model: PrototypeSegmenter) -> list[TrainingImage]:
    if not len(images):
        return []
    sources = [as_source(image, model) for image in images]
    nothing = [np.zeros((source.height, source.width), np.uint8) for source in sources]
    return prepare(sources, nothing, model.config, every_class=False)
