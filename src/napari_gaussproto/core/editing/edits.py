"""A person's edits of a model's prototypes, as pure functions.

Each returns a new model that shares the extractor, so nothing large is copied, and leaves the
old one as it was: keeping the old one is an exact undo (see `EditHistory`). What was done is
appended to the history in the model's card and travels with the file.

A prototype ``m`` is given by its index or its name; one that is not there is a `PrototypeError`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count, zip_longest
from string import ascii_lowercase
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_gaussproto.core.base.errors import EditError
from napari_gaussproto.core.base.quantiles import quantiles_of
from napari_gaussproto.core.imaging.patches import PATCHES, Patches, no_patches
from napari_gaussproto.core.mixture import surgery
from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer
from napari_gaussproto.core.model.segmentation import Prototype, prototype_index
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter

# Gives the patches of cells, by their row in the cells that an edit was given.
Cutter = Callable[[Sequence[int]], Patches]

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


def turn_off(model: PrototypeSegmenter, m: int | str) -> PrototypeSegmenter:
    """Mask a prototype: it explains nothing until it is turned on again.

    Its class may lose its last active prototype that way; then no pixel gets that class.

    Raises
    ------
    EditError
        When it is the last active one of all.
    """
    m, prototype = _refuse_last(model, m)
    layer = surgery.with_active(model.layer, m, False)
    return _changed(model, layer, list(model.prototypes), "turn off", [prototype.name])


def turn_on(model: PrototypeSegmenter, m: int | str) -> PrototypeSegmenter:
    """Take a prototype into use again, exactly as it was."""
    m, prototype = _found(model, m)
    layer = surgery.with_active(model.layer, m, True)
    return _changed(model, layer, list(model.prototypes), "turn on", [prototype.name])


def rename(model: PrototypeSegmenter, m: int | str, name: str) -> PrototypeSegmenter:
    """Give a prototype another name.

    Raises
    ------
    EditError
        When the name is empty or taken.
    """
    name = name.strip()
    m, former = _found(model, m)
    if not name:
        raise EditError("A prototype needs a name: type at least one letter.")
    prototypes = list(model.prototypes)
    _refuse_taken(name, prototypes[:m] + prototypes[m + 1 :])
    prototypes[m] = replace(former, name=name)
    layer = surgery.duplicate(model.layer)
    return _changed(model, layer, prototypes, "rename", [former.name], predicts_alike=True, to=name)


def reassign(model: PrototypeSegmenter, m: int | str, class_index: int | str) -> PrototypeSegmenter:
    """Give a prototype to another class.

    Which cells it makes up stays exactly as it is, see `surgery.with_class`; only
    the class that they count for changes. A name made of the old class' name becomes one of
    the new class.

    Raises
    ------
    EditError
        When there is no such class.
    """
    m, prototype = _found(model, m)
    class_index, to = _class(model, class_index)
    prototypes = list(model.prototypes)
    name = prototype.name
    if is_automatic(model, prototype):
        name = next_name(model, class_index)
    prototypes[m] = replace(prototype, name=name, class_index=class_index, usage=float("nan"))
    layer = surgery.with_class(model.layer, m, class_index)
    return _changed(model, layer, prototypes, "reassign", [prototype.name], to=to)


def merge(
    model: PrototypeSegmenter, a: int | str, b: int | str, cells: Tensor | None = None
) -> PrototypeSegmenter:
    """Merge prototype ``b`` into ``a`` by moment matching; the later ones move up by one.

    Parameters
    ----------
    model : PrototypeSegmenter
    a, b : int or str
        Two active prototypes of one class.
    cells : (N, D) Tensor, optional
        Latents to measure the typicality of the result by; without them it follows from the
        Gaussian.

    Raises
    ------
    EditError
        When the two cannot be merged.
    """
    (a, first), (b, second) = _found(model, a), _found(model, b)
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
    cells = model.layer.mean[:0] if cells is None else cells
    row = a - (b < a)
    prototypes = [p for m, p in enumerate(model.prototypes) if m != b]
    patches, labels = _interleaved(first, second)
    prototypes[row] = replace(
        first,
        patches=patches,
        patch_labels=labels,
        usage=first.usage + second.usage,
        purity=purity_of(labels),
        distance_quantiles=_quantiles(layer, row, cells[_owned(layer, row, cells)]),
    )
    return _changed(model, layer, prototypes, "merge", [first.name, second.name])


def split(
    model: PrototypeSegmenter, m: int | str, cells: Tensor | None = None, cut: Cutter | None = None
) -> PrototypeSegmenter:
    """Divide a prototype in two, which take the places ``m`` and ``m + 1``.

    Parameters
    ----------
    model : PrototypeSegmenter
    m : int or str
    cells : (N, D) Tensor, optional
        Latents of an image. With them the parts are the 2-means clusters of the cells that the
        prototype is most responsible for; see `split_by_cells`. Without, or when those are too few,
        they are the halves of the Gaussian across its largest spread.
    cut : callable, optional
        Gives the patches of some of these cells; otherwise both parts keep all patches.
    """
    m, prototype = _found(model, m)
    cells = model.layer.mean[:0] if cells is None else cells
    layer, rows = _halves(model.layer, m, cells)
    sizes = [len(part) or 1 for part in rows]
    parts = [
        replace(
            prototype,
            usage=prototype.usage * sizes[side] / sum(sizes),
            distance_quantiles=_quantiles(layer, m + side, cells[part]),
            **_pictures(prototype, layer, m + side, cells[part], part, cut),
        )
        for side, part in enumerate(rows)
    ]
    prototypes = list(model.prototypes)
    taken = {p.name for p in prototypes}
    names = [new for a in ascii_lowercase if (new := f"{prototype.name}{a}") not in taken][:2]
    if len(names) < 2:
        raise EditError(f"“{prototype.name}” was split too often: rename it first.")
    for part, name in zip(parts, names, strict=True):
        # Neither is the former one, so an edit that waits for that one must find none of them.
        part.name, part.identity = name, object()
    prototypes[m : m + 1] = parts
    return _changed(model, layer, prototypes, "split", [prototype.name], into=names)


def delete(
    model: PrototypeSegmenter, m: int | str, what: str = "delete", **details: Any
) -> PrototypeSegmenter:
    """Remove a prototype; the later ones move up by one.

    The card's log says what was done, and the details; see `ModelCard.log`.

    Raises
    ------
    EditError
        When it is the last active one of all.
    """
    m, prototype = _refuse_last(model, m)
    keep = [i for i in range(len(model.prototypes)) if i != m]
    layer = surgery.select(model.layer, keep)
    kept = [model.prototypes[i] for i in keep]
    return _changed(model, layer, kept, what, [prototype.name], **details)


def add(
    model: PrototypeSegmenter,
    class_index: int | str,
    cells: Tensor,
    name: str | None = None,
    patches: Patches | None = None,
) -> PrototypeSegmenter:
    """Add a prototype with the mean and scale of some cells, at the end of the list.

    Parameters
    ----------
    model : PrototypeSegmenter
    class_index : int or str
        The class, by its index or name.
    cells : (N, D) Tensor
        Latents, at least one.
    name : str, optional
        By default the class' name and the next free number.
    patches : (K, S, S, 3) ndarray of uint8, optional
        Pictures of some of the cells.

    Raises
    ------
    EditError
        When there are no cells or no such class, or when the name is taken.
    """
    class_index, _ = _class(model, class_index)
    if not len(cells):
        raise EditError("The region holds no cell: paint a larger one.")
    name = name.strip() if name else next_name(model, class_index)
    _refuse_taken(name, model.prototypes)
    mean, scale = surgery.moments_of(model.layer, cells)
    layer = surgery.append(model.layer, class_index, mean, scale)
    shown = no_patches() if patches is None else patches[:PATCHES]
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
    card = model.card.model_copy(update={"name": name}, deep=True)
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
        mark = ", before edits"
        card.measures = {f"{k.removesuffix(mark)}{mark}": v for k, v in card.measures.items()}
    card.log(what, prototypes=list(names), **details)
    edited = model.with_layer(layer, prototypes, card)
    edited.class_quantiles = _levels_after(model, edited)
    return edited


@torch.no_grad()
def _levels_after(
    model: PrototypeSegmenter, edited: PrototypeSegmenter
) -> npt.NDArray[np.float32] | None:
    """Quantiles of log p(z|c) over training cells, (C, QUANTILES), though these are not at hand.

    Weights within a class sum to 1: all prototypes that stay there as they were gain or lose the
    same factor, and the density of the cells that they explain does. Nothing is known of the cells
    of a class that had no prototype.
    """
    if model.class_quantiles is None:
        return None
    levels = model.class_quantiles.copy()
    place = {id(prototype): m for m, prototype in enumerate(model.prototypes)}
    old, weight, weight_now = model.layer.active, model.layer.log_weight, edited.layer.log_weight
    pairs = zip(levels, model.layer.members(), edited.layer.members(), strict=True)
    for known, before, after in pairs:
        now = {place.get(id(edited.prototypes[m])): m for m in after.tolist()}
        stays = [m for m in now if m is not None and bool(old[m])]
        if stays:
            known += float(weight_now[now[stays[0]]] - weight[stays[0]])
        elif None in now and not len(before):
            known[:] = np.nan
    return levels


def _found(model: PrototypeSegmenter, which: int | str) -> tuple[int, Prototype]:
    """A prototype by its index or name, with its index."""
    m = prototype_index(model.prototypes, which)
    return m, model.prototypes[m]


def _class(model: PrototypeSegmenter, which: int | str) -> tuple[int, str]:
    """Index and name of a class by either of them."""
    names = [entry.name for entry in model.classes]
    if isinstance(which, str) and which in names:
        return names.index(which), which
    if isinstance(which, int | np.integer) and 0 <= which < len(names):
        return int(which), names[which]
    raise EditError(
        f"There is no class {which!r}: give one of {', '.join(names)}, or a number from 0."
    )


def _refuse_last(model: PrototypeSegmenter, which: int | str) -> tuple[int, Prototype]:
    """The prototype and its index, unless nothing would be left without it."""
    m, prototype = _found(model, which)
    if bool(model.layer.active[m]) and int(model.layer.active.sum()) == 1:
        raise EditError(
            f"“{prototype.name}” is the last prototype that is on, and a model needs one: "
            "turn another one on first."
        )
    return m, prototype


def _refuse_taken(name: str, others: Sequence[Prototype]) -> None:
    if any(p.name == name for p in others):
        raise EditError(f"Another prototype is called “{name}” already: choose a different name.")


def is_automatic(model: PrototypeSegmenter, prototype: Prototype) -> bool:
    """Whether a name was made of that of the class, and not given by a person."""
    stem, _, number = prototype.name.rpartition(" ")
    return stem == model.classes[prototype.class_index].name and number.isdigit()


def free_name(stem: str, taken: Container[str], first: int = 1) -> str:
    """A class' name with the first number from ``first`` on that no prototype has."""
    return next(name for n in count(first) if (name := f"{stem} {n}") not in taken)


