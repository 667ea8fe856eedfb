"""Which images a person means by folders, patterns and files, and what each is called."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.core.labels.annotations import ImageIdentity
from napari_gaussproto.io.masks import MASK_WORDS, unmarked

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp", ".npy", ".zarr")
# What files are called that this program writes beside images.
_OUTPUT = re.compile(
    r".+\.(labels(\.former-\d+)?\.(ome\.tif|png|ome\.zarr|zarr)|likelihood\.ome\.tif|overview\.png)"
)


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
    masks, results : list of Path
        What was left out because its name says that it is the mask of a photograph, or what this
        program writes, outside of the folder of the results.
    nameless : list of Path
        What has no name that can be written down.
    closed : list of Path
        Folders that may not be looked into.
    """

    root: Path
    paths: list[Path]
    missing: list[Path]
    masks: list[Path] = field(default_factory=list)
    results: list[Path] = field(default_factory=list)
    nameless: list[Path] = field(default_factory=list)
    closed: list[Path] = field(default_factory=list)

    @property
    def notes(self) -> list[str]:
        """Sentences about masks, results and closed folders, if there are any."""
        kinds = (
            (self.masks, "mask", "masks", "of these photographs"),
            (self.results, "file", "files", "named as results of this program are"),
            (self.closed, "folder", "folders", "that may not be looked into"),
        )
        return [
            f"{len(paths)} {one if len(paths) == 1 else many} {which} left out "
            f"({_listed(paths)}): give files by name"
            for paths, one, many, which in kinds
            if paths
        ]

    @property
    def left_out(self) -> dict[str, str]:
        """Why something that was given cannot be taken, by its name."""
        sentences = (
            (self.missing, "There is no such file: check the name and the folder."),
            (self.nameless, "Its name is no text in UTF-8: give it or its folder another one."),
        )
        return {_text(path): sentence for paths, sentence in sentences for path in paths}


def find(given: Sequence[str | Path], out: Path) -> Found:
    """Images in folders and all folders below, of patterns such as ``plots/**/*.jpg``, and files.

    Hidden files, what this program writes beside images, masks of the photographs, and the folder
    of the results are left out, but for files that are given by name.

    Raises
    ------
    ConfigError
        When nothing of it is there, or there is no image in it.
    """
    roots: list[Path] = []
    paths: list[Path] = []
    named: set[Path] = set()
    missing: list[Path] = []
    closed: list[Path] = []
    out = _absolute(out)
    for one in given:
        path = _absolute(one)
        if _is_image_folder(path) or path.is_file():
            roots.append(path.parent)
            paths.append(path)
            named.add(path)
        elif path.is_dir():
            roots.append(path)
            paths += _images_in(path, _apart(out, path), closed)
        elif matches := _matches(path):
            roots.append(_plain_part(path))
            apart = _apart(out, roots[-1])
            for match in matches:
                paths += _images_in(match, apart, closed) if match.is_dir() else _of(match, apart)
        else:
            missing.append(Path(one))
    if not roots:
        raise ConfigError(f"There is no file “{given[0]}”: check the name and the folder.")
    paths = list(dict.fromkeys(paths))
    results = [p for p in paths if p not in named and _OUTPUT.fullmatch(p.name)]
    paths = [p for p in paths if p in named or not _OUTPUT.fullmatch(p.name)]
    if not paths:
        kinds = ", ".join(SUFFIXES)
        raise ConfigError(f"“{given[0]}” holds no image: give a folder with files of {kinds}.")
    nameless = [path for path in paths if str(path) != _text(path)]
    paths = [path for path in paths if str(path) == _text(path)]
    masks = _masks(paths) - named
    kept = [path for path in paths if path not in masks]
    theirs = [path for path in results if not path.is_relative_to(out)]
    own = [path for path in paths if path in masks]
    return Found(_common(roots), kept, missing, own, theirs, nameless, closed)


def _text(path: Path) -> str:
    """A path as text that can be written, with a question mark for what is none."""
    return str(path).encode("utf-8", "replace").decode()


def _listed(paths: Sequence[Path]) -> str:
    return ", ".join(_text(Path(path.name)) for path in paths[:3]) + ", …" * (len(paths) > 3)


def _apart(out: Path, root: Path) -> Path | None:
    """The folder of the results, but for who writes them beside or above the photographs."""
    return None if root.is_relative_to(out) else out


def _masks(paths: Sequence[Path]) -> set[Path]:
    """Those of some images that are called, or lie in a folder that is called, as masks of others.

    That is ``x_mask.png`` beside ``x.jpg``, and ``masks/x.png`` below or beside the folder of that.
    """
    photographs = {
        (folder, path.stem.casefold())
        for path in paths
        if not _is_mask_folder(path.parent)
        for folder in (path.parent, path.parent.parent)
    }
    return {
        path
        for path in paths
        if any((path.parent, stem) in photographs for stem in unmarked(path.stem))
        or (
            _is_mask_folder(path.parent)
            and any(
                (path.parent.parent, stem) in photographs
                for stem in (path.stem.casefold(), *unmarked(path.stem))
            )
        )
    }


def _is_mask_folder(folder: Path) -> bool:
    return folder.name.casefold() in MASK_WORDS


def name_below(path: Path, root: Path) -> str | None:
    """A path relative to a folder, with "/"; None where it is not in it."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else None


def _absolute(path: str | Path) -> Path:
    # Links stay as they are: a folder of links to photographs names them as a person did.
    return Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100


def _images_in(folder: Path, out: Path | None, closed: list[Path]) -> Iterator[Path]:
    if _is_image_folder(folder):
        yield from _of(folder, out)
        return
    try:
        inside = sorted(folder.iterdir())
    except PermissionError:  # as of folders of the system on another disk
        closed.append(folder)
        return
    for path in inside:
        if path.name.startswith(".") or path == out:
            continue
        if path.is_dir() and not _is_image_folder(path):
            if not path.is_symlink():  # which may lead back to where it is
                yield from _images_in(path, out, closed)
        else:
            yield from _of(path, out)


def _of(path: Path, out: Path | None) -> Iterator[Path]:
    """The path itself, if it is an image and not in the folder of the results."""
    if path.suffix.lower() in SUFFIXES and not (out and path.is_relative_to(out)):
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
