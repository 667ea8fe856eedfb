"""``napari-gaussproto demo``: the main job on bundled photographs."""

from __future__ import annotations

from pathlib import Path

from napari_gaussproto.commands.results import (
    Row,
    console,
    cover_table,
    make_folder,
    progress_bar,
    say,
    write_cover,
    write_results,
)
from napari_gaussproto.core.measure.metrics import confusion_matrix, mean_iou
from napari_gaussproto.core.model.model_file import load_model
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.io.samples import sample_mask, sample_photo, sample_photo_names

MODEL = "peanut-grid"


def run_demo(out: Path, device: str, gui: bool) -> None:
    """Segment the bundled photographs, write everything into a folder, print the table.

    Raises
    ------
    GaussProtoError
        When the device is not there, or the folder cannot be created.
    """
    model = load_model(MODEL, device)
    make_folder(out)
    rows, ious = [], []
    names = sample_photo_names()
    with progress_bar() as bar:
        task = bar.add_task(f"{MODEL} on {model.device}", total=len(names))
        for name in names:
            photo = sample_photo(name)
            segmentation = segment(photo, model)
            write_results(out, name, photo, segmentation, model)
            rows.append(Row.of(name, segmentation))
            truth = sample_mask(name)
            miou = mean_iou(confusion_matrix(segmentation.labels, truth, len(model.classes)))
            ious.append(f"{miou:.2f}")
            bar.advance(task)
    write_cover(out / "cover.csv", rows, model.classes)
    console.print(cover_table(rows, model.classes, {"mean IoU with the mask": ious}))
    say(f"Labels, likelihood maps, overview pictures and cover.csv are in {out}/")
    if gui:
        from napari_gaussproto.commands.viewer import show_demo

        show_demo(names[0], MODEL, device)
