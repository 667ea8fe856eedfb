"""The black box to compare with: a linear head in the place of the Gaussian prototypes.

Same backbone, neck, data, augmentation, schedule and budget; only the layer differs.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from napari_gaussproto.core.base.config import ModelConfig
from napari_gaussproto.core.base.steps import TrainingStep, run
from napari_gaussproto.core.mixture import objective
from napari_gaussproto.core.model.encoding import Encoding
from napari_gaussproto.core.model.segmentation import Segmentation
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training.cells import sample_cells_steps
from napari_gaussproto.core.training.descent import fit_temperature
from napari_gaussproto.core.training.trainer import Trainer


class LinearHead(nn.Module):
    """Softmax over a linear map, with a temperature for calibration."""

    def __init__(self, dim: int, n_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, n_classes)
        self.log_temperature = nn.Parameter(torch.tensor(0.0))

    @property
    def temperature(self) -> Tensor:
        return self.log_temperature.exp()

    def scores(self, z: Tensor) -> LinearScores:
        return LinearScores(self.linear(z))

    def forward(self, z: Tensor) -> Tensor:
        return self.scores(z).class_log_posterior_at(self.temperature)


class LinearScores:
    """What the head says about cells, in the place of `MixtureScores`."""

    def __init__(self, logits: Tensor) -> None:
        self._logits = logits

    def class_log_posterior_at(self, temperature: Tensor) -> Tensor:
        return (self._logits / temperature).log_softmax(1)


class LinearSegmentation(Segmentation):
    """Labels and class probabilities; there is nothing else to show."""

    def __init__(self, model: PrototypeSegmenter, encoding: Encoding) -> None:
        self.encoding = encoding
        self.classes = list(model.classes)
        with torch.no_grad():
            self._log_posterior = model.layer(encoding.latents)


class LinearSegmenter(PrototypeSegmenter):
    """A segmenter whose layer is a linear head."""

    def __init__(self, config: ModelConfig, pretrained: bool = False) -> None:
        super().__init__(config, pretrained)
        self.layer = LinearHead(config.latent_dim, len(config.classes))
        self.prototypes = []

    @property
    def device(self) -> torch.device:
        return self.layer.linear.weight.device

    def decode(self, encoding: Encoding) -> LinearSegmentation:
        return LinearSegmentation(self, encoding)


class LinearTrainer(Trainer):
    """The stages that a linear head has: warm-up, joint training, calibration."""

    def start(self) -> Iterator[TrainingStep]:
        cells = yield from self.draw_cells()
        parameters = [*self.model.extractor.neck.parameters(), *self.model.layer.parameters()]
        # As many steps on cached features as the prototype model's two stages together.
        steps = self.config.warm_up_steps + self.config.layer_steps
        yield from self.neck_stage("warm-up", cells, self._even, parameters, steps)

    def _even(self, z: Tensor, target: Tensor) -> dict[str, Tensor]:
        weight, even = torch.ones(len(z)), torch.ones(target.shape[1])
        return {
            "classification": objective.classification(self.model.layer(z), target, weight, even)
        }

    def terms(self, z: Tensor, target: Tensor, weight: Tensor) -> dict[str, Tensor]:
        log_posterior = self.model.layer(z)
        value = objective.classification(log_posterior, target, weight, self.class_weight)
        return {"classification": value}

    def usage(self, z: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        return torch.ones(0)

    def finish(self) -> Iterator[TrainingStep]:
        self.model.eval()
        cells = run(sample_cells_steps(self.model, self.validation, self.seed))
        fit_temperature(self.model.layer, cells, exactly=True)
        yield TrainingStep("finish", 1, 1, best_miou=self.best_miou)
