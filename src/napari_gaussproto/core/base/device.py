"""Which processor does the work, and in how many threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import psutil
import torch

from napari_gaussproto.core.base.errors import ConfigError

_lock = Lock()
_inside = 0
_usual = 1


def available_devices() -> list[str]:
    """Names of the devices torch can use here, the fastest first; ``"cpu"`` is always one."""
    names = []
    if torch.cuda.is_available():
        names += ["cuda", *(f"cuda:{i}" for i in range(1, torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        names.append("mps")
    return [*names, "cpu"]


def resolve_device(name: str = "auto") -> torch.device:
    """Device of a name; ``"auto"`` is the fastest one.

    Raises
    ------
    ConfigError
        When this machine does not have it.
    """
    names = available_devices()
    if name == "auto":
        return torch.device(names[0])
    if name in names or (name == "cuda:0" and "cuda" in names):
        return torch.device(name)
    raise ConfigError(f"There is no device “{name}” here: choose {', '.join(names)}, or auto.")


def same_device(a: torch.device, b: torch.device) -> bool:
    """Whether two names mean one device: that of no number is the first."""
    return a.type == b.type and (a.index or 0) == (b.index or 0)


def free_memory(device: torch.device) -> int:
    """Bytes that can be taken on a device without harm, as far as it tells."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    return int(psutil.virtual_memory().available)


def release_memory(device: torch.device) -> None:
    """Give cached blocks back, so that other programs can use them."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


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
