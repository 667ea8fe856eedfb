"""A process ends soon after its viewer was closed, whatever is being computed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

# Within which a process has to end.
_SECONDS = 3.0


@dataclass(frozen=True)
class _Ending:
    """Seconds from closing the viewer to the end of the process.

    Attributes
    ----------
    clock, processor : float
        The second is what the process itself used: others do not make it longer. Windows does not
        say that of a process that has ended, and there it is as long as the first.
    """

    clock: float
    processor: float


def ending(kinds: str, model: Path, folder: Path) -> _Ending:
    """Close a viewer while jobs of some kinds are under way."""
    folder.mkdir()
    environment = os.environ | {"XDG_DATA_HOME": str(folder), "NAPARI_CONFIG": ""}
    command = [sys.executable, "-m", "tests.widgets.closing", kinds, str(model), str(folder / "in")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.read()  # until it ends
        used = _wait(process)
        ended = time.time()
    assert process.returncode == 0
    *_, last = said.splitlines()  # napari prints warnings, too
    clock, processor, threads = last.split()
    assert threads == "0"
    taken = ended - float(clock)
    return _Ending(taken, taken if used is None else used - float(processor))


def _wait(process: subprocess.Popen[str]) -> float | None:
    """Wait for a process, and say how many seconds of the processor it has used in all."""
    if not hasattr(os, "wait4"):
        process.wait()
        return None
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def test_a_process_ends_when_its_viewer_is_closed_during_jobs(
    model_file: Path, tmp_path: Path
) -> None:
    found = ending("run,batch,tune", model_file, tmp_path / "jobs")
    print(found)
    is_quiet = psutil.getloadavg()[0] < (os.cpu_count() or 1)
    assert (found.clock if is_quiet else found.processor) < _SECONDS
    assert found.clock < 20 * _SECONDS  # a job that waits and computes nothing


@pytest.mark.slow
def test_no_job_makes_the_end_of_a_process_long(model_file: Path, tmp_path: Path) -> None:
    for kind in ("", "run", "batch", "quick", "tune"):
        found = ending(kind, model_file, tmp_path / f"of {kind}")
        print(kind or "nothing", found)
        assert found.processor < _SECONDS
