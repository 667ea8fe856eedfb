"""The Why? part of the Prototypes dock: which prototypes made a pixel or a component."""

from __future__ import annotations

from html import escape
from itertools import zip_longest
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QFrame, QLabel, QWidget

from napari_gaussproto.widgets.layers.legends import caution_of
from napari_gaussproto.widgets.prototypes.painted import painted_sentence
from napari_gaussproto.widgets.shared.forms import (
    SlimBar,
    WordyPage,
    across,
    button,
    down,
    enable,
    fill,
    radio_button,
    wrapped_label,
)
from napari_gaussproto.widgets.shared.pictures import PatchStrip
from napari_gaussproto.widgets.shared.share_table import ShareBar, percent_label, square_html

if TYPE_CHECKING:
    from napari_gaussproto.core.base.config import SegmentationClass
    from napari_gaussproto.core.explain.explain import Explanation, Responsible
    from napari_gaussproto.core.model.segmentation import Prototype

_ROWS, _PATCHES, _SIDE = 4, 4, 34
_ADD = "Make a prototype of what is outlined, for a class of your choice"
_HINT = "Press Why? and click a place in the image. Hold Shift to explain under the mouse."
_HINT_ON = "Click a place in the image, or hold Shift to explain under the mouse."
_WAIT = "Finding out what this place is like"
_SHOW = (
    "Show what it depends on",
    "Cover the surroundings patch by patch and see what changes the answer; takes some seconds",
)
_CANCEL = ("Cancel", "Stop at once")
_HIDE = ("Hide what it depends on", "Show again what was in view before")


