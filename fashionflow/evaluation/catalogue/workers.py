"""Spreads the clips of a catalogue over workers with Ray Data: actors that load the model once and make one clip after the other.

Each clip is a block of its own, so a worker that dies takes only its clip along. Ray starts the worker anew and gives it the clip again,
without end; how often a clip was begun is counted here, by an actor that does nothing else, so that one photo that kills its workers
becomes a failed row and not an endless loop.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from ...generation.own_folder import OwnFolder, delete_abandoned
from ...generation.workers import cores_for_each
from .errors import CatalogueError
from .store import Store, reason_of
from .tasks import Outcome, Task


NOT_INSTALLED = (
    "A catalogue needs Ray, which is not installed; get it with `pip install --requirement requirements-ray.txt --constraint "
    "constraints.txt`, or use `python -m fashionflow FOLDER OUT`, which works without."
)

STORE_BYTES = 100 * 2**20
"""Of Ray's shared memory on this machine. Rows and paths travel there, and never photos or clips."""

REACHED_SECONDS = 10

COUNTER = "fashionflow-attempts"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class WorkerOptions:
    """How workers make clips.

    Args:
        model: a folder or Hub id, as for `load_pipeline`; each machine must find it there.
        device: as for `load_pipeline`; by default the GPU that Ray gives a worker, or else the processor.
        compile: whether the model is compiled first.
        workers: how many there are; by default one for each GPU of the cluster, or one.
        address: of a Ray cluster; by default Ray is started on this machine, and ended.
    """

    model: str | None = None
    device: str | None = None
    compile: bool = False
    workers: int | None = None
    address: str | None = None


def check_ray() -> None:
    """
    Raises:
        CatalogueError: if Ray or what it needs is not installed.
    """
    # Before Ray is imported: nothing is sent to anybody, and Ray's own sentences about itself are left out.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "300")  # 30 are too few on a crowded machine
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import pyarrow.parquet  # noqa: F401
        import ray.data  # noqa: F401
    except ImportError as error:
        raise CatalogueError(NOT_INSTALLED) from error


def make_with_ray(tasks: list[Task], store: Store, options: WorkerOptions) -> Iterator[Outcome]:
    """The outcomes of tasks, in the order in which they are finished.

    Raises:
        CatalogueError: if there is no such cluster, it is too small, or it ended.
    """
    import ray
    from ray.exceptions import RayError

    with connected(options.address):
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        workers, resources = share_out(options)
        counter = ray.remote(num_cpus=0)(Attempts).options(name=COUNTER, get_if_exists=True).remote()
        ray.get(counter.forget.remote())
        sent = [{"task": json.dumps(asdict(task))} for task in tasks]
        made = ray.data.from_items(sent, override_num_blocks=len(sent)).map(
            Worker,
            fn_constructor_args=(store.address, options.model, options.device, options.compile),
            # One clip at a time, so that at the end none waits behind another one while a worker has nothing to do.
            compute=ray.data.ActorPoolStrategy(size=min(workers, len(sent)), max_tasks_in_flight_per_actor=1),
            **resources,
        )
        try:
            for each in made.iter_rows():
                yield Outcome(**json.loads(each["outcome"]))
        except RayError as error:
            logger.debug("Ray failed.", exc_info=True)
            raise CatalogueError(
                f"Ray ended before the catalogue was finished ({reason_of(error)}); run the same command again."
            ) from error


class Worker:
    """An actor of Ray Data. It loads the model once."""

    def __init__(self, store: str, model: str | None, device: str | None, compile: bool):
        from ...runtime.acceleration import DEFAULTS
        from ...runtime.loading import load_pipeline
        from .making import ClipMaker

        self._maker, self._stop = None, None
        try:
            pipe = load_pipeline(model, device, replace(DEFAULTS, compile=compile))
            pipe.set_progress_bar_config(disable=True)
            self._maker = ClipMaker(pipe, Store(store))
        except (ValueError, OSError) as error:  # one that left this method would make Ray try it for ever
            self._stop = f"A worker could not begin: {error}"

    def __call__(self, sent: dict) -> dict:
        import ray

        if self._maker is None:
            return {"outcome": json.dumps(asdict(Outcome(stop=self._stop)))}
        task = Task(**json.loads(sent["task"]))
        attempt = ray.get(ray.get_actor(COUNTER).begin.remote(task.name))
        return {"outcome": json.dumps(asdict(self._maker.make(task, attempt)))}


class Attempts:
    """An actor that counts how often each clip was begun."""

    def __init__(self):
        self._begun: dict[str, int] = {}

    def begin(self, name: str) -> int:
        self._begun[name] = self._begun.get(name, 0) + 1
        return self._begun[name]

    def forget(self) -> None:
        self._begun.clear()


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Connects to a cluster, or starts Ray on this machine; leaves it at the end. A program that has connected before stays so.

    Raises:
        CatalogueError: if that is not possible.
    """
    import ray

    from ...runtime.acceleration import usable_cores

    if ray.is_initialized():
        yield
        return
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    own = None
    try:
        if address is None:
            own = OwnFolder()
            delete_abandoned(own.path.parent)
            started = {
                "num_cpus": usable_cores(),
                "object_store_memory": STORE_BYTES,
                "_temp_dir": str(own.path / "ray"),
            }
            ray.init(include_dashboard=False, runtime_env={"env_vars": passed_on(local=True)}, **started, **quiet)
        else:
            check_reachable(address)
            ray.init(address=address, runtime_env={"env_vars": passed_on(local=False)}, **quiet)
    except Exception as error:  # Ray raises bare ones, too
        if own is not None:
            own.delete()
        where = "on this machine" if address is None else f"at {address!r}"
        raise CatalogueError(f"Ray cannot be reached {where} ({reason_of(error)}); see to it.") from error
    try:
        # Ray prints a paragraph about each worker that dies; the clip's row says it in one sentence.
        with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
            yield
    finally:
        ray.shutdown()
        if own is not None:
            own.delete()


def check_reachable(address: str) -> None:
    """Tries an address of the form host:port, because Ray itself would end this process if nobody answers there.

    Raises:
        OSError: if nobody answers.
    """
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if separator and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACHED_SECONDS).close()


def passed_on(local: bool) -> dict[str, str]:
    """The environment variables that workers need: ours, and on this machine where Python finds this package."""
    from ... import __file__ as package

    ours = {key: value for key, value in os.environ.items() if key.startswith("FASHIONFLOW_")}
    if local:
        root = os.path.dirname(os.path.dirname(os.path.abspath(package)))
        ours["PYTHONPATH"] = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return ours


def share_out(options: WorkerOptions) -> tuple[int, dict[str, int]]:
    """The number of workers, and what Ray is to keep for each of them: a GPU, or as many cores as every one can have.

    Raises:
        CatalogueError: if the cluster has too few for so many workers.
    """
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = int(sum(node.get("GPU", 0) for node in nodes))
    if gpus and options.device in (None, "auto", "cuda"):
        workers = options.workers or gpus
        if workers > gpus:
            raise CatalogueError(f"`workers` must be at most {gpus}, the number of GPUs there are, got {workers}.")
        return workers, {"num_gpus": 1, "num_cpus": 1}
    workers = options.workers or 1
    cores = cores_for_each([int(node.get("CPU", 0)) for node in nodes], workers)
    if cores == 0:
        most = int(sum(node.get("CPU", 0) for node in nodes))
        raise CatalogueError(f"`workers` must be at most {most}, the number of cores there are, got {workers}.")
    return workers, {"num_cpus": cores}
