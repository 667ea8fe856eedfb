"""Take docs/images/first-impressions.jpg: three strokes on six unlike pictures, in the real viewer.

    bash scripts/display.sh .venv/bin/python scripts/first_impressions.py [--out FILE]

The pictures are a bundled photograph, a field that recipes/field draws, and four of those that lie
in scikit-image itself. What is painted is what stands below, with the brush that the dock
chooses; nothing is corrected. Each pair shows the strokes, and what Quick fit makes of them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))
os.environ["NAPARI_CONFIG"] = ""

import napari
import numpy as np
import numpy.typing as npt
from PIL import Image
from qtpy.QtCore import QSettings
from screenshots import FOLDER, PLUGIN, QUALITY, Stage
from skimage import data
from skimage.color import gray2rgb
from skimage.draw import line

from napari_gaussproto.core.base.config import (
    PLANT_COLOR,
    SOIL_COLOR,
    WEED_COLOR,
    SegmentationClass,
)
from napari_gaussproto.io.samples import sample_photo
from recipes.field import field

SIZE = (360, 270)
COLUMNS, GAP = 2, 6
FIELD = 52
GREY, BLUE, PURPLE = "#999999", "#56b4e9", "#cc79a7"
Picture = npt.NDArray[np.uint8]
# From one place to another, each as (row, column) in hundredths of the picture's sides.
Line = tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Scene:
    """A picture, its classes with their colours, and a person's strokes with their classes."""

    picture: Callable[[], Picture]
    classes: dict[str, str]
    strokes: list[tuple[str, Line]]


def peanut() -> Picture:
    """A photograph that comes with the plugin."""
    return sample_photo("peanut_0286")


SCENES = {
    "peanut": Scene(
        peanut,
        {"soil": SOIL_COLOR, "crop": PLANT_COLOR, "weed": WEED_COLOR},
        [
            ("soil", ((55, 45), (60, 58))),
            ("crop", ((21, 17), (28, 21))),
            ("weed", ((40.5, 63), (41, 67))),
        ],
    ),
    "field": Scene(
        lambda: np.asarray(field(FIELD, size=(960, 720))[0][0]),
        {"soil": SOIL_COLOR, "crop": PLANT_COLOR, "weed": WEED_COLOR},
        [
            ("soil", ((42, 29), (42, 40))),
            ("crop", ((56, 62), (58, 64.5))),
            ("weed", ((24, 33), (27, 38))),
        ],
    ),
    "coffee": Scene(
        data.coffee,
        {"table": GREY, "dishes": BLUE},
        [
            ("table", ((85, 5), (92, 22))),
            ("dishes", ((55, 18), (75, 25))),
            ("dishes", ((12, 33), (30, 31))),
        ],
    ),
    "tissue": Scene(
        data.immunohistochemistry,
        {"stained": PURPLE, "connective": BLUE, "empty": GREY},
        [
            ("stained", ((15, 20), (20, 35))),
            ("connective", ((60, 38), (63, 47))),
            ("empty", ((62, 2), (70, 6))),
        ],
    ),
    "coins": Scene(
        lambda: gray2rgb(data.coins()),
        {"ground": GREY, "coin": BLUE},
        [
            ("ground", ((28, 10), (28, 50))),
            ("coin", ((39, 66), (40, 74))),
            ("coin", ((63, 52), (65, 58))),
        ],
    ),
    "cat": Scene(
        data.chelsea,
        {"behind": GREY, "cat": BLUE, "eye": PLANT_COLOR},
        [
            ("behind", ((40, 93), (62, 96))),
            ("cat", ((35, 50), (55, 60))),
            ("eye", ((34, 34), (37, 37))),
        ],
    ),
}


