"""The images of a run in this process: reading, network and writing at the same time."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from napari_gaussproto.core.base.errors import GaussProtoError
from napari_gaussproto.core.base.steps import WithValue
from napari_gaussproto.io.batch.manifest import Source
from napari_gaussproto.jobs.batch.one_image import (
    BatchStep,
    Finished,
    ImageWork,
    Take,
    Task,
    finished,
    read,
)

# So many images are read ahead, and so many wait to be written: more would only cost memory.
_AHEAD = 2


def work_here(
    work: ImageWork, tasks: Sequence[Task], take: Take
) -> Generator[BatchStep, None, None]:
    """Segment images, one generator step a tile; closed early, what is segmented is written.

    Parameters
    ----------
    take : callable
        Gets what was made of an image, or why it could not be segmented.

    Raises
    ------
    OSError
        When a result cannot be written.
    """
    reader, writer = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
    pending: deque[tuple[Task, Future[Finished | GaussProtoError]]] = deque()
    try:
        yield from _segment_all(work, tasks, take, reader, writer, pending)
    finally:
        # What was segmented is written and told, also where the person has cancelled.
        reader.shutdown(cancel_futures=True)
        try:
            while pending:
                _take_written(pending, take)
        finally:
            writer.shutdown()


def _segment_all(
    work: ImageWork,
    tasks: Sequence[Task],
    take: Take,
    reader: ThreadPoolExecutor,
    writer: ThreadPoolExecutor,
    pending: deque[tuple[Task, Future[Finished | GaussProtoError]]],
) -> Generator[BatchStep, None, None]:
    waiting = deque(tasks)
    ahead: deque[tuple[Task, Future[tuple[Any, Source | None]]]] = deque()
    done = 0
    while waiting or ahead:
        while waiting and len(ahead) < _AHEAD:
            task = waiting.popleft()
            ahead.append((task, reader.submit(read, task.item)))
        task, image = ahead.popleft()
        yield BatchStep(task.item.name, done, len(tasks))
        try:
            for share in (steps := WithValue(work.segment(task, *image.result()))):
                yield BatchStep(task.item.name, done, len(tasks), share)
            pending.append((task, writer.submit(finished, steps.value)))
        except GaussProtoError as error:
            take(task, error)
        while len(pending) > _AHEAD or (pending and pending[0][1].done()):
            _take_written(pending, take)
        done += 1


def _take_written(
    pending: deque[tuple[Task, Future[Finished | GaussProtoError]]], take: Take
) -> None:
    task, written = pending.popleft()
    take(task, written.result())
