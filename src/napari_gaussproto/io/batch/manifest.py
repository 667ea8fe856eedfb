"""What a folder of results holds: which image gave what, by which model, with which versions."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock, Timeout
from pydantic import BaseModel, Field, ValidationError

from napari_gaussproto import __version__
from napari_gaussproto.core.base.atomic import remove_abandoned, write_bytes_atomically
from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import ConfigError, ImageError
from napari_gaussproto.core.model.card import now, package_versions
from napari_gaussproto.core.model.model_file import description_of, tensors_of
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.io.batch.inputs import SUFFIXES, Item, name_below

MANIFEST = "manifest.json"
LOCK = ".lock"
_BLOCK = 1 << 20


class Source(BaseModel):
    """A file as it was when it was segmented.

    Attributes
    ----------
    path : str
        Absolute.
    size, modified : int
        Bytes, and the time of its last change in nanoseconds; of a folder all of it.
    digest : str
        Of its content; empty of a folder.
    """

    path: str
    size: int
    modified: int
    digest: str = ""

    @classmethod
    def of(cls, path: Path) -> Source:
        """A file or folder as it is now, without its content."""
        if path.is_dir():
            stats = [file.stat() for file in path.rglob("*") if file.is_file()]
            newest = max((stat.st_mtime_ns for stat in stats), default=0)
            return cls(path=str(path), size=sum(stat.st_size for stat in stats), modified=newest)
        stat = path.stat()
        return cls(path=str(path), size=stat.st_size, modified=stat.st_mtime_ns)

    def with_digest(self) -> Source:
        """The same, with the digest of the content."""
        path = Path(self.path)
        return self if path.is_dir() else self.model_copy(update={"digest": digest_of(path)})

    def is_unchanged(self, path: Path) -> bool:
        """Whether a file is still this one.

        Size and time tell without reading it, which makes a second call over thousands of
        photographs quick; a file that was copied or checked out anew has another time, so its
        content is compared then.
        """
        try:
            now_there = Source.of(path)
        except OSError:
            return False
        if now_there.size != self.size:
            return False
        if now_there.modified == self.modified:
            return True
        return bool(self.digest) and digest_of(path) == self.digest


class LabelFile(BaseModel):
    """A label file as it was when it was written, or when a person's changes were seen.

    Attributes
    ----------
    modified, digest : int, str
        Time of change in nanoseconds, and of what it held; "" where that is not known.
    edited : bool
        Whether a person's labels are in it, so that it is never overwritten without a copy.
    former : bool
        Whether it is of an earlier model, photograph or setting.
    """

    modified: int
    digest: str = ""
    edited: bool = False
    former: bool = False

    def has_its_time(self, path: Path) -> bool:
        """Whether nobody has written it since, as far as its time says."""
        return Source.of(path).modified == self.modified


class PlaneEntry(BaseModel):
    """What was made of one plane of a stack; see `Entry`."""

    cover: dict[str, float] = Field(default_factory=dict)
    data_share: float = 1.0
    novelty: float | None = None
    uncertainty: float | None = None
    remarks: list[str] = Field(default_factory=list)


class Entry(BaseModel):
    """What was made of one image.

    Attributes
    ----------
    source : Source or None
        None of an image that was open in a viewer.
    work : str
        Digest of the model and of the settings that labels depend on.
    model : str
        The model's name.
    results : str
        Path of its results in the folder, without what follows their names.
    labels : str
        Path of its label file in the folder.
    labels_modified, labels_digest : int, str
        Time of change in nanoseconds of the label file as it was written, and what it held.
    drawn : str
        Digest of what a person drew in a project on the image; "" for nothing.
    compared : str
        Digest of the images of the project that this one is none of; "" where that is not known.
    edited : bool
        Whether a person changed the label file since.
    left_out : bool
        Whether the last run could do nothing with the image, which is then in no table: this says
        what an earlier one made of it.
    begun : bool
        Whether a run that was not seen to end began to replace it by other work.
    others : dict of str to LabelFile
        Label files in other formats, by their paths in the folder.
    also : list of str
        How maps and overviews end that were written by this work.
    measured : str
        What the image's tables of measurements were made with, and of which labels; see
        `Outputs.measured_as`.
    georeference : dict of int to (int, values), or None
        `Georeference.tags` of a GeoTIFF, for when it is where it was no more.
    height, width : int
        Pixels.
    cover : dict of str to float
        See `Segmentation.cover`.
    data_share : float
    novelty, uncertainty : float or None
        See `Segmentation.photo_novelty`; the mean of `Segmentation.uncertainty`. None where it
        is not known.
    remarks : list of str
    leading : list of int
        Lengths of the axes in front of height and width; empty for one picture.
    planes : list of PlaneEntry
        Of a stack, whose cover is then the mean of them; empty for one picture.
    plane : int or None
        Number of the plane that this is the row of in a table; see `rows_of`.
    """

    source: Source | None = None
    work: str = ""
    model: str = ""
    results: str
    labels: str = ""
    labels_modified: int = 0
    labels_digest: str = ""
    drawn: str = ""
    compared: str = ""
    edited: bool = False
    left_out: bool = False
    begun: bool = False
    others: dict[str, LabelFile] = Field(default_factory=dict)
    also: list[str] = Field(default_factory=list)
    measured: str = ""
    georeference: dict[int, tuple[int, Any]] | None = None
    height: int = 0
    width: int = 0
    cover: dict[str, float] = Field(default_factory=dict)
    data_share: float = 1.0
    novelty: float | None = None
    uncertainty: float | None = None
    remarks: list[str] = Field(default_factory=list)
    leading: list[int] = Field(default_factory=list)
    plane: int | None = None
    planes: list[PlaneEntry] = Field(default_factory=list)
    created: str = Field(default_factory=now)

    @property
    def pictures(self) -> list[str]:
        """Path in the folder of what is written for every plane, without what follows."""
        count = len(self.planes)
        return [plane_of(self.results, n, count) for n in range(count)] or [self.results]

    @property
    def corrected(self) -> bool:
        """Whether labels of a person count, drawn in a project or in the label file."""
        return self.edited or bool(self.drawn)

    @property
    def label_file(self) -> LabelFile:
        """What is known of the label file."""
        return LabelFile(
            modified=self.labels_modified, digest=self.labels_digest, edited=self.edited
        )

    @property
    def label_files(self) -> dict[str, LabelFile]:
        """All label files that are known, by their paths in the folder."""
        return self.others | {self.labels: self.label_file}

    def agrees(self, other: LabelFile) -> bool:
        """Whether a label file in another format holds the same labels."""
        return not other.former and other.digest == self.labels_digest

    def know(self, labels: str, modified: int, digest: str) -> None:
        """Let a file that was just written be the label file."""
        self.labels, self.labels_modified, self.labels_digest = labels, modified, digest
        self.others.pop(labels, None)

    def turn_to(self, labels: str) -> bool:
        """Let another file with the same labels be the label file; whether there is one."""
        other = self.others.get(labels)
        if other is None or not self.agrees(other):
            return False
        self.others[self.labels] = self.label_file
        self.edited = other.edited
        self.know(labels, other.modified, other.digest)
        return True

    def follow(self, former: Entry, *, known: bool, pictures: bool) -> None:
        """Take over what a former entry knows of its files.

        ``known`` says that it is of the same model, photograph and settings, ``pictures`` that
        those that it has are still right.
        """
        self.others = {
            name: file.model_copy(update={"former": file.former or not known})
            for name, file in former.label_files.items()
        }
        if pictures:
            self.also, self.measured = list(former.also), former.measured

    def share_of(self, name: str) -> float | None:
        """Share of a class in the pixels with data; None where there are none."""
        return self.cover[name] if self.data_share else None


def plane_of(name: str, number: int, count: int) -> str:
    """What a plane of a stack is called, of as many; they are counted from 1."""
    return f"{name}/plane {number + 1:0{len(str(count))}}"


def rows_of(images: Mapping[str, Entry]) -> dict[str, Entry]:
    """Entries of tables by their names: one for every image, and for every plane of a stack."""
    rows: dict[str, Entry] = {}
    for name, entry in images.items():
        if not entry.planes:
            rows[name] = entry
        for number, (plane, results) in enumerate(zip(entry.planes, entry.pictures, strict=False)):
            update = {**dict(plane), "results": results, "planes": [], "plane": number}
            rows[plane_of(name, number, len(entry.planes))] = entry.model_copy(update=update)
    return rows


def check_order(name: str, entry: Entry, classes: Sequence[SegmentationClass]) -> None:
    """Make sure that the numbers in the label file of an image stand for these classes.

    Raises
    ------
    ImageError
        When they are by a model of other classes, or of the same ones in another order.
    """
    if list(entry.cover) != [known.name for known in classes]:
        raise ImageError(
            f"The labels of “{name}” are by “{entry.model}”, whose classes are "
            f"{', '.join(entry.cover)}: call predict again."
        )


class Manifest(BaseModel):
    """Everything that is known about a folder of results.

    Attributes
    ----------
    root : str
        The folder that names of images start at.
    model : dict
        Name, file, time and digest of the model of the last run.
    settings : dict
        Of the last run.
    images : dict of str to Entry
        By name.
    left_out : dict of str to str
        What could not be segmented by the last run, and why.
    """

    format_version: int = 1
    program: str = __version__
    package_versions: dict[str, str] = Field(default_factory=package_versions)
    updated: str = Field(default_factory=now)
    root: str = ""
    model: dict[str, str] = Field(default_factory=dict)
    settings: dict[str, Any] = Field(default_factory=dict)
    classes: list[SegmentationClass] = Field(default_factory=list)
    images: dict[str, Entry] = Field(default_factory=dict)
    left_out: dict[str, str] = Field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write it into a folder; a kill leaves the former one or this one."""
        self.updated = now()
        write_bytes_atomically(folder / MANIFEST, self.model_dump_json(indent=1).encode())


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder; an empty one where there is none.

    Raises
    ------
    ConfigError
        When it cannot be read.
    """
    path = folder / MANIFEST
    if not path.exists():
        return Manifest()
    try:
        found = Manifest.model_validate_json(path.read_bytes())
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"“{path}” is no list of results of this program: choose another folder for the "
            "results, or move that file away."
        ) from error
    if found.format_version > 1:
        raise ConfigError(f"“{path}” was written by a newer version: update the plugin.")
    return found


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Keep a folder of results for one run; the lock goes with the process.

    Labels that a run before was killed over are removed: they may be as large as the image.

    The value is the time of the folder's file system, in nanoseconds: what is older was there
    before.

    Raises
    ------
    ConfigError
        When another run writes into it.
    """
    lock = FileLock(folder / LOCK, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ConfigError(
            f"Another run is writing into “{folder}”: wait for its end, or choose another folder."
        ) from error
    try:
        remove_abandoned(folder, ".labels.")
        os.utime(folder / LOCK)
        yield (folder / LOCK).stat().st_mtime_ns
    finally:
        lock.release()


def named(paths: Sequence[Path], root: Path, manifest: Manifest) -> list[Item]:
    """Items of files, with names that they keep when a later call gives only some of them.

    A file that gave results before keeps its name. Another one is named by its path below the
    folder that names have started at, or else below ``root``, the one of this call. Where a name
    belongs to another file that is still there, folders are put in front of it.
    """
    known = {entry.source.path: name for name, entry in manifest.images.items() if entry.source}
    taken = {name: entry.source.path for name, entry in manifest.images.items() if entry.source}
    items = []
    for path in paths:
        name = known.get(str(path))
        if name is None:
            former = name_below(path, Path(manifest.root)) if manifest.root else None
            name = former or name_below(path, root) or path.name
            above = path.parents[len(PurePosixPath(name).parts) - 1]
            while name in taken and taken[name] != str(path) and Path(taken[name]).exists():
                name = f"{above.name or 'other'}/{name}"
                above = above.parent
        taken[name] = str(path)
        items.append(Item(name, path))
    return items


def results_of(names: Sequence[str], manifest: Manifest) -> dict[str, str]:
    """Where results of images go, by name: their own path without its suffix.

    Where two differ in their suffix alone, the second one keeps it, as file systems see them.
    """
    # Regardless of case: many file systems do not tell it.
    taken = {entry.results.casefold(): name for name, entry in manifest.images.items()}
    found = {}
    for name in names:
        if name in manifest.images:
            found[name] = manifest.images[name].results
            continue
        path = PurePosixPath(name)
        # Of the name of a layer, what follows a dot is no suffix.
        is_file = path.suffix.lower() in SUFFIXES
        stem = str(path.with_name(path.stem.removesuffix(".ome"))) if is_file else name
        choices = chain([stem, name], (f"{name}-{number}" for number in count(2)))
        results = next(text for text in choices if taken.get(text.casefold(), name) == name)
        taken[results.casefold()] = name
        found[name] = results
    return found


def work_digest(model: PrototypeSegmenter, **settings: Any) -> str:
    """What labels depend on besides the image: the model, settings, and this program's version."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(tensors_of(model).items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    texts = [description_of(model), settings, __version__]
    digest.update(json.dumps(texts, sort_keys=True, default=str).encode())
    return digest.hexdigest()


def digest_of(path: Path) -> str:
    """Digest of the content of a file."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
