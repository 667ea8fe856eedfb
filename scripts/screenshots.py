"""Take the pictures of the README from the real viewer, into docs/images.

All of them, or those that are named:

    bash scripts/display.sh .venv/bin/python scripts/screenshots.py [NAME ...]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["NAPARI_CONFIG"] = ""  # pictures must not depend on a person's preferences

import napari
import numpy as np
import numpy.typing as npt
from PIL import Image
from qtpy.QtCore import QSettings
from qtpy.QtWidgets import QApplication
from scipy.ndimage import distance_transform_edt

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "images"
PLUGIN = "napari-gaussproto"
SAMPLE = "peanut_0286"
MODEL = "peanut-grid"
WINDOW = (1400, 860)
# Photographs make large PNGs; a JPEG of this quality shows no fault and stays below 400 KB.
QUALITY = 85
LARGEST = 400_000


class Stage:
    """A viewer with the Segment dock beside a sample photograph."""

    def __init__(self, sample: str = SAMPLE) -> None:
        self.viewer = napari.Viewer()
        self.viewer.window.resize(*WINDOW)
        self.viewer.open_sample(PLUGIN, sample)
        _, self.dock = self.viewer.window.add_plugin_dock_widget(PLUGIN, "Segment")
        self.until(lambda: not self.dock.busy)
        self.dock.models.choose_shipped(MODEL)

    def run(self) -> None:
        """Press Segment and wait for the result."""
        self.dock.run_button.click()
        self.until(lambda: not self.dock.runner.busy)
        if not self.dock.status.text().startswith("Done"):
            raise SystemExit(f"segmenting failed: {self.dock.status.text()}")

    def show_prototype(self, name: str) -> None:
        """Choose a prototype by its name, as with the mouse."""
        chooser = self.dock.likelihood.chooser
        index = next(i for i in range(chooser.count()) if chooser.itemText(i).startswith(name))
        chooser.setCurrentIndex(index)
        chooser.activated.emit(index)

    def until(self, condition: Callable[[], bool], seconds: float = 300) -> None:
        """Let the GUI run until something has happened."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise SystemExit("waited too long for the viewer")
            QApplication.processEvents()
            time.sleep(0.01)

    def picture(self) -> npt.NDArray[np.uint8]:
        """The whole window, after the GUI has come to rest."""
        start = time.monotonic()
        self.until(lambda: time.monotonic() - start > 1)
        shot: npt.NDArray[np.uint8] = self.viewer.screenshot(canvas_only=False, flash=False)
        return shot[..., :3]


def segment_dock() -> npt.NDArray[np.uint8]:
    """Classes over the photograph, right after a run."""
    stage = Stage()
    stage.run()
    return stage.picture()


def likelihood() -> npt.NDArray[np.uint8]:
    """The likelihood map of a prototype of the weeds."""
    stage = Stage()
    stage.run()
    stage.show_prototype("weed 1")
    return stage.picture()


def novelty() -> npt.NDArray[np.uint8]:
    """What is new in a photograph of the training kind, with the words that explain the map."""
    return _map_of(SAMPLE, "novelty")


def novelty_elsewhere() -> npt.NDArray[np.uint8]:
    """The same of a picture of another kind: a field that was drawn."""
    return _map_of("field", "novelty")


def _map_of(sample: str, role: str) -> npt.NDArray[np.uint8]:
    stage = Stage(sample)
    for name in ("novelty", "uncertainty"):
        stage.dock.extras[name].setChecked(True)
    stage.run()
    stage.dock.maps.names.linkActivated.emit(role)
    return stage.picture()


def prototype_stack() -> npt.NDArray[np.uint8]:
    """The stack of all prototypes, whose slider says which one it stands at."""
    stage = Stage()
    stage.run()
    stage.dock.likelihood.as_stack.trigger()
    stage.viewer.dims.set_current_step(0, 7)
    return stage.picture()


def prototypes_dock() -> npt.NDArray[np.uint8]:
    """The Prototypes dock after the question why a leaf of a weed got its class."""
    stage = Stage()
    stage.run()
    _, dock = stage.viewer.window.add_plugin_dock_widget(PLUGIN, "Prototypes", tabify=True)
    dock.parent().raise_()
    segmentation = stage.dock.state.current.segmentation
    share = segmentation.prototype_share()
    weeds = [m for m, p in enumerate(segmentation.prototypes) if p.name.startswith("weed")]
    dock.choose(max(weeds, key=lambda m: share[m]))
    dock.why.ask((), *_inside_largest_weed(stage))
    stage.until(lambda: not dock.why.runner.busy)
    return stage.picture()


def dependence_grid() -> npt.NDArray[np.uint8]:
    """What the answer for a leaf depends on, by the grid model."""
    return _dependence(MODEL)


def dependence_superpixel() -> npt.NDArray[np.uint8]:
    """The same by the superpixel model."""
    return _dependence("peanut-superpixel")


