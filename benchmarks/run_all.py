"""Runs all benchmarks of speed and memory and prints the results with their targets.

    python benchmarks/run_all.py
    python benchmarks/run_all.py --resume
    python benchmarks/run_all.py --quick
    python benchmarks/run_all.py --table

Run it on an otherwise idle machine. Each benchmark is a separate process and writes its JSON to benchmarks/results
after every pair, so that an interrupted run can be continued with --resume. --quick uses few rows and one pair: it
shows that everything runs, its figures mean little, and they go to runs/bench-quick. --table only prints the table of
results. The comparisons with SetFit run if --setfit-python names an environment with SetFit (see few_shot_speed.py);
processor time to its accuracy is read from the runs of gains_peers.py. `python benchmarks/pages.py` writes the table
into docs/evidence/speed.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from evidence import RESULTS
from targets import missed, table_rows

HERE = Path(__file__).parent
SETFIT = ("few_shot_speed.py", "whole_command.py")
QUICK_FOLDER = Path("runs") / "bench-quick"


@dataclass(frozen=True)
class Benchmark:
    """A benchmark script and its options.

    Args:
        script: File in benchmarks.
        file: The JSON file that it writes.
        options: Options of every run.
        full: Additional options of full runs.
        quick: Additional options with --quick.
        resumes: Whether it has the option --resume.
        device: Whether it has the option --device.
    """

    script: str
    file: str
    options: tuple[str, ...] = ()
    full: tuple[str, ...] = ()
    quick: tuple[str, ...] = ()
    resumes: bool = True
    device: bool = True


_ROWS = ("--rows=128", "--test-rows=128", "--pairs=1")

BENCHMARKS = (
    *(
        Benchmark(
            "training_speed.py",
            f"training_speed-{data}.json",
            (f"--data={data}", "--arms=stock,expert,tellapart"),
            ("--pairs=5",),
            _ROWS,
        )
        for data in ("r8", "trec6", "banking77")
    ),
    *(
        Benchmark(
            "objective_overhead.py",
            f"objective_overhead-{data}.json",
            (f"--data={data}",),
            ("--pairs=7",),
            ("--pairs=1", "--steps=2"),
        )
        for data in ("r8", "banking77")
    ),
    *(
        Benchmark(
            "scoring_speed.py",
            file,
            options,
            ("--pairs=5",),
            ("--rows=300", "--train-rows=400", "--pairs=1"),
        )
        for file, options in (
            ("scoring_speed.json", ()),  # all arms whose packages are installed
            ("scoring_speed-int8.json", ("--arms=tellapart,fp32,int8",)),
        )
    ),
    Benchmark("machine_peak.py", "machine_peak-r8.json", quick=("--steps=2", "--repeats=1"), resumes=False),
    Benchmark("memory.py", "memory.json", quick=("--rows=192", "--large-batch=192"), resumes=False),
    Benchmark("second_stage.py", "second_stage-r8.json", quick=("--rows=128",), resumes=False, device=False),
    Benchmark(
        "latency.py",
        "latency.json",
        quick=("--texts=20", "--train-rows=200", "--pairs=1"),
        device=False,
    ),
    Benchmark(
        "shared_machine.py",
        "shared_machine-gnu.json",
        ("--epochs=2",),
        quick=("--few-shot=2", "--pairs=1"),
        device=False,
    ),
    Benchmark(
        "few_shot_speed.py",
        "few_shot_speed-banking77.json",
        full=("--pairs=5",),
        quick=("--setfit-steps=5", "--test-rows=128", "--pairs=1"),
        device=False,
    ),
    Benchmark(
        "whole_command.py",
        "whole_command.json",
        quick=("--steps=5", "--few-shot=2", "--pairs=1"),
        device=False,
    ),
    Benchmark(
        "tokenising_speed.py",
        "tokenising_speed.json",
        full=("--pairs=5",),
        quick=("--rows=2000", "--pairs=1"),
        device=False,
    ),
    Benchmark(
        "corpus_plan.py",
        "corpus_plan.json",
        quick=("--largest=8", "--earlier=1", "--sequences=100000", "--megabytes", "1"),
        resumes=False,
        device=False,
    ),
    Benchmark(
        "comparison_overhead.py",
        "comparison_overhead-trec6.json",
        quick=("--few-shot=2", "--trials=1"),
        resumes=False,
        device=False,
    ),
    Benchmark("growth.py", "growth.json", quick=("--quick", "--pairs=1")),
)


def run(benchmark: Benchmark, given: argparse.Namespace, folder: Path) -> bool:
    """Runs a benchmark; returns whether it finished."""
    command = [sys.executable, str(HERE / benchmark.script), *benchmark.options]
    command += benchmark.quick if given.quick else benchmark.full
    command += ["--output", str(folder / benchmark.file)]
    if benchmark.resumes and given.resume and not given.quick:
        command.append("--resume")
    if benchmark.script in SETFIT:
        command += ["--setfit-python", given.setfit_python]
    if benchmark.device and given.device is not None:
        command += ["--device", given.device]
    print("$ " + " ".join(command[1:]), flush=True)
    return subprocess.run(command, check=False).returncode == 0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--resume", action="store_true", help="keep existing results, add missing ones")
    parser.add_argument("--table", action="store_true", help="only print the table")
    parser.add_argument("--only", help="names of benchmarks or their files, separated by commas")
    parser.add_argument("--device")
    parser.add_argument("--setfit-python", help="Python of an environment with setfit 1.2")
    given = parser.parse_args()
    folder = QUICK_FOLDER if given.quick else RESULTS
    failed = []
    for benchmark in () if given.table else BENCHMARKS:
        names = given.only.split(",") if given.only else [benchmark.script]
        wanted = any(name in (benchmark.script, benchmark.file) for name in names)
        # Benchmarks that cannot resume are kept if they are complete.
        whole = (
            given.resume and not given.quick and not benchmark.resumes and (folder / benchmark.file).is_file()
        )
        possible = benchmark.script not in SETFIT or given.setfit_python is not None
        if wanted and possible and not whole and not run(benchmark, given, folder):
            failed.append(benchmark.file)
    rows = table_rows(folder)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for sentence in missed(folder):
        print(sentence)
    if failed:
        raise SystemExit("did not finish: " + ", ".join(failed))


if __name__ == "__main__":
    main()
