"""How a training goes: its settings, steps, length and speed, and when it goes astray."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor, nn

from napari_gaussproto.core.base.config import TrainingConfig
from napari_gaussproto.core.base.device import one_thread
from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.core.base.steps import TrainingStep
from napari_gaussproto.core.measure.evaluation import validation_steps
from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training.cells import LabelledCells

_TEMPERATURES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
# Mean loss, over the usual one, of a training that went astray, and at most of weights to keep.
_ASTRAY, _SOUND = 10.0, 2.0

logger = logging.getLogger(__name__)


def descend(
    stage: str,
    terms: Callable[[], dict[str, Tensor]],
    optimizer: torch.optim.Optimizer,
    steps: int,
    *,
    falling: bool = True,
    alone: bool = False,
) -> Generator[TrainingStep, None, None]:
    """Take steps of an optimiser.

    Where there is no way down any more the stage ends with the parameters from before the step
    that led there, and says so.

    Parameters
    ----------
    stage : str
        The name of these steps.
    terms : callable
        Gives the terms of the objective, scalars by name, each time anew.
    optimizer : torch.optim.Optimizer
    steps : int
    falling : bool
        Whether the learning rate falls to 0 as half a cosine (Loshchilov & Hutter 2017).
    alone : bool
        In one thread, for small matrices.
    """
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR
    schedule = cosine(optimizer, max(1, steps)) if falling else None
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    good: list[Tensor] = []
    for step in range(1, steps + 1):
        before = [p.detach().clone() for p in parameters]
        try:
            with one_thread() if alone else nullcontext():
                losses = descent_step(optimizer, terms())
        except ASTRAY:
            with torch.no_grad():
                for parameter, value in zip(parameters, good or before, strict=True):
                    parameter.copy_(value)
            note = f"The stage “{stage}” went astray at step {step}, and ended one step before."
            logger.warning(note)
            yield TrainingStep(stage, step, step, note=note)
            return
        good = before
        if schedule is not None:
            schedule.step()
        yield TrainingStep(stage, step, steps, losses)


def descent_step(
    optimizer: torch.optim.Optimizer, terms: dict[str, Tensor], clip: float | None = None
) -> dict[str, float]:
    """One step down the sum of some terms, scalars by name; gradients are clipped to a norm.

    Raises
    ------
    AstrayError
        When the terms or their gradients are not finite; then no parameter was moved.
    """
    optimizer.zero_grad()
    torch.stack(list(terms.values())).sum().backward()
    every = [p for group in optimizer.param_groups for p in group["params"]]
    # The norm of gradients one of which is not finite is not finite either.
    norm = nn.utils.clip_grad_norm_(every, math.inf if clip is None else clip)
    losses = {name: float(value.detach()) for name, value in terms.items()}
    if not math.isfinite(sum(losses.values()) + float(norm)):
        raise AstrayError
    optimizer.step()
    return losses


def trainable(module: nn.Module) -> list[nn.Parameter]:
    """Parameters that are not held."""
    return [p for p in module.parameters() if p.requires_grad]


@torch.no_grad()
def move_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move a running average of weights and statistics towards those of a model."""
    theirs = model.state_dict()
    for key, value in average.state_dict().items():
        if value.is_floating_point():
            value.lerp_(theirs[key], 1 - decay)
        else:
            value.copy_(theirs[key])


def reset_moments(
    optimizer: torch.optim.Optimizer, parameters: Iterable[nn.Parameter], rows: Tensor
) -> None:
    """Set the moments of an optimiser to 0 in the rows (K,) of parameters that were moved."""
    for parameter in parameters:
        state = optimizer.state.get(parameter, {})
        for key in {"exp_avg", "exp_avg_sq"} & set(state):
            state[key][rows] = 0


@torch.no_grad()
def fit_temperature(
    layer: GaussianPrototypeLayer, cells: LabelledCells, *, exactly: bool = False
) -> None:
    """Set T to minimise the cross-entropy of cells (N, D); no cell changes its class by that.

    Exactly, to calibrate a model on cells that were held out (Guo et al. 2017). Otherwise the
    best of a few values is taken: to start from, not saturated.
    """
    scores = layer.scores(cells.values)

    def cross_entropy(log_temperature: float) -> float:
        layer.log_temperature.fill_(log_temperature)
        log_posterior = scores.class_log_posterior_at(layer.temperature)
        return float(-(cells.target * log_posterior).sum(1).mean())

    if exactly:
        bounds = (math.log(0.1), math.log(200))
        best = float(minimize_scalar(cross_entropy, bounds=bounds, method="bounded").x)
    else:
        best = min(map(math.log, _TEMPERATURES), key=cross_entropy)
    layer.log_temperature.fill_(best)


