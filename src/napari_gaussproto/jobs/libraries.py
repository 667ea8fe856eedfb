"""Load torch in a process that already draws with OpenGL."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_lock = Lock()


def load_libraries() -> None:
    """Import torch and the libraries on top of it; call it in a worker thread.

    Raises
    ------
    ImportError
        When one of them is not installed.
    """
    with _lock, _without_triton():
        import timm  # noqa: F401
        import torchvision  # noqa: F401


@contextmanager
def _without_triton() -> Iterator[None]:
    """Keep torch from importing triton, which this package does not use.

    On Linux triton brings an LLVM of its own. Where OpenGL is drawn with LLVM too (Mesa's
    llvmpipe, radeonsi), importing it after the first window has opened ends the process with
    a segmentation fault: measured with torch 2.14, napari 0.9.2 under Xvfb. Imported before,
    it does no harm.
    """
    if not sys.platform.startswith("linux") or "triton" in sys.modules or "torch" in sys.modules:
        yield
        return
    sys.modules["triton"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["triton"]
