"""The loop of an optimiser, how long and how fast it learns, and the search of the temperature."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import nullcontext

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor, nn

from napari_gaussproto.core.base.device import one_thread
from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.core.base.steps import TrainingStep
from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer
from napari_gaussproto.core.training.cells import LabelledCells

_TEMPERATURES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


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
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    for step in range(1, steps + 1):
        with one_thread() if alone else nullcontext():
            losses = descent_step(optimizer, terms())
        if falling:
            schedule.step()
        yield TrainingStep(stage, step, steps, losses)


def descent_step(
    optimizer: torch.optim.Optimizer, terms: dict[str, Tensor], clip: float | None = None
) -> dict[str, float]:
    """One step down the sum of some terms, scalars by name; gradients are clipped to a norm."""
    optimizer.zero_grad()
    torch.stack(list(terms.values())).sum().backward()
    if clip is not None:
        every = [p for group in optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(every, clip)
    optimizer.step()
    return {name: float(value.detach()) for name, value in terms.items()}


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

# Share of a stage that the learning rate rises.
_RISE = 0.25


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
        return 0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * progress / _RISE))
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - _RISE) / (1 - _RISE)))) + 1e-4


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
