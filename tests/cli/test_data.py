from __future__ import annotations

import json
from pathlib import Path

import pytest

from tellapart.data.benchmarks import registry as benchmarks


def test_the_list_has_every_set_with_what_to_watch_out_for(tellapart):
    listed = tellapart("data", "list")
    sets = {one["name"]: one for one in json.loads(tellapart("data", "list", "--json").out)}
    assert sets.keys() == benchmarks.registered().keys()
    assert all(f"\n{name} " in listed.out for name in sets)
    assert sets["chnsenticorp"]["overlap"] == 331
    (scores,) = (line for line in listed.out.splitlines() if line.startswith("stsb "))
    assert " scores " in scores


def test_a_set_on_application_is_answered_with_where_to_get_it_and_where_to_put_it(
    tellapart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("TELLAPART_DATA", raising=False)
    asked = tellapart("data", "fetch", "medweb-en")
    assert (asked.code, asked.out) == (2, "")
    assert "http://research.nii.ac.jp/" in asked.err
    assert "put NTCIR-13_MedWeb_en_training.xlsx, NTCIR-13_MedWeb_en_test.xlsx into" in asked.err
    assert "TELLAPART_DATA" in asked.err
    monkeypatch.setenv("TELLAPART_DATA", str(tmp_path))
    (tmp_path / "medweb-en").mkdir()
    assert tellapart("data", "fetch", "medweb-en").out == f"{tmp_path / 'medweb-en'}\n"


@pytest.mark.parametrize(
    ("options", "given"),
    [
        (("--from", "2019-01", "--to", "2019-03-31"), ("2019-01", "2019-03-31", "cs", 0)),
        (("--from", "2019", "--to", "2020", "--archive", "math", "--seed", "3"), ("2019", "2020", "math", 3)),
    ],
)
def test_days_an_archive_and_a_seed_go_to_arxiv(tellapart, tmp_path: Path, monkeypatch, options, given):
    asked: list[tuple] = []

    def fetch_arxiv(*arguments: object) -> Path:
        asked.append(arguments)
        return tmp_path

    monkeypatch.setattr(benchmarks, "fetch_arxiv", fetch_arxiv)
    fetched = tellapart("data", "fetch", "arxiv", *options, "--json")
    assert json.loads(fetched.out) == {"name": "arxiv", "folder": str(tmp_path)}
    assert asked == [given]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("r8", "--from", "2019-01", "--to", "2019-02"), "do not apply to r8"),
        (("arxiv", "--from", "2019-01"), "give both --from and --to"),
        (("arxiv", "--seed", "1"), "give both --from and --to"),
        (("arxiv", "--from", "2019-01", "--to", "soon"), '"soon" is not a day'),
        (("arxiv", "--from", "2019-01", "--to", "2019-01", "--archive", "maths"), 'did you mean "math"?'),
    ],
)
def test_options_that_do_not_fit_are_refused(tellapart, arguments, message):
    refused = tellapart("data", "fetch", *arguments)
    assert (refused.code, refused.out) == (2, "")
    assert message in refused.err
