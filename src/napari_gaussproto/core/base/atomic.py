"""Replace files so that a kill at any moment leaves the old one or the new one, whole."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def write_bytes_atomically(path: Path, data: bytes) -> None:
    """Write a file beside its final name, flush it to the disk, and rename it.

    Raises
    ------
    OSError
        When the folder cannot be written to; a former file is left as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _flush_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def copy_files(source: Path, target: Path) -> None:
    """Copy the files of a folder into a new one, without half-written and lock files.

    Raises
    ------
    OSError
        When the new folder cannot be written to.
    """
    target.mkdir(parents=True, exist_ok=True)
    if not source.is_dir():
        return
    for path in sorted(source.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            shutil.copy2(path, target / path.name)


def _flush_folder(folder: Path) -> None:
    """Make a rename itself survive a loss of power, where folders can be opened."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
