"""Claims of run folders: locks, and what is left behind."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tellapart.errors import UserError
from tellapart.fitting.folder import LOCK, claimed

HOLDER = """
import sys, time
from tellapart.fitting.folder import claimed
with claimed(sys.argv[1]) as folder:
    (folder / "metrics.json").touch()
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_folder_has_one_run_at_a_time_and_a_killed_one_leaves_no_lock(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path / "run"], stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        for how in ({"resume": True}, {"overwrite": True}):
            with pytest.raises(UserError, match="another run is writing"), claimed(tmp_path / "run", **how):
                pass
        assert (tmp_path / "run" / "metrics.json").is_file()
    finally:
        holder.kill()
        holder.wait()
    assert (tmp_path / "run" / LOCK).exists()
    with claimed(tmp_path / "run", resume=True) as folder:
        assert (folder / "metrics.json").is_file()
    assert [path.name for path in folder.iterdir()] == ["metrics.json"]


def test_a_run_that_wrote_nothing_leaves_no_folder(tmp_path):
    def refused() -> None:
        with claimed(tmp_path / "run"):
            raise UserError("no", "do not")

    with pytest.raises(UserError, match="no: do not"):
        refused()
    assert not (tmp_path / "run").exists()


def test_processes_under_torchrun_share_the_lock_of_the_first(tmp_path, monkeypatch):
    with claimed(tmp_path / "run"):
        monkeypatch.setenv("RANK", "1")
        with claimed(tmp_path / "run") as folder:
            assert (folder / LOCK).exists()
        assert (folder / LOCK).exists()
        monkeypatch.setenv("RANK", "0")


def test_an_overwritten_folder_stays_locked(tmp_path):
    (tmp_path / "run" / "model").mkdir(parents=True)
    with claimed(tmp_path / "run", overwrite=True) as folder:
        assert [path.name for path in folder.iterdir()] == [LOCK]
        with pytest.raises(UserError, match="another run"), claimed(folder):
            pass


def test_a_folder_with_the_half_written_file_of_a_killed_run_is_overwritten(tmp_path):
    (tmp_path / "run").mkdir()
    for name in (
        "metrics.json",
        ".metrics.json.123.tmp",
        ".part-00000-00001.parquet.4.tmp",
        "part-00000-00000.parquet",
    ):
        (tmp_path / "run" / name).touch()
    (tmp_path / "run" / ".model.123.tmp").mkdir()
    (tmp_path / "run" / ".model.123.old").mkdir()
    (tmp_path / "run" / ".notes.txt.123.tmp").touch()
    with pytest.raises(UserError, match="not written by a run"), claimed(tmp_path / "run", overwrite=True):
        pytest.fail("the folder was claimed")
    (tmp_path / "run" / ".notes.txt.123.tmp").unlink()
    with claimed(tmp_path / "run", overwrite=True) as folder:
        assert [path.name for path in folder.iterdir()] == [LOCK]


@pytest.mark.parametrize("read", ["run", "run/model", "run/metrics.json"])
def test_what_a_run_reads_is_never_overwritten(tmp_path, read):
    model = tmp_path / "run" / "model"
    model.mkdir(parents=True)
    (tmp_path / "run" / "metrics.json").touch()
    with (
        pytest.raises(UserError, match="which --overwrite would empty"),
        claimed(tmp_path / "run", overwrite=True, inputs=(None, "minilm", tmp_path / read)),
    ):
        pytest.fail("the folder was claimed")
    assert model.is_dir()
    with claimed(tmp_path / "run", overwrite=True, inputs=(tmp_path / "other",)):
        assert not model.exists()


def test_only_verbs_that_resume_name_the_option(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.json").touch()
    for resume, named in ((None, False), (False, True)):
        with pytest.raises(UserError) as error, claimed(tmp_path / "run", resume=resume):
            pytest.fail("the folder was claimed")
        assert ("--resume" in error.value.remedy) is named
