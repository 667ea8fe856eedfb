"""How many threads torch uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch

_lock = Lock()
_inside = 0
_usual = 1


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch in one thread for small matrices, where more only wait for each other.

    On two cores that other programs used as well, a step of `reject_steps` took 25 ms in one
    thread and 850 ms in two.

    The number belongs to a thread of the program, and new ones begin with what was set last.
    A thread that begins while another is in here would take its 1 for the usual number and
    restore that; so the first one in notes the number for all.
    """
    global _inside, _usual
    with _lock:
        # Asked in any case: a new thread takes the usual number over when first asked, not before.
        count = torch.get_num_threads()
        if _inside == 0:
            _usual = count
        _inside += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            torch.set_num_threads(_usual)