def _dependence(model: str) -> npt.NDArray[np.uint8]:
    stage = Stage()
    stage.dock.models.choose_shipped(model)
    stage.run()
    _, dock = stage.viewer.window.add_plugin_dock_widget(PLUGIN, "Prototypes", tabify=True)
    dock.parent().raise_()
    y, x = _inside_largest_weed(stage)
    dock.why.ask((), y, x)
    dock.why.dependence.press()
    stage.until(lambda: not dock.why.dependence.runner.running)
    stage.picture()  # lays the dock out; the sentence stands below the explanation
    dock.ensureWidgetVisible(dock.why_panel.dependence.sentence)
    stage.viewer.scene.camera.center = (y, x)
    stage.viewer.scene.camera.zoom *= 1.6
    return stage.picture()


def _inside_largest_weed(stage: Stage) -> tuple[int, int]:
    """A pixel where a person would click: the farthest from a border."""
    labels = stage.dock.state.current.labels.data
    depth = distance_transform_edt(labels == 3)
    y, x = divmod(int(depth.argmax()), labels.shape[1])
    return y, x


def prototypes_edit() -> npt.NDArray[np.uint8]:
    """A prototype, marked if any is, its map, and what one can do about it."""
    stage = Stage()
    stage.run()
    _, dock = stage.viewer.window.add_plugin_dock_widget(PLUGIN, "Prototypes", tabify=True)
    dock.parent().raise_()
    dock.tabs.setCurrentWidget(dock.edit_panel)
    marks = {row.index: row.mark for row in dock.gallery.rows if not row.mark.isHidden()}
    dock.choose(max(marks, default=0))
    return stage.picture()


def explanation() -> npt.NDArray[np.uint8]:
    """The figure that the Prototypes dock exports, of the largest weed."""
    from napari_gaussproto.core.explain.explain import explain_mask
    from napari_gaussproto.core.imaging.masks import component_at
    from napari_gaussproto.core.model.model_file import load_model
    from napari_gaussproto.core.model.predict import segment
    from napari_gaussproto.io.explanation import caption_of, save_explanation
    from napari_gaussproto.io.samples import sample_photo

    photo = sample_photo(SAMPLE)
    model = load_model(MODEL)
    segmentation = segment(photo, model)
    depth = distance_transform_edt(segmentation.labels == 3)
    y, x = divmod(int(depth.argmax()), photo.shape[1])
    region = explain_mask(segmentation, component_at(segmentation.labels, y, x))
    with tempfile.TemporaryDirectory() as folder:
        caption = caption_of(SAMPLE, model.card.edition, segmentation, region)
        about = (photo, segmentation, region)
        path = save_explanation(Path(folder) / "why.png", *about, caption=caption)
        figure = Image.open(path).convert("RGB")
        return np.asarray(figure.resize((figure.width // 2, figure.height // 2)))


def cells_preview() -> npt.NDArray[np.uint8]:
    """Superpixels over the photograph, before anything is computed from them."""
    stage = Stage()
    stage.dock.models.choose_shipped("peanut-superpixel")
    stage.viewer.scene.camera.zoom *= 2
    stage.dock.cells.preview.click()
    stage.until(lambda: stage.dock.cells.note.isVisible())
    return stage.picture()


def demo_overview() -> npt.NDArray[np.uint8]:
    """The overview that `napari-gaussproto demo` draws."""
    from napari_gaussproto.core.model.model_file import load_model
    from napari_gaussproto.core.model.predict import segment
    from napari_gaussproto.io.overview import overview_figure
    from napari_gaussproto.io.samples import sample_photo

    model = load_model(MODEL)
    photo = sample_photo(SAMPLE)
    figure = overview_figure(photo, segment(photo, model), title=f"{SAMPLE} · {model.card.name}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "overview.png"
        figure.savefig(path, dpi=105)
        return np.asarray(Image.open(path).convert("RGB"))


PICTURES: dict[str, Callable[[], npt.NDArray[np.uint8]]] = {
    "segment-dock": segment_dock,
    "likelihood": likelihood,
    "novelty": novelty,
    "novelty-elsewhere": novelty_elsewhere,
    "prototype-stack": prototype_stack,
    "prototypes-dock": prototypes_dock,
    "prototypes-edit": prototypes_edit,
    "dependence-grid": dependence_grid,
    "dependence-superpixel": dependence_superpixel,
    "explanation": explanation,
    "cells-preview": cells_preview,
    "demo-overview": demo_overview,
}


def save(name: str, picture: npt.NDArray[Any]) -> None:
    """Write a picture, and complain if it is too large for a README."""
    path = FOLDER / f"{name}.jpg"
    Image.fromarray(picture).save(path, quality=QUALITY, optimize=True, progressive=True)
    size = path.stat().st_size
    print(f"{path.name}: {picture.shape[1]} x {picture.shape[0]}, {size / 1000:.0f} KB", flush=True)
    if size > LARGEST:
        raise SystemExit(f"{path.name} is larger than {LARGEST / 1000:.0f} KB")


def main() -> None:
    """Take the pictures that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PICTURES))
    names = parser.parse_args().names or list(PICTURES)
    if unknown := set(names) - set(PICTURES):
        parser.error(f"there is no picture {', '.join(sorted(unknown))}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as settings:
        for scope in (QSettings.Scope.UserScope, QSettings.Scope.SystemScope):
            QSettings.setPath(QSettings.Format.IniFormat, scope, settings)
        for name in names:
            save(name, PICTURES[name]())
            for viewer in list(napari.viewer.Viewer._instances):
                viewer.close()


if __name__ == "__main__":
    main()
