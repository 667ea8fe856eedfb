"""Changes of the class table: what they do to labels, and the way back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from skimage.color import deltaE_ciede2000, rgb2lab

from napari_gaussproto import list_models, load_model
from napari_gaussproto.core.base.config import DEFAULT_COLORS, SegmentationClass
from napari_gaussproto.core.base.errors import EditError, LabelError
from napari_gaussproto.core.labels.class_table import (
    MOST_CLASSES,
    TableChange,
    WantedClass,
    add_class,
    extend_table,
    first_table,
    import_mask,
    label_colors,
    mask_values,
    merge_classes,
    overlay_colors,
    recolor_class,
    remove_class,
    rename_class,
    reorder_classes,
)
from napari_gaussproto.io.samples import sample_mask, sample_photo

TABLE = tuple(
    SegmentationClass(name=name, color=DEFAULT_COLORS[i])
    for i, name in enumerate(["soil", "plant", "weed", "stone"])
)
LABELS = np.arange(5, dtype=np.uint8).repeat(3).reshape(3, 5)


def names(change: TableChange) -> list[str]:
    return [entry.name for entry in change.after]


def test_each_operation_moves_labels_with_their_class() -> None:
    expected = {
        "add": (add_class(TABLE, "straw"), {1: 1, 2: 2, 3: 3, 4: 4}),
        "rename": (rename_class(TABLE, 1, "crop"), {1: 1, 2: 2, 3: 3, 4: 4}),
        "remove": (remove_class(TABLE, 1), {1: 1, 2: 0, 3: 2, 4: 3}),
        "merge": (merge_classes(TABLE, 3, 0), {1: 1, 2: 2, 3: 3, 4: 1}),
        "reorder": (reorder_classes(TABLE, [2, 0, 3, 1]), {1: 2, 2: 4, 3: 1, 4: 3}),
    }
    for change, mapping in expected.values():
        labels, _ = change.apply(LABELS)
        assert np.array_equal(labels, np.vectorize({0: 0, **mapping}.get)(LABELS))
    assert names(expected["add"][0]) == ["soil", "plant", "weed", "stone", "straw"]
    assert names(expected["rename"][0]) == ["soil", "crop", "weed", "stone"]
    assert names(expected["merge"][0]) == ["soil", "plant", "weed"]
    assert names(expected["reorder"][0]) == ["weed", "soil", "stone", "plant"]


@st.composite
def changes(draw: st.DrawFn) -> list[TableChange]:
    table, made = TABLE, []
    for _ in range(draw(st.integers(1, 6))):
        index = st.integers(0, len(table) - 1)
        kinds = ["add", "rename", "reorder"] + (["remove", "merge"] if len(table) > 1 else [])
        kind = draw(st.sampled_from(kinds))
        fresh = f"class {len(made)}"
        if kind == "add":
            change = add_class(table, fresh)
        elif kind == "rename":
            change = rename_class(table, draw(index), fresh)
        elif kind == "reorder":
            change = reorder_classes(table, draw(st.permutations(range(len(table)))))
        elif kind == "remove":
            change = remove_class(table, draw(index))
        else:
            source, target = draw(st.permutations(range(len(table))))[:2]
            change = merge_classes(table, source, target)
        made.append(change)
        table = change.after
    return made


@settings(max_examples=200, deadline=None)
@given(changes(), st.integers(0, 2**32 - 1))
def test_any_sequence_is_taken_back_exactly(made: list[TableChange], seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 5, (6, 7), dtype=np.uint8)
    states, lost = [labels], []
    for change in made:
        labels, forgotten = change.apply(labels)
        assert labels.max() <= len(change.after)
        states.append(labels)
        lost.append(forgotten)
    former = reversed(list(zip(made, lost, states[:-1], strict=True)))
    for change, forgotten, expected in former:
        labels = change.revert(labels, forgotten)
        assert np.array_equal(labels, expected)
    assert labels.dtype == np.uint8


def test_what_was_drawn_after_a_change_survives_taking_it_back() -> None:
    change = merge_classes(TABLE, 2, 1)
    labels, forgotten = change.apply(LABELS)
    weed = np.argwhere(LABELS == 3)
    labels[tuple(weed[0])] = 1
    back = change.revert(labels, forgotten)
    assert back[tuple(weed[0])] == 1
    assert (back[LABELS == 3] == 3).sum() == len(weed) - 1
    assert np.array_equal(back[LABELS != 3], LABELS[LABELS != 3])


def test_what_comes_back_does_not_depend_on_the_order_in_memory() -> None:
    change = remove_class(TABLE, 1)
    there, forgotten = change.apply(np.asfortranarray(LABELS))
    assert np.array_equal(change.revert(np.asfortranarray(there), forgotten), LABELS)


def test_a_new_class_gets_a_colour_that_is_free() -> None:
    table = add_class(TABLE, "straw").after
    assert table[-1].color == DEFAULT_COLORS[4]
    assert add_class(TABLE, "straw", "#123456").after[-1].color == "#123456"


@pytest.mark.parametrize("ground", ["soil", "Bare soil", "Background"])
def test_the_ground_is_faint_over_a_photograph(ground: str) -> None:
    classes = [c.model_copy(update={"name": ground}) if c.name == "soil" else c for c in TABLE]
    opaque, shown = label_colors(classes), overlay_colors(classes)
    assert shown.pop(1) == f"{opaque.pop(1)}4c" and shown == opaque


@pytest.mark.parametrize("names", [["soil"], ["wet soil", "dry soil", "crop"], ["ground ivy", "a"]])
def test_without_a_ground_among_others_no_class_is_faint(names: list[str]) -> None:
    classes = [SegmentationClass(name=name, color="#56b4e9") for name in names]
    assert overlay_colors(classes) == label_colors(classes)


def test_the_foreground_is_no_ground() -> None:
    names = ("foreground", "other", "background")
    classes = [SegmentationClass(name=name, color="#56b4e9") for name in names]
    assert overlay_colors(classes[:2]) == label_colors(classes[:2])
    assert overlay_colors(classes) == label_colors(classes) | {3: "#56b4e94c"}


def test_the_first_classes_look_like_what_they_are() -> None:
    soil, plant = first_table()
    assert (soil.name, soil.color) == ("soil", "#56b4e9")  # as in the shipped models
    assert (plant.name, plant.color) == ("plant", "#009e73")
    # Weeds are what most people add: vermilion, as in the models that come along.
    assert add_class((soil, plant), "weed").after[2].color == "#d55e00"


def test_strokes_are_seen_on_the_soil_of_a_photograph() -> None:
    photo, soil = sample_photo("peanut_0286") / 255, sample_mask("peanut_0286") == 1
    ground = photo[soil][::97, None]
    shipped = [entry for name in list_models() for entry in load_model(name, "cpu").classes]
    for color in {*DEFAULT_COLORS, *(entry.color for entry in [*first_table(), *shipped])}:
        painted = 0.2 * ground + 0.8 * np.array(
            to_rgb(color)
        )  # of the opacity of labels in the viewer
        seen = deltaE_ciede2000(rgb2lab(ground), rgb2lab(painted))
        assert np.percentile(seen, 10) > 20, color  # of grey it is 6


def test_a_colour_changes_nothing_else() -> None:
    change = recolor_class(TABLE, 1, "#ABCDEF")
    assert change.after[1] == SegmentationClass(name="plant", color="#ABCDEF")
    assert change.after[0] == TABLE[0] and change.after[2:] == TABLE[2:]
    assert np.array_equal(change.apply(LABELS)[0], LABELS)


def test_classes_of_a_file_extend_a_table_by_name() -> None:
    wanted = [WantedClass("straw"), WantedClass("weed", "#123456"), WantedClass("soil")]
    change = extend_table(TABLE, wanted)
    assert names(change) == ["soil", "plant", "weed", "stone", "straw"]
    colors = [entry.color for entry in change.after]
    assert colors == [*DEFAULT_COLORS[:2], "#123456", DEFAULT_COLORS[3], DEFAULT_COLORS[4]]
    assert np.array_equal(change.apply(LABELS)[0], LABELS)
    assert extend_table(TABLE, [WantedClass("soil", TABLE[0].color.upper())]).after == TABLE
    many = [WantedClass(f"c{i}") for i in range(MOST_CLASSES)]
    assert len(extend_table((), many).after) == MOST_CLASSES
    with pytest.raises(EditError, match="254 classes already"):
        extend_table(TABLE, many)


def test_operations_that_make_no_sense_are_refused() -> None:
    for operation in (
        lambda: add_class(TABLE, "soil"),
        lambda: add_class(TABLE, "  "),
        lambda: rename_class(TABLE, 0, "weed"),
        lambda: recolor_class(TABLE, 0, "green"),
        lambda: recolor_class(TABLE, 9, "#123456"),
        lambda: add_class(TABLE, "straw", "#12"),
        lambda: remove_class(TABLE, 4),
        lambda: merge_classes(TABLE, 1, 1),
        lambda: reorder_classes(TABLE, [0, 1, 2, 2]),
    ):
        with pytest.raises(EditError):
            operation()
    with pytest.raises(LabelError, match="value 5"):
        remove_class(TABLE, 0).apply(np.full((2, 2), 5, np.uint8))


def test_masks_of_any_coding_are_imported() -> None:
    mask = np.array([[-1, 0, 255], [70000, 255, 0]], np.int64)
    assert mask_values(mask) == {-1: 1, 0: 2, 255: 2, 70000: 1}
    labels = import_mask(mask, {-1: 0, 0: 1, 255: 2, 70000: 1}, 2)
    assert labels.dtype == np.uint8
    assert labels.tolist() == [[0, 1, 2], [1, 2, 1]]
    assert import_mask(mask > 0, {0: 1, 1: 2}, 2).tolist() == [[1, 1, 2], [2, 2, 1]]
    with pytest.raises(LabelError, match="also contains 255, 70000"):
        import_mask(mask, {-1: 0, 0: 1}, 2)
    with pytest.raises(LabelError, match="not there"):
        import_mask(mask, {-1: 0, 0: 1, 255: 3, 70000: 1}, 2)
    with pytest.raises(LabelError, match="cannot be imported"):
        import_mask(mask.astype(float), {}, 2)
