"""Under the start of a fit: which one suits better, and why."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_gaussproto.core.model.summary import classes_of, knowing, model_path
from napari_gaussproto.jobs.requests import CompareRequest, Start
from napari_gaussproto.jobs.running import run_job
from napari_gaussproto.widgets.shared.forms import button, down, enable, fill, wrapped_label
from napari_gaussproto.widgets.shared.workers import Runner, single_shot
from napari_gaussproto.widgets.train.annotation.annotation_set import AnnotationSet
from napari_gaussproto.widgets.train.fitting.fit_controller import FitController
from napari_gaussproto.widgets.train.fitting.sentences import Fitted
from napari_gaussproto.widgets.train.fitting.start_panel import StartPanel

if TYPE_CHECKING:
    from napari_gaussproto.core.base.config import SegmentationClass
    from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
    from napari_gaussproto.jobs.compare import Compared

logger = logging.getLogger(__name__)

# Milliseconds of rest after a fit before anything is compared.
_REST = 800
_NEW = "a new model"
_BEGINS = "The next fit begins with it"
_TAKES = "What was fitted before is kept in Versions"
_TRIAL = (
    "For the trial both are fitted to the same parts of the strokes and judged by the other parts, "
    "each stroke alike.\nIt compares starts. The held-out accuracy of a fit judges that fit alone, "
    "by its cells, so the figures differ."
)


@dataclass(frozen=True)
class Rival:
    """The start that is not chosen: a shipped model, by its name, or a new one."""

    name: str
    start: Start


class StartProposal(QWidget):
    """One line that proposes the other start where it is better, and a button that begins there.

    Before anything is drawn names of classes are the reason; after quick fits it is how well
    either start tells strokes that were held out, which a thread finds out while nothing else
    is computed.

    Notes
    -----
    Its signals:

    fit_asked()
        The other start was chosen here, and should be fitted.
    """

    fit_asked = Signal()

    def __init__(self, start: StartPanel, fits: FitController, annotations: AnnotationSet) -> None:
        super().__init__()
        self._start, self._fits, self._annotations = start, fits, annotations
        # What is proposed or compared, and the model that it was compared by.
        self._rival: Rival | None = None
        self._known: tuple[Rival, Sequence[SegmentationClass], PrototypeSegmenter] | None = None
        # What is being compared.
        self._comparing: tuple[Rival, Sequence[SegmentationClass]] | None = None
        # Names of starts between which a person has chosen here.
        self._settled: set[str] = set()
        self._last: Fitted | None = None
        self._due = False
        self._build()
        self.runner = Runner(self)
        self.runner.succeeded.connect(self._on_compared)
        self.runner.failed.connect(self._on_failed)
        self._timer = single_shot(self, _REST, self._compare)
        fits.fitted.connect(self._on_fitted)
        fits.phase_changed.connect(self._on_phase)
        fits.beginning_changed.connect(self._hint)
        start.changed.connect(self._begin_anew)
        annotations.classes_changed.connect(self._begin_anew)
        annotations.edited.connect(self._hint)
        self._begin_anew()

    def _build(self) -> None:
        self.note = wrapped_label()
        self.note.setToolTip(_TRIAL)
        self.button = button("", _BEGINS, self._take)
        fill(self, down(self.note, self.button))

    def _say(self, sentence: str, rival: Rival | None = None, does: str = "Begin") -> None:
        self.note.setText(sentence)
        self._rival = rival
        self.button.setVisible(rival is not None)
        if rival is not None:
            self.button.setText(f"{does} with {_called(rival.name)}")
            self._allow()
        self.setVisible(bool(sentence))

    def _begin_anew(self) -> None:
        """The start or the classes are other ones: what was said of the former is not true."""
        self._stop()
        self._last, self._due = None, False
        self._say("")
        self._hint()

    # -- before anything is drawn -------------------------------------------------------------

    def _hint(self, event: object = None) -> None:
        if self._last is not None:
            return
        if self._annotations.painted or (self._fits.model is not None and not self._start.goes_on):
            self._say("")
            return
        classes = [entry.name for entry in self._annotations.classes]
        known = [name for name in classes if name in self._known_by_start()]
        rival = self._other()
        if self._start.partition is None and known:
            self._say(f"{self._current} knows {_listed(known)} already.")
        elif self._start.partition is None:
            self._say(f"{self._current} knows none of these classes.", rival)
        elif rival is None:
            self._say("A new model, as no shipped one knows these classes.")
        else:
            known = [name for name in classes if name in _classes_of(rival.start.file)]
            self._say(
                f"{_called(rival.name)} knows {_listed(known)}: begin with it where your "
                "photographs are like its own.",
                rival,
            )

    def _known_by_start(self) -> Collection[str]:
        model = self._fits.going_on if self._start.goes_on else None
        return _classes_of(self._start.path) if model is None else [c.name for c in model.classes]

    @property
    def _current(self) -> str:
        """What the chosen start is called."""
        return _called(self._name)

    @property
    def _name(self) -> str:
        path, model = self._start.path, self._fits.going_on
        if path is not None:
            return path.stem
        return _NEW if self._start.partition is not None or model is None else model.card.name

    def _other(self) -> Rival | None:
        """The start that is not chosen; None without one that knows the classes."""
        device = self._start.device.currentText()
        cells = self._start.partition
        if cells is None:
            model = self._fits.model
            regions = model is not None and model.config.has_regions
            new = self._start.new_model("superpixel" if regions else "grid")
            return Rival(_NEW, Start(new=new, device=device))
        name = knowing([entry.name for entry in self._annotations.classes], cells)
        if name is None:
            return None
        return Rival(name, Start(file=model_path(name), device=device))

    # -- after a fit --------------------------------------------------------------------------

    def _on_fitted(self, fitted: Fitted) -> None:
        if fitted.kind == "quick fit":
            self._last = fitted
            self._due = True
            if self._rival is None:
                self._say("")

    def _on_phase(self, phase: str) -> None:
        """A person's own work comes first."""
        self._allow()
        if phase != "idle":
            self._stop()
        elif self._due:
            self._timer.start()

    def _allow(self) -> None:
        tuning = self._fits.phase not in ("idle", "fitting")
        tip = _BEGINS if self._fits.model is None else _TAKES
        enable(self.button, tip, "The model is being fine-tuned" if tuning else "")

    def _stop(self) -> None:
        self._timer.stop()
        self.runner.cancel()

    def _compare(self) -> None:
        rival, asked, last = self._other(), self._fits.asked, self._last
        if last is None or asked is None or rival is None or self._fits.busy:
            return
        if {rival.name, self._name} <= self._settled:
            return
        known, start = self._known, rival.start
        if known is not None and known[:2] == (rival, asked.classes):
            start = replace(start, model=known[2], file=None)
        base = Start(model=last.result.began_with, device=rival.start.device)
        fit = replace(asked, start=base, renamed={})
        self._comparing = rival, asked.classes
        request = CompareRequest(fit, start)
        self.runner.start(partial(run_job, "compare", "compare_job", request))

    def _on_compared(self, found: Compared) -> None:
        if self._comparing is None:
            return
        (rival, classes), self._due = self._comparing, False
        if found.rival is not None:
            self._known = rival, classes, found.rival
        if found.comparison is None or not found.comparison.is_second_better:
            self._say("")
            return
        name, (ours, other) = _called(rival.name), found.comparison.accuracy
        self._say(
            f"{name[0].upper()}{name[1:]} would fit these strokes better: in a trial of both it "
            f"gets {other:.0%} of strokes right that it has not seen, {self._current} {ours:.0%}.",
            rival,
            "Fit",
        )

    def _on_failed(self, error: Exception) -> None:
        """Nobody asked for a comparison: that there is none is said in the log alone."""
        self._due = False
        logger.info("the starts were not compared: %s", error)

    def _take(self) -> None:
        """Begin with the other start; choosing the former one again takes it back."""
        rival, fits = self._rival, self._last is not None
        if rival is None:
            return
        if fits:
            self._settled |= {rival.name, self._name}
        new = rival.start.new
        if new is not None:
            self._start.choose_new(superpixels=new.partition == "superpixel")
        elif rival.start.file is not None:
            self._start.choose_path(rival.start.file)
        if fits:
            self.fit_asked.emit()


def _called(name: str) -> str:
    """Within a sentence."""
    return name if name == _NEW else f"“{name}”"


def _classes_of(path: Path | None) -> Collection[str]:
    return [] if path is None else classes_of(path)


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
