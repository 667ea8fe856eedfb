"""A run on a cluster of processes leaves what one process leaves, also when one of them dies."""

from __future__ import annotations

import gc
import logging
import os
import re
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import torch
from distributed import Client
from PIL import Image

from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.model.model_file import load_model
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.io.batch.inputs import find
from napari_gaussproto.io.batch.manifest import read_manifest
from napari_gaussproto.io.batch.outputs import Outputs
from napari_gaussproto.io.ome import read_labels
from napari_gaussproto.jobs.batch import cluster
from napari_gaussproto.jobs.batch.cluster import cluster_of, work_on
from napari_gaussproto.jobs.batch.predict import BatchRequest, batch_steps
from tests.core.builders import two_tone

# What differs between two runs without a difference in the results.
OF_THE_MOMENT = {"created", "labels_modified"}


@pytest.fixture(scope="module")
def model() -> PrototypeSegmenter:
    return load_model("plants", "cpu")


@pytest.fixture(autouse=True)
def as_many_threads_as_a_worker() -> Iterator[None]:
    """The last digits of a sum of floats hang on how many threads share it."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with cluster_of(None, 2) as client:
        yield client


@pytest.fixture
def season(tmp_path: Path) -> Path:
    """Photographs in two folders, one of which is torn."""
    for number in range(10):
        path = tmp_path / "season" / f"field_{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(two_tone(320, 400, number)[0]).save(path)
    whole = path.read_bytes()
    path.with_name("torn.png").write_bytes(whole[: len(whole) // 2])
    return tmp_path / "season"


def request_of(model: PrototypeSegmenter, season: Path, out: str, **more: Any) -> BatchRequest:
    folder = season.parent / out
    return BatchRequest(model, find([season], folder), folder, Outputs(maps=True), 256, **more)


def written(out: Path) -> list[str]:
    found = (path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    return sorted(name for name in found if name != ".lock")


def check_same(there: Path, here: Path) -> None:
    """Two folders of results hold the same."""
    assert written(there) == written(here)
    assert (there / "cover.csv").read_bytes() == (here / "cover.csv").read_bytes()
    ours, theirs = read_manifest(here), read_manifest(there)
    assert list(theirs.left_out) == list(ours.left_out) == ["field_1/torn.png"]
    assert (theirs.classes, theirs.model) == (ours.classes, ours.model)
    assert set(theirs.images) == set(ours.images) and len(ours.images) == 10
    for name, entry in ours.images.items():
        other = theirs.images[name]
        assert other.model_dump(exclude=OF_THE_MOMENT) == entry.model_dump(exclude=OF_THE_MOMENT)
        labels = [read_labels(out / entry.labels)[0] for out in (there, here)]
        assert np.array_equal(*labels) and labels[0].shape == (320, 400)


def kill_one_that_works(client: Client) -> None:
    """End the process of a worker that is at an image."""
    pids = client.run(os.getpid)
    busy = next(address for address, keys in client.processing().items() if keys)
    os.kill(pids[busy], signal.SIGKILL)


def test_a_worker_that_dies_costs_nothing(
    client: Client, model: PrototypeSegmenter, season: Path
) -> None:
    here = request_of(model, season, "here")
    run(batch_steps(here))
    there = request_of(model, season, "there")
    names, killed = [], False
    for step in batch_steps(there, partial(work_on, client, "cpu")):
        if step.done and step.name not in names:
            names.append(step.name)
        if len(names) == 2 and not killed:
            kill_one_that_works(client)
            killed = True
    assert killed and len(names) == 11  # each told once
    check_same(there.out, here.out)
    again = run(batch_steps(there))  # in this process: everything is up to date
    assert len(again.kept) == 10 and again.segmented == 0 and again.notes == []


def test_an_image_that_ends_its_workers_is_named_and_the_others_are_done(
    model: PrototypeSegmenter, season: Path
) -> None:
    request = request_of(model, season, "out")
    # One death is enough here; the scheduler of a cluster allows three.
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}), cluster_of(None, 1) as one:
        steps = batch_steps(request, partial(work_on, one, "cpu"))
        next(step for step in steps if step.done == 2)
        kill_one_that_works(one)
        result = run(steps)
    died = [name for name, reason in result.left_out.items() if "died: give workers" in reason]
    assert died and len(died) + len(result.images) == 10
    assert sorted(run(batch_steps(request)).kept) == sorted(result.images)


def test_a_cancel_keeps_what_is_done_and_the_cluster_is_free_again(
    client: Client, model: PrototypeSegmenter, season: Path
) -> None:
    request, do = request_of(model, season, "out"), partial(work_on, client, "cpu")
    steps = batch_steps(request, do)
    next(step for step in steps if step.done == 3)
    steps.close()
    done = len(read_manifest(request.out).images)
    assert 2 <= done < 10  # what was begun is done, the torn one may be among it
    result = run(batch_steps(request, do))
    assert len(result.kept) == done and len(result.images) == 10
    assert not any(client.processing().values())


def test_another_version_on_a_worker_is_a_sentence(
    client: Client, model: PrototypeSegmenter, season: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "__version__", "0.0.1")
    request = request_of(model, season, "out")
    with pytest.raises(ConfigError, match=r"has napari-gaussproto .*, this is 0\.0\.1: install"):
        run(batch_steps(request, partial(work_on, client, "cpu")))


def test_a_cluster_that_ends_is_a_sentence_and_what_is_done_stays(
    model: PrototypeSegmenter, season: Path
) -> None:
    request = request_of(model, season, "out")
    with cluster_of(None, 1) as client:
        steps = batch_steps(request, partial(work_on, client, "cpu"))
        next(step for step in steps if step.done == 3)
        client.cluster.close()
        with pytest.raises(ConfigError, match="The cluster has ended before the work"):
            run(steps)
    assert 2 <= len(read_manifest(request.out).images) < 10


@pytest.mark.parametrize("given", ["tcp://127.0.0.1:9", "nowhere", "foo://a:1", "photo.jpg", "{}"])
def test_no_scheduler_is_a_sentence_at_once(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "PATIENCE", 1)
    monkeypatch.chdir(tmp_path)
    for name, content in (("photo.jpg", b"\xff\xd8\xff"), ("{}", b"{}")):
        Path(name).write_bytes(content)
    begun = time.monotonic()
    with (
        pytest.raises(ConfigError, match=f"No dask scheduler answers at “{re.escape(given)}”"),
        cluster_of(given, 0),
    ):
        raise AssertionError("there is none")
    gc.collect()  # a client that is left open hangs when it is freed
    assert time.monotonic() - begun < 15


def test_a_cluster_tells_no_steps_in_a_terminal(caplog: pytest.LogCaptureFixture) -> None:
    # As the command line has it, whose handler would print what dask tells.
    with caplog.at_level(logging.INFO), cluster_of(None, 1):
        pass
    assert [record for record in caplog.records if record.name.startswith("distributed")] == []
