"""From a click on the canvas to an explanation in the dock."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary, ref

import numpy as np
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog, QMenu

from napari_gaussproto.jobs.running import run_job
from napari_gaussproto.widgets.layers.large_labels import streamed_of
from napari_gaussproto.widgets.layers.placement import train_image
from napari_gaussproto.widgets.prototypes.dependence_controller import (
    Asked,
    DependenceController,
)
from napari_gaussproto.widgets.prototypes.large_answer import LargeAnswers
from napari_gaussproto.widgets.prototypes.painted import painted_at
from napari_gaussproto.widgets.prototypes.why_panel import WhyPanel
from napari_gaussproto.widgets.prototypes.why_tool import (
    WhyTool,
    reset_outline,
    show_mark,
    show_outline,
)
from napari_gaussproto.widgets.shared.dock import Connections, Dock
from napari_gaussproto.widgets.shared.state import ImageResult
from napari_gaussproto.widgets.shared.workers import Runner, soon

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_gaussproto.core.explain.explain import Explanation
    from napari_gaussproto.jobs.large.why import Explained

_LARGE = "Prototypes are not added from a large image, but from one that is not as large"
_FILTERS = "PNG (*.png);;SVG (*.svg);;PDF (*.pdf)"


class _Question(NamedTuple):
    """A pixel that was asked about, or the component around it."""

    on: ImageResult | LargeAnswers
    leading: tuple[int, ...]
    y: int
    x: int
    component: bool


class WhyController(QObject):
    """Asks for explanations and shows them."""

    add_wanted = Signal(int, object)  # a class index, and (..., H, W) bool, what to add for it

    def __init__(self, dock: Dock, panel: WhyPanel) -> None:
        super().__init__(dock)
        self._viewer, self._state, self._messages = dock.viewer, dock.state, dock.messages
        self._panel = panel
        self._asked: _Question | None = None
        self._lacking: ref[Image] | None = None  # what was said to be not segmented yet
        self.explanation: Explanation | None = None
        self.explained: Explained | None = None  # of a large image
        self._saved = ""  # the sentence about the last figure
        self._obstacle = "Nothing can be added yet"
        self._large: WeakKeyDictionary[Image, LargeAnswers] = WeakKeyDictionary()
        self.tool = WhyTool(dock.viewer, dock.state, self)
        self.tool.asked.connect(
            lambda leading, y, x: self.ask(leading, y, x, panel.component.isChecked())
        )
        self.tool.asked_large.connect(
            lambda image, leading, y, x: self.ask_large(
                image, leading, y, x, panel.component.isChecked()
            )
        )
        self.tool.hovered.connect(self._on_hovered)
        self.tool.hovered_large.connect(self._on_hovered_large)
        self.tool.missed.connect(self._on_unsegmented)
        self.dependence = DependenceController(dock, panel.dependence)
        self.runner = Runner(self)
        self.runner.progressed.connect(lambda stage: panel.wait(stage.text))
        self.runner.succeeded.connect(self._on_answer)
        self.runner.failed.connect(self._on_failure)
        self.exporter = Runner(self)
        self.exporter.succeeded.connect(self._on_saved)
        self.exporter.failed.connect(self._on_unsaved)
        connections = Connections(self)
        connections.add(dock.viewer.layers.events.removed, self._on_removed)
        connections.add(dock.state.streamed_changed, self._on_streamed)
        panel.button.toggled.connect(self.tool.switch)
        panel.export.clicked.connect(self._ask_where)
        self._classes = QMenu(panel)
        panel.add.setMenu(self._classes)

    # -- asking -----------------------------------------------------------------------------

    def ask(self, leading: tuple[int, ...], y: int, x: int, component: bool = False) -> None:
        """Explain a pixel of the current image, or the component around it."""
        result = self._state.current
        if result is None:
            return
        from napari_gaussproto.core.explain.explain import NO_DATA, explain  # loads torch

        plane = result.segmentation.plane_at(leading)
        if not plane.labels[y, x]:
            self._on_missed(NO_DATA)
            return
        self._begin(_Question(result, leading, y, x, component), at_once=not component)
        if component:
            self.runner.start(partial(run_job, "insight", "component_job", plane, y, x))
        else:
            # A cell takes a few milliseconds: less than starting a thread.
            self.runner.cancel()
            self._show(explain(plane, y, x))

    def ask_large(
        self, image: Image, leading: tuple[int, ...], y: int, x: int, component: bool = False
    ) -> None:
        """Explain a pixel of a large image, or the component around it as far as its tile goes."""
        made = streamed_of(self._state, image)
        if made is None:
            return
        from napari_gaussproto.jobs.large.why import LargePlace  # loads torch

        answers = self._large.get(image)
        if answers is None or answers.made is not made:
            answers = LargeAnswers(self._viewer, image, made, answers)
            self._large[image] = answers
        place, known = LargePlace(made, leading, y, x), answers.known(leading, y, x)
        question = _Question(answers, leading, y, x, component)
        self._begin(question, at_once=known is not None and not component)
        self.runner.start(partial(run_job, "large.why", "why_job", place, component, known))

    def _begin(self, question: _Question, at_once: bool) -> None:
        """Take the outline off another image, and remember what is asked now.

        Where no answer is there at once, show that the question was understood, and of what place.
        """
        if self._asked is not None and self._asked.on.source is not question.on.source:
            reset_outline(self._viewer, self._asked.on)
        self._asked, self.explained, self._lacking = question, None, None
        if at_once:
            return
        self._panel.wait()
        if question.on.source in self._viewer.layers:
            show_mark(self._viewer, question.on, question.leading, question.y, question.x)

    def ask_again(self) -> None:
        """Explain the same place again, after an edit."""
        lacking = None if self._lacking is None else self._lacking()
        if lacking is not None and lacking in self._state.results:
            self.reset()
        if self._asked is None or isinstance(self._asked.on, LargeAnswers):
            return
        result, leading, y, x, component = self._asked
        if result is self._state.current:
            self.ask(leading, y, x, component)
        else:
            self.reset()

    def reset(self) -> None:
        """Remove the last explanation and its outline."""
        if self._asked is not None:
            reset_outline(self._viewer, self._asked.on)
        self._asked = self.explanation = self.explained = self._lacking = None
        self.dependence.follow(None)
        self._panel.clear()

    def _on_hovered(self, leading: tuple[int, ...], y: int, x: int) -> None:
        result, last = self._state.current, self._asked
        if result is None:
            return
        partition = result.segmentation.plane_at(leading).encoding.partition
        cell = partition.cell_at(y, x)
        same = last is not None and last.on is result and (last[1], last[4]) == (leading, False)
        if last is None or not same or partition.cell_at(last.y, last.x) != cell:
            self.ask(leading, y, x)

    def _on_hovered_large(self, image: Image, leading: tuple[int, ...], y: int, x: int) -> None:
        """Explain under the mouse, as long as it stays in the tile that was segmented last."""
        answers = self._large.get(image)
        if answers is not None and not self.runner.running and answers.known(leading, y, x):
            self.ask_large(image, leading, y, x)

    def _on_missed(self, sentence: str) -> None:
        self.runner.cancel()
        self.reset()
        self._panel.say(sentence)

    def _on_unsegmented(self, image: Image) -> None:
        self._on_missed(
            f"{image.name} is not segmented yet: choose it in the Segment dock and press Segment."
        )
        self._lacking = ref(image)

    def turn_to(self, image: Image | None) -> None:
        """Say what is needed before a chosen image can be asked about; None where nothing is."""
        if image is None and self._lacking is not None:
            self.reset()
        elif image is not None and self.explanation is None:
            self._on_unsegmented(image)

    def _on_removed(self, event: Any) -> None:
        if self._lacking is not None and self._lacking() is event.value:
            self.reset()
        answers = self._large.pop(event.value, None)
        if answers is not None:
            if self._asked is not None and self._asked.on is answers:
                self.runner.cancel()
                self.reset()
            soon(self, partial(LargeAnswers.remove_layers, answers))  # it is held by nothing else

    def _on_streamed(self, image: Image) -> None:
        """Forget an answer about labels of another model, or that there were none."""
        if self._lacking is not None and self._lacking() is image:
            self.reset()
        if self._asked is not None and self._asked.on.source is image:
            self.runner.cancel()
            self.reset()

    # -- showing ----------------------------------------------------------------------------

    def _on_answer(self, found: Any) -> None:
        asked = self._asked
        if asked is not None and isinstance(asked.on, LargeAnswers):
            explained: Explained = found
            self.explained, answers = explained, asked.on
            answers.part, answers.part_leading = explained.part, asked.leading
            found = explained.explanation
        self._show(found)

    def _show(self, explanation: Explanation) -> None:
        if self._asked is None:
            return
        on, leading, y, x, _ = self._asked
        self._messages.withdraw(self._saved)
        self.explanation = explanation
        if isinstance(on, LargeAnswers):
            assert self.explained is not None  # as `_on_answer` says
            part = self.explained.part.segmentation
            prototypes, classes = part.prototypes, part.classes
            strokes: int | None = on.made.model.card.strokes
            self.dependence.follow(Asked(on, self.explained, leading, y, x))
        else:
            prototypes, classes = on.segmentation.prototypes, on.segmentation.classes
            strokes = None if on.model is None else on.model.card.strokes
            self.dependence.follow(Asked(on, on.segmentation, leading, y, x))
        painted = ""
        if isinstance(on, ImageResult):
            painted = painted_at(self._viewer, on, (*leading, y, x))
        self._panel.show_explanation(explanation, prototypes, classes, strokes, painted)
        self._offer_adding()
        if on.source in self._viewer.layers:
            show_outline(self._viewer, on, explanation, leading)
        self._classes.clear()
        for c, entry in enumerate(classes):
            self._classes.addAction(f"For {entry.name}").triggered.connect(partial(self._add, c))

    def _on_failure(self, error: Exception) -> None:
        if self._asked is not None and isinstance(self._asked.on, LargeAnswers):
            self._on_missed(str(error))
        else:
            self.reset()
            self._messages.report(error, quietly=True)

    def allow_adding(self, obstacle: str) -> None:
        """Offer a new prototype where edits show, or say why it is not."""
        self._obstacle = obstacle
        self._offer_adding()

    def _offer_adding(self) -> None:
        large = self._asked is not None and isinstance(self._asked.on, LargeAnswers)
        self._panel.allow_adding(_LARGE if large else self._obstacle)

    def _add(self, class_index: int, checked: bool = False) -> None:
        found = self.explanation
        if found is None or self._asked is None:
            return
        result, leading, *_ = self._asked
        if isinstance(result, LargeAnswers):
            return
        mask = np.zeros(result.segmentation.labels.shape, dtype=bool)
        height, width = found.mask.shape
        mask[leading][found.top : found.top + height, found.left : found.left + width] = found.mask
        self.add_wanted.emit(class_index, mask)

    # -- files ------------------------------------------------------------------------------

    def _ask_where(self) -> None:
        if self._asked is None:
            return
        start = f"{self._asked.on.source.name}-why.png"
        name, _ = QFileDialog.getSaveFileName(self._panel, "Export explanation", start, _FILTERS)
        if name:
            self.save_figure(Path(name))

    def save_figure(self, path: Path) -> None:
        """Write the current explanation as a figure."""
        if self._asked is None or self.explanation is None:
            return
        result, leading, *_ = self._asked
        if isinstance(result, LargeAnswers):
            job = partial(
                run_job, "large.why", "figure_job", path, self.explained, result.source.name
            )
            self.exporter.start(job)
            return
        edition = result.provenance.model if result.model is None else result.model.card.edition
        image, plane = train_image(result.source), result.segmentation.plane_at(leading)
        about = (path, image, leading, plane, self.explanation, edition)
        self.exporter.start(partial(run_job, "insight", "figure_job", *about))

    def _on_saved(self, path: Path) -> None:
        self._saved = f"Saved {path.name}."
        self._messages.tell(self._saved)

    def _on_unsaved(self, error: Exception) -> None:
        if isinstance(error, OSError):
            self._messages.tell(str(error))
        else:
            self._messages.report(error, quietly=True)

    def abandon(self) -> None:
        """Stop listening to the mouse, without waiting for an explanation."""
        self.tool.switch(False)
