"""Where the next fit begins, event by event; without a screen."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from napari_gaussproto.core.base.config import NewModel, SegmentationClass
from napari_gaussproto.core.labels.class_table import (
    merge_classes,
    remove_class,
    rename_class,
    reorder_classes,
)
from napari_gaussproto.jobs.requests import Start
from napari_gaussproto.widgets.train.fitting.beginning import Beginning

TABLE = tuple(SegmentationClass(name=name, color="#112233") for name in ("soil", "crop", "weed"))
NEW = Start(new=NewModel(), device="auto")


def model(extractor: Any = None) -> Any:
    """All that a beginning asks of a model: edits leave its extractor as it is."""
    return SimpleNamespace(extractor=extractor or object())


def test_without_a_fit_the_chosen_start_is_the_beginning() -> None:
    beginning = Beginning(Start()).with_choice(NEW, TABLE)
    assert beginning.start(None) is NEW
    assert beginning.start(model()) is NEW  # a model of another dock is none of ours
    assert beginning.model(model()) is None


def test_fits_begin_with_the_same_base_again() -> None:
    chosen = Beginning(Start()).with_choice(NEW, TABLE)
    base, made = model(), model()
    fitted = chosen.with_fit(base, made, chosen, TABLE)
    assert fitted.start(made).model is base and fitted.model(made) is made
    again = fitted.with_fit(base, model(), fitted, TABLE)
    assert again.start(again.made).model is base


def test_what_became_of_a_new_model_may_be_made_anew_and_an_own_one_may_not() -> None:
    base, made = model(), model()
    fitted = Beginning(NEW).with_fit(base, made, Beginning(NEW), TABLE)
    assert fitted.start(made) == Start(model=base, new=NEW.new)
    edited = model(made.extractor)
    assert fitted.start(edited) == Start(model=edited)
    tuned = model()
    trained = fitted.with_fit(tuned, tuned, fitted, TABLE)
    assert trained.start(tuned) == Start(model=tuned)


def test_edits_made_since_a_fit_are_where_the_next_one_begins() -> None:
    base, made = model(), model()
    fitted = Beginning(NEW).with_fit(base, made, Beginning(NEW), TABLE)
    edited = model(made.extractor)
    assert fitted.model(edited) is edited and fitted.start(edited).model is edited
    assert fitted.start(model()).model is base  # the Segment dock ran something else


def test_a_version_that_is_gone_back_to_is_the_beginning() -> None:
    version = model()
    beginning = Beginning(NEW, model(), model()).with_model(version, TABLE)
    assert beginning.start(version).model is version and beginning.made is version
    assert beginning.chosen is NEW


def test_another_choice_forgets_fits_and_another_device_does_not() -> None:
    base = model()
    fitted = Beginning(NEW).with_fit(base, model(), Beginning(NEW), TABLE)
    elsewhere = fitted.on_device("cpu")
    assert elsewhere.start(fitted.made) == Start(model=base, new=NEW.new, device="cpu")
    file = Start(file=Path("a.safetensors"))
    assert fitted.with_choice(file, TABLE).start(fitted.made) is file


def test_where_classes_went_is_known_since_the_beginning_knew_the_table() -> None:
    beginning = Beginning(Start()).with_choice(NEW, TABLE)
    assert beginning.renamed() == {}
    renamed = rename_class(TABLE, 1, "maize")
    beginning = beginning.with_change(renamed, True)
    merged = merge_classes(renamed.after, 2, 1)
    beginning = beginning.with_change(merged, True)
    assert beginning.renamed() == {"soil": 0, "crop": 1, "weed": 1}
    beginning = beginning.with_change(remove_class(merged.after, 0), True)
    assert beginning.renamed() == {"soil": None, "crop": 0, "weed": 0}


def test_a_change_that_was_taken_back_counts_as_such() -> None:
    moved = reorder_classes(TABLE, [2, 0, 1])
    beginning = Beginning(NEW, table=TABLE).with_change(moved, True)
    assert beginning.renamed() == {"soil": 1, "crop": 2, "weed": 0}
    assert beginning.with_change(moved, False).renamed() == {"soil": 0, "crop": 1, "weed": 2}


def test_changes_during_a_fit_count_from_the_table_that_it_was_launched_with() -> None:
    early = rename_class(TABLE, 0, "earth")
    launched = Beginning(NEW, table=TABLE).with_change(early, True)
    late = remove_class(early.after, 1)
    fitted = launched.with_change(late, True).with_fit(model(), model(), launched, early.after)
    assert fitted.changes == ((late, True),) and fitted.table == early.after
    assert fitted.renamed() == {"earth": 0, "crop": None, "weed": 1}


def test_events_leave_the_former_value_alone() -> None:
    before = Beginning(NEW, table=TABLE)
    before.with_change(rename_class(TABLE, 0, "earth"), True)
    before.on_device("cpu")
    assert before == Beginning(NEW, table=TABLE)
