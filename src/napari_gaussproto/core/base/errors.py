"""Errors a user can do something about; each message is a sentence that says what."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_LONGEST_NAME = 80


class GaussProtoError(Exception):
    """Base of every error whose message is meant for the person at the screen."""


class ImageError(GaussProtoError):
    """An image cannot be read or does not suit the model."""


class LabelError(GaussProtoError):
    """Training labels are missing, of the wrong shape or of unknown classes."""


class ModelFileError(GaussProtoError):
    """A model file is broken, foreign, newer than this package, or absent."""


class ConfigError(GaussProtoError):
    """A setting has no meaning on this machine or in this combination."""


class PrototypeError(GaussProtoError, IndexError):
    """A model has no prototype of that number or name."""


class EditError(GaussProtoError):
    """An edit of the prototypes would make no sense."""


class ShortOfMemoryError(GaussProtoError):
    """Memory of the machine or of its graphics card is too short."""


_SIGNS = ("out of memory", "can't allocate memory", "not enough memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says, as Python or as torch does, that memory is too short."""
    known = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return known or (
        isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)
    )


@contextmanager
def memory_in_words() -> Iterator[None]:
    """Say in a sentence when memory is too short for what is done inside.

    Raises
    ------
    ShortOfMemoryError
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise ShortOfMemoryError(
            "Memory is too short for this: close other programs, work on smaller images or crops, "
            "or choose another device."
        ) from error


def brief(name: str) -> str:
    """A name that a file holds, at most 80 characters of it, for a sentence."""
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
