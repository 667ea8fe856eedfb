"""Faults that tests bring about: too little memory, and a project that is open elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from napari_gaussproto.core.network.extractor import Extractor
from napari_gaussproto.core.project.project import Project
from tests.reliability.scenes import CONTEXT

SHORT: dict[str, Exception] = {
    "python": MemoryError("Unable to allocate 9 GiB for an array"),
    "torch": RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    "cuda": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"),
}


def short(monkeypatch: pytest.MonkeyPatch, error: Exception, after: int = 0) -> None:
    """The network fails, for want of memory or so, from the ``after``-th call on."""
    calls = 0
    for name in ("at_working_resolution", "pyramid"):
        function = getattr(Extractor, name)

        def fail(*arguments: Any, function: Any = function) -> Any:
            nonlocal calls
            calls += 1
            if calls > after:
                raise error
            return function(*arguments)

        monkeypatch.setattr(Extractor, name, fail)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Another process has a project open."""
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=_hold, args=(folder, theirs))
    process.start()
    ours.recv()
    try:
        yield
    finally:
        ours.send(0)
        process.join()


def _hold(folder: Path, pipe: Any) -> None:
    with Project.open(folder):
        pipe.send(0)
        pipe.recv()
