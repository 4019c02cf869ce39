"""An engine on Ray (https://docs.ray.io): tasks run on the nodes of a cluster, or of one started on this machine."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar
from urllib.parse import urlsplit

import tellapart
from tellapart.errors import MissingDependencyError, UserError
from tellapart.execution.engine import Engine, Loss
from tellapart.execution.local import DIED

Result = TypeVar("Result")

THIS_MACHINE = "ray"
"""In place of an address: a cluster that runs on this machine, else one is started for the command."""

CONNECT_SECONDS = 45.0
"""How long a cluster may take to answer."""

WAIT_SECONDS = 45.0
"""How long no node may be able to run a task before the command ends."""

_CLIENT, _CLIENT_PORT = "ray://", 10001  # Ray's own port for clients
_PROBE_SECONDS = 10.0


class RayEngine(Engine):
    """Runs each task on a node that has room for it.

    The tasks of a lost node are run again elsewhere, and so are those whose process died; a task that runs out of
    memory is not. Nodes must have the version of tellapart of this process.

    Args:
        address: `ray` for this machine, `ray://HOST:PORT` for a client's connection, or `HOST:PORT` of the head node
            for a process on one of the cluster's machines.
        cores: CPU cores that a task takes, which are its threads.
        gpus: Share of a GPU, or number of GPUs, that a task takes.

    Raises:
        MissingDependencyError: Ray is not installed.
        UserError: No cluster answers, none of its nodes has room for a task, or one has other software.
    """

    shares_files = False

    def __init__(self, address: str = THIS_MACHINE, *, cores: int = 1, gpus: float = 0.0) -> None:
        self._ray = import_ray()
        self._needs = {"num_cpus": cores, "num_gpus": gpus}
        self._without_room: float | None = None
        self._connected = not self._ray.is_initialized()  # a script may have connected itself
        started = self._connected and _connect(self._ray, address)
        try:
            self._check_room()
            self._check_software()
        except BaseException:
            self.close()
            raise
        nodes = len(self._rooms())
        where = "Ray, started on this machine" if started else f"Ray at {address}"
        self.notes = (
            f"Runs on {where}: {self.slots} at a time on {nodes} {'node' if nodes == 1 else 'nodes'}, {cores} "
            f"{'thread' if cores == 1 else 'threads'} each.",
        )

    @property
    def slots(self) -> int:
        """How many tasks the living nodes have room for; grows and shrinks with the cluster."""
        return sum(self._rooms().values())

    def submit(self, function: Callable[..., Result], /, *arguments: Any) -> Future[Result]:
        """Runs a function of a module on a node."""
        remote = self._ray.remote(max_retries=0, **self._needs)(_returned)
        return _unwrapped(remote.remote(function, arguments).future())

    def loss(self, error: BaseException) -> Loss | None:
        """Tells lost nodes, whose tasks are run again, from tasks that died."""
        errors = self._ray.exceptions
        if isinstance(error, errors.OutOfMemoryError):
            return Loss(
                "its node ran out of memory: use a smaller encoder or batch size, or more --worker-cores"
            )
        if isinstance(error, errors.NodeDiedError | errors.ObjectLostError | errors.TaskUnschedulableError):
            return Loss("its node was lost, and so was each that it was repeated on", again=True)
        if isinstance(error, errors.RayError):  # also of a node of whose loss the cluster does not know yet
            return Loss(DIED, again=True)
        return None

    def check(self) -> None:
        """Checks that some node has room for a task, at the latest 45 s after the last one was lost.

        Raises:
            UserError: None has.
        """
        if self.slots:
            self._without_room = None
            return
        now = time.monotonic()
        self._without_room = self._without_room or now
        if now - self._without_room > WAIT_SECONDS:
            raise UserError(
                "no node of the Ray cluster is left that has room",
                "start nodes with `ray start`, and go on with --resume",
            )

    def close(self) -> None:
        """Disconnects, which ends what still runs, and stops a cluster that was started for this engine."""
        if self._connected:
            self._ray.shutdown()

    def _rooms(self) -> dict[str, int]:
        """The number of tasks that each living node has room for, by node."""
        rooms = {}
        for node in self._ray.nodes():
            has = node["Resources"] if node["Alive"] else {}
            needed = [
                (has.get("CPU", 0.0), self._needs["num_cpus"]),
                (has.get("GPU", 0.0), self._needs["num_gpus"]),
            ]
            room = min(int(there / need) for there, need in needed if need)
            if room:
                rooms[node["NodeID"]] = room
        return rooms

    def _check_room(self) -> None:
        if not self._rooms():
            has = self._ray.cluster_resources()
            needs = f"{self._needs['num_cpus']} cores and {self._needs['num_gpus']:g} GPUs"
            raise UserError(
                f"each run needs {needs}, and no node of the Ray cluster has that: together they have "
                f"{has.get('CPU', 0):g} cores and {has.get('GPU', 0):g} GPUs",
                "lower --worker-cores or --worker-gpus, or add nodes",
            )

    def _check_software(self) -> None:
        """Asks every node for its version of tellapart."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        probe = self._ray.remote(num_cpus=0, max_retries=0)(_version)
        asked = {
            probe.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(): node
            for node in self._rooms()
        }
        answered, silent = self._ray.wait(list(asked), num_returns=len(asked), timeout=CONNECT_SECONDS)
        if silent:
            raise UserError(
                f"{len(silent)} of {len(asked)} nodes of the Ray cluster do not start a process within "
                f"{CONNECT_SECONDS:g} s",
                "look at them with `ray status`",
            )
        for reference in answered:
            try:
                found = self._ray.get(reference)
            except self._ray.exceptions.RayError:
                found = "none"
            if found != tellapart.__version__:
                raise UserError(
                    f"node {asked[reference][:8]} of the Ray cluster has tellapart {found}, and this machine "
                    f"{tellapart.__version__}",
                    "install the same version on every node",
                )


