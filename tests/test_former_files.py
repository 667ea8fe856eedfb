"""Files that a former version wrote load as what they were; data/former/README.md says which."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import timm
import zarr
from PIL import Image
from timm.models import generate_default_cfgs, register_model

from napari_gaussproto.core.base.config import ModelConfig, TrainingConfig
from napari_gaussproto.core.base.steps import TrainingStep
from napari_gaussproto.core.cells import partitioner
from napari_gaussproto.core.imaging.label_store import holds_labels
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.labels.annotations import Annotations, identify
from napari_gaussproto.core.labels.class_file import read_classes
from napari_gaussproto.core.model.model_file import load_model_file
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.model.summary import read_summary
from napari_gaussproto.core.project.project import Project, find_annotation
from napari_gaussproto.core.training.checkpoint import read_progress
from napari_gaussproto.core.training.fine_tune import TuneSettings
from napari_gaussproto.core.training.full_fit import fit
from napari_gaussproto.core.training.semi import SemiSettings
from napari_gaussproto.core.training.trial_fit import trial_fit_steps
from napari_gaussproto.io.images import read_image, read_mask
from napari_gaussproto.io.ome import read_labels

FORMER = Path(__file__).parent / "data" / "former"
EXPECTED: dict[str, Any] = json.loads((FORMER / "expected.json").read_text(encoding="utf-8"))
PROJECTS = {"project": "fields.gaussproto", "older": "older.gaussproto"}
# A few cells may be a close call, which another machine decides otherwise.
ALIKE = 0.999

default_cfgs = generate_default_cfgs({"former_nano": {}})


@register_model
def former_nano(pretrained: bool = False, **options: Any) -> Any:
    """The network of most of these files: a few thousand weights keep them small."""
    options.pop("pretrained_cfg", None)
    options.pop("pretrained_cfg_overlay", None)
    return timm.create_model("resnet10t", channels=(8, 12, 16, 16), stem_width=4, **options)


@pytest.fixture(scope="module")
def arrays() -> dict[str, npt.NDArray[np.uint8]]:
    with np.load(FORMER / "labels.npz", allow_pickle=False) as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def photo() -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(FORMER / "photo.png"))


@pytest.fixture(scope="module")
def stack() -> npt.NDArray[np.uint8]:
    """Three planes, stored as one picture."""
    return np.asarray(Image.open(FORMER / "stack.png")).reshape(3, 48, 64, 3)


@pytest.fixture(params=PROJECTS)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Project]]:
    """A copy of a project, since opening one may write into it."""
    folder = shutil.copytree(FORMER / PROJECTS[request.param], tmp_path / PROJECTS[request.param])
    with Project.open(folder) as project:
        yield request.param, project


def alike(labels: npt.NDArray[np.uint8], expected: npt.NDArray[np.uint8]) -> bool:
    same_kind = labels.shape == expected.shape and labels.dtype == expected.dtype
    return same_kind and float((labels == expected).mean()) >= ALIKE


def table(classes: Iterable[Any]) -> list[list[str]]:
    return [[entry.name, entry.color] for entry in classes]


def contains(found: Any, expected: Any) -> bool:
    """Whether everything that was stored is there; a newer version may know more."""
    if isinstance(expected, dict):
        return all(key in found and contains(found[key], expected[key]) for key in expected)
    return bool(found == expected)


def check_model(model: PrototypeSegmenter, expected: dict[str, Any]) -> None:
    assert table(model.classes) == expected["classes"]
    assert [p.name for p in model.prototypes] == expected["prototypes"]
    assert [p.class_index for p in model.prototypes] == expected["class_index"]
    assert [sha256(p.patches) for p in model.prototypes] == expected["patches_sha256"]
    assert [list(p.patches.shape) for p in model.prototypes] == expected["patches"]
    assert model.layer.active.tolist() == expected["active"]
    assert model.receptive_radius == expected["receptive_radius"]
    assert contains(model.card.model_dump(mode="json"), expected["card"])
    assert contains(model.config.model_dump(mode="json"), expected["config"])


def sha256(array: npt.NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def check_drawn(annotations: Annotations, expected: dict[str, Any]) -> None:
    assert table(annotations.classes) == expected["classes"]
    assert len(annotations.images) == len(expected["images"])
    for annotation, entry in zip(annotations.images, expected["images"], strict=True):
        image = annotation.image
        assert (image.name, image.file) == (entry["name"], entry["file"])
        assert (list(image.shape), image.sample) == (entry["shape"], entry["sample"])
        assert annotation.labels.dtype == np.uint8
        assert list(annotation.labels.shape) == entry["labels_shape"]
        assert np.bincount(annotation.labels.ravel()).tolist() == entry["counts"]
        assert sha256(annotation.labels) == entry["labels_sha256"]
        # The former code kept what is labelled a second time, as a mask of its own.
        assert sha256(annotation.labels > 0) == entry["touched_sha256"]


# -- models ----------------------------------------------------------------------------------


def former_regions(*_: Any) -> Generator[Any, None, npt.NDArray[np.int32]]:
    """Regions of the photograph (96, 128), as scikit-image's SLIC cut them."""
    yield from ()
    return np.asarray(Image.open(FORMER / "superpixel-regions.png")).astype(np.int32)


