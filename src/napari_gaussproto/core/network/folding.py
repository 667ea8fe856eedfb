"""Batch normalisation folded into the convolutions before it, for prediction.

A convolution followed by a normalisation with fixed statistics is one convolution with other
weights. On a CPU that saves a quarter of a backbone's time, and the memory of one more map.
"""

from __future__ import annotations

import copy
import itertools
import logging
import threading
import weakref
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_gaussproto.core.network.bands import put_in_bands

logger = logging.getLogger(__name__)

# Largest difference between features before and after, relative to the largest feature.
_TOLERANCE = 1e-3
Key = tuple[tuple[int, int], ...]


class FoldedCopy:
    """The folded copy of a network, made when first asked for and after every change.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode whenever a copy is asked for.
    channels, side : int
        Shape of an image that it accepts.
    """

    def __init__(self, network: nn.Module, channels: int, side: int) -> None:
        # In a tuple, so that torch does not take it for a part of whatever holds this object.
        self._network = (network,)
        self._shape = (1, channels, side, side)
        self._key: Key = ()
        self._copy: tuple[nn.Module, ...] = ()

    def __deepcopy__(self, memo: dict[int, Any]) -> FoldedCopy:
        # Of another network, whose weights may go other ways: made anew when asked for.
        (network,) = self._network
        _, channels, side, _ = self._shape
        return folded_copy_of(copy.deepcopy(network, memo), channels, side)

    def get(self) -> nn.Module:
        """The copy, or the network itself where nothing can be folded."""
        (network,) = self._network
        key = weight_versions(network)
        if key != self._key or not self._copy:
            self._copy = (self._fold(network),)
            self._key = key
        return self._copy[0]

    def _fold(self, network: nn.Module) -> nn.Module:
        folded = copy.deepcopy(network).eval().requires_grad_(False)
        if not fold(folded):
            return network
        put_in_bands(folded)
        # The order in which parts are listed need not be the order in which they are used.
        if self._same(network, folded):
            return folded
        logger.info("batch normalisation cannot be folded in %s", type(network).__name__)
        return network

    @torch.no_grad()
    def _same(self, network: nn.Module, folded: nn.Module) -> bool:
        parameter = next(network.parameters())
        generator = torch.Generator().manual_seed(0)
        image = torch.randn(self._shape, generator=generator).to(parameter)
        try:
            pairs = list(zip(network(image), folded(image), strict=True))
        except (RuntimeError, ValueError, AssertionError):  # an image of this size does not suit
            return False
        return all(
            bool((before - after).abs().max() <= _TOLERANCE * before.abs().max())
            for before, after in pairs
        )


# By the network's id, which stays taken while its folded copy lives.
_copies: weakref.WeakValueDictionary[int, FoldedCopy] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def folded_copy_of(network: nn.Module, channels: int, side: int) -> FoldedCopy:
    """The folded copy of a network; all models that share the network share it, too."""
    with _lock:
        known = _copies.get(id(network))
        if known is None:
            known = _copies[id(network)] = FoldedCopy(network, channels, side)
        return known


def fold(network: nn.Module) -> int:
    """Fold, in place, every normalisation that stands right after a convolution, and count them.

    The network is in evaluation mode.
    """
    count = 0
    for parent in list(network.modules()):
        names = list(parent._modules)
        for first, second in itertools.pairwise(names):
            convolution, normalisation = parent._modules[first], parent._modules[second]
            if (
                isinstance(convolution, nn.Conv2d)
                and isinstance(normalisation, nn.BatchNorm2d)
                and convolution.out_channels == normalisation.num_features
                and normalisation.running_mean is not None
            ):
                parent._modules[first] = fuse_conv_bn_eval(convolution, normalisation)
                # timm's normalisations carry the activation that follows.
                parent._modules[second] = getattr(normalisation, "act", nn.Identity())
                count += 1
    return count


def weight_versions(network: nn.Module) -> Key:
    """What changes with every change of a weight, in place or by another tensor."""
    # From the tables of the modules: to look up every name would take several times as long.
    tables = (table for m in network.modules() for table in (m._parameters, m._buffers))
    tensors = (tensor for table in tables for tensor in table.values() if tensor is not None)
    return tuple((tensor.data_ptr(), tensor._version) for tensor in tensors)
