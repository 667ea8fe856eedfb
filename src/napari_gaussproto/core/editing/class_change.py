"""The same model for another class table: renamed, merged, dropped and new classes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from pydantic import ValidationError

from napari_gaussproto.core.base.config import ModelConfig, SegmentationClass
from napari_gaussproto.core.base.errors import EditError
from napari_gaussproto.core.editing.edits import free_name, is_automatic, purity_of
from napari_gaussproto.core.editing.network_alone import FEW, network_alone
from napari_gaussproto.core.mixture import surgery
from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer
from napari_gaussproto.core.model.segmentation import Prototype
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter, make_layer


@torch.no_grad()
def adapt(
    model: PrototypeSegmenter,
    classes: Sequence[SegmentationClass],
    mapping: Mapping[int, int | None] | None = None,
) -> PrototypeSegmenter:
    """Carry a model over to another class table.

    Where classes are only renamed, reordered or merged, p(z) and every assignment stay
    as they were. A new class gets prototypes that are off and unfitted:
    `place_unfitted` switches them on once there are labels. Of a model that knows none of the
    classes, or of which no prototype that is on would be left, only the network is taken: all
    prototypes of the new one are off and unfitted, and its card begins anew.

    Parameters
    ----------
    model : PrototypeSegmenter
        It is not changed; the new one shares its extractor, or backbone and neck of it.
    classes : sequence of SegmentationClass
        The new table.
    mapping : mapping of int to int or None, optional
        From the old index of a class to its new one, for renames and merges; None drops it. A
        class that is not mentioned takes the one of its name, or is dropped if there is none.

    Raises
    ------
    EditError
        When the table cannot be one, or the mapping names a class that is not there.
    """
    config = _config(model.config, classes)
    target = _targets(model, config, mapping or {})
    kept = [m for m, p in enumerate(model.prototypes) if target[p.class_index] is not None]
    if not bool(model.layer.active[kept].any()):
        return _begun(model, config)
    taken = {new for new in target if new is not None}
    fresh = [
        c
        for c in range(len(config.classes))
        if c not in taken
        for _ in range(config.prototypes_per_class)
    ]
    layer = _carried(model, config, target, kept, fresh)
    prototypes = _described(model, config, target, kept, fresh)
    card = model.card.model_copy(deep=True)
    card.measures, card.reach = {}, None
    before, after = ([c.name for c in table] for table in (model.classes, config.classes))
    card.log("adapt", **{"from": before}, to=after, mapping=target)
    other = model.with_layer(layer, prototypes, card)
    other.config = config
    if model.class_quantiles is not None:
        # Of a class that became one alone; the cells of merged ones are not known apart.
        shape = len(config.classes), model.class_quantiles.shape[1]
        other.class_quantiles = np.full(shape, np.nan, np.float32)
        for old, new in enumerate(target):
            if new is not None and target.count(new) == 1:
                other.class_quantiles[new] = model.class_quantiles[old]
    if target != list(range(len(config.classes))):
        # What photographs look like is known by the old numbers of the classes.
        other.familiarity = None
    return other


def _begun(model: PrototypeSegmenter, config: ModelConfig) -> PrototypeSegmenter:
    """A new model on the same network, of which nothing is fitted."""
    other = network_alone(model, ModelConfig.model_validate(config.model_dump() | FEW))
    other.layer.active.fill_(False)
    other.card.name = f"{model.card.name}'s network"
    other.card.log("new model", features=model.card.name)
    return other


# -- the parts of an adapted model --------------------------------------------------------------


def _config(config: ModelConfig, classes: Sequence[SegmentationClass]) -> ModelConfig:
    table = [entry.model_dump() for entry in classes]
    try:
        return ModelConfig.model_validate(config.model_dump() | {"classes": table})
    except ValidationError as error:
        raise EditError(
            "A class table needs two classes or more, each with a name of its own: change it."
        ) from error


def _targets(
    model: PrototypeSegmenter, config: ModelConfig, mapping: Mapping[int, int | None]
) -> list[int | None]:
    """New index of every old class, None for one that goes."""
    count = len(config.classes)
    by_name = {entry.name: index for index, entry in enumerate(config.classes)}
    target = [by_name.get(entry.name) for entry in model.classes]
    for old, new in mapping.items():
        if not 0 <= old < len(target):
            raise EditError(
                f"There is no class number {old + 1} to carry over: "
                f"the model has {len(target)} classes."
            )
        if new is not None and not 0 <= new < count:
            raise EditError(
                f"“{model.classes[old].name}” cannot become class number {new + 1}: "
                f"the new class table has {count}."
            )
        target[old] = new
    return target


def _carried(
    model: PrototypeSegmenter,
    config: ModelConfig,
    target: list[int | None],
    kept: list[int],
    fresh: list[int],
) -> GaussianPrototypeLayer:
    """The layer of the new table: the kept rows, then fresh ones."""
    old = model.layer
    became = [target[c] for c in old.class_index[kept].tolist()]
    layer = make_layer(config, [c for c in became if c is not None] + fresh).to(old.mean.device)
    count = len(kept)
    for name in ("mean", "raw_scale", "off_diagonal"):
        getattr(layer, name)[:count] = getattr(old, name)[kept]
    # Weights are compared within a class only, so the logarithms of prior times weight serve
    # as raw ones; those of merged classes are then in proportion.
    layer.raw_weight[:count] = surgery.log_joint(old)[kept]
    layer.active[:count] = old.active[kept]
    layer.active[count:] = False
    layer.raw_prior.fill_(math.log(surgery.EMPTY_PRIOR))
    alive = set(old.class_index[old.active].tolist())
    for new in range(layer.n_classes):
        pooled = [c for c, became_ in enumerate(target) if became_ == new]
        # One whose prototypes are all off brings no cells along.
        if pooled := [c for c in pooled if c in alive] or pooled:
            layer.raw_prior[new] = old.log_prior[pooled].logsumexp(0)
    layer.log_temperature.copy_(old.log_temperature)
    return layer


def _described(
    model: PrototypeSegmenter,
    config: ModelConfig,
    target: list[int | None],
    kept: list[int],
    fresh: list[int],
) -> list[Prototype]:
    """What is known about the prototypes, under the new table."""
    names = {model.prototypes[m].name for m in kept}
    prototypes = []
    for m in kept:
        former = model.prototypes[m]
        before, after = former.class_index, target[former.class_index]
        assert after is not None
        name, title = former.name, config.classes[after].name
        # A name made of the class' name follows it; one that a person gave stays.
        if is_automatic(model, former) and model.classes[before].name != title:
            name = free_name(title, names)
            names.add(name)
        labels = _patch_labels(former, target)
        alone = target.count(after) == 1
        prototypes.append(
            replace(
                former,
                name=name,
                class_index=after,
                patch_labels=labels,
                purity=purity_of(labels),
                usage=former.usage if alone else float("nan"),
            )
        )
    for c in fresh:
        name = free_name(config.classes[c].name, names)
        names.add(name)
        prototypes.append(Prototype(name, c))
    return prototypes


def _patch_labels(prototype: Prototype, target: list[int | None]) -> npt.NDArray[np.int64]:
    """Class indices of the patches; none when one of them was of a class that goes."""
    labels = [target[c] for c in prototype.patch_labels.tolist()]
    known = [c for c in labels if c is not None]
    return np.array(known if len(known) == len(labels) else [], np.int64)
