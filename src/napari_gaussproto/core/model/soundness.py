"""Whether the numbers of a model can be computed with: checked when it is read and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

_VARIANCE = ".running_var"
_CLASS_INDEX = "layer.class_index"


class UnsoundError(ValueError):
    """Numbers of a model cannot be computed with; the message says which."""


def check_tensors(tensors: Mapping[str, Tensor], class_index: Sequence[int], classes: int) -> None:
    """Make sure that the numbers of a model are some, and that its tables fit it.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        Of any shapes, as `tensors_of` names them; there may be less than all of them.
    class_index : sequence of int
        The class of each of the M prototypes.
    classes : int
        How many classes there are, C.

    Raises
    ------
    UnsoundError
        For a weight or a quantile that is not finite, a variance below zero, a class that there is
        not, and a table of quantiles of another shape.
    """
    if any(not 0 <= c < classes for c in class_index):
        raise UnsoundError("a prototype of a class that there is not")
    for key, value in tensors.items():
        if key.endswith(_CLASS_INDEX) and value.tolist() != list(class_index):
            raise UnsoundError("prototypes of other classes than are listed")
        if value.is_floating_point():
            _check_numbers(key, value, classes)


def _check_numbers(key: str, value: Tensor, classes: int) -> None:
    if key == "class_quantiles":
        _check_quantiles(key, value, (classes,))
        return
    if "quantiles" in key:
        _check_quantiles(key, value, ())
        return
    # A class that was never seen has no familiarity.
    astray = value.isinf() if key.startswith("familiarity/") else ~value.isfinite()
    if astray.any():
        raise UnsoundError(f"numbers that are not finite in {key}")
    if key.endswith(_VARIANCE) and (value < 0).any():
        raise UnsoundError(f"a variance below zero in {key}")


def _check_quantiles(key: str, value: Tensor, rows: tuple[int, ...]) -> None:
    """Quantiles (Q,), or (C, Q) of which rows without any training cell are not numbers."""
    if value.ndim != len(rows) + 1 or value.shape[:-1] != rows or value.shape[-1] == 1:
        raise UnsoundError(f"a table of the shape {tuple(value.shape)} as {key}")
    known = value[~value.isnan().all(-1)] if rows else value
    if not known.isfinite().all():
        raise UnsoundError(f"numbers that are not finite in {key}")
    if (torch.diff(known.float()) < 0).any():
        raise UnsoundError(f"quantiles that do not ascend as {key}")
