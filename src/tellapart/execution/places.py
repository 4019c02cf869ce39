"""What users write, `--jobs` and `--on`, as an engine."""

from __future__ import annotations

from dataclasses import dataclass

from tellapart.errors import UserError
from tellapart.execution.engine import Engine
from tellapart.execution.local import local_engine
from tellapart.execution.ray_cluster import RayEngine, check_address

_LEAST_SHARE = 0.0001  # Ray counts resources in this unit


@dataclass(frozen=True)
class Place:
    """Where trials run.

    Args:
        jobs: Processes on this machine's CPU, which share out its cores; 1 for this process alone; None for this
            process, or one process per GPU where there are several.
        on: Address of a Ray cluster, see `RayEngine`; None for this machine.
        cores: On a cluster, CPU cores of a trial; by default 1.
        gpus: On a cluster, GPUs of a trial: a share of one, or a whole number; by default none.

    Raises:
        UserError: The address is malformed, a number is out of range, or options contradict each other.
    """

    jobs: int | None = None
    on: str | None = None
    cores: int | None = None
    gpus: float | None = None

    def __post_init__(self) -> None:
        if self.on is not None:
            check_address(self.on)
            if self.jobs is not None:
                raise UserError("--jobs is for this machine, and --on for a cluster", "leave one of them out")
        elif self.cores is not None or self.gpus is not None:
            raise UserError(
                "--worker-cores and --worker-gpus are for a cluster", "add --on, or leave them out"
            )
        for name, number, least in (
            ("--jobs", self.jobs, 1),
            ("--worker-cores", self.cores, 1),
            ("--worker-gpus", self.gpus, 0),
        ):
            if number is not None and not least <= number < float("inf"):
                raise UserError(f"{name} cannot be {number:g}", f"use {least} or more")
        self._check_share()

    def _check_share(self) -> None:
        """Checks what Ray itself would refuse as a number of GPUs."""
        if self.gpus is not None and self.gpus > 1 and self.gpus != int(self.gpus):
            raise UserError(
                f"--worker-gpus cannot be {self.gpus:g}: a run takes a share of one GPU, or whole ones",
                f"use 1 or less, or {int(self.gpus)} or {int(self.gpus) + 1}",
            )
        if self.gpus is not None and 0 < self.gpus < _LEAST_SHARE:
            raise UserError(f"--worker-gpus cannot be {self.gpus:g}", f"use 0, or {_LEAST_SHARE:g} or more")

    def check_tracked(self, tracker: str | None) -> None:
        """Checks that what a tracker writes beside the output will be there.

        Raises:
            UserError: It would stay on the nodes of a cluster.
        """
        if self.on is not None and tracker is not None:
            raise UserError(
                "--track writes beside the output, which the nodes of a cluster do not see",
                "leave out --track, or use --jobs in place of --on",
            )

    def engine(self) -> Engine:
        """Starts the processes, or connects to the cluster; the engine is to be closed.

        Raises:
            MissingDependencyError: Ray is not installed.
            UserError: There are fewer cores than jobs, or no cluster answers.
        """
        if self.on is None:
            return local_engine(self.jobs)
        return RayEngine(self.on, cores=self.cores or 1, gpus=self.gpus or 0.0)
