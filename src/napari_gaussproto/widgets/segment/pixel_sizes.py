"""Sizes of pixels, as files say and persons type them: of an image, or of a whole series."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QLineEdit

from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.core.measure.units import PixelSize
from napari_gaussproto.widgets.layers.placement import train_image
from napari_gaussproto.widgets.layers.regions import size_of
from napari_gaussproto.widgets.shared.choosers import ImageChooser
from napari_gaussproto.widgets.shared.forms import check_box, enable, wrapped_label
from napari_gaussproto.widgets.shared.state import Setting

if TYPE_CHECKING:
    from napari.layers import Image

_OF_ALL = "all images without their own"
_TICK = "Use this size for every image of which neither its file nor you said one"
_JOIN = "Use {}, as for " + _OF_ALL
_LEAVE = "What you type is for all of them. Untick to give this image a size of its own"
_TAKE_BACK = "What you type is for all of them. Untick to use it for this image alone"


class PixelSizes(QObject):
    """The field of the chosen image's size, and the box that makes it that of a series."""

    def __init__(self, images: ImageChooser) -> None:
        super().__init__(images)
        self._images = images
        self._own: dict[str, str] = {}  # that a person typed, by the files of images
        self._of_all = ""  # of images of which neither they nor a file said one
        self._said_at = ""  # the image at which that of all was typed
        self.field = QLineEdit(placeholderText="0.5mm; empty for pixels")
        self.field.setToolTip("Side of a pixel, for real units")
        self.of_all = check_box("", _TICK)
        self.refusal = wrapped_label()
        self.field.textEdited.connect(self._on_typed)
        self.of_all.clicked.connect(self._on_box)
        self.show()

    def kept(self) -> dict[str, Setting]:
        """Settings for projects to keep."""
        return {
            "pixel_sizes": (lambda: dict(self._own), self._use_own),
            "size_of_all": (lambda: self._of_all, self._use_of_all),
            "size_said_at": (lambda: self._said_at, self._use_said_at),
        }

    def show(self) -> None:
        """Show the size of the chosen image: its own, or that of all images without one."""
        image = self._images.image()
        if image is not None:
            size = self._of_all if self._is_of_all(image) else self._size_of(image)
            self.field.setText(size)
        self.of_all.setChecked(image is not None and self._is_of_all(image))
        self._refuse("")
        self._explain()

    def _is_of_all(self, image: Image) -> bool:
        """Whether what is typed for an image is for all images without their own."""
        key = _key(image)
        lacks = key not in self._own and not size_of(image)
        return bool(self._of_all) and (lacks or key == self._said_at)

    def _size_of(self, image: Image) -> str:
        """As a person typed it for an image, or else as its layer says."""
        return self._own.get(_key(image), size_of(image))

    def _on_typed(self, size: str) -> None:
        """Keep a size for the image that it was typed for, or for all where that is ticked."""
        if (image := self._images.image()) is not None:
            if self.of_all.isChecked():
                self._say_for_all(image, size.strip())
            else:
                self._own[_key(image)] = size
        self._refuse("")
        self._explain()

    def _on_box(self, on: bool) -> None:
        image, size = self._images.image(), self.field.text().strip()
        if image is None:
            return
        if not on:
            self._leave(image, size)
        elif not size:
            self._own.pop(_key(image), None)  # it takes that of all again
        elif (why := _why_not(size)) != "":
            self.of_all.setChecked(False)
            self._refuse(why)
            return
        else:
            self._say_for_all(image, size)
        self.show()

    def _say_for_all(self, image: Image, size: str) -> None:
        self._of_all, self._said_at = size, _key(image)
        self._own.pop(self._said_at, None)

    def _leave(self, image: Image, size: str) -> None:
        """Give an image a size of its own; where that of all was typed, take that back."""
        key = _key(image)
        if key == self._said_at:
            self._of_all, self._said_at = "", ""
            self._own[key] = size
        else:
            self._own[key] = ""

    def _explain(self) -> None:
        """Say whose size it is, and what a click on the box does."""
        image, size = self._images.image(), self.field.text().strip()
        on, here = self.of_all.isChecked(), image is not None and _key(image) == self._said_at
        joins = bool(self._of_all) and image is not None and not size_of(image)
        if on:
            tip = _TAKE_BACK if here else _LEAVE
        else:
            tip = _JOIN.format(self._of_all) if joins and not size else _TICK
        self.of_all.setText(f"As for {_OF_ALL}" if on and not here else f"For {_OF_ALL}")
        enable(self.of_all, tip, "" if on or size or joins else "Type a size first")

    def _refuse(self, why: str) -> None:
        self.refusal.setText(why)
        self.refusal.setVisible(bool(why))

    def _use_own(self, sizes: object) -> None:
        """Take over sizes that were typed when the project was open before."""
        if isinstance(sizes, dict):
            # Of all images there is one only if the project goes on to say so; older ones do not.
            self._of_all = self._said_at = ""
            self._own |= {str(key): size for key, size in sizes.items() if isinstance(size, str)}
            self.show()

    def _use_of_all(self, size: object) -> None:
        """Take over what was used for all images when the project was open before."""
        self._of_all, self._said_at = size if isinstance(size, str) else "", ""
        self.show()

    def _use_said_at(self, key: object) -> None:
        """Take over where that was typed; projects of before do not say it."""
        self._said_at = key if isinstance(key, str) else ""
        self.show()


def _key(image: Image) -> str:
    """By what a size stays with an image: its file, or its name where there is none."""
    return train_image(image).file or image.name


def same_size(one: str, other: str) -> bool:
    """Whether two sizes are written alike, but for spaces and the decimal sign."""
    plain = (size.replace(" ", "").replace(",", ".") for size in (one, other))
    return next(plain) == next(plain)


def _why_not(size: str) -> str:
    """Why words are no size of a pixel; nothing where they are one."""
    try:
        PixelSize.parse(size)
    except ConfigError as error:
        return str(error)
    return ""
