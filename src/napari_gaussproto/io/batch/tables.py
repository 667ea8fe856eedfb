"""Tables of measurements as files."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from napari_gaussproto.core.base.atomic import replacing
from napari_gaussproto.core.base.errors import ConfigError

FORMATS = ("csv", "parquet")
# What the tables of objects and of areas are called.
OBJECTS, AREAS = "objects", "areas"


def check_format(name: str) -> None:
    """Make sure that tables can be written in a format.

    Raises
    ------
    ConfigError
        When there is no such format, or what writes it is not installed.
    """
    if name not in FORMATS:
        raise ConfigError(f"“{name}” is no format of tables: give csv or parquet.")
    if name == "parquet" and find_spec("pyarrow") is None:
        raise ConfigError(
            "Parquet needs the package pyarrow: install it by "
            "pip install napari-gaussproto[parquet], or choose csv."
        )


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as its suffix says, ``.csv`` or ``.parquet``; the file appears whole.

    Raises
    ------
    OSError
        When it cannot be written there.
    """
    with replacing(path) as partial:
        if path.suffix == ".parquet":
            table.to_parquet(partial, engine="pyarrow", index=False)
        else:
            table.to_csv(partial, index=False, float_format="%.10g")
