"""``napari-gaussproto export``: results and models in the formats of other programs."""

from __future__ import annotations

from pathlib import Path

from napari_gaussproto.commands.predict import check_least_area, driven
from napari_gaussproto.commands.results import images, say
from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.core.model.model_file import load_model
from napari_gaussproto.core.model.summary import model_path, read_summary
from napari_gaussproto.io.model_files.bioimageio_file import write_bioimageio
from napari_gaussproto.io.model_files.onnx_file import write_onnx
from napari_gaussproto.jobs.batch.export import ExportFormat, export_steps

_OF_MODELS = ("onnx", "bioimageio")
_OF_RESULTS: dict[str, ExportFormat] = {"coco": "coco", "geojson": "geojson", "png": "png"}


def run_export(what: str, form: str, out: Path | None, least_area: int) -> int:
    """Write labels of a folder of results, or a model, in a format; how many images failed.

    Raises
    ------
    GaussProtoError
        When the folder, the model or the format cannot be used.
    """
    if form in _OF_MODELS:
        return _export_model(what, form, out)
    if form not in _OF_RESULTS:
        raise ConfigError(
            f"“{form}” is no format: give {', '.join(_OF_RESULTS)} for a folder of results, or "
            f"{' or '.join(_OF_MODELS)} for a model."
        )
    check_least_area(least_area)
    folder = Path(what)
    result = driven(export_steps(folder, _OF_RESULTS[form], out, least_area), form)
    place = f"{out or folder}/" if out is None or out.is_dir() else out
    say(f"{images(len(result.images))} written as {form}, into {place}")
    for note in result.notes:
        say(note)
    for name, reason in result.left_out.items():
        say(f"left out {name}: {reason}")
    return len(result.left_out)


def _export_model(name: str, form: str, out: Path | None) -> int:
    model = load_model(name, "cpu")
    if form == "onnx":
        path = write_onnx(model, out or Path(f"{Path(name).stem}.onnx"))
    else:
        summary = read_summary(model_path(name))
        path = write_bioimageio(model, summary, out or Path(f"{Path(name).stem}.zip"))
    say(f"{model.card.name} written into {path}")
    return 0
