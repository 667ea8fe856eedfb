"""The size of a pixel in real units."""

from __future__ import annotations

import re
from dataclasses import dataclass

from napari_gaussproto.core.base.errors import ConfigError

UNITS = ("nm", "um", "mm", "cm", "m", "km", "in", "ft")
_TEXT = re.compile(r"([0-9.,]+(?:[eE][-+]?[0-9]+)?)\s*([a-zµμ]+)")

# A comma that may stand for a decimal point, or between thousands.
_TWO_WAYS = re.compile(r"[1-9][0-9]{0,2},[0-9]{3}")


@dataclass(frozen=True)
class PixelSize:
    """Side of a square pixel, in a unit."""

    side: float
    unit: str

    @classmethod
    def parse(cls, text: str) -> PixelSize:
        """From words such as "0.5 mm", "0,5 mm" or "2cm".

        Raises
        ------
        ConfigError
            When it is no size.
        """
        found = _TEXT.fullmatch(text.strip())
        if found and _TWO_WAYS.fullmatch(found[1]):
            whole, _, part = found[1].partition(",")
            raise ConfigError(
                f"“{text}” can be read in two ways: write {whole}{part} {found[2]} or "
                f"{whole}.{part} {found[2]}."
            )
        try:
            side = float(found[1].replace(",", ".")) if found else 0.0
        except ValueError:
            side = 0.0
        unit = found[2].replace("µ", "u").replace("μ", "u") if found else ""
        if side <= 0 or unit not in UNITS:
            raise ConfigError(
                f"“{text}” is no size of a pixel: give a number and one of {', '.join(UNITS)}, "
                "such as 0.5mm."
            )
        return cls(side, unit)
