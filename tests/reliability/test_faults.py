"""A full disk, a folder without permission, too little memory, two at once: a sentence, no loss."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch

from napari_gaussproto.cli import main
from napari_gaussproto.core.base.errors import GaussProtoError, ShortOfMemoryError
from napari_gaussproto.core.base.steps import TrainingStep, run
from napari_gaussproto.core.model.model_file import load_model_file, save_model
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.project.project import Project
from napari_gaussproto.core.project.session import Session
from napari_gaussproto.core.training.fine_tune import TuneSettings, fine_tune_steps, fine_tuning
from napari_gaussproto.core.training.full_fit import fit
from napari_gaussproto.core.training.quick_fit import quick_fit
from napari_gaussproto.jobs.running import run_job
from tests.core.builders import tiny_config, tiny_model, tiny_training, two_tone
from tests.core.drawings import AFTER, BEFORE, equal
from tests.core.project.stores import is_whole
from tests.reliability import digests
from tests.reliability.faults import SHORT, held, short

IMAGE, TRUTH = two_tone(seed=3)


def failing_after(monkeypatch: pytest.MonkeyPatch, count: int, number: int) -> Callable[[], int]:
    """Let every write fail from the ``count``-th on, as a disk does that is full by then."""
    calls = 0

    def guarded(function: Callable[..., Any], writes: Callable[..., bool]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            if writes(*arguments, **options):
                calls += 1
                if calls > count:
                    raise OSError(number, os.strerror(number))
            return function(*arguments, **options)

        return call

    def always(*_: Any, **__: Any) -> bool:
        return True

    def writing(_: Path, mode: str = "r", *__: Any, **___: Any) -> bool:
        return bool(set(mode) & set("wax+"))

    monkeypatch.setattr(os, "fsync", guarded(os.fsync, always))
    monkeypatch.setattr(Path, "replace", guarded(Path.replace, always))
    monkeypatch.setattr(Path, "open", guarded(Path.open, writing))
    monkeypatch.setattr(Path, "mkdir", guarded(Path.mkdir, always))
    writer = guarded(safetensors.torch.save_file, always)
    monkeypatch.setattr("napari_gaussproto.core.base.tensor_file.save_file", writer)
    return lambda: calls


def check_sentence(error: GaussProtoError) -> None:
    assert str(error).endswith(".") and "\n" not in str(error)


# What is written, into a folder that `prepared` has made.
WRITES: dict[str, Callable[[Path], object]] = {
    "model": lambda folder: save_model(tiny_model(1), folder / "m"),
    "annotations": lambda folder: opened(folder, lambda p: p.annotations.save(AFTER)),
    "version": lambda folder: opened(
        folder,
        lambda p: p.versions.add(tiny_model(1), parent=None, what="edit", annotations=AFTER),
    ),
    "session": lambda folder: opened(folder, lambda p: p.session.save(Session(images=()))),
    "copy": lambda folder: opened(folder, lambda p: p.copy_to(folder / "b").close()),
}


def opened(folder: Path, do: Callable[[Project], object]) -> None:
    with Project.open(folder / "a.gaussproto") as project:
        do(project)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file, and a project with labels and a version."""
    folder = tmp_path_factory.mktemp("prepared")
    save_model(tiny_model(), folder / "m")
    with Project.create(folder / "a") as project:
        project.annotations.save(BEFORE)
        project.versions.add(tiny_model(), parent=None, what="start", annotations=BEFORE)
    return folder


def check_nothing_lost(folder: Path, what: str) -> None:
    """The state before or, of what was written, the one after; and no half of a file."""
    assert not list(folder.rglob("*.part"))
    with Project.open(folder / "a.gaussproto") as project:
        found = project.annotations.load()
        assert equal(found, BEFORE) or (what == "annotations" and equal(found, AFTER))
        versions = project.versions.versions()
        assert len(versions) in ((1, 2) if what == "version" else (1,))
        for version in versions:
            assert is_whole(project.versions, version.parts)
    if what == "model":
        load_model_file(folder / "m.safetensors")


