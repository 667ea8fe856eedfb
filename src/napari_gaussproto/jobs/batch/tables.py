"""Tables of measurements of a batch: of each image beside its labels, and of all in two files."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

import pandas as pd

from napari_gaussproto.core.base.errors import GaussProtoError
from napari_gaussproto.core.base.steps import WithValue
from napari_gaussproto.io.batch.cover import of_classes
from napari_gaussproto.io.batch.inputs import Item
from napari_gaussproto.io.batch.manifest import Entry, Manifest
from napari_gaussproto.io.batch.outputs import Outputs
from napari_gaussproto.io.batch.tables import AREAS, OBJECTS, write_table
from napari_gaussproto.jobs.batch.measure import ImageMeasure
from napari_gaussproto.jobs.batch.one_image import BatchStep
from napari_gaussproto.jobs.batch.plane_tables import table_file, write_tables


def missing_steps(
    out: Path, outputs: Outputs, measure: ImageMeasure, items: Sequence[Item], manifest: Manifest
) -> Generator[BatchStep, None, list[str]]:
    """Measure what has no tables of its labels as they are now; sentences about what cannot be.

    These are stacks, large images, and images whose label file a person changed. They are
    segmented once more, for what the model says of an object.
    """
    notes = []
    todo = [item for item in items if _lacks(out, outputs, manifest.images.get(item.name))]
    for done, item in enumerate(todo):
        yield BatchStep(f"measuring {item.name}", done, len(todo))
        entry = manifest.images[item.name]
        if item.path is None:
            notes.append(f"{item.name} is large and in no file: it has no tables, measure it alone")
            continue
        try:
            for share in (steps := WithValue(measure.tables(item))):
                yield BatchStep(f"measuring {item.name}", done, len(todo), share)
        except GaussProtoError as error:
            notes.append(f"{item.name} could not be measured: {error}")
            continue
        write_tables(out, outputs, entry, steps.value)
    return notes


def _lacks(out: Path, outputs: Outputs, entry: Entry | None) -> bool:
    if entry is None:
        return False
    are_there = all(table_file(out, entry, ending).is_file() for ending in (OBJECTS, AREAS))
    return not are_there or entry.measured != outputs.measured_as(entry.labels_digest)


def collect(out: Path, outputs: Outputs, manifest: Manifest) -> None:
    """Write the tables of all images that have them into one file each, image by image."""
    for ending in (OBJECTS, AREAS):
        found = []
        for entry in of_classes(manifest.images, manifest.classes).values():
            if not _lacks(out, outputs, entry):
                # Names may look like numbers, and numbers stay as they were written.
                path = table_file(out, entry, ending)
                found.append(pd.read_csv(path, keep_default_na=False, dtype=str))
        if found:
            write_table(pd.concat(found, ignore_index=True), out / f"{ending}.csv")
