from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tellapart.data.examples import SCORE, LabelSpace, TextSplit
from tellapart.data.label_texts import (
    decided,
    label_text_note,
    names_are_words,
    read_label_texts,
    readable_name,
    with_rows,
)
from tellapart.errors import DataError

CLASSES = LabelSpace(("lost", "stolen"))


@pytest.mark.parametrize(
    ("name", "readable"),
    [
        ("card_lost", "card lost"),
        ("rec.sport.hockey", "rec sport hockey"),
        ("NUM:date", "num date"),
        ("money-fx/Trade", "money fx trade"),
        ("CardLost", "card lost"),
        ("HTTPError", "http error"),
        ("  two   words ", "two words"),
        ("Über_Größe", "über größe"),
        ("label_3", "label 3"),
        ("__", ""),
        ("军事", "军事"),
    ],
)
def test_a_name_becomes_words(name, readable):
    assert readable_name(name) == readable


@given(st.text(max_size=30))
def test_a_readable_name_stays_as_it_is(name):
    once = readable_name(name)
    assert readable_name(once) == once == " ".join(once.split())


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["card_lost", "cardStolen"], True),
        (["pos", "neg"], True),
        (["comp.sys.ibm.pc.hardware", "rec.autos"], True),
        (["体育", "军事"], True),
        (["sport", "trade", "c12"], True),
        (["0", "1"], False),
        (["c12", "c13"], False),
        (["label_3", "label_4"], False),
        (["LABEL_0", "LABEL_1"], False),
        (["a", "b"], False),
        (["Class A", "Class B"], False),
        (["-1.5", "2.0"], False),
        (["ABBR", "DESC", "HUM"], False),
        (["xkq", "rtz"], False),
        ([], False),
    ],
)
def test_names_are_words_by_their_form(names, words):
    assert names_are_words(names) == words


def test_names_give_one_text_for_each_class_in_the_order_of_the_classes():
    labels = LabelSpace(("card_stolen", "CardLost"))
    assert read_label_texts("names", labels) == TextSplit(
        ["card stolen", "card lost"], None, ["card_stolen", "CardLost"]
    )


def test_auto_takes_names_that_are_distinct_words_and_says_why_not():
    numbers, colliding = LabelSpace(("0", "1")), LabelSpace(("card-lost", "card_lost"))
    assert read_label_texts("auto", CLASSES) == read_label_texts("names", CLASSES)
    assert read_label_texts("auto", numbers) is None
    assert read_label_texts("auto", colliding) is None
    assert 'such as "0"' in label_text_note("auto", None, numbers)
    assert [decided("auto", None), decided("auto", TextSplit([])), decided("x.csv", None)] == [
        "none",
        "names",
        "x.csv",
    ]
    assert read_label_texts("none", CLASSES) is None


def test_labels_are_lists_for_several_labels_and_pairs_have_an_empty_second_text():
    several = LabelSpace(("lost", "stolen"), "multi_label_classification")
    assert read_label_texts("names", several).labels == [["lost"], ["stolen"]]
    assert read_label_texts("names", CLASSES, pairs=True).text_pairs == ["", ""]


EXPECTED = TextSplit(["it is gone", "nowhere to be found", "a thief"], None, ["lost", "lost", "stolen"])
FILES = {
    "named.csv": "id,text,class\n1,it is gone,lost\n2,a thief,stolen\n3,nowhere to be found,lost\n",
    "other.tsv": "Label\tDescription\nlost\tit is gone\nlost\tnowhere to be found\nstolen\ta thief\n",
    "any.csv": "who,what\nlost,it is gone\nlost,nowhere to be found\nstolen,a thief\n",
    "bare.csv": "lost,it is gone\nlost,nowhere to be found\nstolen,a thief\n",
    "spaced.csv": "class,text\n lost,it is gone\nlost ,nowhere to be found\nstolen,a thief\n",
    "mapping.json": json.dumps({"stolen": "a thief", "lost": ["it is gone", "nowhere to be found"]}),
    "records.json": json.dumps(
        [
            {"label": "lost", "text": "it is gone"},
            {"class": "stolen", "text": "a thief"},
            {"class": "lost", "text": "nowhere to be found"},
        ]
    ),
    "rows.jsonl": '{"class": "lost", "text": "it is gone"}\n{"class": "lost", "text": "nowhere to be found"}\n'
    '{"class": "stolen", "text": "a thief"}\n',
    "mapping.yaml": "lost:\n- it is gone\n- nowhere to be found\nstolen: a thief\n",
    "records.yml": "- {class: lost, text: [it is gone, nowhere to be found]}\n- {class: stolen, text: a thief}\n",
}


