"""The command line as a person meets it: arguments in; exit code, printed text and files out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_gaussproto.cli import main
from napari_gaussproto.commands.results import console
from napari_gaussproto.core.model.model_file import save_model
from tests.core.builders import tiny_model, two_tone


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    def one_sentence(self) -> str:
        """What a failed command says: one line on stderr, and nothing else anywhere."""
        assert self.code == 1
        assert self.out.strip() == ""
        [line] = self.err.splitlines()
        assert line.startswith("Error: ") and line.endswith(".")
        return line


Cli = Callable[..., Result]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run the command line in this process, which saves the seconds that torch needs to load."""

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["napari-gaussproto", *map(str, arguments)])
        monkeypatch.setattr(console, "width", 160)
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Result(int(ended.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of two classes, with everything in its card."""
    model = tiny_model()
    card = model.card
    card.name, card.description = "tiny [a/b]", "Soil and plants of a drawing."
    card.licence, card.attribution, card.citation = "CC0", "nobody", "A paper [1]"
    card.not_for = ["real fields [/red]"]
    card.measures = {
        "val": {"iou": {"soil": 0.9123, "plant": None}, "miou": 0.7, "ece": 0.012, "images": 3}
    }
    for m, prototype in enumerate(model.prototypes):
        prototype.usage, prototype.purity = 0.125 + 0.25 * m, float("nan")
        prototype.patches = np.full((2, 48, 48, 3), 40 * m, np.uint8)
        prototype.patch_labels = np.full(2, prototype.class_index)
    return save_model(model, tmp_path_factory.mktemp("model") / "tiny.safetensors")


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Two small photographs, in a folder each."""
    paths = []
    for seed, name in enumerate(("left/plot.png", "right/plot.png")):
        path = tmp_path / name
        path.parent.mkdir()
        Image.fromarray(two_tone(64, 96, seed)[0]).save(path)
        paths.append(path)
    return paths
