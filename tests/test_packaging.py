"""The distributions: what is in them, what they say of themselves, and how they are published."""

from __future__ import annotations

import email
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import transformers
import yaml
from packaging.requirements import Requirement

import tellapart

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOW = ROOT / ".github" / "workflows" / "release.yml"
LICENCES = {"LICENSE", "src/tellapart/pretraining/tables/WORDNET-LICENSE.txt"}

# What a source distribution is built from; benchmarks/ and tests/ are taken as they are.
SOURCES = [
    ".ci",
    "CHANGELOG.md",
    "CITATION.cff",
    "LICENSE",
    "MANIFEST.in",
    "Makefile",
    "README.md",
    "benchmarks",
    "docs",
    "examples",
    "pyproject.toml",
    "recipes",
    "src",
    "tests",
]


def _build(what: str, folder: Path, output: Path) -> Path:
    """Calls a hook of the build backend, as `python -m build` does, without an environment of its own."""
    code = f"from setuptools import build_meta; print(build_meta.build_{what}({str(output)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, check=True, capture_output=True, text=True
    )
    return output / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source distribution, built from a copy of the checkout, where nothing of an earlier build lies."""
    copy = tmp_path_factory.mktemp("checkout")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "results")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, copy)
    return _build("sdist", copy, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """A wheel, built from the source distribution."""
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
    (folder,) = unpacked.iterdir()
    return zipfile.ZipFile(_build("wheel", folder, tmp_path_factory.mktemp("wheel")))


def _package_files() -> set[str]:
    source = ROOT / "src"
    return {
        path.relative_to(source).as_posix()
        for path in (source / "tellapart").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_has_every_file_of_the_package_and_its_metadata(wheel: zipfile.ZipFile) -> None:
    info = f"tellapart-{tellapart.__version__}.dist-info"
    metadata = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "top_level.txt"}
    names = {name for name in wheel.namelist() if not name.endswith("/")}
    assert names == _package_files() | {f"{info}/{name}" for name in metadata} | {
        f"{info}/licenses/{name}" for name in LICENCES
    }
    assert {"tellapart/py.typed", "tellapart/data/benchmarks/sets.yaml"} <= names
    assert any(re.fullmatch(r"tellapart/inspection/templates/.+", name) for name in names)
    assert any(re.fullmatch(r"tellapart/reproduction/papers/.+\.yaml", name) for name in names)
    assert any(re.fullmatch(r"tellapart/pretraining/tables/.+\.safetensors", name) for name in names)


def test_the_wheel_says_what_it_is(wheel: zipfile.ZipFile) -> None:
    info = f"tellapart-{tellapart.__version__}.dist-info"
    said = email.message_from_bytes(wheel.read(f"{info}/METADATA"))
    assert (said["Name"], said["Version"]) == ("tellapart", tellapart.__version__)
    assert (said["License-Expression"], said["Requires-Python"]) == (PROJECT["license"], ">=3.11")
    assert set(said.get_all("License-File") or []) == LICENCES
    assert set(said.get_all("Provides-Extra") or []) == set(PROJECT["optional-dependencies"])
    assert "tellapart = tellapart.cli:main" in wheel.read(f"{info}/entry_points.txt").decode()
    assert said["Description-Content-Type"] == "text/markdown"


def test_the_source_distribution_can_be_read_tested_and_documented(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {"/".join(name.split("/")[1:]) for name in archive.getnames()}
    wanted = [
        "recipes/*.yaml",
        "docs/**/*.md",
        "docs/conf.py",
        "tests/**/*.py",
        "examples/*",
        "*.md",
        "CITATION.cff",
    ]
    expected = {path.relative_to(ROOT).as_posix() for glob in wanted for path in ROOT.glob(glob)}
    assert expected - names == set()
    assert {name for name in names if "__pycache__" in name or name.endswith(".pyc")} == set()


def test_the_version_is_one_number() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert PROJECT["version"] == tellapart.__version__ == citation["version"]


def test_transformers_before_5_19_are_refused_and_the_page_says_so() -> None:
    """They have no `loss_is_scaled_for_ga`: `training_step` divides a loss that is scaled already once more."""
    allowed = next(one for one in map(Requirement, PROJECT["dependencies"]) if one.name == "transformers")
    assert [allowed.specifier.contains(one) for one in ("5.18.0", "5.19.0", "5.24.0", "6.0")] == [
        False,
        True,
        True,
        False,
    ]
    page = (ROOT / "docs" / "reference" / "platforms.md").read_text(encoding="utf-8")
    assert "Transformers before 5.19 are not supported" in " ".join(page.split())
    assert hasattr(transformers.Trainer, "loss_is_scaled_for_ga")


@pytest.fixture(scope="module")
def jobs() -> dict[str, Any]:
    workflow = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {}
    return workflow["jobs"]


def test_a_release_gives_each_job_what_it_needs_and_no_more(jobs: dict[str, Any]) -> None:
    assert {name: job["permissions"] for name, job in jobs.items()} == {
        "build": {"contents": "read"},
        "publish": {"id-token": "write"},
    }
    assert "secrets" not in WORKFLOW.read_text(encoding="utf-8")
    assert jobs["publish"]["environment"]["name"] == "pypi"


def test_a_release_uses_actions_at_a_commit_and_names_its_version(jobs: dict[str, Any]) -> None:
    used = re.findall(r"uses: (.+)", WORKFLOW.read_text(encoding="utf-8"))
    assert len(used) == sum("uses" in step for job in jobs.values() for step in job["steps"]) > 3
    for action in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_a_release_puts_nothing_of_the_event_into_a_script(jobs: dict[str, Any]) -> None:
    assert [step["run"] for step in jobs["build"]["steps"] if "${{" in step.get("run", "")] == []


def test_an_image_gets_what_the_wheel_is_built_from_and_nothing_else():
    """Models, data and access tokens of a checkout would stay in a layer of the image."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    first, *others = [line for line in lines if line and not line.startswith("#")]
    kept = {line[1:] for line in others if line.startswith("!")}
    needed = {PROJECT["readme"], "pyproject.toml", "src", *PROJECT["license-files"]}
    assert first == "*"
    assert kept == {name.partition("/")[0] for name in needed}
