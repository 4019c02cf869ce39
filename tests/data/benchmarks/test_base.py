from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tellapart.data.benchmarks.base import PublishersSource
from tellapart.data.benchmarks.registry import fetch, named_tables, registered
from tellapart.data.reading.rows import read_data
from tellapart.errors import DataError

Put = Callable[..., Path]

LCQMC = {"train.txt": "a\tb\t1\nc\td\t0\n", "test.txt": "e\tf\n"}
MEDWEB = (
    "ID,Tweet,Influenza,Diarrhea,Hayfever,Cough,Headache,Fever,Runnynose,Cold\n"
    "1en,I caught a cold.,n,n,n,n,n,n,n,p\n"
    "2en,My allergy!,n,n,p,n,n,n,p,n\n"
    "3en,A cold is a legit disease.,n,n,n,n,n,n,n,n\n"
)


def test_a_set_of_original_files_becomes_a_task_with_its_note(put: Put) -> None:
    put("medweb-en", {"NTCIR-13_MedWeb_en_training.csv": MEDWEB})
    data = read_data("medweb-en")
    assert data.labels.multi_label
    assert data.labels.names == ("Cold", "Hayfever", "Runnynose")
    assert data.train.labels == [["Cold"], ["Hayfever", "Runnynose"], []]
    assert any("translations of each other" in note for note in data.notes)


def test_a_test_split_whose_labels_are_kept_secret_is_left_out_with_a_note(put: Put) -> None:
    put("lcqmc", LCQMC)
    data = read_data("lcqmc")
    assert data.test is None
    assert any("test split has no labels" in note for note in data.notes)


def test_the_users_own_table_of_a_known_name_is_read_as_it_is(put: Put) -> None:
    put("tnews", {"train.csv": "text,label\na,x\nb,y\n"})
    data = read_data("tnews")
    assert (data.train.labels, data.notes[:-1]) == (["x", "y"], ())


def test_of_several_forms_one_is_read(put: Put) -> None:
    put("lcqmc", LCQMC | {"train.tsv": "x\ty\t1\n"})
    tables, _ = named_tables("lcqmc")
    assert [table.to_pylist() for table in tables.values()] == [
        [{"text": "x", "text_pair": "y", "label": "1"}]
    ]


def test_two_files_for_one_split_leave_doubt_and_are_refused(put: Put) -> None:
    put("lcqmc", {"new/train.txt": "a\tb\t1\n", "old/train.txt": "a\tb\t1\n"})
    with pytest.raises(DataError, match=r"two files for train: new/train\.txt, old/train\.txt"):
        named_tables("lcqmc")


def test_a_name_cannot_lead_to_files_outside_the_users_folder(put: Put) -> None:
    put("../outside", LCQMC)
    put("lcqmc", LCQMC)
    for name in ("../outside", "lcqmc/../../outside"):
        with pytest.raises(DataError, match="no set is registered"):
            named_tables(name)


def test_a_folder_without_the_files_says_which_are_looked_for(put: Put) -> None:
    put("medweb-en", {"README.txt": "about"})
    with pytest.raises(DataError, match=r"or add NTCIR-13_MedWeb_en_training\.xlsx, NTCIR"):
        read_data("medweb-en")


@pytest.mark.parametrize(
    "name", [name for name, one in registered().items() if isinstance(one.source, PublishersSource)]
)
def test_what_may_not_be_handed_on_is_answered_with_where_to_get_it_and_put_it(
    put: Put, tmp_path: Path, name: str
) -> None:
    with pytest.raises(DataError, match="cannot be downloaded automatically: get it at http") as caught:
        fetch(name)
    assert f"into the folder {name} in {tmp_path / 'data'}" in str(caught.value)
    assert str(registered()[name].originals[0]) in str(caught.value)
    assert not (tmp_path / "cache").exists()
