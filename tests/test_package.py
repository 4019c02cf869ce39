from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import tellapart
from tellapart.cli.version import full_version

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "transformers", "datasets", "sklearn", "pandas", "matplotlib", "pyarrow", "numpy", "rich")


@pytest.mark.parametrize(
    "code",
    [
        "import tellapart",
        "import tellapart.cli",
        "from tellapart.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass",
        "from tellapart.cli import main\ntry: main(['train', '--help'])\nexcept SystemExit: pass",
    ],
)
def test_importing_the_package_or_asking_for_help_imports_nothing_heavy(code):
    check = f"{code}\nimport sys\nprint('loaded:', *[name for name in {HEAVY} if name in sys.modules])"
    finished = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert finished.stdout.splitlines()[-1].strip() == "loaded:"


@pytest.mark.parametrize(
    "code",
    [
        "import transformers, tellapart",
        "import tellapart\ntellapart.register()\ntellapart.register()",
        "import tellapart\ntellapart.Trainer",
    ],
)
def test_transformers_knows_our_model_classes_once_both_packages_are_in_use(code):
    check = (
        f"{code}\nfrom transformers import AutoConfig, AutoModelForSequenceClassification as classifiers\n"
        "config = AutoConfig.for_model('tellapart-fused')\n"
        "print(classifiers._model_mapping[type(config)].__name__)"
    )
    finished = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert finished.stdout == "FusedForSequenceClassification\n"


def test_every_public_name_is_there_and_listed():
    for name in tellapart.__all__:
        assert getattr(tellapart, name) is not None
    assert set(tellapart.__all__) <= set(dir(tellapart))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="Trainner"):
        tellapart.Trainner  # noqa: B018


def test_the_wheel_takes_every_file_of_the_package_along():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    source = ROOT / "src"
    taken = {
        path
        for package, globs in patterns.items()
        for pattern in globs
        for path in source.joinpath(*package.split(".")).glob(pattern)
    }
    files = {
        path for path in source.rglob("tellapart/**/*") if path.is_file() and "__pycache__" not in path.parts
    }
    assert {path for path in files if path.suffix != ".py"} == {path for path in taken if path.is_file()}


def test_the_module_runs_as_a_program():
    finished = subprocess.run(
        [sys.executable, "-m", "tellapart", "--version"], capture_output=True, text=True, check=True
    )
    assert finished.stdout == f"tellapart {full_version()}\n"