# -- how long a stage of a training lasts, and how fast it learns ---------------------------------

# Share of a stage that the learning rate rises, its first value over its peak (Smith & Topin begin
# at 1 / 25), and what is added at the end so that the last step is one.
_RISE, _BEGIN, _END = 0.25, 0.04, 1e-4


def check_budget(steps: int | None, minutes: float | None) -> None:
    """Make sure that a training would begin, and end.

    Raises
    ------
    ConfigError
    """
    if steps is not None and steps < 1:
        raise ConfigError(f"A training of {steps} steps cannot be: give 1 or more.")
    if minutes is not None and not minutes > 0:
        raise ConfigError(f"A training of {minutes:g} minutes cannot be: give more than 0.")


def one_cycle(progress: float) -> float:
    """Learning rate over its peak at a progress in [0, 1]: cosine up, then cosine down.

    The shape of Smith & Topin (2017), as a function of progress alone, so that a resumed or
    a timed training needs no state of a scheduler.
    """
    if progress < _RISE:
        return _BEGIN + (1 - _BEGIN) * 0.5 * (1 - math.cos(math.pi * progress / _RISE))
    falling = min(1.0, (progress - _RISE) / (1 - _RISE))
    return 0.5 * (1 + math.cos(math.pi * falling)) + _END


class Clock:
    """Progress of a stage whose budget is a number of steps or of minutes.

    Attributes
    ----------
    steps : int
    seconds : float or None
        Without them the steps are the budget.
    """

    def __init__(self, steps: int, minutes: float | None) -> None:
        self.steps = steps
        self.seconds = None if minutes is None else 60 * minutes
        self.begin(0)

    def begin(self, first: int, seconds_before: float = 0.0) -> None:
        """Count from now on, after so many steps and seconds of an earlier run."""
        self._first, self._before = first, seconds_before
        self._start = time.monotonic()

    def _elapsed(self) -> float:
        return time.monotonic() - self._start

    def spent(self) -> float:
        """Seconds so far, those before a resumption included."""
        return self._before + self._elapsed()

    def skip(self, seconds: float) -> None:
        """Do not count some time."""
        self._start += seconds

    def progress(self, step: int) -> float:
        """Share of the budget that is used after a step, in [0, 1]."""
        if self.seconds is None:
            return step / self.steps
        return min(1.0, self.spent() / self.seconds)

    def over(self, step: int) -> bool:
        """Whether the budget is used."""
        return self.progress(step) >= 1

    def left(self, step: int) -> float | None:
        """Seconds left, from the pace so far."""
        if self.seconds is not None:
            return max(0.0, self.seconds - self.spent())
        done = step - self._first
        return self._elapsed() / done * (self.steps - step) if done else None

    def total(self, step: int) -> int:
        """Steps that the budget allows: an estimate when it is in minutes."""
        if self.seconds is None:
            return self.steps
        progress = self.progress(step)
        return max(step, round(step / progress)) if progress else step


# -- settings and result --------------------------------------------------------------------------


@dataclass(frozen=True)
class RunSettings:
    """How a training goes, whatever it learns from.

    Attributes
    ----------
    training : TrainingConfig
    minutes : float or None
        Budget of the joint stage, instead of steps.
    seed : int
    checkpoint : Path or None
        Where to keep the state of the joint stage, to go on after a kill.
    stop : callable
        Asked after every joint step; True ends the stage with the best weights so far.
    at_once : bool
        A stop ends the stage without judging the last weights, also while any are judged.
    finish : bool
        Whether the model is calibrated and described at last, which reads all images.
    clock : callable
        Gives the clock of the joint stage, from steps and minutes.
    judge : callable
        Says how good a model is, by images or their cells, and labels; see `validation_steps`.

    Raises
    ------
    ConfigError
        For a budget that cannot be.
    """

    training: TrainingConfig = field(default_factory=TrainingConfig)
    minutes: float | None = None
    seed: int = 0
    checkpoint: Path | None = None
    stop: Callable[[], bool] = lambda: False
    at_once: bool = False
    finish: bool = True
    clock: Callable[[int, float | None], Clock] = Clock
    judge: Callable[[PrototypeSegmenter, Any], Generator[int, None, float]] = validation_steps

    def __post_init__(self) -> None:
        check_budget(self.training.steps, self.minutes)


