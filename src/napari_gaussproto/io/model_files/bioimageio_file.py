"""A model as a package of bioimage.io: its ONNX graph, with a test and a card."""

from __future__ import annotations

import re
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from napari_gaussproto import __version__
from napari_gaussproto.core.base.atomic import refuse_folder, replacing
from napari_gaussproto.core.base.errors import ConfigError, ModelFileError
from napari_gaussproto.core.imaging.tiles import round_up
from napari_gaussproto.core.model.card import ModelSummary, card_markdown
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.io.model_files.onnx_file import (
    INPUT,
    LIKELIHOOD,
    OPSET,
    POSTERIOR,
    check_onnx,
    write_onnx,
)

_REPOSITORY = "https://github.com/napari-gaussproto/napari-gaussproto"
# What a name may not have, and the shortest.
_NOT_IN_NAMES, _SHORTEST = re.compile(r"[^A-Za-z0-9_+\- ()]"), 5

_SPDX = re.compile(r"CC-BY(-NC)?(-SA|-ND)?-[1-4]\.0|CC0-1\.0|MIT|Apache-2\.0|BSD-[23]-Clause")


def check_bioimageio(model: PrototypeSegmenter) -> None:
    """Make sure that a model can be packaged here.

    Raises
    ------
    ConfigError
        When packages are missing, or its cells are no grid.
    """
    if find_spec("bioimageio") is None or find_spec("bioimageio.spec") is None:
        raise ConfigError(
            "Packages of bioimage.io need the package bioimageio.core: install it by "
            "pip install napari-gaussproto[bioimageio]."
        )
    check_onnx(model)


def write_bioimageio(model: PrototypeSegmenter, summary: ModelSummary, path: Path) -> Path:
    """Write a model as a package (``.zip``) with its graph, a test image and its answers.

    The input is an image of bytes, (1, channels, y, x); outputs are those of `write_onnx`.

    Parameters
    ----------
    summary : ModelSummary
        For the card.

    Raises
    ------
    ConfigError
        See `check_bioimageio`.
    ModelFileError
        When the package cannot be written, or is not valid.
    """
    check_bioimageio(model)
    refuse_folder(path, ModelFileError)
    path = path if path.suffix == ".zip" else path.with_name(f"{path.name}.zip")
    from bioimageio.spec import save_bioimageio_package
    from pydantic import ValidationError

    with tempfile.TemporaryDirectory() as folder:
        try:
            described = _described(model, summary, Path(folder))
            made = save_bioimageio_package(described, output_path=Path(folder) / "package.zip")
            with replacing(path) as partial:
                shutil.copyfile(made, partial)
        except (ValidationError, ValueError) as error:
            raise ModelFileError(
                f"“{model.card.name}” could not be packed for bioimage.io ({error}): install "
                "napari-gaussproto[bioimageio] anew for versions that fit, or complete its card."
            ) from error
        except OSError as error:
            raise ModelFileError(
                f"“{path}” cannot be written ({error.strerror or error}): choose another place."
            ) from error
    return path


def _described(model: PrototypeSegmenter, summary: ModelSummary, folder: Path) -> Any:
    from bioimageio.spec.model import v0_5 as spec

    graph = write_onnx(model, folder / "model.onnx")
    image, answers = _test(model, graph)
    card = model.card
    sources = {INPUT: image, POSTERIOR: answers[0], LIKELIHOOD: answers[1]}
    for name, array in sources.items():
        np.save(folder / f"{name}.npy", array)
    (folder / "README.md").write_text(_readme(summary), "utf-8")
    names = [entry.name for entry in model.classes], [p.name for p in model.prototypes]
    weights = spec.OnnxWeightsDescr(source=graph, opset_version=OPSET)
    people = card.attribution or "the person who trained it"
    return spec.ModelDescr(
        name=_name(card.name),
        description=(card.description or "Segmentation with Gaussian prototypes.")[:512],
        authors=[spec.Author(name=people.replace("/", " "))],
        cite=[spec.CiteEntry(text=card.citation or "napari-gaussproto", url=_REPOSITORY)],
        license=_licence(card.licence),
        documentation=spec.FileDescr(source=folder / "README.md"),
        git_repo=_REPOSITORY,
        tags=["segmentation", "semantic-segmentation", "napari-gaussproto", "onnx"],
        inputs=[_input(model, folder, spec)],
        outputs=[
            _output(POSTERIOR, names[0], model, folder, spec),
            _output(LIKELIHOOD, names[1], model, folder, spec),
        ],
        weights=spec.WeightsDescr(onnx=weights),
        config={
            # The library (0.5.14) refuses every tolerance for outputs that are never above 0.
            "bioimageio": {"reproducibility_tolerance": []},
            "napari_gaussproto": {
                "version": __version__,
                "cell_size": model.cell_size,
                "photo_pixels": model.config.photo_pixels,
            },
        },
    )


