"""A person's edits of a model: exact undo, names, statistics, and the way into a file."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_gaussproto.core.base.errors import EditError, PrototypeError
from napari_gaussproto.core.base.quantiles import quantiles_of
from napari_gaussproto.core.editing import edits
from napari_gaussproto.core.editing.undo import EditHistory
from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer
from napari_gaussproto.core.model.encoding import Encoding
from napari_gaussproto.core.model.model_file import load_model_file, save_model
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from tests.core.builders import tiny_model, two_tone

# soil 1, soil 2, plant 1, plant 2


@pytest.fixture
def model() -> PrototypeSegmenter:
    model = tiny_model()
    for m, prototype in enumerate(model.prototypes):
        prototype.patches = np.full((3, 48, 48, 3), 10 * m, np.uint8)
        prototype.patch_labels = np.full(3, prototype.class_index)
        prototype.usage, prototype.purity = 0.5, 1.0
    model.card.measures = {"test": {"images": 2, "iou": {}, "miou": 0.9, "ece": 0.1}}
    return model


@pytest.fixture
def encoding(model: PrototypeSegmenter) -> Encoding:
    return segment(two_tone()[0], model).encoding


def fingerprint(model: PrototypeSegmenter) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


EDITS: dict[str, Callable[[PrototypeSegmenter, Encoding], PrototypeSegmenter]] = {
    "turn off": lambda model, encoding: edits.turn_off(model, 1),
    "turn on": lambda model, encoding: edits.turn_on(model, 1),
    "rename": lambda model, encoding: edits.rename(model, 1, "wet soil"),
    "reassign": lambda model, encoding: edits.reassign(model, 1, 1),
    "merge": lambda model, encoding: edits.merge(model, 2, 3, encoding.latents),
    "split": lambda model, encoding: edits.split(model, 0, encoding.latents),
    "delete": lambda model, encoding: edits.delete(model, 0),
    "add": lambda model, encoding: edits.add(model, 1, encoding.latents[:40]),
}


@pytest.mark.parametrize("what", EDITS)
def test_every_edit_leaves_the_old_model_alone_and_shares_the_extractor(
    model: PrototypeSegmenter, encoding: Encoding, what: str
) -> None:
    before, card = fingerprint(model), model.card.model_copy(deep=True)
    names = [p.name for p in model.prototypes]
    edited = EDITS[what](model, encoding)
    assert edited.extractor is model.extractor
    assert edited.layer is not model.layer
    assert all(torch.equal(model.state_dict()[key], value) for key, value in before.items())
    assert model.card == card
    assert [p.name for p in model.prototypes] == names
    assert len(edited.prototypes) == edited.layer.n_prototypes
    assert [p.class_index for p in edited.prototypes] == edited.layer.class_index.tolist()
    assert edited.card.history[-1]["what"] == what
    assert len({p.name for p in edited.prototypes}) == len(edited.prototypes)


@pytest.mark.parametrize("what", EDITS)
def test_an_edited_model_saves_and_loads_like_any_other(
    model: PrototypeSegmenter, encoding: Encoding, what: str, tmp_path: Path
) -> None:
    edited = edits.turn_off(EDITS[what](model, encoding), 2)
    again = load_model_file(save_model(edited, tmp_path / "edited", half=False))
    assert again.layer.active.tolist() == edited.layer.active.tolist()
    assert again.card.history == edited.card.history
    np.testing.assert_array_equal(
        again.decode(encoding).class_probabilities(), edited.decode(encoding).class_probabilities()
    )
    for ours, theirs in zip(edited.prototypes, again.prototypes, strict=True):
        assert ours.name == theirs.name
        np.testing.assert_array_equal(ours.patches, theirs.patches)
        np.testing.assert_array_equal(ours.distance_quantiles, theirs.distance_quantiles)


def test_off_then_on_is_bit_identical(model: PrototypeSegmenter, encoding: Encoding) -> None:
    again = edits.turn_on(edits.turn_off(model, 1), 1)
    first, second = model.decode(encoding), again.decode(encoding)
    np.testing.assert_array_equal(first.class_probabilities(), second.class_probabilities())
    for m in range(4):
        np.testing.assert_array_equal(first.likelihood(m), second.likelihood(m))


def test_deleting_predicts_as_turning_off(model: PrototypeSegmenter, encoding: Encoding) -> None:
    off, gone = edits.turn_off(model, 1), edits.delete(model, 1)
    np.testing.assert_allclose(
        off.decode(encoding).class_probabilities(),
        gone.decode(encoding).class_probabilities(),
        atol=1e-6,
    )


def test_a_class_without_active_prototypes_is_never_predicted(
    model: PrototypeSegmenter, encoding: Encoding
) -> None:
    assert (model.decode(encoding).labels == 2).any()
    edited = edits.turn_off(edits.turn_off(model, 2), 3)
    segmentation = edited.decode(encoding)
    assert (segmentation.labels == 1).all()
    assert np.isfinite(segmentation.novelty()).all()


@pytest.mark.parametrize("final", [edits.turn_off, edits.delete])
def test_the_last_active_prototype_stays(
    model: PrototypeSegmenter, final: Callable[[PrototypeSegmenter, int], PrototypeSegmenter]
) -> None:
    for m in (0, 1, 2):
        model = edits.turn_off(model, m)
    with pytest.raises(EditError, match="last prototype that is on"):
        final(model, 3)
    assert len(edits.delete(model, 0).prototypes) == 3


def test_rename_refuses_what_would_confuse(model: PrototypeSegmenter) -> None:
    assert edits.rename(model, 1, "  wet soil ").prototypes[1].name == "wet soil"
    assert edits.rename(model, 1, "soil 2").prototypes[1].name == "soil 2"
    with pytest.raises(EditError, match="needs a name"):
        edits.rename(model, 1, "  ")
    with pytest.raises(EditError, match="“soil 1” already"):
        edits.rename(model, 1, "soil 1")


def test_reassigning_renames_only_automatic_names(model: PrototypeSegmenter) -> None:
    assert edits.reassign(model, 1, 1).prototypes[1].name == "plant 3"
    named = edits.rename(model, 1, "moss")
    assert edits.reassign(named, 1, 1).prototypes[1].name == "moss"
    with pytest.raises(EditError, match="no class 7: give one of"):
        edits.reassign(model, 1, 7)


def test_reassigning_moves_exactly_the_responsibility(
    model: PrototypeSegmenter, encoding: Encoding
) -> None:
    before, after = model.decode(encoding), edits.reassign(model, 1, 1).decode(encoding)
    for m in range(4):
        np.testing.assert_allclose(before.responsibility(m), after.responsibility(m), atol=1e-5)


def test_merging_combines_statistics(model: PrototypeSegmenter, encoding: Encoding) -> None:
    merged = edits.merge(model, 3, 2)
    assert [p.name for p in merged.prototypes] == ["soil 1", "soil 2", "plant 2"]
    result = merged.prototypes[2]
    assert result.usage == pytest.approx(1.0)
    assert [int(p[0, 0, 0]) for p in result.patches] == [30, 20, 30, 20, 30, 20]
    assert len(result.distance_quantiles) == 0
    measured = edits.merge(model, 3, 2, encoding.latents).prototypes[2].distance_quantiles
    layer = merged.layer
    owner = layer.scores(encoding.latents).log_assignment.argmax(1)
    own = layer.scores(encoding.latents).mahalanobis[owner == 2, 2].detach()
    assert measured[0] == pytest.approx(float(own.min()), rel=1e-4)
    assert measured[-1] == pytest.approx(float(own.max()), rel=1e-4)


def test_merging_refuses_with_a_sentence(model: PrototypeSegmenter) -> None:
    with pytest.raises(EditError, match="two prototypes"):
        edits.merge(model, 1, 1)
    with pytest.raises(EditError, match="different classes"):
        edits.merge(model, 1, 2)
    with pytest.raises(EditError, match="turn both on"):
        edits.merge(edits.turn_off(model, 0), 0, 1)


def test_splitting_divides_the_cells_of_the_prototype(
    model: PrototypeSegmenter, encoding: Encoding
) -> None:
    layer = model.layer
    own = layer.scores(encoding.latents).log_assignment.argmax(1) == 0
    seen: list[int] = []

    def cut(rows: list[int]) -> np.ndarray:
        seen.extend(rows)
        return np.zeros((len(rows), 48, 48, 3), np.uint8)

    parts = edits.split(model, 0, encoding.latents, cut)
    names = [p.name for p in parts.prototypes]
    assert names == ["soil 1a", "soil 1b", "soil 2", "plant 1", "plant 2"]
    assert len(seen) == 16 and own[seen].all()
    weight = parts.layer.log_weight.exp()
    torch.testing.assert_close(weight[:2].sum(), layer.log_weight.exp()[0])
    mean = weight[:2] @ parts.layer.mean[:2] / weight[:2].sum()
    torch.testing.assert_close(mean, layer.mean[0])
    assert sum(p.usage for p in parts.prototypes[:2]) == pytest.approx(0.5)


def test_splitting_without_cells_keeps_the_moments(model: PrototypeSegmenter) -> None:
    model.layer.set_parameters(model.layer.mean, model.layer.scale + 1)
    parts = edits.split(model, 0).layer
    torch.testing.assert_close(parts.mean[:2].mean(0), model.layer.mean[0])
    second = (parts.scale[:2].square() + parts.mean[:2].square()).mean(0)
    expected = model.layer.scale[0].square() + model.layer.mean[0].square()
    torch.testing.assert_close(second, expected, atol=1e-3, rtol=1e-3)


def test_splitting_again_and_again_finds_new_names(model: PrototypeSegmenter) -> None:
    twice = edits.split(edits.split(model, 0), 0)
    assert [p.name for p in twice.prototypes[:3]] == ["soil 1aa", "soil 1ab", "soil 1b"]


def test_an_added_prototype_explains_its_cells(
    model: PrototypeSegmenter, encoding: Encoding
) -> None:
    cell, row = encoding.partition.cell_at(90, 120), 128 // 4
    block = [cell + dy * row + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    # Something new lies there, of a kind that the model takes for soil.
    latents = encoding.latents.clone()
    latents[block] += 0.5 * (latents[block] - model.layer.mean[2:].mean(0).detach())
    encoding = Encoding(latents, encoding.partition)
    assert model.decode(encoding).labels[90, 120] == 1
    around = latents[block]
    patches = np.zeros((2, 48, 48, 3), np.uint8)
    edited = edits.add(model, 1, around, patches=patches)
    assert edited.prototypes[4].name == "plant 3"
    assert edited.card.history[-1]["prototypes"] == ["plant 3"]
    after = edited.decode(encoding)
    assert after.labels[90, 120] == 2
    assert after.at([cell]).responsibility[0].argmax() == 4
    with pytest.raises(EditError, match="paint a larger"):
        edits.add(model, 1, around[:0])
    with pytest.raises(EditError, match="already"):
        edits.add(model, 1, around, name="plant 1")


def test_measures_are_marked_as_older_than_the_edits(model: PrototypeSegmenter) -> None:
    assert list(edits.rename(model, 0, "x").card.measures) == ["test"]
    twice = edits.turn_off(edits.turn_off(model, 0), 1)
    assert list(twice.card.measures) == ["test, before edits"]


def test_undo_and_redo_over_many_edits(model: PrototypeSegmenter, encoding: Encoding) -> None:
    history = EditHistory(model)
    assert not history.can_undo and not history.can_redo and history.undo_name == ""
    states = [model]
    for apply in (
        lambda now: edits.turn_off(now, 1),
        lambda now: edits.merge(now, 2, 3),
        lambda now: edits.rename(now, 0, "bare soil"),
        lambda now: edits.split(now, 0),
    ):
        history.push(apply(history.model))
        states.append(history.model)
    assert history.names == [
        "turn off soil 2", "merge plant 1, plant 2", "rename soil 1 to bare soil",
        "split bare soil",
    ]  # fmt: skip
    for expected in states[-2::-1]:
        assert history.undone is expected
        assert history.undo() is expected
    assert not history.can_undo and history.redo_name == "turn off soil 2"
    with pytest.raises(EditError, match="undo"):
        history.undo()
    assert history.undone is None
    for expected in states[1:]:
        assert history.redone is expected
        assert history.redo() is expected
    assert history.redone is None
    with pytest.raises(EditError, match="redo"):
        history.redo()
    history.undo()
    history.push(edits.turn_off(history.model, 0))
    assert not history.can_redo and history.names[-1] == "turn off bare soil"
    np.testing.assert_array_equal(
        history.start.decode(encoding).labels, model.decode(encoding).labels
    )


@pytest.mark.parametrize("covariance", ["spherical", "full"])
def test_edits_work_for_every_covariance(covariance: str) -> None:
    model = tiny_model(covariance=covariance)
    encoding = segment(two_tone()[0], model).encoding
    for apply in EDITS.values():
        segmentation = apply(model, encoding).decode(encoding)
        np.testing.assert_allclose(segmentation.class_probabilities().sum(0), 1, atol=1e-5)


def test_a_prototype_is_found_again_after_other_edits(
    model: PrototypeSegmenter, encoding: Encoding
) -> None:
    chosen, first = model.prototypes[2], model.prototypes[0]
    edited = edits.rename(edits.reassign(edits.delete(model, 0), 1, 0), 1, "stone")
    assert edits.index_of(edited, chosen) == 1
    with pytest.raises(EditError, match="“soil 1” is not in the model any more"):
        edits.index_of(edited, first)
    merged = edits.merge(model, 2, 3)
    assert edits.index_of(merged, chosen) == 2
    divided = edits.split(model, 2, encoding.latents)
    with pytest.raises(EditError, match="any more"):
        edits.index_of(divided, chosen)
    halves = divided.prototypes[2:4]
    assert [edits.index_of(divided, half) for half in halves] == [2, 3]


@pytest.mark.parametrize("m", [-1, 4])
def test_a_prototype_that_is_not_there_is_refused_with_a_sentence(
    model: PrototypeSegmenter, m: int
) -> None:
    with pytest.raises(PrototypeError, match=f"no prototype {m}: give"):
        edits.turn_on(model, m)


def test_a_history_goes_along_to_another_device(
    model: PrototypeSegmenter, encoding: Encoding
) -> None:
    history = EditHistory(model)
    history.push(edits.turn_off(model, 1))
    history.push(edits.rename(history.model, 0, "bare"))
    history.undo()
    copied = copy.deepcopy(model.extractor)
    other = history.with_extractor(copied)
    assert other.names == ["turn off soil 2"] and other.redo_name == "rename soil 1 to bare"
    assert other.model.extractor is copied and history.model.extractor is model.extractor
    assert torch.equal(other.model.layer.mean, history.model.layer.mean)
    assert other.model.layer.mean is not history.model.layer.mean
    assert other.model.layer.active.tolist() == [True, False, True, True]
    assert edits.index_of(other.model, model.prototypes[3]) == 3


def test_what_happens_to_a_renamed_model_is_not_written_into_the_other() -> None:
    model = tiny_model()
    edits.named(model, "other").card.log("a fit")
    assert all(entry["what"] != "a fit" for entry in model.card.history)


@pytest.mark.parametrize("what", ["turn off", "reassign", "merge", "split", "delete", "add"])
def test_densities_of_training_cells_follow_an_edit(
    model: PrototypeSegmenter, encoding: Encoding, what: str
) -> None:
    mean = 20 * torch.arange(4.0)[:, None].expand(4, 8)
    model.layer.set_parameters(mean, torch.ones(4, 8), torch.tensor([1.0, 3, 1, 3]))
    # Cells of one prototype of each class that the edit is not about, where there is one.
    own = {0: 1 if what in ("split", "delete") else 0, 1: 2}
    cells = {c: mean[m] + torch.randn(200, 8) for c, m in own.items()}

    def levels(layer: GaussianPrototypeLayer) -> np.ndarray:
        found = (layer.scores(z).class_log_likelihood[:, c] for c, z in cells.items())
        return np.stack([quantiles_of(values) for values in found])

    model.class_quantiles = levels(model.layer)
    edited = EDITS[what](model, encoding)
    touched = [0, 1] if what != "merge" else [0]
    wanted = levels(edited.layer)[touched]
    assert edited.class_quantiles[touched] == pytest.approx(wanted, abs=0.01)
    back = edits.turn_on(edits.turn_off(edited, 0), 0)
    assert back.class_quantiles == pytest.approx(edited.class_quantiles, abs=1e-4)
    assert np.array_equal(model.class_quantiles, levels(model.layer))


def test_nothing_is_claimed_of_a_class_that_had_no_prototype(
    model: PrototypeSegmenter, encoding: Encoding
) -> None:
    model = edits.delete(edits.delete(model, 3), 2)
    model.class_quantiles = np.zeros((2, 101), np.float32)
    model.density_quantiles = np.zeros(101, np.float32)
    edited = edits.reassign(model, 1, 1)
    assert np.isnan(edited.class_quantiles[1]).all() and edited.class_quantiles[0, 0] > 0
    assert edited.decode(encoding).compared_with == "training cells"
    assert edits.turn_off(edited, 1).decode(encoding).compared_with.endswith("of its class")