@pytest.mark.parametrize("name", ["grid", "superpixel"])
def test_a_model_file(
    name: str,
    photo: npt.NDArray[np.uint8],
    arrays: dict[str, npt.NDArray[np.uint8]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Regions are cut by other arithmetic than then (docs/decisions/slic-as-products.md); the
    # file is judged with the regions that its labels were made of.
    monkeypatch.setattr(partitioner, "region_map_steps", former_regions)
    path = FORMER / f"{name}.safetensors"
    model = load_model_file(path)
    check_model(model, EXPECTED[name])
    assert model.card.history[0]["what"] == "fit"
    assert alike(segment(photo, model).labels, arrays[name])
    summary = read_summary(path)
    assert [p.name for p in summary.prototypes] == EXPECTED[name]["prototypes"]
    assert contains(summary.card.model_dump(mode="json"), EXPECTED[name]["card"])


# -- trainings that were broken off ----------------------------------------------------------


def test_a_fit_goes_on_from_its_checkpoint(
    tmp_path: Path, photo: npt.NDArray[np.uint8], arrays: dict[str, npt.NDArray[np.uint8]]
) -> None:
    expected = EXPECTED["fit checkpoint"]
    path = shutil.copy(FORMER / "fit-checkpoint.safetensors", tmp_path / "fit.safetensors")
    assert contains(read_progress(path), expected["progress"])
    truth = arrays["truth"]
    seen: list[TrainingStep] = []
    model = fit(
        [photo],
        [truth],
        ModelConfig.model_validate(expected["config"]),
        training=TrainingConfig.model_validate(expected["training"]),
        validation=([photo], [truth]),
        seed=expected["seed"],
        device="cpu",
        checkpoint=path,
        progress=seen.append,
    )
    joint = [step for step in seen if step.stage == "joint"]
    assert not {"features", "warm-up", "layer"} & {step.stage for step in seen}
    assert [step.step for step in joint] == [5, 6]
    assert joint[0].step == expected["progress"]["step"] + 1
    assert joint[0].losses == pytest.approx(expected["next_losses"], rel=0.02, abs=1e-3)
    assert joint[0].best_miou == pytest.approx(expected["progress"]["best_miou"])
    assert model.card.history[-1]["steps"] == 6


def test_a_fine_tune_goes_on_from_its_checkpoint(
    tmp_path: Path, photo: npt.NDArray[np.uint8], stack: npt.NDArray[np.uint8]
) -> None:
    expected = EXPECTED["project"]["fine-tune"]
    folder = shutil.copytree(FORMER / PROJECTS["project"], tmp_path / PROJECTS["project"])
    with Project.open(folder) as project:
        model = project.versions.load(expected["base"])
        annotations = project.annotations.load()
    # Opening the project has not swept it away.
    checkpoint = folder / "fine-tune.safetensors"
    assert contains(read_progress(checkpoint), expected["progress"])
    planes = [photo, stack[0], stack[2]]
    first, second = (annotation.labels for annotation in annotations.images)
    steps = trial_fit_steps(
        model,
        [ImageSource.from_array(plane, 3) for plane in planes],
        [first, second[0], second[2]],
        TuneSettings(
            training=TrainingConfig.model_validate(expected["training"]),
            semi=SemiSettings.model_validate(expected["semi"]),
            seed=expected["seed"],
            checkpoint=checkpoint,
        ),
    )
    seen: list[Any] = []
    for step in steps:
        seen.append(step)
        if getattr(step, "stage", "") == "trial" and step.step == step.total:
            break
    steps.close()
    trial = [step for step in seen if getattr(step, "stage", "") == "trial"]
    # Weights to start from are judged by a training that begins anew only.
    assert "start" not in {getattr(step, "stage", "") for step in seen}
    assert [step.step for step in trial] == [3, 4]
    assert trial[0].step == expected["progress"]["step"] + 1
    assert trial[0].losses == pytest.approx(expected["next_losses"], rel=0.02, abs=1e-3)
    assert trial[0].best_miou >= expected["progress"]["best_miou"]


# -- projects --------------------------------------------------------------------------------


def test_what_was_drawn(
    opened: tuple[str, Project],
    photo: npt.NDArray[np.uint8],
    stack: npt.NDArray[np.uint8],
    arrays: dict[str, npt.NDArray[np.uint8]],
) -> None:
    which, project = opened
    expected = EXPECTED[which]
    assert (project.name, project.created) == (expected["name"], expected["created"])
    annotations = project.annotations.load()
    check_drawn(annotations, expected["annotations"])
    keys = {"project": ("annotation 0", "annotation 1"), "older": ("annotation older",)}[which]
    for key, pixels in zip(keys, (photo, stack), strict=False):
        found = annotations.find(identify(pixels, "under another name"))
        assert found is not None
        assert np.array_equal(found.labels, arrays[key])


def test_the_versions(
    opened: tuple[str, Project],
    photo: npt.NDArray[np.uint8],
    arrays: dict[str, npt.NDArray[np.uint8]],
) -> None:
    which, project = opened
    expected, store = EXPECTED[which], project.versions
    versions = store.versions()
    assert [version.id for version in versions] == expected["order"]
    assert store.current == expected["current"]
    for version, entry in zip(versions, expected["versions"], strict=True):
        stored = {key: entry[key] for key in entry if key not in ("annotations", "model")}
        assert contains(version.model_dump(mode="json"), stored)
        check_drawn(store.annotations(version.id), entry["annotations"])
        model = store.load(version.id)
        check_model(model, entry["model"])
        assert alike(segment(photo, model).labels, arrays[f"version {version.id}"])
    # The numbers of versions that were removed are not used again.
    added = store.add(model, parent=versions[-1].id, what="edit")
    assert added.name == expected["next_name"]


def test_the_tree_of_versions() -> None:
    """What the fixture is for: every kind of version, a branch, and one that went."""
    versions = EXPECTED["project"]["versions"]
    kinds = [version["what"] for version in versions]
    assert kinds == ["start", "quick fit", "fine-tune", "quick fit", "edit"]
    order = EXPECTED["project"]["order"]
    parents = [v["parent"] and order.index(v["parent"]) for v in versions]
    assert parents == [None, 0, 1, 1, 3]


def test_projects_are_found_by_an_image(tmp_path: Path, stack: npt.NDArray[np.uint8]) -> None:
    for folder in PROJECTS.values():
        shutil.copytree(FORMER / folder, tmp_path / folder)
    photo = read_image(FORMER / "photo.png")
    by_photo = find_annotation(tmp_path, identify(photo, "photo.png"))
    assert {found.folder.name for found in by_photo} == set(PROJECTS.values())
    by_stack = find_annotation(tmp_path, identify(stack, "stack"))
    assert [found.name for found in by_stack] == [EXPECTED["project"]["name"]]


# -- class tables and labels -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["classes.json", "classes.csv"])
def test_a_class_table(name: str) -> None:
    assert table(read_classes(FORMER / name)) == EXPECTED["classes"]


def test_labels_as_ome_tiff(arrays: dict[str, npt.NDArray[np.uint8]]) -> None:
    labels, classes = read_labels(FORMER / "labels.ome.tif")
    assert labels.dtype == np.uint8 and np.array_equal(labels, arrays["truth"])
    assert table(classes) == EXPECTED["classes"]


def test_labels_as_zarr(arrays: dict[str, npt.NDArray[np.uint8]]) -> None:
    path = FORMER / "labels.zarr"
    assert holds_labels(path)
    assert np.array_equal(np.asarray(read_mask(path)), arrays["grid"])
    about: Any = zarr.open_array(str(path), mode="r").attrs["napari-gaussproto"]
    assert about["model"] == EXPECTED["grid"]["card"]["name"]
    assert [[c["name"], c["color"]] for c in about["classes"]] == EXPECTED["grid"]["classes"]
