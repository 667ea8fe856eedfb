"""Explainable segmentation of field photographs with Gaussian prototypes.

The public names stand in ``__init__.pyi``. Each is imported when it is first used, so that
importing the package, as napari does for every plugin at its start, loads neither torch nor Qt.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import lazy_loader

try:
    __version__ = version("napari-gaussproto")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"

_attribute, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name == "edits":  # a module, which is no attribute of its folder before it is imported
        import_module(f"{__name__}.core.editing.edits")
    return _attribute(name)
