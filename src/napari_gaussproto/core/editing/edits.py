"""A person's edits of a model's prototypes, as pure functions.

Each returns a new model that shares the extractor, so nothing large is copied, and leaves the
old one as it was: keeping the old one is an exact undo (see `EditHistory`). What was done is
appended to the history in the model's card and travels with the file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_gaussproto.core.base.errors import EditError
from napari_gaussproto.core.imaging.patches import Patches, no_patches
from napari_gaussproto.core.mixture import surgery
from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer
from napari_gaussproto.core.model.segmentation import Prototype, quantiles_of
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter

# Gives the patches of cells, by their row in the cells that an edit was given.
Cutter = Callable[[Sequence[int]], Patches]

_PATCHES = 8
# Fewer cells say too little about how far a prototype's own cells lie from it.
_FEWEST_FOR_QUANTILES = 20
_MOST_CELLS = 5000


def index_of(model: PrototypeSegmenter, prototype: Prototype) -> int:
    """Where a prototype is in a model, which may have been edited since it was seen.

    Raises
    ------
    EditError
        When it is not there any more.
    """
    for m, other in enumerate(model.prototypes):
        if other.identity is prototype.identity:
            return m
    raise EditError(
        f"“{prototype.name}” is not in the model any more: choose another prototype, or undo."
    )


def turn_off(model: PrototypeSegmenter, m: int) -> PrototypeSegmenter:
    """Mask a prototype: it explains nothing until it is turned on again.

    Its class may lose its last active prototype that way; then no pixel gets that class.

    Raises
    ------
    EditError
        When it is the last active one of all.
    """
    prototype = _refuse_last(model, m)
    layer = surgery.with_active(model.layer, m, False)
    return _changed(model, layer, list(model.prototypes), "turn off", [prototype.name])


def turn_on(model: PrototypeSegmenter, m: int) -> PrototypeSegmenter:
    """Take a prototype into use again, exactly as it was."""
    prototype = _prototype(model, m)
    layer = surgery.with_active(model.layer, m, True)
    return _changed(model, layer, list(model.prototypes), "turn on", [prototype.name])


def rename(model: PrototypeSegmenter, m: int, name: str) -> PrototypeSegmenter:
    """Give a prototype another name.

    Raises
    ------
    EditError
        When the name is empty or taken.
    """
    name = name.strip()
    former = _prototype(model, m)
    if not name:
        raise EditError("A prototype needs a name: type at least one letter.")
    if any(p.name == name for i, p in enumerate(model.prototypes) if i != m):
        raise EditError(f"Another prototype is called “{name}” already: choose a different name.")
    prototypes = list(model.prototypes)
    prototypes[m] = replace(former, name=name)
    layer = surgery.duplicate(model.layer)
    return _changed(model, layer, prototypes, "rename", [former.name], predicts_alike=True, to=name)


def reassign(model: PrototypeSegmenter, m: int, class_index: int) -> PrototypeSegmenter:
    """Give a prototype to another class.

    Which cells it is responsible for stays exactly as it is, see `surgery.with_class`; only
    the class that they count for changes. A name made of the old class' name becomes one of
    the new class.

    Raises
    ------
    EditError
        When there is no such class.
    """
    prototype = _prototype(model, m)
    _class_name(model, class_index)
    prototypes = list(model.prototypes)
    name = prototype.name
    if _is_automatic(model, prototype):
        name = _free_name(model, class_index)
    prototypes[m] = replace(prototype, name=name, class_index=class_index, usage=float("nan"))
    layer = surgery.with_class(model.layer, m, class_index)
    to = model.classes[class_index].name
    return _changed(model, layer, prototypes, "reassign", [prototype.name], to=to)


def merge(
    model: PrototypeSegmenter, a: int, b: int, cells: Tensor | None = None
) -> PrototypeSegmenter:
    """Merge prototype ``b`` into ``a`` by moment matching; the later ones move up by one.

    Parameters
    ----------
    model : PrototypeSegmenter
    a, b : int
        Two active prototypes of one class.
    cells : Tensor, optional
        (N, D) latents to measure the typicality of the result by; without them it follows
        from the Gaussian.

    Raises
    ------
    EditError
        When the two cannot be merged.
    """
    first, second = _prototype(model, a), _prototype(model, b)
    if a == b:
        raise EditError("Merging needs two prototypes: choose another one.")
    if first.class_index != second.class_index:
        raise EditError(
            f"“{first.name}” and “{second.name}” belong to different classes: "
            "give one of them to the other's class first."
        )
    if not bool(model.layer.active[[a, b]].all()):
        raise EditError("Only prototypes that are on can be merged: turn both on first.")
    layer = surgery.merge(model.layer, a, b)
    row = a - (b < a)
    prototypes = [p for m, p in enumerate(model.prototypes) if m != b]
    patches, labels = _interleaved(first, second)
    prototypes[row] = replace(
        first,
        patches=patches,
        patch_labels=labels,
        usage=first.usage + second.usage,
        purity=_purity(labels),
        distance_quantiles=_own_quantiles(layer, row, cells),
    )
    return _changed(model, layer, prototypes, "merge", [first.name, second.name])


def split(
    model: PrototypeSegmenter, m: int, cells: Tensor | None = None, cut: Cutter | None = None
) -> PrototypeSegmenter:
    """Divide a prototype in two, which take the places ``m`` and ``m + 1``.

    Parameters
    ----------
    model : PrototypeSegmenter
    m : int
    cells : Tensor, optional
        (N, D) latents of an image. With them the parts are the 2-means clusters of the cells
        that the prototype is most responsible for, and mean and scale are those of the clusters:
        what it had learned elsewhere is gone. Without, or when those are too few, they are the
        halves of the Gaussian across its largest spread.
    cut : callable, optional
        Gives the patches of some of these cells; otherwise both parts keep all patches.
    """
    prototype = _prototype(model, m)
    own = _owned(model.layer, m, cells)
    halves = _split_cells(model.layer, m, cells, own)
    if halves is None or cells is None:
        layer = surgery.split(model.layer, m)
        unknown = np.zeros(0, np.float32)
        parts = [
            replace(
                prototype,
                patches=prototype.patches.copy(),
                patch_labels=prototype.patch_labels.copy(),
                usage=prototype.usage / 2,
                distance_quantiles=unknown,
            )
            for _ in (0, 1)
        ]
    else:
        layer, rows = halves
        total = sum(map(len, rows))
        parts = [
            replace(
                prototype,
                usage=prototype.usage * len(part) / total,
                distance_quantiles=_quantiles(layer, m + side, cells[part]),
                **_pictures(prototype, layer, m + side, cells[part], part, cut),
            )
            for side, part in enumerate(rows)
        ]
    prototypes = list(model.prototypes)
    taken = {p.name for p in prototypes}
    for part, letter in zip(parts, _two_letters(prototype.name, taken), strict=True):
        # Neither is the former one, so an edit that waits for that one must find none of them.
        part.name, part.identity = f"{prototype.name}{letter}", object()
    prototypes[m : m + 1] = parts
    names = [part.name for part in parts]
    return _changed(model, layer, prototypes, "split", [prototype.name], into=names)


def delete(
    model: PrototypeSegmenter, m: int, what: str = "delete", **details: Any
) -> PrototypeSegmenter:
    """Remove a prototype; the later ones move up by one.

    Parameters
    ----------
    model : PrototypeSegmenter
    m : int
    what, **details
        What the card's log says; see `ModelCard.log`.

    Raises
    ------
    EditError
        When it is the last active one of all.
    """
    prototype = _refuse_last(model, m)
    keep = [i for i in range(len(model.prototypes)) if i != m]
    layer = surgery.select(model.layer, keep)
    kept = [model.prototypes[i] for i in keep]
    return _changed(model, layer, kept, what, [prototype.name], **details)


def add(
    model: PrototypeSegmenter,
    class_index: int,
    cells: Tensor,
    name: str | None = None,
    patches: Patches | None = None,
) -> PrototypeSegmenter:
    """Add a prototype with the mean and scale of some cells, at the end of the list.

    Parameters
    ----------
    model : PrototypeSegmenter
    class_index : int
    cells : Tensor
        (N, D) latents, at least one.
    name : str, optional
        By default the class' name and the next free number.
    patches : ndarray, optional
        (K, S, S, 3) uint8, pictures of some of the cells.

    Raises
    ------
    EditError
        When there are no cells or no such class, or when the name is taken.
    """
    _class_name(model, class_index)
    if not len(cells):
        raise EditError("The region holds no cell: paint a larger one.")
    name = name.strip() if name else _free_name(model, class_index)
    if any(p.name == name for p in model.prototypes):
        raise EditError(f"Another prototype is called “{name}” already: choose a different name.")
    mean, scale = surgery.moments_of(model.layer, cells)
    layer = surgery.append(model.layer, class_index, mean, scale)
    shown = no_patches() if patches is None else patches[:_PATCHES]
    prototype = Prototype(
        name,
        class_index,
        patches=shown,
        patch_labels=np.full(len(shown), class_index, np.int64),
        purity=1.0 if len(shown) else float("nan"),
        distance_quantiles=_quantiles(layer, layer.n_prototypes - 1, cells),
    )
    prototypes = [*model.prototypes, prototype]
    return _changed(model, layer, prototypes, "add", [name], cells=len(cells))


def named(model: PrototypeSegmenter, name: str) -> PrototypeSegmenter:
    """The same model under another name in its card, as when it is saved to another file."""
    card = model.card.model_copy(update={"name": name})
    return model.with_layer(model.layer, model.prototypes, card)


# -- what the edits share -------------------------------------------------------------------


def _changed(
    model: PrototypeSegmenter,
    layer: GaussianPrototypeLayer,
    prototypes: list[Prototype],
    what: str,
    names: Sequence[str],
    *,
    predicts_alike: bool = False,
    **details: object,
) -> PrototypeSegmenter:
    """The edited model, with the edit of the prototypes of these names in its card."""
    card = model.card.model_copy(deep=True)
    if not predicts_alike:
        card.measures = {_before_edits(split): v for split, v in card.measures.items()}
    card.log(what, prototypes=list(names), **details)
    return model.with_layer(layer, prototypes, card)


def _before_edits(split: str) -> str:
    """Name of a measured split once the model is another one."""
    return split if split.endswith("before edits") else f"{split}, before edits"


def _prototype(model: PrototypeSegmenter, m: int) -> Prototype:
    if not 0 <= m < len(model.prototypes):
        raise EditError(
            f"There is no prototype number {m}: the model has {len(model.prototypes)} of them."
        )
    return model.prototypes[m]


def _class_name(model: PrototypeSegmenter, class_index: int) -> str:
    if not 0 <= class_index < len(model.classes):
        raise EditError(
            f"There is no class number {class_index}: the model has {len(model.classes)} classes."
        )
    return model.classes[class_index].name


def _refuse_last(model: PrototypeSegmenter, m: int) -> Prototype:
    """The prototype, unless nothing would be left without it."""
    prototype = _prototype(model, m)
    if bool(model.layer.active[m]) and int(model.layer.active.sum()) == 1:
        raise EditError(
            f"“{prototype.name}” is the last prototype that is on, and a model needs one: "
            "turn another one on first."
        )
    return prototype


def _is_automatic(model: PrototypeSegmenter, prototype: Prototype) -> bool:
    stem, _, number = prototype.name.rpartition(" ")
    return stem == model.classes[prototype.class_index].name and number.isdigit()


def _free_name(model: PrototypeSegmenter, class_index: int) -> str:
    stem = _class_name(model, class_index)
    taken = {p.name for p in model.prototypes}
    number = 1 + sum(p.class_index == class_index for p in model.prototypes)
    while f"{stem} {number}" in taken:
        number += 1
    return f"{stem} {number}"


def _two_letters(name: str, taken: set[str]) -> list[str]:
    letters = (chr(code) for code in range(ord("a"), ord("z") + 1))
    free = [letter for letter in letters if f"{name}{letter}" not in taken]
    if len(free) < 2:
        raise EditError(f"“{name}” was split too often: rename it first.")
    return free[:2]


def _interleaved(first: Prototype, second: Prototype) -> tuple[Patches, npt.NDArray[np.int64]]:
    """Patches of two prototypes in turn, nearest first, with their labels."""
    pairs = zip_longest(
        zip(first.patches, first.patch_labels, strict=False),
        zip(second.patches, second.patch_labels, strict=False),
    )
    chosen = [entry for pair in pairs for entry in pair if entry is not None][:_PATCHES]
    if not chosen:
        return no_patches(), np.zeros(0, np.int64)
    return np.stack([patch for patch, _ in chosen]), np.array([int(c) for _, c in chosen])


def _purity(labels: npt.NDArray[np.int64]) -> float:
    return float(np.bincount(labels).max() / len(labels)) if len(labels) else float("nan")


@torch.no_grad()
def _owned(layer: GaussianPrototypeLayer, m: int, cells: Tensor | None) -> Tensor:
    """Rows of the cells that a prototype is most responsible for."""
    if cells is None or not len(cells):
        return torch.zeros(0, dtype=torch.long)
    responsible = layer.scores(cells).log_responsibility.argmax(1)
    return (responsible == m).nonzero().flatten()


def _own_quantiles(
    layer: GaussianPrototypeLayer, m: int, cells: Tensor | None
) -> npt.NDArray[np.float32]:
    own = _owned(layer, m, cells)
    return _quantiles(layer, m, cells[own] if cells is not None else None)


@torch.no_grad()
def _quantiles(
    layer: GaussianPrototypeLayer, m: int, own: Tensor | None
) -> npt.NDArray[np.float32]:
    """Quantiles of the distances of a prototype's own cells; empty when those are few."""
    if own is None or len(own) < _FEWEST_FOR_QUANTILES:
        return np.zeros(0, np.float32)
    return quantiles_of(layer.scores(own).mahalanobis[:, m])


