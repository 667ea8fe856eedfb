"""What is written for one image: labels as OME-TIFF, PNG or OME-Zarr, maps, a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.atomic import replacing
from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import ConfigError, GaussProtoError, ImageError
from napari_gaussproto.core.imaging.label_store import LARGE
from napari_gaussproto.core.labels.check import check_labels, check_shape
from napari_gaussproto.core.measure.units import PixelSize
from napari_gaussproto.io.geo import Georeference
from napari_gaussproto.io.images import read_image, read_mask, read_mask_stack
from napari_gaussproto.io.label_files.label_image import Spacing
from napari_gaussproto.io.label_files.ome_zarr import write_ome_zarr
from napari_gaussproto.io.label_files.png import write_png
from napari_gaussproto.io.ome import write_labels, write_maps

if TYPE_CHECKING:
    from napari_gaussproto.core.model.segmentation import Segmentation
    from napari_gaussproto.io.batch.manifest import Entry

LabelFormat = Literal["tiff", "png", "zarr"]
_SUFFIXES = {"tiff": ".labels.ome.tif", "png": ".labels.png", "zarr": ".labels.ome.zarr"}
# Labels of an image that is larger than memory are streamed into a plain array of this name.
STREAMED = ".labels.zarr"
_MAPS, _OVERVIEW = ".likelihood.ome.tif", ".overview.png"


@dataclass(frozen=True)
class Outputs:
    """What to write for every image.

    Attributes
    ----------
    labels : {"tiff", "png", "zarr"}
    maps : bool
        A map of typicality for every prototype.
    overview : bool
        A picture that shows which prototypes were responsible.
    tables : bool
        Tables of objects and areas.
    least_area : int
        Smaller objects are not in these, in pixels.
    pixel_size : PixelSize or None
        Of all images; by default what each file says.
    """

    labels: LabelFormat = "tiff"
    maps: bool = False
    overview: bool = False
    tables: bool = False
    least_area: int = 16
    pixel_size: PixelSize | None = None

    @classmethod
    def checked(cls, labels: str, *, maps: bool, overview: bool) -> Outputs:
        """From words of a person.

        Raises
        ------
        ConfigError
            When there is no such format.
        """
        if labels not in get_args(LabelFormat):
            raise ConfigError(f"“{labels}” is no format of labels: give tiff, png or zarr.")
        return cls(labels, maps, overview)  # type: ignore[arg-type]

    def measured_as(self, labels_digest: str) -> str:
        """What tables of measurements follow from."""
        size = "" if self.pixel_size is None else f"{self.pixel_size.side!r}{self.pixel_size.unit}"
        return f"{self.least_area} {size} {labels_digest}"

    @property
    def label_suffix(self) -> str:
        """How label files end."""
        return _SUFFIXES[self.labels]

    def also_of(self, entry: Entry) -> list[str]:
        """How maps and overviews end that are wanted of an image, and can be had of it."""
        if not entry.labels.endswith(STREAMED):
            return [*[_MAPS] * self.maps, *[_OVERVIEW] * self.overview]
        # Planes of a large stack may be small.
        is_small = entry.planes and entry.height * entry.width <= LARGE
        return [_OVERVIEW] if self.overview and is_small else []

    def are_there(self, folder: Path, entry: Entry) -> bool:
        """Whether all that is wanted of an image is in the folder of results, of its last work."""
        labels, also = f"{entry.results}{self.label_suffix}", self.also_of(entry)
        if entry.labels not in (labels, f"{entry.results}{STREAMED}"):
            return False
        wanted = [entry.labels, *_pictures(entry, also)]
        return set(also) <= set(entry.also) and all((folder / name).exists() for name in wanted)


def _pictures(entry: Entry, endings: Sequence[str]) -> Iterator[str]:
    """Maps and overviews of an image, of which these have one for every plane."""
    for ending in endings:
        owners = entry.pictures if ending == _OVERVIEW else [entry.results]
        yield from (f"{name}{ending}" for name in owners)


def outdated(folder: Path, former: Entry, now: Entry) -> list[str]:
    """What lies in the folder still of an earlier model, photograph or setting; paths in it."""
    gone = [ending for ending in former.also if ending not in now.also]
    labels = [name for name, file in now.others.items() if not now.agrees(file)]
    return [name for name in (*labels, *_pictures(former, gone)) if (folder / name).exists()]


def make_folder(path: Path) -> None:
    """Create a folder for results.

    Raises
    ------
    ConfigError
        When it cannot be.
    """
    if path.is_file():
        raise ConfigError(f"“{path}” is a file: choose a folder for the results.")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"The folder “{path}” cannot be created ({error.strerror}): choose another for the "
            "results."
        ) from error


def write_pictures(
    folder: Path,
    results: str,
    photo: Any,
    segmentation: Segmentation,
    outputs: Outputs,
    title: str = "",
    georeference: Georeference | None = None,
) -> None:
    """Write the maps and the overview that are wanted of one image; every file appears whole.

    With a georeference, maps are a GeoTIFF.

    Raises
    ------
    OSError
        When the folder cannot be written to.
    """
    if outputs.maps:
        maps, names = all_maps(segmentation), [p.name for p in segmentation.prototypes]
        path, size = folder / f"{results}{_MAPS}", segmentation.map_pixel_size
        write_maps(path, maps, names, size, georeference)
    if outputs.overview:
        write_overview(folder, results, photo, segmentation, title)


def write_label_file(
    folder: Path,
    results: str,
    labels: npt.NDArray[np.uint8],
    classes: Sequence[SegmentationClass],
    outputs: Outputs,
    model_name: str,
    georeference: Georeference | None = None,
    untouched: bool = False,
    pixel_size: PixelSize | None = None,
    axes: str | None = None,
) -> list[str]:
    """Write labels (..., H, W), of a stack too; sentences about what was set aside.

    With a georeference, a TIFF is a GeoTIFF. The size of a pixel is kept in OME-TIFF and OME-Zarr.

    Labels of that name that differ, for example because a person corrected them, are kept
    under another name, but for ``untouched`` ones, which are this program's. The file appears
    whole.

    Raises
    ------
    ImageError
        For a stack as PNG, which holds one plane.
    OSError
        When the folder cannot be written to.
    """
    check_format(outputs, labels.ndim)
    path = folder / f"{results}{outputs.label_suffix}"
    notes = [] if untouched or _may_replace(path, labels) else [set_aside(path)]
    # How far the planes of a stack lie apart is not known.
    spacing = None if pixel_size is None or labels.ndim > 2 else Spacing.of(pixel_size)
    if outputs.labels == "tiff":
        write_labels(path, labels, classes, {"model": model_name}, georeference, spacing, axes)
    elif outputs.labels == "png":
        write_png(path, labels, classes)
    else:
        write_ome_zarr(path, labels, classes, spacing)
    return notes


def check_format(outputs: Outputs, ndim: int) -> None:
    """Make sure that a format can hold labels of so many axes.

    Raises
    ------
    ImageError
    """
    if ndim > 2 and outputs.labels == "png":
        raise ImageError("A PNG holds no stack: choose tiff or zarr for the labels.")


def all_maps(segmentation: Segmentation) -> npt.NDArray[np.float32]:
    """Typicality for every prototype at cell resolution, (M, h, w)."""
    count = len(segmentation.prototypes)
    return np.stack([segmentation.likelihood(m, cells=True) for m in range(count)])


def write_stack_maps(
    folder: Path, results: str, maps: npt.NDArray[np.float32], of: Segmentation, axes: str
) -> None:
    """Write the maps (..., M, h, w) of a stack, one of whose planes is given."""
    path, names = folder / f"{results}{_MAPS}", [p.name for p in of.prototypes]
    write_maps(path, maps, names, of.map_pixel_size, axes=axes)


def write_overview(
    folder: Path, results: str, photo: Any, segmentation: Segmentation, title: str
) -> None:
    """Write a picture that shows which prototypes were responsible.

    Raises
    ------
    OSError
        When the folder cannot be written to.
    """
    # The one picture that is asked for seldom needs the part of matplotlib that is slow to load.
    from napari_gaussproto.io.overview import overview_figure

    figure = overview_figure(photo, segmentation, title=title)
    with replacing(folder / f"{results}{_OVERVIEW}") as partial:
        figure.savefig(partial, dpi=110, format="png")


def set_aside(path: Path) -> str:
    """Rename a former result to the first free name, so that nothing done to it is lost."""
    stem, kind, suffixes = path.name.partition(".labels")
    if not kind:
        stem, suffixes = path.stem, path.suffix
    number = 1
    while (former := path.with_name(f"{stem}{kind}.former-{number}{suffixes}")).exists():
        number += 1
    path.rename(former)
    return f"{path.name} was there and differs: kept as {former.name}"


def _may_replace(path: Path, labels: npt.NDArray[np.uint8]) -> bool:
    """Whether nothing is lost: there is no such file, or it holds just these labels."""
    return not path.exists() or _holds(path, labels)


def _holds(path: Path, labels: npt.NDArray[np.uint8]) -> bool:
    """Whether a label file holds just these labels; no, when it cannot be read."""
    try:
        return np.array_equal(read_label_file(path, labels.ndim), labels)
    except GaussProtoError:
        return False


def open_labels_of(path: Path, shape: tuple[int, ...], n_classes: int) -> Any:
    """Labels (..., H, W) of a label file, also as a person has saved them.

    Streamed ones stay on disk, and what numbers they hold is seen where they are read; others are
    checked.

    Raises
    ------
    ImageError, LabelError
        When it cannot be read, or is none of an image of this shape and of so many classes.
    """
    about = f"The labels in “{path.name}”"
    labels = open_any_labels(path, len(shape))
    if not path.name.endswith(STREAMED):
        return check_labels(labels, shape, n_classes, about)
    check_shape(labels, shape, about)
    return labels


def open_any_labels(path: Path, ndim: int) -> Any:
    """What a label file holds, in whatever shape; streamed labels stay on disk.

    Raises
    ------
    ImageError
        When it cannot be read.
    """
    return read_image(path) if path.name.endswith(STREAMED) else read_label_file(path, ndim)


def read_label_file(path: Path, ndim: int = 2) -> npt.NDArray[Any]:
    """Labels (H, W), or of a stack (..., H, W), also as another program has saved them.

    Raises
    ------
    ImageError
        When it cannot be read.
    """
    if path.is_dir():
        return np.asarray(read_image(path))
    return read_mask(path) if ndim == 2 else read_mask_stack(path)
