"""What the benchmarks of speed and memory share: timing, peak memory, and their tables."""

from __future__ import annotations

import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import torch
from torch.profiler import ProfilerActivity, profile

from napari_gaussproto.core.model.card import package_versions

RESULTS = Path(__file__).parent / "results"
MB = 1e6


def interleaved(
    contenders: dict[str, Callable[[], Any]],
    repetitions: int,
    warm_up: int = 2,
    clock: Callable[[], Any] = time.perf_counter,
) -> dict[str, list[Any]]:
    """Seconds of each repetition; contenders take turns, so that a slow phase hits all.

    On a machine that does other work, `time.process_time` tells more, with one thread.
    """
    seconds: dict[str, list[Any]] = {name: [] for name in contenders}
    for repetition in range(warm_up + repetitions):
        for name, work in contenders.items():
            start = clock()
            work()
            if repetition >= warm_up:
                seconds[name].append(clock() - start)
    return seconds


def median_ratio(numerator: Sequence[float], denominator: Sequence[float]) -> float:
    """Median over repetitions of the ratio of two that ran next to each other."""
    return statistics.median(a / b for a, b in zip(numerator, denominator, strict=True))


class PeakMemory:
    """Peak resident memory of this process above what it held at the start, in bytes.

    Linux can forget the former peak; elsewhere the peak since the process began counts, so
    a measurement there needs a process of its own.
    """

    def __enter__(self) -> PeakMemory:
        self._can_reset = _reset_peak()
        self._before = psutil.Process().memory_info().rss
        return self

    def __exit__(self, *_: object) -> None:
        self.peak = _peak() if self._can_reset else _peak_since_start()
        self.extra = max(0, self.peak - self._before)


def _reset_peak() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def _peak_since_start() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_of_tensors(work: Callable[[], Any]) -> int:
    """Bytes that torch has allocated at most during some work on the CPU."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    held = peak = 0
    # The sum over operators is not the peak; the single allocations are.
    events = profiler.profiler.kineto_results.events()
    changes = [event for event in events if event.name() == "[memory]"]
    for change in sorted(changes, key=lambda event: event.start_ns()):
        held += change.nbytes()
        peak = max(peak, held)
    return peak


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "threads": torch.get_num_threads(),
        "packages": package_versions(),
        "revision": revision(),
    }


def revision() -> str:
    """The commit of this working tree, with "-dirty" where files differ from it; or ""."""
    words = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(words, cwd=RESULTS.parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def save(name: str, command: str, result: dict[str, Any], text: str) -> None:
    """Write a result as JSON and as Markdown, and print the latter."""
    RESULTS.mkdir(exist_ok=True)
    content = {"command": command, "machine": machine(), **result}
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
    body = f"{text}\n\n`{command}`, {machine()['threads']} threads.\n"
    (RESULTS / f"{name}.md").write_text(body)
    print(body)