def _test(model: PrototypeSegmenter, graph: Path) -> tuple[Any, list[Any]]:
    """An image (1, channels, y, x) of bytes and what the graph says of it."""
    import onnxruntime

    side = _least(model)
    generator = np.random.default_rng(0)
    # Blocks and noise: something at every size.
    coarse = generator.integers(40, 200, (model.config.channels, side // 8 + 1, side // 8 + 1))
    blocks = np.kron(coarse, np.ones((8, 8), np.int64))[:, :side, :side]
    image = (blocks + generator.integers(0, 40, blocks.shape)).astype(np.uint8)[None]
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    scaled = image.astype(np.float32) * np.float32(1 / 255)
    return image, session.run([POSTERIOR, LIKELIHOOD], {INPUT: scaled})


def _halo(model: PrototypeSegmenter) -> int:
    """Cells at the border of a tile in which its surroundings would be seen."""
    return -(-model.receptive_radius // model.cell_size)


def _least(model: PrototypeSegmenter) -> int:
    """Side of the smallest tile: a part without surroundings has to be left."""
    return round_up(2 * _halo(model) * model.cell_size + model.alignment, model.alignment)


def _input(model: PrototypeSegmenter, folder: Path, spec: Any) -> Any:
    channels = model.config.channels
    colours = ["red", "green", "blue"] if channels == 3 else [f"c{n}" for n in range(channels)]
    as_floats = spec.EnsureDtypeDescr(kwargs=spec.EnsureDtypeKwargs(dtype="float32"))
    size = spec.ParameterizedSize(min=_least(model), step=model.alignment)
    return spec.InputTensorDescr(
        id=INPUT,
        axes=[
            spec.BatchAxis(),
            spec.ChannelAxis(channel_names=colours),
            spec.SpaceInputAxis(id="y", size=size),
            spec.SpaceInputAxis(id="x", size=size),
        ],
        data=spec.IntervalOrRatioDataDescr(type="uint8"),
        # Without the last step, the format would have them turned into bytes again.
        preprocessing=[
            as_floats,
            spec.ScaleLinearDescr(kwargs=spec.ScaleLinearKwargs(gain=1 / 255)),
            as_floats,
        ],
        test_tensor=spec.FileDescr(source=folder / f"{INPUT}.npy"),
    )


def _output(
    name: str, channels: list[str], model: PrototypeSegmenter, folder: Path, spec: Any
) -> Any:
    def axis(letter: str) -> Any:
        return spec.SpaceOutputAxisWithHalo(
            id=letter,
            size=spec.SizeReference(tensor_id=INPUT, axis_id=letter),
            scale=float(model.cell_size),
            halo=_halo(model),
        )

    names = [_NOT_IN_NAMES.sub("_", channel) for channel in channels]
    return spec.OutputTensorDescr(
        id=name,
        axes=[spec.BatchAxis(), spec.ChannelAxis(channel_names=names), axis("y"), axis("x")],
        data=spec.IntervalOrRatioDataDescr(type="float32"),
        test_tensor=spec.FileDescr(source=folder / f"{name}.npy"),
    )


def _name(text: str) -> str:
    name = _NOT_IN_NAMES.sub("_", text)[:64]
    return name if len(name) >= _SHORTEST else f"{name} (Gaussian prototypes)"


def _licence(text: str) -> str | None:
    """The identifier of SPDX, of usual licences of data; None of others, which the card says."""
    identifier = text.replace(" ", "-")
    return identifier if _SPDX.fullmatch(identifier) else None


def _readme(summary: ModelSummary) -> str:
    """The card, with what bioimage.io asks for."""
    return (
        f"{card_markdown(summary)}\n## Validation\n\n"
        "The measures of the card are of photographs that the model has not seen; "
        f"[napari-gaussproto]({_REPOSITORY}) measures others by `napari-gaussproto train --test` "
        "and shows in napari which prototypes are responsible.\n"
    )
