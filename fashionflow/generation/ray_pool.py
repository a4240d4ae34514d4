"""Several devices behind one job queue: workers in processes of Ray's, on this machine or on a Ray cluster.

`read_pool` reads the options of the command line. Without them nothing here is used, and Ray need not be installed. On this machine the
pool starts a Ray of its own that listens on the loopback address alone and keeps its files in the page's folder.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..errors import NotWritten
from . import calls
from .calls import Call, Ending
from .events import Event, Finished, Segment
from .job import Job
from .ray_actor import ClipActor, Loaded, Model, Parcel
from .time_estimator import ClipTimes, TimeEstimator
from .workers import WorkerLost, cores_for_each


if TYPE_CHECKING:
    from ..pipelines import FashionFlowPipeline


QUIET_RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # a worker that is lost while the page ends must not start Ray anew
}
OWN_RAY = QUIET_RAY | {
    # On Windows and macOS Ray uses the loopback address alone unless this is set; unset, it does so everywhere.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # A worker without a claim on a GPU sees all of them, because its device is named.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""The environment of every Ray, and of one on this machine alone."""

STORE_BYTES = 256 * 2**20
"""The memory through which photos and clips pass; a clip has less than one megabyte, and so has a preview."""

MOST_PATH = 107 - len("/ray/session_2026-11-28_21-12-34_864449_4194304/sockets/plasma_store")
"""The longest path, in bytes, of a folder in which Ray can keep its sockets."""

REACH_SECONDS = 10
"""The longest time in which a cluster answers."""

START_SECONDS = 120
"""The longest time until a process has been started on some machine; loading the model into it may take longer."""

ANSWER_SECONDS = 20
"""The longest time in which a process that is idle answers."""

CLOSING_SECONDS = 2
"""The longest time that the page waits for processes on a cluster to delete their files when it ends."""

THREADS = 4  # of a worker's process: one makes the clip, the others answer meanwhile

logger = logging.getLogger(__name__)


def read_pool(devices: str | None, address: str | None, workers: int | None, model: Model) -> RayPool | None:
    """The pool that the command line asks for; `None` for one process alone. Nothing is started yet.

    Args:
        devices: the devices of this machine, such as "cuda:0,cuda:1".
        address: the address of a Ray cluster, such as "auto" or "10.0.0.1:6379".
        workers: how many workers the cluster runs; `None` for one on each of its GPUs.
        model: what every worker loads.

    Raises:
        ValueError: with one sentence, if it cannot be done like this.
    """
    if devices is None and address is None:
        if workers is not None:
            raise ValueError("--workers is for a Ray cluster; name its address with --ray, or use --devices.")
        return None
    if devices is not None and address is not None:
        raise ValueError("--devices is for this machine and --ray for a cluster; use one of them.")
    names = [name.strip() for name in (devices or "").split(",")]
    if devices is not None and not all(names):
        raise ValueError(
            f"--devices must name devices with commas between them, such as cuda:0,cuda:1, got {devices!r}."
        )
    if address is not None and "://" in address:
        raise ValueError(
            f"--ray must be auto or HOST:PORT on a machine that is itself part of the cluster, got {address!r}; start Ray there with "
            "`ray start --address=HOST:PORT --num-gpus=0`."
        )
    if workers is not None and not 1 <= workers <= 1000:
        raise ValueError(f"--workers must be from 1 to 1000, got {workers}.")
    os.environ.update(QUIET_RAY if address else OWN_RAY)
    if address is None:  # without it, Ray would write one into the home directory; it remembers the first one
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    try:
        import ray  # noqa: F401
    except ImportError as error:
        raise ValueError(
            "Several devices need Ray, which is not installed; run pip install -r requirements-ray.txt."
        ) from error
    return RayPool(names if devices else None, address, workers, model)


