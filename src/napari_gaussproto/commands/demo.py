"""``napari-gaussproto demo``: the main job on bundled photographs."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from napari_gaussproto.commands.predict import driven
from napari_gaussproto.commands.results import console, cover_table, say
from napari_gaussproto.core.measure.metrics import confusion_matrix, mean_iou
from napari_gaussproto.core.model.model_file import load_model
from napari_gaussproto.io.batch.inputs import Item
from napari_gaussproto.io.batch.outputs import Outputs
from napari_gaussproto.io.ome import read_labels
from napari_gaussproto.io.samples import sample_mask, sample_photo, sample_photo_names
from napari_gaussproto.jobs.batch.predict import BatchRequest, batch_steps

MODEL = "peanut-grid"


def run_demo(out: Path, device: str, gui: bool) -> None:
    """Segment the bundled photographs, write everything into a folder, print the table.

    Raises
    ------
    GaussProtoError
        When the device is not there, or the folder cannot be created.
    """
    model = load_model(MODEL, device)
    names = sample_photo_names()
    items = [Item(name, read=partial(sample_photo, name)) for name in names]
    request = BatchRequest(model, items, out, Outputs(maps=True, overview=True))
    result = driven(batch_steps(request), str(model.device))
    ious = []
    for name, entry in result.images.items():
        labels, _ = read_labels(out / entry.labels)
        confusion = confusion_matrix(labels, sample_mask(name), len(model.classes))
        ious.append(f"{mean_iou(confusion):.2f}")
    console.print(cover_table(result.images, model.classes, {"mean IoU with the mask": ious}))
    for note in result.notes:
        say(note)
    say(
        "Labels, likelihood maps, overview pictures, cover.csv and a page to open in a browser, "
        f"report.html, are in {out}/"
    )
    if gui:
        from napari_gaussproto.commands.viewer import show_demo

        show_demo(names[0], MODEL, device)
