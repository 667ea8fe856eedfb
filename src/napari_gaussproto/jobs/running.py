"""Run jobs by their names, and load torch in a process that already draws with OpenGL."""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from importlib import import_module
from threading import Lock
from typing import Any

from napari_gaussproto.core.base.errors import memory_in_words
from napari_gaussproto.core.base.steps import driven

_lock = Lock()
# Python goes through everything several times when it ends, for nothing, and torch and napari are
# so much that a viewer that was closed would not be gone for two more seconds.
atexit.register(gc.freeze)


def run_job(module: str, name: str, *arguments: Any) -> Generator[Any, None, Any]:
    """Load a module of ``napari_gaussproto.jobs``; yields and returns what its job does.

    The job is a function or a generator function. It is loaded in the calling thread, so jobs
    import torch at the top of their files, and docks that start them open without it.

    Raises
    ------
    ImportError
        When a library is not installed.
    ShortOfMemoryError
        When memory is too short for the job.
    """
    yield None  # a cancel takes effect before anything is loaded
    load_libraries()
    with memory_in_words():
        result = getattr(import_module(f"napari_gaussproto.jobs.{module}"), name)(*arguments)
        return (yield from driven(result))


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
    loaded = "triton" in sys.modules or {"timm", "torchvision"} <= sys.modules.keys()
    if loaded or not sys.platform.startswith("linux"):
        yield
        return
    sys.modules["triton"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["triton"]
