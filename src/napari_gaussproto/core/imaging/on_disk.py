"""Arrays that leave memory for a file without a name, and are read from there."""

from __future__ import annotations

from collections.abc import Generator
from mmap import mmap
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import numpy.typing as npt

# Bytes that are written to disk at a time.
_PART = 1 << 24


def moved_to_disk(
    pixels: npt.NDArray[Any], folder: Path
) -> Generator[None, None, npt.NDArray[Any]]:
    """The same pixels of any shape, which the system reads from disk when they are asked for.

    Their file has no name, and is gone when nobody holds the array any more.

    Raises
    ------
    OSError
        When there is no room on the disk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = max(1, _PART * len(pixels) // pixels.nbytes)
    with TemporaryFile(dir=folder) as file:
        for first in range(0, len(pixels), rows):
            file.write(np.ascontiguousarray(pixels[first : first + rows]).data)
            yield None
        file.flush()
        # An array as any other: whatever tells the two apart would compute something else.
        return np.memmap(file, pixels.dtype, "c", shape=pixels.shape).view(np.ndarray)


def is_on_disk(array: Any) -> bool:
    """Whether an array holds no memory, because it is, or looks into, a file."""
    while isinstance(array, np.ndarray) and not isinstance(array, np.memmap):
        array = array.base
    return isinstance(array, np.memmap | mmap)
