"""The structure of `src/tellapart`: sizes, circles and old module paths."""

from __future__ import annotations

import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

from tellapart.moved import MOVED

SOURCE = Path(__file__).parents[1] / "src" / "tellapart"


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_no_file_is_longer_than_400_lines():
    assert [path for path in SOURCE.rglob("*.py") if _lines(path) > 400] == []


def test_runs_holds_the_verbs_and_no_more():
    # 1,700 for the verbs up to `explain`, 100 for `suggest`, 50 for trackers and abstention in the others,
    # 50 for the places where runs run.
    assert sum(map(_lines, (SOURCE / "runs").rglob("*.py"))) <= 1_900


def test_no_modules_import_each_other_in_a_circle():
    """Late imports inside functions count too."""
    graph = grimp.build_graph("tellapart", exclude_type_checking_imports=True)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    TopologicalSorter(imports).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("old", MOVED)
def test_an_old_module_path_gives_the_moved_module_and_says_so(old):
    code = (
        "import importlib, warnings\n"
        "with warnings.catch_warnings(record=True) as seen:\n"
        "    warnings.simplefilter('always')\n"
        f"    old = importlib.import_module({old!r})\n"
        f"new = importlib.import_module({MOVED[old]!r})\n"
        "assert old is new and new.__spec__.name == new.__name__\n"
        f"assert any({MOVED[old]!r} in str(warning.message) for warning in seen)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
