"""The images of a run on a dask.distributed cluster: an image is a task, a worker has one model.

Workers read photographs and write results by the same paths as this process, so their folders must
be on a file system that all of them see. What comes back is what is said of an image. When a worker
dies, the scheduler gives its images to another one; files appear whole, and one that is written
again has the same content.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Lock, Semaphore
from uuid import uuid4

import torch
from distributed import Client, Future, LocalCluster, Worker, WorkerPlugin, as_completed, get_worker
from distributed.comm import parse_address, parse_host_port
from distributed.comm.registry import get_backend
from distributed.scheduler import KilledWorker

from napari_gaussproto import __version__
from napari_gaussproto.core.base.errors import ConfigError, GaussProtoError, ImageError
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.model.model_file import load_model, save_model
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.io.batch.manifest import LOCK
from napari_gaussproto.jobs.batch.one_image import (
    BatchStep,
    Finished,
    ImageWork,
    Settings,
    Take,
    Task,
    finished,
    read,
)

# So often a task that failed is tried again, by another worker if there is one: a disk of the
# network may be away for a moment.
_RETRIES = 2
# So many images are in a worker at a time: one in the network, others are read and written.
_AT_ONCE = 3
# Seconds to wait for a scheduler.
PATIENCE = 20


@contextmanager
def cluster_of(scheduler: str | None, workers: int) -> Iterator[Client]:
    """A client of the scheduler of an address or scheduler file, or of new processes here.

    Raises
    ------
    ConfigError
        When no scheduler answers.
    """
    with _quiet():
        if scheduler is None:
            yield from _local(workers)
            return
        try:
            client = Client(_address_of(scheduler), timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ConfigError(
                f"No dask scheduler answers at “{scheduler}”: give its address, such as "
                "tcp://host:8786, or the file that dask scheduler --scheduler-file has written."
            ) from error
        with client:
            yield client


def _address_of(scheduler: str) -> str:
    """The address itself, or that in a scheduler file.

    It is checked here: a client that failed over one without a meaning hangs when it is freed.
    """
    path = Path(scheduler)
    address = str(json.loads(path.read_bytes())["address"]) if path.is_file() else scheduler
    scheme, place = parse_address(address)
    get_backend(scheme)
    if scheme in ("tcp", "tls"):
        parse_host_port(place)
    return address


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep dask from telling every step in a terminal: what fails is told by the client."""
    logger = logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _local(workers: int) -> Iterator[Client]:
    """A client of new processes on this machine."""
    # Memory is not limited: a worker has one model and few images, whatever their size.
    threads = max(1, (os.cpu_count() or 1) // workers)
    options = {"memory_limit": 0, "dashboard_address": "127.0.0.1:0", "host": "127.0.0.1"}
    quiet = logging.CRITICAL
    with (
        LocalCluster(
            n_workers=workers, threads_per_worker=threads, silence_logs=quiet, **options
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def work_there(
    scheduler: str | None,
    workers: int,
    device: str,
    work: ImageWork,
    tasks: Sequence[Task],
    take: Take,
) -> Generator[BatchStep, None, None]:
    """As `work_on`, on the cluster of `cluster_of`, which is asked only when there is work.

    Raises
    ------
    ConfigError, OSError
        As these two.
    """
    with cluster_of(scheduler, workers) as client:
        yield from work_on(client, device, work, tasks, take)


def work_on(
    client: Client, device: str, work: ImageWork, tasks: Sequence[Task], take: Take
) -> Generator[BatchStep, None, None]:
    """Segment images on the workers of a cluster, one generator step an image.

    Closed early, what is not begun is given back, and what is begun is waited for.

    Parameters
    ----------
    device : str
        Of each worker, see `load_model`.
    take : callable
        Gets what was made of an image, or why it could not be segmented.

    Raises
    ------
    ConfigError
        When a worker does not fit, or the cluster goes away.
    OSError
        When a result cannot be written.
    """
    name = f"napari-gaussproto-{uuid4().hex}"
    plugin = _Segmenting(name, _packed(work.model), work.settings, device)
    try:
        client.register_plugin(plugin)
        submit = partial(client.submit, retries=_RETRIES, pure=False)
        waiting = {
            submit(_segment, name, task, key=f"{name}-{n}"): task for n, task in enumerate(tasks)
        }
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"The cluster has no {error.name}: install napari-gaussproto {__version__} on its "
            "scheduler and its workers."
        ) from error
    try:
        yield BatchStep("waiting for workers", 0, len(tasks))
        for done, future in enumerate(as_completed(list(waiting), loop=client.loop), start=1):
            task = waiting.pop(future)
            take(task, _outcome(future, task))
            # What is told need not stay in the memory of a worker.
            future.release()
            yield BatchStep(task.item.name, done, len(tasks))
    finally:
        if client.status == "running":
            _end(client, waiting, take)
            client.unregister_worker_plugin(name)


def _end(client: Client, waiting: dict[Future, Task], take: Take) -> None:
    """Give back what no worker has begun, and wait for the rest, which would else write later."""
    begun = {key for keys in client.processing().values() for key in keys}
    client.cancel([future for future in waiting if future.key not in begun])
    last = [future for future in waiting if future.key in begun or future.done()]
    for future in as_completed(last, loop=client.loop):
        if future.status == "finished":
            take(waiting[future], future.result())


def _outcome(future: Future, task: Task) -> Finished | GaussProtoError:
    if future.status == "finished":
        return future.result()
    error = future.exception() if future.status == "error" else None
    if isinstance(error, KilledWorker):
        return ImageError(
            f"Every worker that segmented “{task.item.name}” died: give workers more memory, or "
            "take a smaller --tile."
        )
    if error is None:
        raise ConfigError(
            "The cluster has ended before the work: start it again and call again, what is done "
            "is kept."
        )
    raise error


def _segment(name: str, task: Task) -> Finished | GaussProtoError:
    """Do an image in a worker."""
    plugin: _Segmenting = get_worker().plugins[name]
    return plugin.do(task)


def _packed(model: PrototypeSegmenter) -> bytes:
    """A model file with every digit of the weights: workers need not see the one it came from."""
    with tempfile.TemporaryDirectory() as folder:
        return save_model(model, Path(folder) / "model", half=False).read_bytes()


class _Segmenting(WorkerPlugin):
    """The model of a run in a worker, loaded when its first image comes."""

    def __init__(self, name: str, model: bytes, settings: Settings, device: str) -> None:
        self.name, self._model = name, model
        self._settings, self._device, self._version = settings, device, __version__

    def setup(self, worker: Worker) -> None:
        """Make ready in a worker, also in one that joins later."""
        self._address, self._number = worker.address, worker.name
        self._threads = worker.state.nthreads
        self._work: ImageWork | None = None
        self._network, self._images = Lock(), Semaphore(_AT_ONCE)

    def do(self, task: Task) -> Finished | GaussProtoError:
        """Read, segment and write an image; one at a time goes through the network.

        Raises
        ------
        ConfigError
            When this worker does not fit.
        OSError
            When a result cannot be written.
        """
        with self._images:
            with self._network:
                work = self._work = self._work or self._load()
            try:
                image, source = read(task.item)
                with self._network:
                    # torch has a number for every thread of the program.
                    torch.set_num_threads(self._threads)
                    write = run(work.segment(task, image, source))
            except GaussProtoError as error:
                return error
            return finished(write)

    def _load(self) -> ImageWork:
        if self._version != __version__:
            raise ConfigError(
                f"The worker {self._address} has napari-gaussproto {__version__}, this is "
                f"{self._version}: install the same version on all machines."
            )
        # The run keeps this file while it works.
        if not (self._settings.out / LOCK).exists():
            raise ConfigError(
                f"The worker {self._address} does not see the folder “{self._settings.out}”: "
                "choose one that all machines have at the same path."
            )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.safetensors"
            path.write_bytes(self._model)
            model = load_model(path, self._of_several())
        return ImageWork(model, self._settings)

    def _of_several(self) -> str:
        """The device; processes on one machine take turns in its GPUs."""
        count = torch.cuda.device_count()
        if self._device in ("auto", "cuda") and count > 1 and isinstance(self._number, int):
            return f"cuda:{self._number % count}"
        return self._device
