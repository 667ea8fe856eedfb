"""``info``: a model's card in the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_gaussproto.core.model.model_file import load_model_file, save_model
from napari_gaussproto.core.model.summary import list_models
from tests.commands.conftest import Cli


def row(text: str, *starts: str) -> str:
    """The one line of a table in which these texts follow each other."""
    [line] = [line for line in text.splitlines() if all(start in line for start in starts)]
    return line


def test_the_card_is_shown_as_it_is_written(cli: Cli, model_file: Path) -> None:
    result = cli("info", model_file)
    assert result.code == 0 and result.err == ""
    text = " ".join(result.out.split())
    for part in (
        "tiny [a/b]", "Soil and plants of a drawing.", "grid partition, backbone mobilenetv3_small",
        "cells of 4 px, D = 8, diagonal covariance", "Licence of the data: CC0. nobody",
        "Cite: A paper [1]", "Not for • real fields [/red]", "■ soil ■ plant",
    ):  # fmt: skip
        assert part in text
    assert str(model_file) in result.out.replace("\n", "")


def test_prototypes_and_measures_are_tables(cli: Cli, model_file: Path) -> None:
    out = cli("info", model_file).out
    model = load_model_file(model_file)
    for m, prototype in enumerate(model.prototypes):
        line = row(out, f" {prototype.name} ")
        assert model.classes[prototype.class_index].name in line
        assert f"{0.125 + 0.25 * m:.0%}" in line and "–" in line  # no purity
    assert row(out, "split", "images", "mean IoU", "soil", "plant", "calibration error")
    assert row(out, " val ").split() == ["val", "3", "0.7000", "0.9123", "–", "–", "0.0120"]


def test_a_model_without_measures_has_no_table_of_them(
    cli: Cli, model_file: Path, tmp_path: Path
) -> None:
    model = load_model_file(model_file)
    model.card.measures, model.card.not_for, model.card.licence = {}, [], ""
    out = cli("info", save_model(model, tmp_path / "plain.safetensors")).out
    assert "Prototypes" in out
    assert "How good" not in out and "Not for" not in out and "Licence" not in out


@pytest.mark.parametrize("name", list_models())
def test_shipped_models_tell_their_terms(cli: Cli, name: str) -> None:
    out = cli("info", name).out
    assert name in out and "Licence of the data" in out and "How good it is" in out


def test_what_is_no_model_is_a_sentence(cli: Cli, tmp_path: Path, photos: list[Path]) -> None:
    assert "There is no model “none”" in cli("info", "none").one_sentence()
    assert "There is no model" in cli("info", tmp_path).one_sentence()
    assert "“plot.png” is not a model file" in cli("info", photos[0]).one_sentence()
