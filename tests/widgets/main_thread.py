"""Notes what is changed in a viewer from another thread than its own.

napari can look after this itself (NAPARI_ENSURE_PLUGIN_MAIN_THREAD), but only through the proxies
that it hands to plugins, and the docks take these off (`bare` in widgets/shared/workarounds.py).
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from napari.components import Camera, Dims, LayerList, ViewerModel
from napari.layers import Layer


@contextmanager
def told_elsewhere() -> Iterator[list[str]]:
    """Where layers, their list and what a viewer consists of were changed by other threads."""
    found: list[str] = []

    def watched(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Any, *args: Any) -> Any:
            if threading.current_thread() is not threading.main_thread():
                found.append("".join(traceback.format_stack(limit=12)[:-1]))
            return original(self, *args)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for kind in (Layer, ViewerModel, Dims, Camera):
            patch.setattr(kind, "__setattr__", watched(kind.__setattr__))
        for name in ("insert", "__delitem__", "__setitem__"):
            patch.setattr(LayerList, name, watched(getattr(LayerList, name)))
        yield found