def next_name(model: PrototypeSegmenter, class_index: int) -> str:
    """Name of one more prototype of a class."""
    siblings = sum(p.class_index == class_index for p in model.prototypes)
    taken = {p.name for p in model.prototypes}
    return free_name(model.classes[class_index].name, taken, 1 + siblings)


def _interleaved(first: Prototype, second: Prototype) -> tuple[Patches, npt.NDArray[np.int64]]:
    """Patches of two prototypes in turn, nearest first, with their labels."""
    pairs = zip_longest(
        zip(first.patches, first.patch_labels, strict=False),
        zip(second.patches, second.patch_labels, strict=False),
    )
    chosen = [entry for pair in pairs for entry in pair if entry is not None][:PATCHES]
    if not chosen:
        return no_patches(), np.zeros(0, np.int64)
    return np.stack([patch for patch, _ in chosen]), np.array([int(c) for _, c in chosen])


def purity_of(labels: npt.NDArray[np.int64]) -> float:
    """Share of the commonest class among the labels (K,) of patches; NaN when there are none."""
    return float(np.bincount(labels).max() / len(labels)) if len(labels) else float("nan")


@torch.no_grad()
def _owned(layer: GaussianPrototypeLayer, m: int, cells: Tensor) -> Tensor:
    """Rows of the cells that a prototype is most responsible for."""
    responsible = layer.scores(cells).log_assignment.argmax(1)
    return (responsible == m).nonzero().flatten()


