"""Parts of arrays that may be on a disk, or on another machine."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_gaussproto.core.base.errors import ImageError


def read_part(array: Any, part: tuple[Any, ...]) -> Any:
    """A part of an array of any shape as an array of numpy, masked where it was.

    Parameters
    ----------
    array : array-like
        Of numpy, dask, zarr and the like.
    part : tuple of slice

    Raises
    ------
    ImageError
        When the array's storage fails.
    """
    try:
        values = array[part]
        values = values.compute() if hasattr(values, "compute") else values
        # Only a masked array's own type keeps its mask.
        return values if isinstance(values, np.ma.MaskedArray) else np.asarray(values)
    except MemoryError:  # a smaller window may do
        raise
    except Exception as error:  # lazy arrays fail in the way their storage fails
        raise ImageError(
            f"The image could not be read from where it is stored ({error}): "
            "check that the file is still there and open it again."
        ) from error
