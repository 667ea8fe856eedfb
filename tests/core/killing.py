"""A kill of the process at any moment, for tests of what is on disk afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest


class Killed(BaseException):
    """Nothing of the program is executed any more."""


def killed_after(monkeypatch: pytest.MonkeyPatch, count: int) -> Callable[[], int]:
    """Let every system call that changes the disk raise from the ``count``-th on."""
    calls = 0

    def guarded(function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            nonlocal calls
            if calls >= count:
                raise Killed
            calls += 1
            return function(*arguments, **options)

        return call

    monkeypatch.setattr(os, "fsync", guarded(os.fsync))
    for name in ("replace", "unlink", "open"):
        monkeypatch.setattr(Path, name, guarded(getattr(Path, name)))
    return lambda: calls
