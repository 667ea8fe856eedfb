"""What a process does while it is killed, and what must be found afterwards.

Each scene has a function that works in a child process and says after every state that is whole
on disk how many there are, and one that looks, in the parent, at what is left.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from napari_gaussproto.core.base.steps import TrainingStep, run
from napari_gaussproto.core.labels.annotations import Annotation, Annotations
from napari_gaussproto.core.model.model_file import load_model_file, save_model
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.project.project import Project
from napari_gaussproto.core.project.version_store import VersionStore
from napari_gaussproto.core.training.fine_tune import TuneSettings, fine_tune_steps, fine_tuning
from napari_gaussproto.io.batch.inputs import find
from napari_gaussproto.jobs.batch.predict import BatchRequest, batch_steps
from tests.core.builders import tiny_model, two_tone
from tests.core.drawings import BEFORE
from tests.core.project.stores import is_whole
from tests.reliability import digests

Say = Callable[[int], None]
CONTEXT = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
CONTEXT.set_forkserver_preload(["tests.reliability.scenes"])
_IMAGE, _TRUTH = two_tone(seed=3)


def killed(scene: str, folder: Path, rng: random.Random) -> int:
    """Let a process work, kill it at a random moment; how many states it said were whole."""
    ours, theirs = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_work, args=(scene, folder, theirs))
    process.start()
    theirs.close()
    count = ours.recv()  # it is ready
    time.sleep(rng.uniform(0, _LONGEST[scene]))
    process.kill()
    process.join()
    try:
        while True:
            count = ours.recv()
    except EOFError:
        return int(count)


def _work(scene: str, folder: Path, pipe: Connection) -> None:
    torch.set_num_threads(1)
    pipe.send(0)
    SCENES[scene][0](folder, pipe.send)


# -- annotations ----------------------------------------------------------------------------------


def _drawn(count: int) -> Annotations:
    """A stroke more with every count, on the first of some images."""
    first = BEFORE.images[0]
    labels = np.zeros_like(first.labels)
    labels.flat[:count] = 1 + np.arange(count) % 3
    return Annotations(BEFORE.classes, (Annotation(first.image, labels), *BEFORE.images[1:]))


def draw(folder: Path, say: Say) -> None:
    with Project.create(folder / "a") as project:
        for count in itertools.count(1):
            project.annotations.save(_drawn(count))
            say(count)


def look_at_drawings(folder: Path, said: int) -> None:
    if not (folder / "a.gaussproto" / "project.json").exists():
        assert said == 0
        return
    with Project.open(folder / "a.gaussproto") as project:
        images = project.annotations.load().images
        found = int((images[0].labels > 0).sum()) if images else 0
        # The last one may have been whole before it could say so.
        assert said <= found <= said + 1
        if images:
            assert np.array_equal(images[0].labels, _drawn(found).images[0].labels)
        project.annotations.save(_drawn(found + 1))
        assert not list(project.annotations.folder.glob(".*.part"))


# -- versions -------------------------------------------------------------------------------------


def _version(count: int) -> PrototypeSegmenter:
    model = tiny_model()
    with torch.no_grad():
        model.layer.mean.fill_(count)
    return model


def keep_versions(folder: Path, say: Say) -> None:
    store = VersionStore(folder / "versions")
    for count in itertools.count(1):
        store.add(_version(count), parent=None, what="edit", annotations=_drawn(count))
        say(count)


def look_at_versions(folder: Path, said: int) -> None:
    store = VersionStore(folder / "versions")
    versions = store.versions()
    assert said <= len(versions) <= said + 1
    for count, version in enumerate(versions, 1):
        assert is_whole(store, version.parts)
        assert (store.load(version.id).layer.mean == count).all()
        assert int((store.annotations(version.id).images[0].labels > 0).sum()) == count
    store.add(_version(99), parent=None, what="edit")
    store.sweep()
    assert not list(store.folder.glob(".*.part"))


# -- a model file ---------------------------------------------------------------------------------


def write_models(folder: Path, say: Say) -> None:
    model = tiny_model()
    for count in itertools.count(1):
        model.card.name = str(count)
        with torch.no_grad():
            model.layer.mean.fill_(count)
        save_model(model, folder / "m")
        say(count)


def look_at_model(folder: Path, said: int) -> None:
    path = folder / "m.safetensors"
    if not path.exists():
        assert said == 0
        return
    model = load_model_file(path)
    assert said <= int(model.card.name) <= said + 1
    assert (model.layer.mean == int(model.card.name)).all()


# -- a batch --------------------------------------------------------------------------------------


def _batch(folder: Path, out: str) -> BatchRequest:
    season = folder / "season"
    if not season.exists():
        season.mkdir()
        for seed in range(4):
            Image.fromarray(two_tone(48, 64, seed)[0]).save(season / f"{seed}.png")
    return BatchRequest(tiny_model(), find([str(season)], folder / out), folder / out)


def segment_all(folder: Path, say: Say) -> None:
    for step in batch_steps(_batch(folder, "out")):
        say(step.done)


def look_at_batch(folder: Path, _: int) -> None:
    out = folder / "out"
    unbroken = _batch(folder, "unbroken")
    run(batch_steps(unbroken))
    whole = digests.of_labels(folder / "unbroken")
    left = digests.of_labels(out)
    labels = {name: digest for name, digest in left.items() if name.endswith(".tif")}
    assert labels.items() <= whole.items()
    # What was done since the list of results was written last is done again.
    run(batch_steps(_batch(folder, "out")))
    assert digests.of_labels(out) == whole


# -- a training -----------------------------------------------------------------------------------


def _training(checkpoint: Path | None) -> Any:
    training = fine_tuning(steps=6, crop_size=64, batch_size=2, validate_every=2)
    settings = replace(TuneSettings(training), checkpoint=checkpoint)
    pairs = ([_IMAGE], [_TRUTH])
    return fine_tune_steps(tiny_model(), *pairs, settings, validation=pairs)


def train(folder: Path, say: Say) -> None:
    def told(step: TrainingStep) -> None:
        if step.stage == "joint":
            say(step.step)

    run(_training(folder / "state.safetensors"), told)


def look_at_training(folder: Path, said: int) -> None:
    steps: list[TrainingStep] = []
    resumed = run(_training(folder / "state.safetensors"), steps.append)
    joint = [step.step for step in steps if step.stage == "joint"]
    # A step is told after its state was written, every second one is.
    assert said < 2 or not joint or joint[0] > said // 2 * 2
    assert digests.of_model(resumed.model) == digests.of_model(run(_training(None)).model)


SCENES: dict[str, tuple[Callable[[Path, Say], None], Callable[[Path, int], None]]] = {
    "annotations": (draw, look_at_drawings),
    "versions": (keep_versions, look_at_versions),
    "model file": (write_models, look_at_model),
    "batch": (segment_all, look_at_batch),
    "training": (train, look_at_training),
}
# Seconds until a kill at most, so that it comes amid the work on a quick machine and on a slow one.
_LONGEST = {"annotations": 1.0, "versions": 2.0, "model file": 1.0, "batch": 2.0, "training": 4.0}
