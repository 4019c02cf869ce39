from __future__ import annotations

import shutil
import zipfile

import pytest

from tellapart.errors import DataError
from tellapart.wordnet.reader import WordNet, find_wordnet


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """A machine on which WordNet is in none of the usual folders."""
    for name in ("WNSEARCHDIR", "WNHOME", "NLTK_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("tellapart.wordnet.reader._usual_places", lambda: iter([tmp_path / "no"]))


@pytest.fixture(scope="module")
def installed() -> WordNet:
    try:
        return WordNet()
    except DataError as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize(
    ("word", "lemmas"),
    [
        ("primary", "primary chief main"),
        ("rest", "rest remainder stay remain"),  # a noun and a verb
        ("stays", "stay remain rest persist"),  # two synsets of the base form
        ("staying", "stay remain rest persist"),
        ("cards", "card calling_card"),
        ("lost", "lose misplace missing lost"),  # irregular verb, and adjective
        ("taken", "take rob stolen taken robbed"),
        ("robbed", "stolen taken robbed"),
        ("geese", "goose"),  # in lower case
        ("TODAY", "today nowadays"),
        ("galore", "on galore"),  # without the mark of its place
        ("losses", "loss misplacement"),
        ("staid", ""),
        ("##s", ""),
        ("", ""),
    ],
)
def test_lemmas_of_all_synsets_of_all_base_forms(tiny_wordnet, word, lemmas):
    assert WordNet(tiny_wordnet).lemmas(word) == set(lemmas.split())


def test_an_irregular_form_has_no_regular_base(tiny_wordnet, tmp_path):
    folder = shutil.copytree(tiny_wordnet, tmp_path / "dict")
    (folder / "noun.exc").write_text("rests nothing\n")
    (folder / "verb.exc").write_text("rests nothing\n")
    assert WordNet(folder).lemmas("rests") == set()


def test_the_version_is_what_the_files_say(tiny_wordnet, tmp_path):
    assert WordNet(tiny_wordnet).version == "9.1"
    folder = shutil.copytree(tiny_wordnet, tmp_path / "other")
    data = folder / "data.noun"
    data.write_bytes(data.read_bytes().replace(b"WordNet 9.1 Copyright", b"EnglishNet  Copyright"))
    assert WordNet(folder).version == "unknown"


@pytest.mark.parametrize("variable", ["WNSEARCHDIR", "WNHOME", "NLTK_DATA"])
def test_variables_of_the_environment_lead_to_it(tiny_wordnet, tmp_path, monkeypatch, variable):
    for name in ("WNSEARCHDIR", "WNHOME", "NLTK_DATA"):
        monkeypatch.delenv(name, raising=False)
    below = {"WNSEARCHDIR": ".", "WNHOME": "dict", "NLTK_DATA": "corpora/wordnet"}[variable]
    folder = shutil.copytree(tiny_wordnet, tmp_path / "root" / below, dirs_exist_ok=True)
    monkeypatch.setenv(variable, str(tmp_path / "root"))
    assert find_wordnet().samefile(folder)
    assert WordNet().version == "9.1"


def test_the_archive_of_nltk_is_read_as_it_is(tiny_wordnet, tmp_path, monkeypatch):
    archive = tmp_path / "corpora" / "wordnet.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as packed:
        for file in tiny_wordnet.iterdir():
            packed.write(file, f"wordnet/{file.name}")
    monkeypatch.setenv("NLTK_DATA", str(tmp_path))
    monkeypatch.delenv("WNSEARCHDIR", raising=False)
    monkeypatch.delenv("WNHOME", raising=False)
    for wordnet in (WordNet(), WordNet(archive)):
        assert wordnet.lemmas("stays") == {"stay", "remain", "rest", "persist"}


def test_without_wordnet_the_error_says_how_to_get_it(nowhere):
    with pytest.raises(DataError, match=r"not found: install it \(apt install wordnet-base"):
        WordNet()


def test_a_folder_that_lacks_a_file_is_refused(tiny_wordnet, tmp_path):
    folder = shutil.copytree(tiny_wordnet, tmp_path / "dict")
    (folder / "verb.exc").unlink()
    with pytest.raises(DataError, match="dict does not contain WordNet"):
        WordNet(folder)


def test_files_of_two_versions_are_noticed(tiny_wordnet, tmp_path):
    folder = shutil.copytree(tiny_wordnet, tmp_path / "dict")
    data = folder / "data.adv"
    data.write_bytes(b"  0 one line more\n" + data.read_bytes())
    with pytest.raises(DataError, match=r"data\.adv is damaged"):
        WordNet(folder).lemmas("today")


def test_an_index_that_is_cut_off_is_noticed(tiny_wordnet, tmp_path):
    folder = shutil.copytree(tiny_wordnet, tmp_path / "dict")
    index = folder / "index.adv"
    index.write_bytes(index.read_bytes().partition(b"today r")[0] + b"today r")
    with pytest.raises(DataError, match='index entry of "today" is incomplete'):
        WordNet(folder).lemmas("today")


@pytest.mark.parametrize(
    ("word", "some", "none"),
    [
        ("primary", {"main", "chief", "primary"}, {"secondary"}),
        ("stayed", {"stay", "remain"}, {"stayed", "remained"}),
        ("better", {"good", "well"}, {"worse"}),
        ("the", set(), {"the"}),
    ],
)
def test_words_of_the_installed_wordnet(installed, word, some, none):
    lemmas = installed.lemmas(word)
    assert some <= lemmas
    assert not none & lemmas


def test_the_installed_wordnet_agrees_with_a_reading_of_every_line(installed):
    synsets: dict[str, list[set[str]]] = {}
    for part in ("noun", "verb", "adj", "adv"):
        text = (installed.folder / f"data.{part}").read_text(encoding="utf-8")
        for line in text.splitlines():
            if not line.startswith(" "):
                fields = line.split()
                words = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
                lemmas = {word.split("(")[0].lower() for word in words}
                for lemma in lemmas:
                    synsets.setdefault(lemma, []).append(lemmas)
    for lemma in sorted(synsets)[::50]:
        assert set().union(*synsets[lemma]) <= installed.lemmas(lemma)
    bases = {
        "main": ["main"],
        "stays": ["stays", "stay"],
        "running": ["running", "run"],
        "mice": ["mouse"],
        "went": ["go"],
        "boxes": ["box"],
        "leaves": ["leaf", "leave"],
    }
    for word, forms in bases.items():
        expected = {lemma for form in forms for synset in synsets[form] for lemma in synset}
        found = installed.lemmas(word)
        assert found <= expected  # a base form counts for its part of speech only
        assert set(forms) <= found
