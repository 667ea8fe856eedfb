"""Where large labels are written: a zarr array that appears whole, and never costs a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from napari_gaussproto.core.base.atomic import replacing
from napari_gaussproto.core.base.errors import ConfigError

# Above this many pixels labels are streamed to disk, and not read into memory.
LARGE = 100_000_000
# The attribute by which labels of this package are known again.
ATTRIBUTE = "napari-gaussproto"


@contextmanager
def new_label_store(path: Path, shape: tuple[int, ...], about: dict[str, Any]) -> Iterator[Any]:
    """A zarr array to fill, which takes its name when the block ends well.

    Parameters
    ----------
    path : Path
        Nothing, or labels written here before, which stay until the new ones are complete.
    shape : tuple of int
        (..., H, W) of the array of uint8.
    about : dict
        JSON-able facts for the array's attributes.

    Raises
    ------
    ConfigError
        When something else has that name, or nothing can be written there.
    """
    import zarr

    if path.exists() and not holds_labels(path):
        raise ConfigError(
            f"“{path}” is there already and holds no labels of this program: "
            "choose another name, so that nothing is lost."
        )
    try:
        with replacing(path) as partial:
            labels = zarr.create_array(
                store=str(partial),
                shape=shape,
                chunks=(*(1 for _ in shape[:-2]), *(min(1024, side) for side in shape[-2:])),
                dtype="uint8",
                overwrite=True,
            )
            labels.attrs[ATTRIBUTE] = about
            yield labels
    except OSError as error:
        raise ConfigError(
            f"“{path}” cannot be written ({error.strerror or error}): choose another place."
        ) from error


def open_labels(path: Path) -> Any:
    """Labels that were written here, to change them in place."""
    import zarr

    return zarr.open_array(str(path), mode="r+")


def check_apart(path: Path, array: Any) -> None:
    """Make sure that labels are not written over, into or around the image itself.

    Raises
    ------
    ConfigError
    """
    root = getattr(getattr(array, "store", None), "root", None)  # of a zarr array on disk
    if root is None:
        return
    image, labels = Path(root).resolve(), path.resolve()
    if labels == image or labels in image.parents or image in labels.parents:
        raise ConfigError(f"“{path}” is where the image itself is stored: choose another name.")


def holds_labels(path: Path) -> bool:
    """Whether a path is a label array that this package wrote."""
    import zarr

    if not path.is_dir():
        return False
    try:
        return ATTRIBUTE in zarr.open_array(str(path), mode="r").attrs
    except Exception:  # zarr has an error of its own for everything that is no array
        return False
