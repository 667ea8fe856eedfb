"""What the Train dock says of a fit and its images, in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def counted_images(count: int) -> str:
    """A number of images: "1 image" or "3 images"."""
    return "1 image" if count == 1 else f"{count} images"


def begins_anew(path: Path | None, *, kept: bool) -> str:
    """That the next fit does not go on from the model in use, but from a file or a new model."""
    start = "a new model" if path is None else f"“{path.stem}”"
    history = " What was fitted before is kept in History." if kept else ""
    return f"The next fit begins with {start}.{history}"


def learned_from(strokes: int, images: int) -> str:
    """What a fit learned from, to go on with after "Fitted"; empty for no fit."""
    if not strokes:
        return ""
    what = "1 stroke" if strokes == 1 else f"{strokes:,} strokes"
    return f" on {what} of {counted_images(images)}"


def stopped_sentence(stopped: bool, *, kept: bool) -> str:
    """That a person stopped a fine-tune, and whether anything of it is kept."""
    if not stopped:
        return ""
    return " It was stopped; what it had learned is kept." if kept else " It was stopped."


def unknown_sentence(names: Sequence[str]) -> str:
    """What to do about classes that nothing is known of; empty without any."""
    if not names:
        return ""
    shown = " and ".join(f"“{name}”" for name in names[:2])
    if len(names) > 2:
        shown = f"{len(names)} classes"
    return (
        f" Nothing is known of {shown} yet: draw strokes of {'it' if len(names) == 1 else 'them'}."
    )


def lost_sentence(names: Sequence[str]) -> str:
    """What to do about closed images that could not be read; empty without any."""
    if not names:
        return ""
    shown = ", ".join(f"“{name}”" for name in names[:3])
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    if len(names) == 1:
        return (
            f" Nothing was learned from {shown}: its file is gone, has changed or is not known. "
            "Open the image to learn from it."
        )
    return (
        f" Nothing was learned from {shown}{more}: their files are gone, have changed or are not "
        "known. Open the images to learn from them."
    )