@dataclass(frozen=True)
class Trained:
    """A model that was trained end to end.

    Attributes
    ----------
    model : PrototypeSegmenter
        In evaluation mode, on the training device.
    steps : int
        Taken, those before a resumption included.
    best_step : int
        Whose weights are kept; 0 for those of the start, or without validation.
    validation_miou : float or None
        Of those weights: the best of some looks at what judges, so rather too high than too low.
    astray : int or None
        The step at which the training was given up, for its losses grew beyond all bounds.
    looks : int
        How many weights were judged.
    """

    model: PrototypeSegmenter
    steps: int
    best_step: int
    validation_miou: float | None
    astray: int | None = None
    looks: int = 0


# -- going astray --------------------------------------------------------------------------------


class AstrayError(ArithmeticError):
    """A step of a training has no way down: a loss or a gradient is not finite."""


# What a step raises then; the factor of a covariance may not exist any more either.
ASTRAY = (AstrayError, torch.linalg.LinAlgError)  # type: ignore[attr-defined]


class Watch:
    """Notices when a joint stage goes astray, and keeps the last weights from before.

    It does when a loss or a gradient is not finite, or when the mean loss over some steps is many
    times that of its first step and that of a model which knows nothing.

    Parameters
    ----------
    n_classes : int

    Attributes
    ----------
    astray : int or None
        The step at which it was noticed.
    kept_at : int
        The step of the weights that are kept.
    good : dict of str to Tensor
        These weights, of any shapes.
    """

    def __init__(self, n_classes: int) -> None:
        self._knows_nothing = math.log(n_classes)
        self._first: float | None = None
        self._mean = 0.0
        self.astray: int | None = None
        self.kept_at = 0
        self.good: dict[str, Tensor] = {}
        self._waiting: tuple[int, dict[str, Tensor]] | None = None

    @property
    def sentence(self) -> str:
        """What happened, and what a person can do."""
        return (
            f"Training went astray at step {self.astray} and ended; the weights of step "
            f"{self.kept_at} are kept: check the labels, or train with a smaller learning rate."
        )

    def look(self, step: int, losses: dict[str, float]) -> None:
        """Look at the terms of a step, scalars by name."""
        total = sum(losses.values()) - losses.get("gate", 0.0)
        if self._first is None:
            self._first = self._mean = total
        self._mean = 0.9 * self._mean + 0.1 * total
        if self._mean > _ASTRAY * self._usual:
            self.lose(step)
        elif self._waiting is not None and self._mean <= _SOUND * self._usual:
            self.kept_at, self.good = self._waiting
            self._waiting = None

    def lose(self, step: int) -> None:
        """The training went astray at a step."""
        self.astray = step

    @property
    def _usual(self) -> float:
        return max(self._first or 0.0, self._knows_nothing)

    def keep(self, step: int, average: nn.Module) -> None:
        """Keep the averaged weights of a step, once a further one shows that they were sound."""
        state = {key: value.clone() for key, value in average.state_dict().items()}
        self._waiting = (step, state)
        if not self.good:
            self.kept_at, self.good = self._waiting

    def turn_back(self, average: nn.Module) -> int:
        """Give the averaged weights their last good values; returns the step of these."""
        logger.warning(self.sentence)
        average.load_state_dict(self.good)
        return self.kept_at

    @property
    def memory(self) -> dict[str, Any]:
        """What a training needs to go on as if nothing had been, but the weights."""
        return {"first": self._first, "mean": self._mean, "kept_at": self.kept_at}

    def recall(self, memory: dict[str, Any] | None, good: dict[str, Tensor] | None) -> None:
        """Go on from a memory and good weights of any shapes; files of before have neither."""
        if memory is not None:
            self._first, self._mean = memory["first"], memory["mean"]
            self.kept_at, self.good = memory["kept_at"], good or {}
