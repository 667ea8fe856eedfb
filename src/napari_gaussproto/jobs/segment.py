"""What the Segment dock asks of a thread: load the model, segment, compute what is shown."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.config import ModelConfig
from napari_gaussproto.core.base.device import available_devices, resolve_device
from napari_gaussproto.core.base.steps import WithValue
from napari_gaussproto.core.cells.partitioner import CellPreview, preview_steps
from napari_gaussproto.core.cells.slic import Block
from napari_gaussproto.core.imaging.masks import outline
from napari_gaussproto.core.model.card import Provenance
from napari_gaussproto.core.model.maps import (
    NOVELTY,
    OUTLINES,
    UNCERTAINTY,
    MapRole,
    Maps,
    maps_of,
)
from napari_gaussproto.core.model.model_file import load_model_file
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.model.stack import StackSegmentation, StackTile, segment_stack_steps
from napari_gaussproto.jobs.requests import BatchOrder, ModelKey, SegmentRequest
from napari_gaussproto.jobs.train_image import Stage, TrainImage, nodata_of_file


@dataclass(frozen=True)
class SegmentResult:
    """What a run gives back to the GUI, with every array computed.

    Attributes
    ----------
    likelihood : (..., h, w) ndarray
        The map of the prototype.
    maps : dict of MapRole to (..., h, w) ndarray
        Those that were asked for or are there from the last run.
    outlines : (..., H, W) ndarray of bool or None
        Borders of the cells, if wanted or there.
    seconds, loading : float
        What the run took, and what it took before that to load the model.
    """

    model: PrototypeSegmenter
    key: ModelKey
    segmentation: StackSegmentation
    prototype: int
    likelihood: npt.NDArray[np.float32]
    provenance: Provenance
    maps: Maps
    outlines: npt.NDArray[np.bool_] | None
    seconds: float
    tiles: int
    loading: float = 0.0


def devices_job() -> list[str]:
    """Names of the devices there are; torch is loaded by then, which takes seconds."""
    # scikit-image loads what finds outlines when it is called, and that would be in the GUI.
    outline(np.ones((1, 1), bool))
    return available_devices()


def segment_job(request: SegmentRequest) -> Generator[StackTile | Stage, None, SegmentResult]:
    """Load the model if needed, segment, and compute the maps that will be shown."""
    begun = time.monotonic()
    if request.model_file is not None and _known_key(request.model_file, request) is None:
        yield Stage("Loading the model", keep=True)
    model, key = model_of(request)
    loaded = time.monotonic()
    yield Stage("Segmenting", keep=True)
    tiles = 0
    cutting = model.with_cells(request.cell_size)
    memos = request.memo.planes(request.pixels, cutting.config)
    steps = segment_stack_steps(
        request.pixels,
        cutting,
        rgb=request.rgb,
        tile=request.tile,
        memos=memos,
        nodata=nodata_of_file(request.file, request.pixels),
    )
    for done in (work := WithValue(steps)):
        tiles = done.total
        yield done
    yield Stage("Computing the maps", keep=True)
    cells = work.value.planes[0].encoding.partition.map_pixel_size
    size = cutting.config.region_size if cutting.config.has_regions else cells
    how = {"tile": request.tile, "cell_size": size}
    about = Provenance.of(model.card, model.device, request.model_file, **how)
    result = _result(request, model, key, work.value, about, tiles, loaded)
    return replace(result, loading=loaded - begun)


def again_job(
    request: SegmentRequest, result: SegmentResult, model: PrototypeSegmenter
) -> SegmentResult:
    """Decode the cells of a result by a model that was edited while they were computed."""
    segmentation = result.segmentation.decoded_by(model)
    about, begun = result.provenance, time.monotonic() - result.seconds
    again = _result(request, model, result.key, segmentation, about, result.tiles, begun)
    return replace(again, loading=result.loading)


def _result(
    request: SegmentRequest,
    model: PrototypeSegmenter,
    key: ModelKey,
    segmentation: StackSegmentation,
    provenance: Provenance,
    tiles: int,
    begun: float,
) -> SegmentResult:
    """A result with every array that the GUI will show."""
    segmentation = segmentation.with_outlines(request.follow_edges)
    # Computed here, kept for the GUI.
    _ = segmentation.labels, segmentation.cover, segmentation.prototype_share()
    _ = segmentation.remarks, segmentation.is_unlike
    prototype = min(request.prototype, len(segmentation.prototypes) - 1)
    roles = _roles(request, len(segmentation.classes))
    # By the same model, prototypes that were pinned are the same ones.
    maps = maps_of(segmentation, roles, pinned=model is request.former_model)
    likelihood = segmentation.likelihood(prototype)
    outlines = segmentation.outlines() if OUTLINES in roles else None
    seconds = time.monotonic() - begun
    return SegmentResult(
        model, key, segmentation, prototype, likelihood, provenance, maps, outlines, seconds, tiles
    )


def _roles(request: SegmentRequest, n_classes: int) -> list[MapRole]:
    """Maps that are asked for, and those that are there."""
    wanted = [role for role in (NOVELTY, UNCERTAINTY, OUTLINES) if role.kind in request.extras]
    if "probability" in request.extras:
        wanted += [MapRole.probability(c) for c in range(n_classes)]
    return list(dict.fromkeys([*wanted, *request.present]))


def outlines_job(
    segmentations: Sequence[StackSegmentation], follow: bool
) -> Generator[None, None, list[StackSegmentation]]:
    """Draw the borders of classes anew: along the photograph's edges, or not."""
    drawn = []
    for segmentation in segmentations:
        yield None
        drawn.append(segmentation.with_outlines(follow))
        _ = drawn[-1].labels, drawn[-1].cover
    return drawn


def preview_job(
    image: TrainImage,
    leading: tuple[int, ...],
    config: ModelConfig,
    window: tuple[int, int, int, int],
) -> Generator[Block, None, CellPreview]:
    """Cut the visible part of a plane into cells; ``leading`` says which plane."""
    axis, plane = 2 if image.rgb else None, image.plane(leading)
    return (yield from preview_steps(plane, config, window, axis, image.nodata))


def model_of(request: SegmentRequest | BatchOrder) -> tuple[PrototypeSegmenter, ModelKey]:
    """The model that is asked for, with a person's edits, and its key.

    Raises
    ------
    GaussProtoError
        When it cannot be loaded.
    """
    path = request.model_file
    if path is None:
        assert request.known_key is not None  # as `SegmentRequest` says
        return request.known_models[request.known_key], request.known_key
    device = resolve_device(request.device)
    key = _key_of(path, str(device))
    known = _known_key(path, request)
    if known is None:
        return load_model_file(path, device), key
    model = request.known_models[known]
    # Where only the device is another one, the edits come along.
    return (model if known == key else model.on_device(device)), key


def _known_key(path: Path, request: SegmentRequest | BatchOrder) -> ModelKey | None:
    """The key of a model that was read from this file before, on any device."""
    key = _key_of(path, str(resolve_device(request.device)))
    same = [other for other in request.known_models if other[:2] == key[:2]]
    return key if key in same else next(iter(same), None)


def _key_of(path: Path, device: str) -> ModelKey:
    return str(path), path.stat().st_mtime if path.exists() else 0.0, device
