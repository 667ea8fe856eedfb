"""Every fit is kept as a version of the project: jobs of the saving thread."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import GaussProtoError
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.editing.edits import named
from napari_gaussproto.core.measure.compare import Comparison, compare
from napari_gaussproto.core.model.model_file import save_model
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.model.stack import StackSegmentation, segment_stack_steps
from napari_gaussproto.core.project.project import Project
from napari_gaussproto.core.project.version import Version, What
from napari_gaussproto.jobs.fit import FitResult
from napari_gaussproto.jobs.storage import ProjectSession
from napari_gaussproto.jobs.train_image import TrainImage


@dataclass(frozen=True)
class Listed:
    """The versions of a project in the order in which they were made, and the current one."""

    versions: list[Version]
    current: str | None


def list_versions(session: ProjectSession) -> Listed:
    """All versions; none as long as there is no project."""
    if session.project is None:
        return Listed([], None)
    return Listed(session.project.versions.versions(), session.project.versions.current)


def add_version(
    session: ProjectSession,
    result: FitResult,
    what: What,
    classes: tuple[SegmentationClass, ...],
    images: list[TrainImage],
) -> Listed:
    """Write a fit as a version; the model it began with too, if that is none yet."""
    versions, ids = session.ensure_project().versions, session.version_ids
    annotations, _ = session.drawn(classes, images)
    known_ids = {version.id for version in versions.versions()}
    for model, version_id in list(ids.items()):
        if version_id not in known_ids:  # deleted meanwhile
            del ids[model]
    began, parent = result.began_with, ids.get(result.began_with)
    if parent is None and len(began.density_quantiles):
        # A model that came from elsewhere, or whose prototypes were edited since.
        edited = [known for known in ids if known.extractor is began.extractor]
        parent = versions.add(
            began,
            parent=ids[edited[-1]] if edited else None,
            what="edit" if edited else "start",
            name="" if edited else began.card.name,
        ).id
        ids[began] = parent
    version = versions.add(
        result.model,
        parent=parent,
        what=what,
        annotations=annotations,
        settings=result.settings,
        measures=result.measures,
        seconds=result.seconds,
        strokes=result.strokes,
        images=result.images,
    )
    ids[result.model] = version.id
    return list_versions(session)


def use_version(
    session: ProjectSession, version_id: str | None, device: str
) -> tuple[PrototypeSegmenter, Listed] | None:
    """Load a version, or else the current one, and make it the current one.

    Returns its model and all versions; None when there is no version.
    """
    if version_id is None:
        version_id = list_versions(session).current
    if version_id is None:
        return None
    versions = _project(session).versions
    model = versions.load(version_id, device)
    versions.current = version_id
    session.version_ids[model] = version_id
    return model, list_versions(session)


def read_version(session: ProjectSession, version_id: str) -> tuple[str, PrototypeSegmenter]:
    """Name and model of a version."""
    versions = _project(session).versions
    return versions.get(version_id).name, versions.load(version_id)


def rename_version(session: ProjectSession, version_id: str, name: str) -> Listed:
    """Give a version another name."""
    _project(session).versions.rename(version_id, name)
    return list_versions(session)


def remove_version(session: ProjectSession, version_id: str) -> Listed:
    """Forget a version."""
    _project(session).versions.remove(version_id)
    return list_versions(session)


def export_version(session: ProjectSession, version_id: str, path: Path) -> None:
    """Write a version as a model file."""
    _, model = read_version(session, version_id)
    save_model(named(model, path.stem), path)


def compare_models(
    former: PrototypeSegmenter,
    image: TrainImage,
    now: StackSegmentation,
    cell_size: int | None = None,
) -> Comparison:
    """What another model labels otherwise; this needs no project, and may run in any thread.

    Parameters
    ----------
    former : PrototypeSegmenter
    image : TrainImage
    now : StackSegmentation
        Of the image.
    cell_size : int, optional
        Of the cells of that, so that both models see the same ones.
    """
    cutting = former.with_cells(cell_size)
    steps = segment_stack_steps(image.pixels, cutting, rgb=image.rgb, nodata=image.nodata)
    return compare(run(steps).with_outlines(now.follows_edges), now)


def _project(session: ProjectSession) -> Project:
    if session.project is None:
        raise GaussProtoError("This project has no versions yet: fit a model first.")
    return session.project