@torch.no_grad()
def _quantiles(layer: GaussianPrototypeLayer, m: int, own: Tensor) -> npt.NDArray[np.float32]:
    """Quantiles of the distances of a prototype's own cells; empty when those are few."""
    if len(own) < _FEWEST_FOR_QUANTILES:
        return np.zeros(0, np.float32)
    return quantiles_of(layer.scores(own).mahalanobis[:, m])


def _halves(
    layer: GaussianPrototypeLayer, m: int, cells: Tensor
) -> tuple[GaussianPrototypeLayer, list[Tensor]]:
    """Parts by the prototype's cells and the rows of each, which are none if those are few."""
    own = _owned(layer, m, cells)
    if len(own) >= 2 * surgery.FEWEST_CELLS:
        generator = torch.Generator().manual_seed(0)
        own = own[torch.randperm(len(own), generator=generator)[:_MOST_CELLS].to(own.device)]
        with suppress(ValueError):
            divided, part = surgery.split_by_cells(layer, m, cells[own])
            return divided, [own[part == side] for side in (0, 1)]
    return surgery.split(layer, m), [own[:0], own[:0]]


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
    if cut is None or not len(rows):
        # Copies, because a model file cannot hold one array twice.
        return {"patches": whole.patches.copy(), "patch_labels": whole.patch_labels.copy()}
    nearest = layer.scores(own).mahalanobis[:, m].argsort()[:PATCHES]
    return {
        "patches": cut(rows[nearest].tolist()),
        "patch_labels": np.zeros(0, np.int64),
        "purity": float("nan"),
    }
