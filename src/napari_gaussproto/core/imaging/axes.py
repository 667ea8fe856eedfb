"""Where the channels of an array are, told by its shape: three axes may also be a stack."""

from __future__ import annotations

from typing import Literal

# Arrays of so many channels are told apart from stacks.
FEWEST, MOST = 2, 12

# Channels in front, if it is no stack of so many planes; channels last; or neither can be.
Guess = Literal["first", "last", "neither"]


def guess_channels(shape: tuple[int, ...]) -> Guess:
    """Where the channels of an array of three axes can be.

    An axis of 2 to 12 elements in front may be channels or planes; one that is last can only be
    channels, for no picture is so narrow.

    Parameters
    ----------
    shape : tuple of int
        Of an array whose axes nobody named.
    """
    if len(shape) != 3:
        return "neither"
    first, height, last = (FEWEST <= n <= MOST for n in shape)
    if last and not height and not first:
        return "last"
    return "first" if first and not height and not last else "neither"
