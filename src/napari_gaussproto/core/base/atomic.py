"""Replace files so that a kill at any moment leaves the old one or the new one, whole."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from napari_gaussproto.core.base.errors import GaussProtoError

# Names of files that are being written, those of folders whose place a new one takes, and bytes
# above which a name is not taken into them whole.
_HIDDEN = re.compile(r"\..*\.part")
_FORMER = re.compile(r"\.(.*)\.[0-9a-f]+\.former")
_LONG = 160
_SHORTENED = re.compile(r"[0-9a-f]{16}.{,40}")


def refuse_folder(path: Path, error: type[GaussProtoError]) -> None:
    """Make sure that a file that will be written has a name, and is no folder.

    Raises
    ------
    GaussProtoError
        Of the given kind.
    """
    if path.is_dir():
        raise error(f"“{path}” is a folder: give the name of a file in it, as “{path / 'name'}”.")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a name beside that of a file or folder, which takes it when the block ends well.

    Files and the folder are flushed to the disk before and after the renaming, so that a loss
    of power leaves the old content or the new one, too. An error in the block leaves a former
    file or folder as it was.

    Raises
    ------
    OSError
        When the folder cannot be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = new_beside(path)
    try:
        yield partial
        for file in partial.rglob("*") if partial.is_dir() else (partial,):
            if file.is_file():
                with file.open("r+b") as opened:
                    os.fsync(opened.fileno())
        _rename(partial, path)
        _flush_folder(path.parent)
    finally:
        _remove(partial)


def new_beside(path: Path) -> Path:
    """Where something is made that will take a name later, beside it.

    No two are the same, also of machines that share a disk and count their processes alike.
    """
    return _hidden(path, f"{uuid4().hex[:12]}.part")


def write_bytes_atomically(path: Path, data: bytes) -> None:
    """Write a file; see `replacing`.

    Raises
    ------
    OSError
        When the folder cannot be written to; a former file is left as it was.
    """
    with replacing(path) as partial, partial.open("wb") as file:
        file.write(data)


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


def move_files(source: Path, target: Path) -> None:
    """Move the files below a folder to the same places below another one; the folder goes.

    Raises
    ------
    OSError
        When the other one cannot be written to.
    """
    for path in [found for found in source.rglob("*") if found.is_file()]:
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        path.replace(place)
    _remove(source)


def remove_abandoned(folder: Path, kind: str) -> None:
    """Remove what `replacing` of killed processes has left below a folder, where none writes now.

    It is told by its name, of which ``kind`` is a part. A former folder whose place nothing took
    goes back there. Folders that are hidden, or end in .zarr, are not searched.
    """
    try:
        paths = list(folder.iterdir())
    except OSError:  # it may not be looked into, and so was not written to
        return
    for path in paths:
        if (former := _FORMER.fullmatch(path.name)) and kind in path.name:
            _put_back(path, former[1])
        elif _HIDDEN.fullmatch(path.name) and kind in path.name:
            _remove(path)
        elif path.is_dir() and not (path.is_symlink() or _is_closed(path)):
            remove_abandoned(path, kind)


def _put_back(former: Path, name: str) -> None:
    """Give a former folder its name again if no other one has it; else remove it."""
    if any(_shortened(path.name) == name for path in former.parent.iterdir()):
        _remove(former)
    elif not _SHORTENED.fullmatch(name):  # else its name is not known, and nothing is lost
        with suppress(OSError):
            former.rename(former.with_name(name))


def _is_closed(folder: Path) -> bool:
    return folder.name.startswith(".") or folder.suffix == ".zarr"


def _hidden(path: Path, ending: str) -> Path:
    """A hidden name beside that of a file, of which it has the end where it is long.

    Every name that a file system takes gives one that it takes, too.
    """
    return path.with_name(f".{_shortened(path.name)}.{ending}")


def _shortened(name: str) -> str:
    encoded = os.fsencode(name)
    if len(encoded) <= _LONG:
        return name
    return f"{hashlib.blake2b(encoded, digest_size=8).hexdigest()}{name[-40:]}"


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _rename(partial: Path, path: Path) -> None:
    if not (partial.is_dir() and path.exists()):
        partial.replace(path)
        return
    # A folder cannot be renamed onto another one.
    former = _hidden(path, f"{uuid4().hex[:12]}.former")
    path.rename(former)
    partial.rename(path)
    shutil.rmtree(former, ignore_errors=True)


def _flush_folder(folder: Path) -> None:
    """Make a rename itself survive a loss of power, where folders can be opened."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
