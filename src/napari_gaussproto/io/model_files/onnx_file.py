"""A model as one ONNX graph: image in, what classes and prototypes say of its cells out."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from napari_gaussproto import __version__
from napari_gaussproto.core.base.atomic import refuse_folder, replacing
from napari_gaussproto.core.base.errors import ConfigError, ModelFileError
from napari_gaussproto.core.mixture.frozen import FrozenMixture
from napari_gaussproto.core.mixture.layer import LOG_ZERO
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter

INPUT, POSTERIOR, LIKELIHOOD = "image", "log_posterior", "log_likelihood"
OPSET = 17
# Largest difference between the graph and the model: of log-posteriors, and of log-likelihoods
# relative to the largest of them, whose float32 has no more digits.
TOLERANCE, _RELATIVE = 1e-4, 1e-5


class ExportedModel(nn.Module):
    """Extractor and prototypes of a model, without steps that depend on values.

    Parameters
    ----------
    model : PrototypeSegmenter
        With cells on a grid; on the CPU.
    """

    def __init__(self, model: PrototypeSegmenter) -> None:
        super().__init__()
        with torch.no_grad():
            self.network = model.extractor.traceable()
        self.mixture = FrozenMixture(model.layer)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Of images (B, channels, H, W): log p(c|z) (B, C, h, w), log p(z|m) (B, M, h, w)."""
        latents: Tensor = self.network(image)
        batch, dim, height, width = latents.shape
        cells = latents.permute(0, 2, 3, 1).reshape(-1, dim)
        posterior, likelihood = self.mixture(cells)
        shape = (batch, height, width, -1)
        return (
            posterior.reshape(shape).permute(0, 3, 1, 2),
            likelihood.reshape(shape).permute(0, 3, 1, 2),
        )


def check_onnx(model: PrototypeSegmenter) -> None:
    """Make sure that a model can be exported here.

    Raises
    ------
    ConfigError
        When packages are missing, or its cells are no grid.
    """
    if find_spec("onnx") is None or find_spec("onnxruntime") is None:
        raise ConfigError(
            "ONNX needs the packages onnx and onnxruntime: install them by "
            "pip install napari-gaussproto[onnx]."
        )
    if model.config.partition != "grid":
        raise ConfigError(
            f"“{model.card.name}” has superpixels as cells, which a graph cannot hold: choose a "
            "model whose cells are a grid."
        )


def write_onnx(model: PrototypeSegmenter, path: Path) -> Path:
    """Write a model as ONNX, and compare it with the model by onnxruntime.

    Its input ``image`` is (B, channels, H, W) float32 in [0, 1]; H and W are multiples of
    `PrototypeSegmenter.alignment`. Its outputs are ``log_posterior`` (B, C, h, w) and
    ``log_likelihood`` (B, M, h, w), an element per cell. What the numbers mean stands in the
    file's metadata.

    Raises
    ------
    ConfigError
        See `check_onnx`.
    ModelFileError
        When the file cannot be written, or its answers are not those of the model.
    """
    check_onnx(model)
    refuse_folder(path, ModelFileError)
    path = path if path.suffix == ".onnx" else path.with_name(f"{path.name}.onnx")
    model = model.on_device("cpu").eval()
    graph = ExportedModel(model).eval()
    try:
        with replacing(path) as partial:
            _export(graph, model, partial)
            _describe(model, partial)
            _compare(model, partial)
    except OSError as error:
        raise ModelFileError(
            f"“{path}” cannot be written ({error.strerror or error}): choose another place."
        ) from error
    return path


@torch.no_grad()
def _export(graph: ExportedModel, model: PrototypeSegmenter, path: Path) -> None:
    free = {0: "batch", 2: "height", 3: "width"}
    cells = {0: "batch", 2: "rows", 3: "columns"}
    with _quiet():
        torch.onnx.export(
            graph,
            (example_of(model, 3, 4),),
            path,
            input_names=[INPUT],
            output_names=[POSTERIOR, LIKELIHOOD],
            dynamic_axes={INPUT: free, POSTERIOR: cells, LIKELIHOOD: cells},
            opset_version=OPSET,
            # The newer exporter took eight minutes for the same graph with sides that are free.
            dynamo=False,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks: what matters is compared afterwards."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def example_of(model: PrototypeSegmenter, rows: int, columns: int) -> Tensor:
    """A random image (1, channels, H, W), of so many times what sides must be multiples of."""
    shape = (1, model.config.channels, rows * model.alignment, columns * model.alignment)
    return torch.rand(shape, generator=torch.Generator().manual_seed(rows))


def _describe(model: PrototypeSegmenter, path: Path) -> None:
    import onnx

    found = onnx.load(path)
    found.producer_name, found.producer_version = "napari-gaussproto", __version__
    card = model.card
    about = {
        "name": card.name,
        "description": card.description,
        "licence": card.licence,
        "attribution": card.attribution,
        "classes": json.dumps([entry.model_dump() for entry in model.classes]),
        "prototypes": json.dumps(
            [{"name": p.name, "class_index": p.class_index} for p in model.prototypes]
        ),
        "cell_size": str(model.cell_size),
        "alignment": str(model.alignment),
        "photo_pixels": str(model.config.photo_pixels or ""),
        "range": "0 to 1",
    }
    for key, value in about.items():
        entry = found.metadata_props.add()
        entry.key, entry.value = key, value or ""
    onnx.save(found, path)


@torch.no_grad()
def _compare(model: PrototypeSegmenter, path: Path) -> None:
    """Compare model and file on images of other sizes than the graph was made with."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for rows, columns in ((3, 4), (5, 2)):
        image = example_of(model, rows, columns)
        # As segmenting does it, by its own way through the layer.
        cells = model.extract(image)[0].flatten(1).T
        scores = model.layer.scores(cells)
        wanted = (scores.class_log_posterior, scores.log_likelihood)
        found = session.run(None, {INPUT: image.numpy()})
        for of_model, of_file in zip(wanted, found, strict=True):
            expected = of_model.T.reshape(of_file.shape).numpy()
            # Those that are switched off have a number that stands for log(0).
            known = np.abs(expected[expected > LOG_ZERO])
            allowed = TOLERANCE + _RELATIVE * known.max(initial=0.0)
            if not (np.abs(of_file - expected) <= allowed).all():
                raise ModelFileError(
                    f"“{model.card.name}” gives other answers as ONNX than here: its backbone "
                    "cannot be exported, choose a model with another one."
                )
