"""Errors a user can do something about; each message is a sentence that says what."""

from __future__ import annotations


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
