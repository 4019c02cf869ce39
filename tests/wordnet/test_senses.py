from __future__ import annotations

import shutil

import pytest

from tellapart.errors import DataError
from tellapart.wordnet.morphology import inflected, inflection_of
from tellapart.wordnet.reader import Reading, WordNet

# A key, the number of the sense, how often it was met: the lines of cntlist.rev.
COUNTS = """lose%2:40:02:: 1 123
stay%2:42:00:: 1 30
stay%2:42:01:: 2 10
Rest%1:06:00:: 1 4
lost%5:00:00:missing:00 1 7
broken line
"""


@pytest.fixture
def counted(tiny_wordnet, tmp_path):
    folder = shutil.copytree(tiny_wordnet, tmp_path / "dict")
    (folder / "cntlist.rev").write_text(COUNTS)
    return WordNet(folder)


def test_readings_tell_part_of_speech_base_form_senses_and_how_often_each_was_met(counted):
    noun, verb = counted.readings("rest")
    assert noun == Reading("noun", "rest", (("rest", "remainder"),), (4,))
    assert (verb.part, verb.synsets, verb.count) == ("verb", (("stay", "remain", "rest"),), 0)
    (stays,) = counted.readings("Stays")
    assert (stays.base, stays.counts, stays.count) == ("stay", (30, 10), 40)
    assert stays.synsets == (("stay", "remain", "rest"), ("persist", "remain", "stay"))
    assert [(reading.part, reading.count) for reading in counted.readings("lost")] == [
        ("verb", 123),
        ("adj", 7),
    ]
    assert counted.readings("staid") == []
    assert counted.counts_senses


def test_the_index_of_senses_does_where_the_list_of_counts_is_not_there(tiny_wordnet, tmp_path):
    folder = shutil.copytree(tiny_wordnet, tmp_path / "dict")
    (folder / "index.sense").write_text("lose%2:40:02:: 02287618 1 123\n")
    assert WordNet(folder).readings("lost")[0].count == 123


def test_without_either_nothing_was_met(tiny_wordnet):
    wordnet = WordNet(tiny_wordnet)
    assert not wordnet.counts_senses
    assert {reading.count for reading in wordnet.readings("lost")} == {0}


def test_irregular_forms_are_those_of_their_part_of_speech(tiny_wordnet):
    wordnet = WordNet(tiny_wordnet)
    assert wordnet.irregular_forms("take", "verb") == ("took", "taken")
    assert wordnet.irregular_forms("goose", "noun") == ("geese",)
    assert wordnet.irregular_forms("goose", "verb") == ()


class Exceptions:
    """Lists of exceptions alone."""

    _FORMS = (
        ("lose", "verb", ("lost",)),
        ("take", "verb", ("took", "taken")),
        ("stop", "verb", ("stopped", "stopping")),
        ("have", "verb", ("has", "had")),
        ("goose", "noun", ("geese",)),
        ("hero", "noun", ("heroes",)),
    )

    def irregular_forms(self, base: str, part: str) -> tuple[str, ...]:
        return next((forms for word, its, forms in self._FORMS if (word, its) == (base, part)), ())


@pytest.mark.parametrize(
    ("form", "base", "part", "inflection"),
    [
        ("card", "card", "noun", "base"),
        ("cards", "card", "noun", "s"),
        ("boxes", "box", "noun", "s"),
        ("cities", "city", "noun", "s"),
        ("days", "day", "noun", "s"),
        ("photos", "photo", "noun", "s"),
        ("heroes", "hero", "noun", "s"),
        ("geese", "goose", "noun", "s"),
        ("gooses", "goose", "noun", None),
        ("echoes", "echo", "verb", "s"),
        ("lost", "lose", "verb", "ed"),
        ("took", "take", "verb", "ed"),
        ("stopped", "stop", "verb", "ed"),
        ("offered", "offer", "verb", "ed"),
        ("tried", "try", "verb", "ed"),
        ("has", "have", "verb", "s"),
        ("stopping", "stop", "verb", "ing"),
        ("using", "use", "verb", "ing"),
        ("dying", "die", "verb", "ing"),
        ("seeing", "see", "verb", "ing"),
        ("dyeing", "dye", "verb", "ing"),
        ("put", "put", "verb", None),  # present or past
        ("better", "good", "adj", None),
        ("primary", "primary", "adj", "base"),
    ],
)
def test_the_form_of_a_word_is_told_and_made_again(form, base, part, inflection):
    assert inflection_of(form, base, part, Exceptions()) == inflection
    if inflection is not None and base != "take":
        assert inflected(base, part, inflection, Exceptions()) == form


def test_a_past_that_may_not_be_the_participle_is_not_made():
    assert inflected("take", "verb", "ed", Exceptions()) is None
    assert inflected("take", "verb", "ing", Exceptions()) == "taking"


def test_the_installed_wordnet_is_met_mostly_as_people_would_say():
    try:
        wordnet = WordNet()
    except DataError as missing:
        pytest.skip(str(missing))
    if not wordnet.counts_senses:
        pytest.skip("these files do not tell how often a sense was met")
    lost = {reading.part: reading.count for reading in wordnet.readings("lost")}
    assert lost["verb"] > 10 * lost["noun"]
    assert wordnet.readings("cars")[0].counts[0] > 0
    assert "occurred" in wordnet.irregular_forms("occur", "verb")
