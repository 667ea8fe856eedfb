"""The number of torch's threads is what it was, whatever threads overlap."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread

import pytest
import torch

from napari_gaussproto.core.base.device import one_thread


@pytest.fixture(autouse=True)
def two_threads() -> object:
    """Begin with a number that is not 1, on any machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def in_a_new_thread(what: Callable[[], int]) -> int:
    found: list[int] = []
    thread = Thread(target=lambda: found.append(what()))
    thread.start()
    thread.join()
    return found[0]


def test_uses_that_overlap_leave_the_number_as_it_was() -> None:
    first_in, second_in, first_out, may_end = Event(), Event(), Event(), Event()
    inside: list[int] = []

    def first() -> None:
        with one_thread():
            first_in.set()
            second_in.wait(10)
        inside.append(torch.get_num_threads())
        first_out.set()

    def second() -> None:
        first_in.wait(10)
        with one_thread():
            second_in.set()
            first_out.wait(10)
            inside.append(torch.get_num_threads())
            may_end.wait(10)
        inside.append(torch.get_num_threads())

    threads = [Thread(target=work) for work in (first, second)]
    for thread in threads:
        thread.start()
    first_out.wait(10)
    may_end.set()
    for thread in threads:
        thread.join(10)
    assert inside == [2, 1, 2]
    assert in_a_new_thread(torch.get_num_threads) == 2
    assert torch.get_num_threads() == 2


def test_one_inside_another_keeps_one_thread() -> None:
    with one_thread(), one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
