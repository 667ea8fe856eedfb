"""The card of a model as Markdown, and the one beside the shipped model."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from napari_gaussproto import list_models, quick_fit
from napari_gaussproto.cli import app
from napari_gaussproto.core.base.config import FIELD
from napari_gaussproto.core.model.card import ModelCard, Reach, card_markdown
from napari_gaussproto.core.model.model_file import save_model
from napari_gaussproto.core.model.summary import model_path, read_summary
from tests.core.builders import tiny_model, two_tone


@pytest.mark.parametrize("name", [*list_models(), FIELD])
def test_the_text_beside_a_shipped_model_is_what_its_file_says(name: str) -> None:
    beside = model_path(name).with_suffix(".md").read_text(encoding="utf-8")
    assert beside == card_markdown(read_summary(model_path(name)))


def test_the_shipped_start_says_what_it_was_made_of() -> None:
    assert model_path(FIELD).stat().st_size < 10e6
    card = read_summary(model_path(FIELD)).card
    for owner in ("Thi Hoang Yen Tran", "Wildfire Games", "INRAE"):
        assert owner in card.attribution + card.data
    assert card.command and card.not_for and FIELD not in list_models()
    assert "small patches" not in card_markdown(read_summary(model_path(FIELD)))


@pytest.mark.parametrize("name", list_models())
def test_a_shipped_model_says_what_people_must_know(name: str) -> None:
    assert model_path(name).stat().st_size < 10e6
    card = read_summary(model_path(name)).card
    assert "CC BY-SA 4.0" in card.licence and "Thi Hoang Yen Tran" in card.attribution
    assert card.command and card.data and card.citation and card.not_for
    assert {"val", "test"} <= set(card.measures)
    text = card_markdown(read_summary(model_path(name)))
    assert all(f"{measures['miou']:.4f}" in text for measures in card.measures.values())
    assert all(warning in text for warning in card.not_for)


@pytest.mark.parametrize("name", list_models())
def test_a_shipped_model_says_how_far_it_looks(name: str) -> None:
    reach = read_summary(model_path(name)).card.reach
    assert reach is not None and 4 < reach.half < reach.most and reach.places >= 8
    text = card_markdown(read_summary(model_path(name)))
    assert f"lies within {reach.half:.0f} px of it" in text


def test_a_fit_does_not_boast_of_what_its_start_was_measured_at() -> None:
    image, labels = two_tone()
    start = tiny_model()
    start.card.measures = {"val": {"miou": 0.9}}
    start.card.reach = Reach(half=8, most=20, places=4)
    fitted = quick_fit(image, labels, start)
    assert fitted.card.measures == {} and fitted.card.reach is None
    assert start.card.measures and start.card.reach


def test_the_command_prints_the_same_text() -> None:
    name = list_models()[0]
    result = CliRunner().invoke(app, ["info", name, "--markdown"])
    assert result.exit_code == 0
    assert result.stdout == card_markdown(read_summary(model_path(name)))


def test_a_bare_card_has_no_empty_sections(tmp_path: Path) -> None:
    model = tiny_model()
    model.card = ModelCard(name="bare")
    text = card_markdown(read_summary(save_model(model, tmp_path / "bare")))
    assert text.startswith("# bare\n\n## Classes\n")
    assert "Not for" not in text and "How good" not in text and "Training data" not in text
    assert "| 2 | plant |" in text and "| soil 1 | soil | – | – |" in text


def test_names_cannot_break_a_table(tmp_path: Path) -> None:
    model = tiny_model()
    model.prototypes[0].name = "a|b"
    model.card = ModelCard(history=[{"what": "edit", "kind": "merge", "share": 0.123456}])
    text = card_markdown(read_summary(save_model(model, tmp_path / "odd")))
    assert "| a\\|b | soil |" in text
    assert "- edit: kind merge, share 0.1235" in text


def test_an_edition_is_told_by_the_last_change() -> None:
    card = ModelCard(name="plot", created="2026-05-04T03:02:01+00:00")
    assert card.edition == "model plot, as of 2026-05-04 03:02 UTC"
    card.history = [{"what": "merge", "when": "2026-06-01T12:00:59+02:00"}, {"what": "old entry"}]
    assert card.edition == "model plot, as of 2026-06-01 10:00 UTC"
    card.history[-1]["when"] = "last summer"
    assert card.edition == "model plot, as of last summer"


def test_the_last_entry_of_the_log_is_told_in_a_few_words() -> None:
    card = ModelCard()
    assert card.last_entry.title.strip() == ""
    card.log("merge", prototypes=["weed 1", "weed 2"])
    assert card.last_entry.title == "merge weed 1, weed 2"
    card.log("rename", prototypes=["weed 1"], to="thistle")
    assert card.last_entry.title == "rename weed 1 to thistle"
    card.log("adapt", to=["soil", "plant"])
    assert card.last_entry.to == ["soil", "plant"]
    assert all(entry["when"] for entry in card.history)


def test_false_alarms_are_told_where_they_are_known(tmp_path: Path) -> None:
    model = tiny_model()
    known = {"images": 32, "iou": {}, "miou": 0.8, "ece": 0.01}
    model.card.measures = {"val": known, "test": {**known, "unlike": 0.0625}}
    text = card_markdown(read_summary(save_model(model, tmp_path / "alarms")))
    assert "calibration error | called unlike |" in text and "false alarms" in text
    assert "| test | 32 | 0.8000 | – | 0.0100 | 6% |" in text
    assert "| val | 32 | 0.8000 | – | 0.0100 | – |" in text
    model.card.measures = {"val": known}
    text = card_markdown(read_summary(save_model(model, tmp_path / "none")))
    assert "called unlike" not in text and "false alarms" not in text
