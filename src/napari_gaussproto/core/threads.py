"""How many threads torch uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch in one thread for small matrices, where more only wait for each other.

    On two cores that other programs used as well, a step of `reject_steps` took 25 ms in one
    thread and 850 ms in two.
    """
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(count)
