"""An engine on Ray (https://docs.ray.io): tasks run on the nodes of a cluster, or of one started on this machine."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, TypeVar
from urllib.parse import urlsplit

import tellapart
from tellapart.errors import MissingDependencyError, UserError
from tellapart.execution.engine import Engine, Loss
from tellapart.execution.local import DIED, END_SECONDS

Result = TypeVar("Result")

THIS_MACHINE = "ray"
"""In place of an address: a cluster that runs on this machine, else one is started for the command."""

CONNECT_SECONDS = 40.0
"""Time limit for connecting to a cluster, in seconds."""

ANSWER_SECONDS = 60.0
"""Time limit for connecting and for the version check on all nodes together, in seconds."""

WAIT_SECONDS = 45.0
"""Time limit for waiting until some node has room for a task, in seconds."""

LOST_SECONDS = 20.0
"""Time limit for waiting for the head node, in seconds. After 60 s Ray would end this process without an error."""

_CLIENT, _CLIENT_PORT = "ray://", 10001  # Ray's own port for clients
_PROBE_SECONDS = 10.0
_PATIENCE_SECONDS = 1.0  # until a call is suspected to wait for a lost head


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
        self._running: list[tuple[Any, Future[Any]]] = []
        self._connected = not self._ray.is_initialized()  # a script may have connected itself
        begun = time.monotonic()
        started = self._connected and _connect(self._ray, address)
        self._head = _head(self._ray, address if self._connected else None)
        self._lost = False
        try:
            self._check_room()
            # The start of a cluster is no waiting for its answer.
            self._check_software(time.monotonic() if started else begun)
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
        """How many tasks the living nodes have room for; grows and shrinks with the cluster.

        Raises:
            UserError: The head no longer answers.
        """
        return sum(self._rooms().values())

    def submit(self, function: Callable[..., Result], /, *arguments: Any) -> Future[Result]:
        """Runs a function of a module on a node.

        Raises:
            UserError: The head no longer answers.
        """
        remote = self._ray.remote(max_retries=0, **self._needs)(_returned)
        reference = self._asked(lambda: remote.remote(function, arguments))
        future = _unwrapped(reference.future())
        self._running = [(one, its) for one, its in self._running if not its.done()]
        self._running.append((reference, future))
        return future

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
        """Ends what still runs, disconnects, and stops a cluster that was started for this engine.

        The connection of a script that has connected itself stays.
        """
        running = [reference for reference, future in self._running if not future.done()]
        self._running = []
        if running and not self._lost:
            with contextlib.suppress(UserError):
                self._asked(lambda: self._end(running))
        if self._connected:
            self._connected = False
            self._ray.shutdown()

    def _end(self, running: list[Any]) -> None:
        for reference in running:
            self._ray.cancel(reference, force=True)
        self._ray.wait(running, num_returns=len(running), timeout=END_SECONDS)

    def _check_head(self) -> None:
        """Waits for the head if it is away for a moment.

        Raises:
            UserError: It does not come back.
        """
        end = time.monotonic() + LOST_SECONDS
        while self._head is not None:
            try:
                socket.create_connection(self._head, timeout=_PROBE_SECONDS).close()
                return
            except OSError:
                if time.monotonic() >= end:
                    self._lost = True
                    raise _no_longer() from None
                time.sleep(min(1.0, LOST_SECONDS))

    def _asked(self, call: Callable[[], Result]) -> Result:
        """Calls Ray, in another thread: when its head is lost it does not return, and ends this process after 60 s.

        Raises:
            UserError: The head does not answer.
        """
        future: Future[Result] = Future()

        def answer() -> None:
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=answer, daemon=True, name="ask Ray").start()
        while not wait([future], timeout=_PATIENCE_SECONDS).done:
            self._check_head()
        try:
            return future.result()
        except (OSError, self._ray.exceptions.RayError):
            self._lost = True
            raise _no_longer() from None

    def _rooms(self) -> dict[str, int]:
        """The number of tasks that each living node has room for, by node."""
        self._check_head()
        rooms = {}
        for node in self._asked(lambda: self._ray.nodes()):
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
            has = self._asked(lambda: self._ray.cluster_resources())
            needs = f"{self._needs['num_cpus']} cores and {self._needs['num_gpus']:g} GPUs"
            raise UserError(
                f"each run needs {needs}, and no node of the Ray cluster has that: together they have "
                f"{has.get('CPU', 0):g} cores and {has.get('GPU', 0):g} GPUs",
                "lower --worker-cores or --worker-gpus, or add nodes",
            )

    def _check_software(self, begun: float) -> None:
        """Asks every node for its version of tellapart, within `ANSWER_SECONDS` since this time of the clock."""
        nodes = list(self._rooms())
        left = max(1.0, begun + ANSWER_SECONDS - time.monotonic())
        versions = self._asked(lambda: self._versions(nodes, left))
        if len(versions) < len(nodes):
            raise UserError(
                f"{len(nodes) - len(versions)} of {len(nodes)} nodes of the Ray cluster do not start a process "
                f"within {left:.0f} s",
                "look at them with `ray status`",
            )
        for node, found in versions.items():
            if found != tellapart.__version__:
                raise UserError(
                    f"node {node[:8]} of the Ray cluster has tellapart {found}, and this machine "
                    f"{tellapart.__version__}",
                    "install the same version on every node",
                )

    def _versions(self, nodes: list[str], seconds: float) -> dict[str, str]:
        """The version of tellapart, or `none`, on each node that answers in time."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        probe = self._ray.remote(num_cpus=0, max_retries=0)(_version)
        asked = {
            probe.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(): node
            for node in nodes
        }
        answered, _ = self._ray.wait(list(asked), num_returns=len(asked), timeout=seconds)
        versions = {}
        for reference in answered:
            try:
                versions[asked[reference]] = self._ray.get(reference)
            except self._ray.exceptions.RayError:
                versions[asked[reference]] = "none"
        return versions


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
    end = time.monotonic() + CONNECT_SECONDS
    try:
        socket.create_connection((host, port), timeout=_PROBE_SECONDS).close()
    except OSError as error:
        raise _no_cluster(f"{host}:{port}", str(error)) from None
    full = f"{_CLIENT}{host}:{port}" if address.startswith(_CLIENT) else f"{host}:{port}"
    _init_in_time(ray, full, options, end)
    return False


def _head(ray: Any, address: str | None) -> tuple[str, int] | None:
    """Returns where the head of the cluster listens; None if that is not to be had.

    Args:
        ray: Connected.
        address: What this process has connected to; None if something else has.
    """
    from ray.util.client import ray as client

    if client.is_connected():
        return None if address is None else _host_and_port(address)
    host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
    return host.strip("[]"), int(port)


def _init_in_time(ray: Any, address: str, options: dict[str, Any], end: float) -> None:
    """Connects until this time of the clock: Ray itself may wait for minutes for what is no cluster."""
    raised: list[BaseException] = []

    def connect() -> None:
        try:
            ray.init(address=address, **options)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=connect, daemon=True, name="connect to Ray")
    thread.start()
    thread.join(max(0.0, end - time.monotonic()))
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


def _no_longer() -> UserError:
    return UserError("the Ray cluster no longer answers", "start it again, and go on with --resume")


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
        if (error := done.exception()) is None:
            succeeded, value = done.result()
        else:  # not the error of a task, which is returned: that of a client's connection
            succeeded, value = False, _no_longer() if isinstance(error, ConnectionError) else error
        (future.set_result if succeeded else future.set_exception)(value)

    answer.add_done_callback(finish)
    return future
