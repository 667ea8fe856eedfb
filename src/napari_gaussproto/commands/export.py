"""``napari-gaussproto export``: results in the formats of other programs."""

from __future__ import annotations

from pathlib import Path

from napari_gaussproto.commands.predict import driven
from napari_gaussproto.commands.results import images, say
from napari_gaussproto.jobs.batch.export import export_steps


def run_export(folder: Path, form: str, out: Path | None, least_area: int) -> int:
    """Write labels of a folder of results in a format; how many images failed.

    Raises
    ------
    GaussProtoError
        When the folder or the format cannot be used.
    """
    result = driven(export_steps(folder, form, out, least_area), form)
    say(f"{images(len(result.images))} written as {form}, into {out or folder}/")
    for name, reason in result.left_out.items():
        say(f"left out {name}: {reason}")
    return len(result.left_out)