class Impression(Stage):
    """A viewer with the Train dock beside one picture."""

    def __init__(self, scene: Scene) -> None:
        self.viewer = napari.Viewer()
        self.viewer.window.resize(1200, 800)
        self.image = self.viewer.add_image(scene.picture(), name="picture", rgb=True)
        _, self.train = self.viewer.window.add_plugin_dock_widget(PLUGIN, "Train")
        self.until(lambda: not self.train.busy)
        table = [SegmentationClass(name=n, color=c) for n, c in scene.classes.items()]
        self.train.annotations.set_table(table)
        self.train.labels.new.click()
        names = list(scene.classes)
        for name, ends in scene.strokes:
            self.paint(names.index(name) + 1, ends)

    def paint(self, value: int, ends: Line) -> None:
        """Draw a straight stroke with the brush as the dock has set it."""
        annotation = self.train.annotations.open[0]
        sides = np.array(self.image.data.shape[:2])
        first, last = (np.rint(np.array(end) / 100 * sides).astype(int) for end in ends)
        self.train.classes.select(value - 1)
        with annotation.layer.block_history():
            for place in zip(*line(*first, *last), strict=True):
                annotation.layer.paint(place, value)
        annotation.settle()

    def fit(self) -> None:
        """Press Quick fit and wait until the classes are shown."""
        self.train.quick.click()
        self.until(lambda: self.train.fits.phase == "idle")
        if not self.train.status.text().startswith("Fitted"):
            raise SystemExit(f"fitting failed: {self.train.status.text()}")

    def canvas(self) -> Picture:
        """The picture with what lies over it, without the canvas around it."""
        height, width = self.image.data.shape[:2]
        camera = getattr(self.viewer, "scene", self.viewer).camera
        camera.center, camera.zoom = ((height - 1) / 2, (width - 1) / 2), 1
        self.until_calm()
        shot: Picture = self.viewer.screenshot(size=(height, width), scale=1, flash=False)
        return shot[..., :3]

    def until_calm(self) -> None:
        """As `Stage.picture` does before a picture."""
        self.picture()


def pair(scene: Scene) -> Picture:
    """The strokes, and what a quick fit makes of them."""
    stage = Impression(scene)
    shots = [stage.canvas()]
    stage.fit()
    shots.append(stage.canvas())
    small = [Image.fromarray(shot).resize(SIZE, Image.Resampling.LANCZOS) for shot in shots]
    return np.hstack([np.asarray(shot) for shot in small])


def sheet(pairs: list[Picture]) -> Image.Image:
    """All pairs, in rows from left to right."""
    width, height = 2 * SIZE[0] + GAP, SIZE[1] + GAP
    rows = -(-len(pairs) // COLUMNS)
    whole = Image.new("RGB", (COLUMNS * width - GAP, rows * height - GAP), "white")
    for place, shot in enumerate(pairs):
        corner = (place % COLUMNS * width, place // COLUMNS * height)
        whole.paste(Image.fromarray(shot), corner)
    return whole


def main() -> None:
    """Take the pictures of all scenes, or of those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SCENES))
    parser.add_argument("--out", type=Path, default=FOLDER / "first-impressions.jpg")
    chosen: Any = parser.parse_args()
    if unknown := set(chosen.names) - set(SCENES):
        parser.error(f"there is no scene {', '.join(sorted(unknown))}")
    pairs = []
    with tempfile.TemporaryDirectory() as home:
        os.environ["XDG_DATA_HOME"] = home
        for scope in (QSettings.Scope.UserScope, QSettings.Scope.SystemScope):
            QSettings.setPath(QSettings.Format.IniFormat, scope, home)
        for name in chosen.names or SCENES:
            pairs.append(pair(SCENES[name]))
            for viewer in list(napari.viewer.Viewer._instances):
                viewer.close()
    sheet(pairs).save(chosen.out, quality=QUALITY, optimize=True, progressive=True)
    print(f"{chosen.out.name}: {len(pairs)} pairs, {chosen.out.stat().st_size / 1000:.0f} KB")


if __name__ == "__main__":
    main()