@pytest.mark.parametrize("what", WRITES)
@pytest.mark.parametrize("counts", [(0, 1, 4), pytest.param(range(200), marks=pytest.mark.slow)])
def test_a_full_disk_costs_nothing(
    what: str,
    counts: Sequence[int],
    prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures = 0
    for count in counts:
        folder = shutil.copytree(prepared, tmp_path / str(count))
        with monkeypatch.context() as patch:
            calls = failing_after(patch, count, errno.ENOSPC)
            try:
                WRITES[what](folder)
            except GaussProtoError as error:
                check_sentence(error)
                failures += 1
        check_nothing_lost(folder, what)
        if calls() <= count:  # every write went well
            break
    assert failures > 0


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("what", WRITES)
def test_a_folder_that_cannot_be_written_to_is_a_sentence(
    what: str, number: int, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(prepared, tmp_path / "copy")
    with monkeypatch.context() as patch:
        failing_after(patch, 0, number)
        with pytest.raises(GaussProtoError) as caught:
            WRITES[what](folder)
    check_sentence(caught.value)
    check_nothing_lost(folder, what)


def test_a_checkpoint_that_cannot_be_written_is_a_sentence_and_the_last_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.safetensors"
    training = fine_tuning(steps=4, crop_size=64, batch_size=2, validate_every=2)

    def steps() -> Any:
        settings = TuneSettings(training, checkpoint=path)
        return fine_tune_steps(tiny_model(), [IMAGE], [TRUTH], settings)

    def fill(step: TrainingStep) -> None:
        if step.stage == "joint" and step.step == 2:
            failing_after(monkeypatch, 0, errno.ENOSPC)

    with pytest.raises(GaussProtoError, match=r"could not be written.*make room") as caught:
        run(steps(), fill)
    check_sentence(caught.value)
    monkeypatch.undo()
    seen: list[TrainingStep] = []
    run(steps(), seen.append)
    assert [step.step for step in seen if step.stage == "joint"] == [3, 4]


# -- too little memory ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SHORT)
def test_a_training_without_memory_is_a_sentence_and_goes_on_later(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, path = tiny_model(), tmp_path / "state.safetensors"
    before = digests.of_model(model)
    training = fine_tuning(steps=4, crop_size=64, batch_size=2, validate_every=1)

    def steps() -> Any:
        settings = TuneSettings(training, checkpoint=path)
        return fine_tune_steps(model, [IMAGE], [TRUTH], settings)

    with monkeypatch.context() as patch:
        short(patch, SHORT[kind], after=2)
        with pytest.raises(ShortOfMemoryError, match="close other programs") as caught:
            run(steps())
    check_sentence(caught.value)
    assert digests.of_model(model) == before and path.exists()
    seen: list[TrainingStep] = []
    run(steps(), seen.append)
    assert seen[0].step > 1


@pytest.mark.parametrize("kind", SHORT)
def test_fits_without_memory_are_a_sentence(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    short(monkeypatch, SHORT[kind])
    with pytest.raises(GaussProtoError, match="Memory is too short"):
        fit([IMAGE], [TRUTH], tiny_config(), training=tiny_training())
    with pytest.raises(GaussProtoError, match="Memory is too short"):
        quick_fit(IMAGE, TRUTH, tiny_model())


@pytest.mark.parametrize("kind", SHORT)
def test_a_model_that_is_read_without_memory_is_not_said_to_be_damaged(
    kind: str, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short(monkeypatch, SHORT[kind])
    with pytest.raises(ShortOfMemoryError, match="close other programs"):
        load_model_file(prepared / "m.safetensors")


def test_a_job_without_memory_or_with_a_fault_tells_who_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for error, expected in ((SHORT["cuda"], ShortOfMemoryError), (ValueError("x"), ValueError)):

        def fails(*_: Any, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr("napari_gaussproto.jobs.compare.compare_job", fails, raising=False)
        with pytest.raises(expected):
            run(run_job("compare", "compare_job"))


def test_a_command_without_memory_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("napari_gaussproto.commands.info.run_info", fails)
    monkeypatch.setattr("sys.argv", ["napari-gaussproto", "info", str(tmp_path)])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("Error: Memory is too short for this:")


# -- two at once ----------------------------------------------------------------------------------


def test_two_processes_on_one_project(prepared: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(prepared, tmp_path / "two") / "a.gaussproto"
    expected = "is open in another window: close it"
    with held(folder), pytest.raises(GaussProtoError, match=expected) as caught:
        Project.open(folder)
    check_sentence(caught.value)
    with Project.open(folder) as project:
        assert equal(project.annotations.load(), BEFORE)


def test_the_models_of_the_tests_differ(prepared: Path) -> None:
    first: PrototypeSegmenter = load_model_file(prepared / "m.safetensors")
    assert digests.of_model(first) != digests.of_model(tiny_model(1))
