"""``napari-gaussproto measure``: cover and objects of many images, as tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from napari_gaussproto.commands.predict import check_least_area, driven, parse_channels, parse_tile
from napari_gaussproto.commands.results import images, say
from napari_gaussproto.core.base.atomic import write_bytes_atomically
from napari_gaussproto.core.measure.units import PixelSize
from napari_gaussproto.core.model.card import now, package_versions
from napari_gaussproto.core.model.model_file import load_model
from napari_gaussproto.io.batch.inputs import find
from napari_gaussproto.io.batch.outputs import make_folder
from napari_gaussproto.io.batch.tables import check_format, write_table
from napari_gaussproto.jobs.batch.measure import MeasureRequest, measure_steps


def run_measure(
    given: Sequence[str],
    model_name: str,
    out: Path,
    device: str,
    tile: str,
    channels: str = "auto",
    *,
    pixel_size: str | None,
    least_area: int,
    regions: Path | None,
    instances: Path | None,
    labels: Path | None,
    corrections: Path | None = None,
    format: str,
) -> int:
    """Measure images and write the tables into a folder; how many images failed.

    Raises
    ------
    GaussProtoError
        When the model, the device, a setting or a folder cannot be used, or there is no image.
    """
    grey = channels == "none"
    side, axis = parse_tile(tile), parse_channels("auto" if grey else channels)
    check_format(format)
    check_least_area(least_area)
    size = None if pixel_size is None else PixelSize.parse(pixel_size)
    found = find(given, out)
    model = load_model(model_name, device)
    make_folder(out)
    request = MeasureRequest(
        *(model, found, side, size, least_area, regions, instances, labels, axis, corrections),
        grey=grey,
        scratch=out,
    )
    measured = driven(measure_steps(request), str(model.device))
    write_table(measured.objects, out / f"objects.{format}")
    write_table(measured.areas, out / f"areas.{format}")
    about = {
        "model": {"name": model.card.name, "created": model.card.created},
        "settings": {
            "tile": tile,
            "channels": channels,
            "pixel_size": pixel_size,
            "least_area": least_area,
            **{
                key: None if path is None else str(path)
                for key, path in (
                    ("regions", regions),
                    ("instances", instances),
                    ("labels", labels),
                    ("corrections", corrections),
                )
            },
        },
        "package_versions": package_versions(),
        "created": now(),
        "left_out": measured.left_out,
    }
    write_bytes_atomically(out / "measurements.json", json.dumps(about, indent=1).encode())
    count = 0 if measured.areas.empty else measured.areas["image"].nunique()
    total = count + len(measured.left_out)
    say(f"{len(measured.objects)} objects in {count} of {images(total)}, into {out}/")
    for note in (*found.notes, *measured.notes):
        say(note)
    for name, reason in measured.left_out.items():
        say(f"left out {name}: {reason}")
    return len(measured.left_out)