class ResponsibleRow(QFrame):
    """One prototype of an explanation; clicking chooses it."""

    def __init__(self, panel: WhyPanel) -> None:
        super().__init__()
        self._panel = panel
        self.index = -1
        self.patches = PatchStrip(_PATCHES, _SIDE)
        self.name, self.percent, self.bar = QLabel(), percent_label(), ShareBar()
        # Says what a row is that is no reason for the class.
        self.lead, self.closeness = QLabel(), QLabel()
        words = down(self.lead, across((self.name, 1), self.percent), self.bar, spacing=3)
        above = across((words, 1), self.patches, spacing=8)
        fill(self, down(above, self.closeness, spacing=2), 0, 2, 0, 2)
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def show_part(
        self,
        part: Responsible,
        prototype: Prototype,
        classes: list[SegmentationClass],
        lead: str = "",
    ) -> None:
        """Show a prototype's part in an explanation, below words that lead over to it."""
        self.index = part.index
        self.name.setText(part.name)
        self.lead.setText(lead)
        self.lead.setVisible(bool(lead))
        self.closeness.setText(f"<small>{escape(part.closeness)}</small>")
        self.percent.setText(f"{part.responsibility:.0%}")
        self.bar.show_parts((part.responsibility, classes[part.class_index].color))
        self.patches.show_prototype(prototype, classes)
        self.setToolTip(
            f"{part.name}: responsible for {part.responsibility:.1%}; typicality "
            f"{part.typicality:.2f}. Click to see it"
        )

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose this prototype."""
        self._panel.chosen.emit(self.index)


class DependencePanel(QWidget):
    """A button that computes what the answer depends on, cancels that or hides it; a sentence."""

    def __init__(self) -> None:
        super().__init__()
        self.button, self.progress = button("", ""), SlimBar()
        self.sentence = wrapped_label()
        self._obstacle, self._asked = "", False
        fill(self, down(self.button, self.progress, self.sentence, spacing=4))
        self.say("")

    def show_state(self, asked: bool, *, running: bool, shown: bool) -> None:
        """Offer what can be done now."""
        text, tip = _SHOW
        if running or shown:
            text, tip = _CANCEL if running else _HIDE
        self._asked = asked
        self.button.setText(text)
        enable(self.button, tip, "" if asked else self._obstacle)
        self.progress.setVisible(running)

    def wait_for(self, sentence: str) -> None:
        """Say what must be done before there is an answer, as long as none is there."""
        self._obstacle = f"It needs an answer first. {sentence}"
        if not self._asked:
            enable(self.button, "", self._obstacle)

    def say(self, sentence: str) -> None:
        """Show a sentence about the map, or none."""
        self.sentence.setText(sentence)
        self.sentence.setVisible(bool(sentence))


class WhyPanel(WordyPage):
    """The tool's switch, and the last explanation, whose prototypes can be chosen."""

    chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.button = button("Why?", "Then click a place in the image. Press again to stop asking")
        self.button.setCheckable(True)
        tip = "Explain the whole connected region of one class around the pixel"
        self.component = radio_button("region", tip, checked=True)
        self.cell = radio_button("cell", "Explain the one cell that holds the pixel")
        self.painted = wrapped_label()
        self.heading, self.novelty = wrapped_label(_HINT), wrapped_label()
        self.remark, self.caution = wrapped_label(), wrapped_label()
        self.rows = [ResponsibleRow(self) for _ in range(_ROWS)]
        self.posterior, self.legend = ShareBar(height=12), wrapped_label()
        self.legend.setToolTip(
            "Calibrated probability of each class; the shares of its prototypes sum to it"
        )
        tip = "Save this explanation as one figure: PNG, SVG or PDF"
        self.export = button("Export figure…", tip)
        self.add = button("New prototype from it…", _ADD)
        words = (self.posterior, self.legend, self.novelty, self.caution, self.remark)
        buttons = across(self.export, self.add, None)
        self._result = fill(QWidget(), down(*self.rows, 4, *words, buttons, spacing=4))
        self.dependence = DependencePanel()
        top = across((self.button, 1), self.component, self.cell)
        self.setLayout(down(top, self.painted, self.heading, self._result, self.dependence, None))
        self.clear()
        self.button.toggled.connect(self._hint_anew)

    def _hint_anew(self, on: bool) -> None:
        if self.heading.text() == (_HINT if on else _HINT_ON):
            self.clear()

    def allow_adding(self, obstacle: str) -> None:
        """Offer to make a prototype of what is explained, or say why not."""
        enable(self.add, _ADD, obstacle)

    def clear(self) -> None:
        """Forget the last explanation."""
        self.say(_HINT_ON if self.button.isChecked() else _HINT)

    def say(self, sentence: str) -> None:
        """Show a sentence in place of an explanation."""
        self._tell(sentence)
        self._result.hide()

    def wait(self, what: str = _WAIT) -> None:
        """Say that an answer takes a while, and what is done for it; the last one turns grey."""
        self._tell(f"{what}…")
        self._result.setEnabled(False)

    def _tell(self, sentence: str) -> None:
        self.heading.setText(escape(sentence))
        self.dependence.wait_for(sentence)
        self.painted.hide()

    def show_explanation(
        self,
        explanation: Explanation,
        prototypes: list[Prototype],
        classes: list[SegmentationClass],
        strokes: int | None = None,
        painted: str = "",
    ) -> None:
        """Show an explanation in place of the last one; see `caution_of` for the strokes.

        ``painted`` is the class that a person painted there, if any.
        """
        predicted = classes[explanation.label].name
        self.painted.setText(painted_sentence(painted, predicted) if painted else "")
        self.painted.setVisible(bool(painted))
        self.heading.setText(_heading(explanation, classes))
        reasons, objections = explanation.reasons, explanation.objections
        # Of both sides of a mixture something is seen.
        reasons = reasons[: _ROWS - min(len(objections), _ROWS // 2)]
        shown = [*reasons, *objections][:_ROWS]
        for place, (row, part) in enumerate(zip_longest(self.rows, shown)):
            row.setVisible(part is not None)
            if part is not None:
                lead = _lead(explanation) if place == len(reasons) else ""
                row.show_part(part, prototypes[part.index], classes, lead)
        found = list(zip(explanation.class_probability.tolist(), classes, strict=True))
        self.posterior.show_parts(*((value, c.color) for value, c in found))
        # A class and its share stay together.
        legend = (
            f"{square_html(c.color)}&nbsp;{escape(c.name)}&nbsp;{value:.0%}" for value, c in found
        )
        self.legend.setText(" &nbsp; ".join(legend))
        self.novelty.setText(explanation.familiarity)
        for label, text in (
            (self.remark, explanation.remark),
            (self.caution, caution_of(strokes)),
        ):
            label.setText(text)
            label.setVisible(bool(text))
        self._result.setEnabled(True)
        self._result.show()


def _heading(explanation: Explanation, classes: list[SegmentationClass]) -> str:
    """What the place is, up to the reasons that follow."""
    what = "This region is" if explanation.is_mask else "This place is"
    name = _named(classes[explanation.label])
    if explanation.rival is None:
        return f"{what} {name} because it is like"
    rival = _named(classes[explanation.rival])
    return f"{what} a mixture of {name} and {rival}: on the side of {name} it is like"


def _lead(explanation: Explanation) -> str:
    return "a small part" if explanation.rival is None else "and on the other side like"


def _named(entry: SegmentationClass) -> str:
    return f"{square_html(entry.color)} <b>{escape(entry.name)}</b>"
