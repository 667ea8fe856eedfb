"""Which images a person means by folders, patterns and files, and what each is called."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.core.labels.annotations import ImageIdentity

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp", ".npy", ".zarr")
# How files that are written beside images end, which are no photographs.
OUTPUTS = (".labels", ".likelihood", ".overview", ".former-")


@dataclass(frozen=True)
class Item:
    """An image that is to be segmented.

    Attributes
    ----------
    name : str
        Its path relative to what was given, with "/"; this is what tables call it.
    path : Path or None
        Where it is; None of one that is open in a viewer.
    read : callable or None
        Gives the image where it is in no file.
    plane_of : ImageIdentity or None
        The image that this is a plane of, or all of, where it is in no file: by that it is known
        what was drawn on it.
    plane : int
        Its number, in C order of the leading axes.
    """

    name: str
    path: Path | None = None
    read: Callable[[], Any] | None = None
    plane_of: ImageIdentity | None = None
    plane: int = 0


@dataclass(frozen=True)
class Found:
    """What was given, found.

    Attributes
    ----------
    root : Path
        The folder that names start at.
    paths : list of Path
        Absolute, each once, in the order in which they were given and by name within a folder.
    missing : list of Path
        What was given and is not there.
    """

    root: Path
    paths: list[Path]
    missing: list[Path]


def find(given: Sequence[str | Path], out: Path) -> Found:
    """Images in folders and all folders below, of patterns such as ``plots/**/*.jpg``, and files.

    Hidden files, what this program writes beside images, and the folder of the results are left
    out, but for files that are given by name.

    Raises
    ------
    ConfigError
        When nothing of it is there, or there is no image in it.
    """
    roots: list[Path] = []
    paths: list[Path] = []
    missing: list[Path] = []
    out = _absolute(out)
    for one in given:
        path = _absolute(one)
        if _is_image_folder(path) or path.is_file():
            roots.append(path.parent)
            paths.append(path)
        elif path.is_dir():
            roots.append(path)
            paths += _images_in(path, out)
        elif matches := _matches(path):
            roots.append(_plain_part(path))
            for match in matches:
                paths += _images_in(match, out) if match.is_dir() else _of(match, out)
        else:
            missing.append(Path(one))
    if not roots:
        raise ConfigError(f"There is no file “{given[0]}”: check the name and the folder.")
    if not paths:
        kinds = ", ".join(SUFFIXES)
        raise ConfigError(f"“{given[0]}” holds no image: give a folder with files of {kinds}.")
    return Found(_common(roots), list(dict.fromkeys(paths)), missing)


def name_below(path: Path, root: Path) -> str | None:
    """A path relative to a folder, with "/"; None where it is not in it."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else None


def _absolute(path: str | Path) -> Path:
    # Links stay as they are: a folder of links to photographs names them as a person did.
    return Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100


def _images_in(folder: Path, out: Path) -> Iterator[Path]:
    if _is_image_folder(folder):
        yield from _of(folder, out)
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path == out:
            continue
        if path.is_dir() and not _is_image_folder(path):
            if not path.is_symlink():  # which may lead back to where it is
                yield from _images_in(path, out)
        else:
            yield from _of(path, out)


def _of(path: Path, out: Path) -> Iterator[Path]:
    """The path itself, if it is an image and none that this program wrote."""
    ours = any(kind in path.name for kind in OUTPUTS) or path.is_relative_to(out)
    if path.suffix.lower() in SUFFIXES and not ours:
        yield path


def _is_image_folder(path: Path) -> bool:
    return path.suffix.lower() == ".zarr" and path.is_dir()


def _matches(pattern: Path) -> list[Path]:
    if not glob.has_magic(str(pattern)):
        return []
    return [Path(match) for match in sorted(glob.glob(str(pattern), recursive=True))]  # noqa: PTH207


def _plain_part(pattern: Path) -> Path:
    """The folder that all matches of a pattern are in."""
    plain = pattern
    while glob.has_magic(str(plain)):
        plain = plain.parent
    return plain


def _common(roots: Sequence[Path]) -> Path:
    try:
        return Path(os.path.commonpath(roots))
    except ValueError:  # on several drives
        return roots[0]