def _split_cells(
    layer: GaussianPrototypeLayer, m: int, cells: Tensor | None, own: Tensor
) -> tuple[GaussianPrototypeLayer, list[Tensor]] | None:
    """Parts by the prototype's cells and the rows of each; None when the cells do not allow it."""
    if cells is None or len(own) < 2 * surgery.FEWEST_CELLS:
        return None
    generator = torch.Generator().manual_seed(0)
    own = own[torch.randperm(len(own), generator=generator)[:_MOST_CELLS].to(own.device)]
    try:
        divided, part = surgery.split_by_cells(layer, m, cells[own])
    except ValueError:
        return None
    return divided, [own[part == side] for side in (0, 1)]


@torch.no_grad()
def _pictures(
    whole: Prototype,
    layer: GaussianPrototypeLayer,
    m: int,
    own: Tensor,
    rows: Tensor,
    cut: Cutter | None,
) -> dict[str, Any]:
    """Patches of the nearest of a part's own cells, whose true labels are not known."""
    if cut is None:
        # Copies, because a model file cannot hold one array twice.
        return {"patches": whole.patches.copy(), "patch_labels": whole.patch_labels.copy()}
    nearest = layer.scores(own).mahalanobis[:, m].argsort()[:_PATCHES]
    return {
        "patches": cut(rows[nearest].tolist()),
        "patch_labels": np.zeros(0, np.int64),
        "purity": float("nan"),
    }
