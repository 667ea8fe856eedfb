"""Files that are named by the hash of their content.

A file is written once and never changed, so equal content is kept once, and damage is noticed
when a file is read. An index that names the files is replaced after they are written. So
whenever the process is killed, the index on disk names files that are there and whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from napari_gaussproto.core.base.atomic import write_bytes_atomically

FILE_PATTERN = r"^[0-9a-f]{64}\.(safetensors|json|npz)$"
_PARTIAL_PATTERN = r"\..*\.part"


class ContentStore:
    """A folder of files named by the SHA-256 of their content, made with the first of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, data: bytes, suffix: str) -> str:
        """Write a file unless it is there and whole; returns its name.

        Raises
        ------
        OSError
            When the folder cannot be written to.
        """
        name = hashlib.sha256(data).hexdigest() + suffix
        path = self.folder / name
        with contextlib.suppress(OSError):
            if path.read_bytes() == data:
                return name
        write_bytes_atomically(path, data)
        return name

    def put_json(self, content: dict[str, Any]) -> str:
        """Write a dictionary as a file; equal ones give equal bytes."""
        return self.put(json.dumps(content, ensure_ascii=False, sort_keys=True).encode(), ".json")

    def get(self, name: str) -> bytes:
        """Content of a file.

        Raises
        ------
        OSError, ValueError
            When it is not there, or damaged.
        """
        data = (self.folder / name).read_bytes()
        if hashlib.sha256(data).hexdigest() != name.partition(".")[0]:
            raise ValueError(f"the content of {name} is not what its name says")
        return data

    def has(self, name: str) -> bool:
        """Whether a file is there; its content is not checked."""
        return (self.folder / name).is_file()

    def sweep(self, wanted: Iterable[str]) -> None:
        """Delete all other files, and those that a kill left half-written."""
        wanted = set(wanted)
        for path in self.folder.glob("*"):
            unwanted = re.match(FILE_PATTERN, path.name) and path.name not in wanted
            if unwanted or re.fullmatch(_PARTIAL_PATTERN, path.name):
                # A file that another program holds open stays until the next sweep.
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