class RayPool:
    """Workers on several devices; `read_pool` says what the arguments are.

    Attributes:
        workers: the workers, once the pool has been started.
    """

    def __init__(self, devices: list[str] | None, address: str | None, count: int | None, model: Model):
        self._devices, self._address, self._count, self.model = devices, address, count, model
        self.workers: list[RayWorker] = []
        self.is_closed = False

    def start(self, folder: Path, time_estimator: TimeEstimator, measure: bool = True) -> None:
        """Starts Ray and all workers, which load their models meanwhile; on the main thread, because Ray ends its processes with the
        thread that has started them.

        Args:
            folder: where Ray and the workers keep their files if they run on this machine.
            time_estimator: learns from the workers.
            measure: whether the workers measure their devices.

        Raises:
            ValueError: with one sentence, if Ray cannot be started or reached, or if the cluster has too little.
        """
        with _own_signals():
            self._start_ray(folder)
        where = folder if self._address is None else None
        for device, needs in self._places():
            self.workers.append(RayWorker(self, device, needs, where, time_estimator))
        for worker in self.workers:
            worker.begin(measure)

    def wait(self, pipe: FashionFlowPipeline, time_estimator: TimeEstimator) -> None:
        """Waits until all workers have loaded their models, and gives what they have measured to the time estimates of `pipe`'s model.

        Raises:
            ValueError: with one sentence, if a worker cannot be used.
        """
        from ray.exceptions import RayError

        try:
            loaded = [worker.finish() for worker in self.workers]
        except RayError as error:
            raise ValueError(f"A worker could not be started ({_first_line(error)}); see Ray's logs.") from error
        if rates := [each.rates for each in loaded if each.rates is not None]:
            time_estimator.take(rates, pipe.config.frame_rate, pipe.config.deep_interval)

    def close(self) -> None:
        """Ends all workers, and the Ray of this machine with them."""
        import ray

        self.is_closed = True
        if self._address is not None and ray.is_initialized():  # their files do not go with the page's folder
            closing = [worker.actor.close.remote() for worker in self.workers if worker.actor is not None]
            if closing:
                ray.wait(closing, num_returns=len(closing), timeout=CLOSING_SECONDS)
        for worker in self.workers:
            worker.end()
        ray.shutdown()

    def _start_ray(self, folder: Path) -> None:
        import ray

        quiet = {"log_to_driver": False, "logging_level": logging.WARNING}
        if self._address is not None:
            try:
                if ":" in self._address:  # Ray itself would try for minutes
                    host, _, port = self._address.rpartition(":")
                    socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_SECONDS).close()
                ray.init(self._address, **quiet)
            except (OSError, RuntimeError, ValueError) as error:
                raise ValueError(
                    f"The Ray cluster at {self._address!r} cannot be used ({_first_line(error)}); check the address, and that this machine "
                    "is part of the cluster."
                ) from error
            return
        if len(os.fsencode(folder)) > MOST_PATH:
            raise ValueError(
                f"The path of the temporary folder {str(folder)!r} is too long for Ray; name a shorter one in TMPDIR."
            )
        cores = os.cpu_count() or 1
        try:
            ray.init(
                num_cpus=max(cores, len(self._devices)),
                num_gpus=0,
                include_dashboard=False,
                object_store_memory=STORE_BYTES,
                _node_ip_address="127.0.0.1",
                _temp_dir=str(folder / "ray"),
                **quiet,
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise ValueError(f"Ray could not be started on this machine ({_first_line(error)}).") from error

    def _places(self) -> list[tuple[str, dict]]:
        """The device of each worker, and what Ray reserves for it. On processors, the workers share the cores."""
        if self._devices is not None:
            cores = max(1, (os.cpu_count() or 1) // len(self._devices))
            return [(device, {"num_cpus": cores}) for device in self._devices]
        import ray

        gpus = int(ray.cluster_resources().get("GPU", 0))
        if self._count is None and not gpus:
            raise ValueError(
                f"The Ray cluster at {self._address!r} has no GPU; say with --workers how many workers share its processors."
            )
        if gpus:
            if (count := self._count or gpus) > gpus:
                raise ValueError(
                    f"--workers is {count}, but the Ray cluster at {self._address!r} has {gpus} GPUs; ask for at most as many."
                )
            return [("cuda", {"num_gpus": 1, "num_cpus": 1, "scheduling_strategy": "SPREAD"})] * count
        nodes = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
        if (cores := cores_for_each(nodes, self._count)) == 0:
            raise ValueError(
                f"--workers is {self._count}, but the Ray cluster at {self._address!r} has {sum(nodes)} processor cores."
            )
        return [("cpu", {"num_cpus": cores, "scheduling_strategy": "SPREAD"})] * self._count


class RayWorker:
    """A worker of a pool, as `Worker` says. If its process is lost, a new one is started before the next clip.

    Args:
        pool: the pool, which says what model is loaded.
        device: what the process loads the model onto.
        needs: what Ray reserves for the process.
        folder: where the process keeps its files; by default in the temporary folder of its machine.
        time_estimator: gives the expected times.

    Attributes:
        actor: Ray's handle of the process; `None` after it was lost.
        process: the number of the process on its machine.
    """

    def __init__(self, pool: RayPool, device: str, needs: dict, folder: Path | None, time_estimator: TimeEstimator):
        self._pool, self._device, self._needs, self._folder = pool, device, needs, folder
        self._time_estimator = time_estimator
        self.actor = None
        self._loading = None
        self._at_work: tuple[Job, str] | None = None  # with the number of the call
        self.report, self.process = "", 0

    def begin(self, measure: bool = False) -> None:
        """Starts a process, which begins to load the model."""
        import ray

        actor = ray.remote(ClipActor).options(max_concurrency=THREADS, **self._needs)
        self.actor = actor.remote(self._folder)
        self._loading = self.actor.load.remote(self._pool.model, self._device, measure)

    def finish(self) -> Loaded:
        """Waits until the model is loaded.

        Raises:
            ValueError: with one sentence, if it cannot be loaded.
            RayError: if there is no process.
        """
        import ray

        version = ray.get(self.actor.version.remote(), timeout=START_SECONDS)
        if version != __version__:
            raise ValueError(
                f"A worker has FashionFlow {version}, but this is {__version__}; install the same on all machines."
            )
        loaded = ray.get(self._loading)
        if isinstance(loaded, str):
            raise ValueError(loaded)
        self.report = loaded.report if self._folder is not None else f"{loaded.report} · {loaded.host}"
        self.process = loaded.process
        logger.info("A worker is ready: %s · process %d on %s", loaded.report, loaded.process, loaded.host)
        return loaded

    def prepare(self) -> bool:
        import ray
        from ray.exceptions import RayError

        if self._pool.is_closed:
            return False
        if self.actor is not None:
            try:
                ray.get(self.actor.version.remote(), timeout=ANSWER_SECONDS)
                return True
            except RayError as error:
                self._lose(error)
        try:
            self.begin()
            self.finish()
        except Exception as error:  # whatever it is, other workers may do better, and the next clip asks again
            self._lose(error)
            return False
        return True

    def render(self, job: Job, clip: int) -> ClipTimes | None:
        from ray.exceptions import RayError, RayTaskError

        call = replace(Call.of(job, clip, self._time_estimator.expected(job.requests[clip].settings)), folder=Path())
        number = secrets.token_hex(8)
        self._at_work = job, number
        try:
            items = self.actor.make_clip.options(num_returns="streaming").remote(number, call)
            if job.stop_asked.is_set():  # before there was a number
                self.end_early(job)
            return calls.follow(job, self._unpacked(items, job, clip))
        except RayTaskError:
            raise
        except RayError as error:
            self._lose(error)
            if job.results[clip] is None:
                raise WorkerLost from error
            return None  # the clip had arrived
        except Exception:
            self.actor.end_early.remote(number, True)
            raise
        finally:
            self._at_work = None

    def end_early(self, job: Job) -> None:
        at_work, actor = self._at_work, self.actor
        if at_work is not None and at_work[0] is job and actor is not None:
            actor.end_early.remote(at_work[1], job.discarded.is_set())

    def rest(self) -> None:
        if self.actor is not None:
            self.actor.rest.remote()

    def end(self) -> None:
        """Ends the process at once."""
        import ray

        if self.actor is not None:
            with contextlib.suppress(Exception):  # it has gone already, or Ray has
                ray.kill(self.actor)

    def _lose(self, error: Exception) -> None:
        logger.error("A worker on %s was lost: %s", self._device, _first_line(error))
        self.end()  # it may be out of reach, and still have the device
        self.actor = None

    def _unpacked(self, refs: Iterator, job: Job, clip: int) -> Iterator[Event | Ending]:
        """What a worker's process has sent, with its files in the job's folder."""
        import ray

        folder = job.folder / str(clip)
        for ref in refs:
            parcel: Parcel = ray.get(ref)
            item = parcel.item
            if isinstance(item, (Segment, Finished)):
                path = _stored(parcel.file, folder / item.path.name)
                item = replace(item, path=path)
            if isinstance(item, Finished):  # the clocks of two machines cannot be compared
                item = replace(item, waited=max(0.0, time.monotonic() - job.asked_at - item.seconds))
            yield item


def _stored(content: bytes, path: Path) -> Path:
    """Writes a file unless it is there already, sent by a worker that was lost."""
    try:
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            path.write_bytes(content)
    except OSError as error:
        logger.error("A clip could not be written: %s", error)
        raise NotWritten("no-room") from error
    return path


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Keeps this program's answers to signals, which `ray.init` replaces; its own, meanwhile, is to leave with the signal's number."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except SystemExit as asked:
        raise SystemExit(0) from asked
    finally:
        for each, answer in before.items():
            signal.signal(each, answer)
