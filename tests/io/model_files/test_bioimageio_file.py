"""A model as a package of bioimage.io is complete, and right by the test of its own library."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.core.model.model_file import load_model
from napari_gaussproto.core.model.summary import model_path, read_summary
from napari_gaussproto.io.model_files.bioimageio_file import write_bioimageio
from tests.core.builders import tiny_model


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("bioimageio.spec", reason="bioimageio.spec is not installed")
    model, summary = load_model("plants", "cpu"), read_summary(model_path("plants"))
    return write_bioimageio(model, summary, tmp_path_factory.mktemp("made") / "plants")


def test_the_package_is_valid_and_complete(package: Path) -> None:
    from bioimageio.spec import load_model_description

    described = load_model_description(package)
    assert described.name == "plants" and str(described.license) == "CC-BY-SA-4.0"
    assert [tensor.id for tensor in described.outputs] == ["log_posterior", "log_likelihood"]
    assert described.outputs[0].axes[1].channel_names == ["soil", "plant"]
    with zipfile.ZipFile(package) as archive:
        assert {"model.onnx", "README.md", "image.npy"} <= set(archive.namelist())
        assert "## Validation" in archive.read("README.md").decode()
        image = np.load(archive.open("image.npy"))
    assert image.dtype == np.uint8 and image.shape[:2] == (1, 3)


def test_its_own_library_finds_it_right(package: Path) -> None:
    core = pytest.importorskip(
        "bioimageio.core", reason="bioimageio.core, which pins its own versions, is not installed"
    )
    summary = core.test_model(package, weight_format="onnx", devices=["cpu"])
    assert summary.status == "passed", summary.format()


def test_a_missing_package_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bioimageio", None)
    with pytest.raises(ConfigError, match=r"pip install napari-gaussproto\[bioimageio\]"):
        write_bioimageio(tiny_model(), read_summary(model_path("plants")), tmp_path / "x.zip")