@pytest.mark.parametrize("name", FILES)
def test_every_form_of_a_file_gives_the_same_rows(tmp_path, name):
    path = tmp_path / name
    path.write_text(FILES[name], encoding="utf-8")
    assert read_label_texts(str(path), CLASSES) == EXPECTED


def test_a_mapping_gives_the_same_rows_and_repeats_nothing():
    given_texts = {"stolen": "a thief", "lost": ["it is gone", "nowhere to be found", "it is gone"]}
    assert read_label_texts(given_texts, CLASSES) == EXPECTED


def test_yaml_reads_classes_such_as_no_and_1_as_written(tmp_path):
    path = tmp_path / "texts.yaml"
    path.write_text("no: it is not\n1: the first\n")
    assert read_label_texts(str(path), LabelSpace(("1", "no"))).texts == ["the first", "it is not"]


@pytest.mark.parametrize(
    ("texts", "parts"),
    [
        ({"lost": "a", "stolne": "b"}, ['"stolne"', 'did you mean "stolen"']),
        ({"lost": "a"}, ['no text for the class "stolen"']),
        ({"lost": "a", "stolen": []}, ['no text for the class "stolen"']),
        ({"lost": "a", "stolen": " "}, ['the text of the class "stolen"', "empty"]),
        ({"lost": "Gone  away", "stolen": ["b", "gone away"]}, ['"lost"', '"stolen"', "the same text"]),
        ({"lost": "a", "stolen": 3}, ['"stolen"', "no text"]),
        ({"lost": "a", "stolen": None}, ['"stolen"', "no text"]),
    ],
)
def test_texts_that_cannot_be_used_are_named(texts, parts):
    with pytest.raises(DataError) as error:
        read_label_texts(texts, CLASSES)
    assert all(part in str(error.value) for part in parts), error.value


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("texts.csv", "a,b,c\n1,2,3\n", "class and text"),
        ("texts.json", "[1, 2]", "neither a mapping"),
        ("texts.json", '{"lost": ', "JSON"),
        ("texts.yaml", "lost: [a\nstolen: b", "not readable YAML"),
        ("texts.json", '[{"class": "lost"}]', "record 1"),
    ],
)
def test_files_that_cannot_be_read_are_named(tmp_path, name, content, part):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(DataError, match=part) as error:
        read_label_texts(str(path), CLASSES)
    assert str(path) in str(error.value)


def test_a_word_that_is_no_file_names_the_choices():
    with pytest.raises(DataError, match="names, auto, none"):
        read_label_texts("nams", CLASSES)


def test_names_that_read_the_same_and_numeric_targets_are_refused():
    with pytest.raises(DataError, match="the same text"):
        read_label_texts("names", LabelSpace(("card-lost", "card_lost")))
    with pytest.raises(DataError, match="empty"):
        read_label_texts("names", LabelSpace(("lost", "__")))
    with pytest.raises(DataError, match="numeric targets"):
        read_label_texts("names", LabelSpace((SCORE,), "regression"))


def test_the_note_tells_the_number_and_the_origin():
    texts = read_label_texts("names", CLASSES)
    note = label_text_note("names", texts, CLASSES)
    assert note == '2 label texts from the class names join the training rows, such as "lost" and "stolen".'
    assert "from texts.csv" in label_text_note("texts.csv", texts, CLASSES)


def test_rows_are_added_at_the_end_and_as_pairs_where_needed():
    pairs = TextSplit(["a"], ["b"], ["lost"], ["q"])
    assert with_rows(pairs, read_label_texts("names", CLASSES)) == TextSplit(
        ["a", "lost", "stolen"], ["b", "", ""], ["lost", "lost", "stolen"]
    )
