"""The benchmark of few strokes: exact masks, fair strokes, rows for every method."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.loop.__main__ import main, read
from benchmarks.loop.annotator import first_strokes, paint_round
from benchmarks.loop.first import run_first
from benchmarks.loop.methods import method
from benchmarks.loop.photos import OPEN_EYES, SEALED_EYES, Photo, bands, scaled
from benchmarks.loop.report import Values, report_rounds, report_tuning, tables
from benchmarks.loop.rivals import RIVALS
from benchmarks.loop.rounds import run_rounds
from benchmarks.loop.tasks import Task, tasks
from benchmarks.loop.tuning import FIRST, run_tuning

OPEN, SEALED = tasks(), tasks(sealed=True)


def small_task() -> Task:
    """Halves of two colours, with a little noise."""

    def make(number: int) -> Photo:
        rng = np.random.default_rng(number)
        truth = np.ones((96, 128), np.uint8)
        truth[:, 40 + 10 * number :] = 2
        image = np.where(truth[..., None] == 1, [120, 90, 60], [60, 140, 50])
        noisy = np.clip(image + rng.normal(0, 5, image.shape), 0, 255).astype(np.uint8)
        return Photo(noisy, truth, str(number))

    return Task("halves", "made", False, ("a", "b"), [lambda n=n: make(n) for n in range(4)])


@pytest.mark.parametrize("task", [*OPEN, *SEALED], ids=lambda task: task.name)
def test_every_task_has_photographs_with_all_of_its_classes(task: Task) -> None:
    photo, other = task.pair(0)
    for one in (photo, other) if other is not None else (photo,):
        assert one.image.dtype == np.uint8
        assert one.image.shape == (*one.truth.shape, 3)
        assert set(np.unique(one.truth)) == set(range(1, len(task.classes) + 1))
    assert other is not None
    assert other.scene != photo.scene
    again, _ = task.pair(0)
    np.testing.assert_array_equal(again.image, photo.image)


def test_open_and_sealed_tasks_have_nothing_in_common() -> None:
    assert not {task.name for task in OPEN} & {task.name for task in SEALED}
    assert {task.family for task in OPEN} == {task.family for task in SEALED}
    assert not {name for _, name in OPEN_EYES} & {name for _, name in SEALED_EYES}
    textures = [
        {name for task in some if task.family == "textures" for name in task.classes}
        for some in (OPEN, SEALED)
    ]
    assert not textures[0] & textures[1]


def test_photographs_to_annotate_and_to_judge_are_of_different_places() -> None:
    annotated, judges = OPEN[0].sets(0)
    places = [photo.scene for photo in annotated]
    assert len(annotated) == len(set(places)) == 4
    assert judges
    assert not set(places) & {photo.scene for photo in judges}


def test_labels_follow_the_picture_when_it_is_scaled() -> None:
    photo = small_task().makers[0]()
    larger = scaled(photo, 2)
    assert larger.truth.shape == photo.truth.shape
    assert larger.image.shape == (*larger.truth.shape, 3)
    for truth, image in ((larger.truth, larger.image), (scaled(photo, 0.5).truth, None)):
        assert set(np.unique(truth)) == {1, 2}
        if image is not None:
            assert image[truth == 1, 0].mean() > image[truth == 2, 0].mean() + 40
    assert (bands(photo, (0, 1, 0)).image[..., 0] == bands(photo, (0, 1, 0)).image[..., 2]).all()


@pytest.mark.parametrize("draw", range(5))
def test_first_strokes_are_thin_and_within_their_class(draw: int) -> None:
    truth = small_task().makers[draw % 4]().truth
    strokes = first_strokes(truth, np.random.default_rng(draw))
    assert (strokes[strokes > 0] == truth[strokes > 0]).all()
    assert set(np.unique(strokes)) == {0, 1, 2}
    assert 50 < (strokes > 0).sum() < 0.4 * truth.size


def test_a_round_corrects_what_is_wrong() -> None:
    truths = [small_task().makers[n]().truth for n in range(4)]
    nothing = [np.zeros_like(truth) for truth in truths]
    rng = np.random.default_rng(0)
    first = paint_round(truths, nothing, None, rng)
    assert all(labels.any() for labels in first)
    wrong = [np.full_like(truth, 1) for truth in truths]
    second = paint_round(truths, first, wrong, rng)
    added = [after != before for after, before in zip(second, first, strict=True)]
    assert sum(a.any() for a in added) == len(truths)
    for a, after, truth in zip(added, second, truths, strict=True):
        assert (after[a] == truth[a]).all()
        assert np.isin(after[a], 2).mean() > 0.9


def test_nothing_wrong_needs_no_stroke() -> None:
    truths = [small_task().makers[0]().truth]
    after = paint_round(truths, [np.zeros_like(truths[0])], truths, np.random.default_rng(0))
    assert not after[0].any()


def test_who_tells_the_truth_gets_one_and_who_guesses_does_not() -> None:
    task = small_task()
    truths = {photo.image.tobytes(): photo.truth for photo in (m() for m in task.makers)}
    methods = {
        "truth": lambda images, strokes: lambda image: truths[image.tobytes()],
        "soil": lambda images, strokes: lambda image: np.ones(image.shape[:2], np.uint8),
    }
    rows = run_first([task], methods, range(2))
    assert len(rows) == 4
    for row in rows:
        best = row["method"] == "truth"
        assert (row["same"]["miou"] == 1) == best
        assert (row["other"]["miou"] == 1) == best


def test_a_method_must_answer_everywhere() -> None:
    methods = {"silent": lambda images, strokes: lambda image: np.zeros(image.shape[:2], np.uint8)}
    with pytest.raises(ValueError, match="every pixel"):
        run_first([small_task()], methods, [0])


@pytest.mark.parametrize("name", [*RIVALS, "quick fit, new", "quick fit, auto superpixel"])
def test_every_method_tells_two_colours_apart(name: str) -> None:
    rows = run_first([small_task()], {name: method(name)}, [0])
    assert rows[0]["same"]["miou"] > 0.6


def test_unknown_methods_are_named() -> None:
    with pytest.raises(ValueError, match="no method “magic”"):
        method("magic")


def test_the_best_rival_and_the_difference_to_it_are_told() -> None:
    def row(method: str, draw: int, value: float) -> dict[str, object]:
        same = {"miou": value}
        return {"task": "t", "family": "f", "method": method, "draw": draw, "same": same}

    rows = [row("quick fit, new", d, 0.6 + 0.1 * d) for d in range(2)]
    rows += [row("Lab, ridge", d, 0.5) for d in range(2)]
    rows += [row("filters, forest", d, 0.3) for d in range(2)]
    mean, error = Values.of(rows, "same").difference("f", "quick fit, new", "Lab, ridge")
    assert mean == pytest.approx(0.15)
    assert error == pytest.approx(0.05)
    text = tables(rows, "same", "mIoU")
    assert "| quick fit, new | +0.150 ± 0.050 | +0.150 ± 0.050 |" in text
    assert "| the rival | Lab, ridge | Lab, ridge |" in text


def test_fields_are_read_from_a_folder(tmp_path: Path) -> None:
    species = np.zeros((48, 64), np.uint8)
    species[:16, :16], species[:16, 32:48], species[32:, :16] = 1, 2, 3
    for number in (4, 7):
        for view in "ab":
            Image.fromarray(np.full((48, 64, 3), 99, np.uint8)).save(
                tmp_path / f"{number:05d}_{view}.png"
            )
            Image.fromarray(species).save(tmp_path / f"{number:05d}_{view}_species.png")
    for sealed, name in ((False, "field 00004"), (True, "field 00007")):
        (task,) = tasks(fields=tmp_path, sealed=sealed, names=["fields"])
        assert task.name == name
        photo, other = task.pair(0)
        assert set(np.unique(photo.truth)) == {1, 2, 3}
        assert (photo.truth == 3).sum() == 2 * 256
        assert other is not None


def test_rounds_correct_a_method_where_it_is_wrong() -> None:
    rows = run_rounds([small_task()], {"Lab": method("Lab, ridge")}, [0], rounds=(1, 3))
    assert [row["round"] for row in rows] == [1, 3]
    assert rows[-1]["held_out"]["miou"] > 0.8
    assert "| Lab | " in report_rounds(rows)


@pytest.mark.parametrize("terms", [[], ["affinity"]])
def test_a_fine_tune_is_compared_with_its_quick_fit(terms: list[str]) -> None:
    rows = run_tuning([small_task()], [0], start="new", steps=1, terms=terms, amounts=["1 dense"])
    assert [row["method"] for row in rows] == ["quick fit", *(terms or ["fine-tune"])]
    assert all(row["labels"] == "1 dense" for row in rows)
    assert "**From 1 dense" in report_tuning(rows)


def test_terms_are_judged_from_the_first_strokes() -> None:
    rows = run_tuning([small_task()], [0], steps=1, terms=["supervised"], amounts=[FIRST])
    assert [row["method"] for row in rows] == ["quick fit", "supervised"]
    assert all(row["labels"] == FIRST for row in rows)


def test_a_run_that_was_stopped_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--quick", "--tasks", "coins", "--draws", "1", "--out", str(tmp_path), "--methods"]
    main([*command, "Lab, ridge"])
    main([*command, "Lab, ridge", "strides 2-8 + Lab, nearest"])
    rows = read(tmp_path / "first.jsonl")
    assert [row["method"] for row in rows] == ["Lab, ridge", "strides 2-8 + Lab, nearest"]
    assert "| pictures: coins |" in capsys.readouterr().out


def test_scenes_of_a_field_are_open_or_sealed(tmp_path: Path) -> None:
    lines = ["image,mask,split,group"]
    for name, split, scene in (("a", "val", "8"), ("b", "val", "7"), ("c", "train", "9")):
        mask = np.zeros((60, 80), np.uint8)
        mask[:20], mask[20:40, :40] = 1, 2
        for folder, suffix, values in (
            ("images", "jpg", np.stack([mask] * 3, -1) * 99),
            ("masks", "png", mask),
        ):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(values).save(tmp_path / folder / f"{name}.{suffix}")
        lines.append(f"{name}.jpg,{name}.png,{split},{scene}")
    (tmp_path / "index.csv").write_text("\n".join(lines))
    for sealed, scene in ((False, "8"), (True, "7")):
        for task in tasks(tmp_path, sealed=sealed, names=["photo", "scale", "colour", "quality"]):
            photo, _ = task.pair(0)
            assert photo.scene == scene
            assert set(np.unique(photo.truth)) == {1, 2, 3}
            assert [maker().scene for maker in task.makers] == [scene]