def import_ray() -> Any:
    """Imports Ray, without its usage statistics.

    Raises:
        MissingDependencyError: It is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise MissingDependencyError("ray", "ray", "--on") from None
    return ray


def check_address(address: str) -> None:
    """Checks the form of an address, without connecting.

    Raises:
        UserError: It is none of `ray`, `ray://HOST[:PORT]` and `HOST:PORT`.
    """
    if address != THIS_MACHINE:
        _host_and_port(address)


def _host_and_port(address: str) -> tuple[str, int]:
    parts = urlsplit(address if "//" in address else f"//{address}")
    try:
        port = parts.port or (_CLIENT_PORT if parts.scheme == "ray" else None)
    except ValueError:
        port = None
    if parts.scheme not in ("", "ray") or not parts.hostname or port is None or parts.path.strip("/"):
        raise UserError(
            f'"{address}" is no address of a Ray cluster',
            "write --on ray, --on ray://HOST:10001, or --on HOST:6379 on a machine of the cluster",
        )
    return parts.hostname, port


def _connect(ray: Any, address: str) -> bool:
    """Connects this process to a cluster; returns whether the cluster was started for it."""
    options: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": logging.ERROR,
        "configure_logging": True,
    }
    if address == THIS_MACHINE:
        try:
            ray.init(address="auto", **options)
        except ConnectionError:
            ray.init(address="local", include_dashboard=False, **options)
            return True
        return False
    host, port = _host_and_port(address)
    try:
        socket.create_connection((host, port), timeout=_PROBE_SECONDS).close()
    except OSError as error:
        raise _no_cluster(f"{host}:{port}", str(error)) from None
    full = f"{_CLIENT}{host}:{port}" if address.startswith(_CLIENT) else f"{host}:{port}"
    _init_in_time(ray, full, options)
    return False


def _init_in_time(ray: Any, address: str, options: dict[str, Any]) -> None:
    """Connects within `CONNECT_SECONDS`: Ray itself may wait for minutes for what is no cluster."""
    raised: list[BaseException] = []

    def connect() -> None:
        try:
            ray.init(address=address, **options)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=connect, daemon=True, name="connect to Ray")
    thread.start()
    thread.join(CONNECT_SECONDS)
    if thread.is_alive():
        raise _no_cluster(address, f"no answer within {CONNECT_SECONDS:g} s")
    if raised:
        said = " ".join(str(raised[0]).split())
        if "ersion mismatch" in said or "different Python" in said:
            raise UserError(
                f"the Ray cluster at {address} has other versions than this machine ({said[:300]})",
                "install the cluster's versions of Ray and Python here",
            ) from None
        raise _no_cluster(address, said[:200]) from None


def _no_cluster(where: str, why: str) -> UserError:
    return UserError(
        f"no Ray cluster answers at {where} ({why})",
        "start one with `ray start --head`, or correct the address",
    )


def _version() -> str:
    return tellapart.__version__


def _returned(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[bool, Any]:
    """Calls a function on a node. Its error is returned: Ray would raise another one, of a class of its own."""
    try:
        return True, function(*arguments)
    except Exception as error:
        return False, error


def _unwrapped(answer: Future[tuple[bool, Any]]) -> Future[Any]:
    """Returns a future of what a function returned or raised on a node."""
    future: Future[Any] = Future()

    def finish(done: Future[tuple[bool, Any]]) -> None:
        error = done.exception()
        if error is not None:
            future.set_exception(error)
            return
        succeeded, value = done.result()
        if succeeded:
            future.set_result(value)
        else:
            future.set_exception(value)

    answer.add_done_callback(finish)
    return future
