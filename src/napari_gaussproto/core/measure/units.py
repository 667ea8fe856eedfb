"""The size of a pixel in real units."""

from __future__ import annotations

import re
from dataclasses import dataclass

from napari_gaussproto.core.base.errors import ConfigError

UNITS = ("nm", "um", "mm", "cm", "m", "km", "in", "ft")
_TEXT = re.compile(r"([0-9.]+(?:[eE][-+]?[0-9]+)?)\s*([a-zµμ]+)")


@dataclass(frozen=True)
class PixelSize:
    """Side of a square pixel, in a unit."""

    side: float
    unit: str

    @classmethod
    def parse(cls, text: str) -> PixelSize:
        """From words such as "0.5 mm" or "2cm".

        Raises
        ------
        ConfigError
            When it is no size.
        """
        found = _TEXT.fullmatch(text.strip())
        try:
            side = float(found[1]) if found else 0.0
        except ValueError:
            side = 0.0
        unit = found[2].replace("µ", "u").replace("μ", "u") if found else ""
        if side <= 0 or unit not in UNITS:
            raise ConfigError(
                f"“{text}” is no size of a pixel: give a number and one of {', '.join(UNITS)}, "
                "such as 0.5mm."
            )
        return cls(side, unit)
