"""Out-of-scope rows among the rows of a recipe: how many there are, and that none is trained on."""

from __future__ import annotations

import csv

import pytest

from tellapart.errors import DataError, RecipeError
from tellapart.fitting.resolve import resolve
from tellapart.fitting.rows import load_data, read_rows
from tellapart.recipes import method_recipe, with_values


@pytest.fixture
def write(tmp_path):
    def written(name: str, rows) -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "label"), *rows])
        return str(path)

    return written


def _rows(count: int, label: str, start: int = 0) -> list[tuple[str, str]]:
    return [(f"{label} text {number}", label) for number in range(start, start + count)]


def _recipe(source: str, *settings: str):
    return with_values(method_recipe("tfidf"), [f"data.source={source}", *settings])


def test_out_of_scope_rows_are_as_frequent_among_sampled_rows_as_among_those_of_their_source(write):
    file = write("tickets.csv", [*_rows(200, "lost"), *_rows(200, "stolen"), *_rows(100, "oos")])
    sampled = ["data.validation_rows=16", "data.test_rows=40"]
    data = load_data(_recipe(file, "data.out_of_scope=oos", *sampled))
    assert (len(data.validation), len(data.test)) == (16, 40)
    assert {name: len(rows) for name, rows in data.out_of_scope.items()} == {"validation": 4, "test": 10}
    note = "Out-of-scope rows are not trained on: 4 with the validation rows and 10 with the test rows."
    assert note in data.notes


def test_a_sampled_split_keeps_the_share_of_its_own_out_of_scope_rows(write, tmp_path):
    classes = [*_rows(60, "lost"), *_rows(60, "stolen")]
    write("set/train.csv", classes)
    write("set/validation.csv", [*_rows(40, "lost", 90), *_rows(40, "stolen", 90), *_rows(40, "oos")])
    write("set/test.csv", [*_rows(40, "lost", 200), *_rows(40, "stolen", 200), *_rows(8, "oos", 50)])
    sampled = ["data.out_of_scope=oos", "data.validation_rows=20", "data.test_rows=50"]
    recipe = _recipe(str(tmp_path / "set"), *sampled)
    data = load_data(recipe)
    assert {name: len(rows) for name, rows in data.out_of_scope.items()} == {"validation": 10, "test": 5}
    assert load_data(recipe).out_of_scope == data.out_of_scope
    (tmp_path / "others.txt").write_text("\n".join(f"other {number}" for number in range(30)))
    alone = write("alone.csv", classes)
    file = load_data(_recipe(alone, f"data.out_of_scope={tmp_path / 'others.txt'}", "data.test_rows=5"))
    assert {name: len(rows) for name, rows in file.out_of_scope.items()} == {"test": 30}


@pytest.mark.parametrize("source", ["rest", "file"])
def test_unlabelled_texts_that_are_out_of_scope_are_left_out(write, source):
    classes = [*_rows(40, "lost"), *_rows(40, "stolen")]
    file = write("tickets.csv", [*classes, ("Lost  TEXT 3", "oos"), *_rows(20, "oos")])
    more = [("lost text 90", "lost"), ("unknown", ""), ("OOS text 2", ""), ("another", "oos")]
    pool = source if source == "rest" else write("more.csv", more)
    few = ["data.few_shot=2", "data.out_of_scope=oos"]
    data = load_data(_recipe(file, f"data.unlabelled={pool}", *few))
    keys = set(data.unlabelled.keys())
    if source == "rest":
        assert not keys & {"lost text 3", *(text for text, _ in _rows(20, "oos"))}
        assert len(keys) > 40
        return
    assert keys == {"lost text 90", "unknown"}
    assert any("1 text(s) of" in note and 'labelled "oos"' in note for note in data.notes)
    assert any("1 equal out-of-scope rows" in note for note in data.notes)


def test_settings_of_self_training_without_unlabelled_texts_are_said_to_have_no_effect(write):
    file = write("tickets.csv", [*_rows(20, "lost"), *_rows(20, "stolen")])
    asked = "self_training.class_frequencies=unlabelled"
    pool = write("more.csv", [("another", "lost")])
    for settings, said in (([asked], True), ([], False), ([asked, f"data.unlabelled={pool}"], False)):
        notes = load_data(_recipe(file, *settings)).notes
        assert any("no effect without unlabelled texts" in note for note in notes) == said


def test_second_texts_that_the_training_rows_do_not_have_are_named(write, tmp_path):
    file = write("tickets.csv", [*_rows(20, "lost"), *_rows(20, "stolen")])
    more = tmp_path / "more.csv"
    more.write_text("text,text_pair\nmy card,the weather\na cat,two cats\n")
    recipe = _recipe(file, f"data.unlabelled={more}")
    notes = read_rows(recipe).notes
    assert f"The second texts of {more} are not used: the labelled rows are single texts." in notes
    more.write_text("text,other\nmy card,1\na cat,2\n")
    assert not any("second texts" in note for note in read_rows(recipe).notes)


@pytest.mark.parametrize("key", ["unlabelled", "out_of_scope"])
def test_single_texts_beside_training_rows_of_pairs_are_refused(tmp_path, key):
    file, more = tmp_path / "pairs.csv", tmp_path / "more.txt"
    lines = [f"text {number},other {number},{'yes' if number % 2 else 'no'}" for number in range(20)]
    file.write_text("\n".join(["text,text_pair,label", *lines]))
    more.write_text("my card\na cat\n")
    with pytest.raises(DataError, match=r"rows are pairs of texts, and .*more.txt has one text per row"):
        read_rows(_recipe(str(file), f"data.{key}={more}"))


def test_a_file_for_a_task_without_one_class_per_text_is_refused(write, tmp_path):
    (tmp_path / "others.txt").write_text("the weather\n")
    several = write("tags.csv", [("a", "x/y"), ("b", "y"), ("c", "x")])
    numbers = write("numbers.csv", [("a", "1.5"), ("b", "2.5"), ("c", "3")])
    named = f"data.out_of_scope={tmp_path / 'others.txt'}"
    with pytest.raises(DataError, match="the rows have any number of labels"):
        load_data(_recipe(several, named, "data.label_delimiter=/"))
    with pytest.raises(DataError, match="the rows have numeric targets"):
        load_data(_recipe(numbers, named, "data.regression=true"))


def test_an_empty_separator_of_labels_is_refused(write):
    several = write("tags.csv", [("a", "x|y"), ("b", "y"), ("c", "x")])
    with pytest.raises(DataError, match="separator of several labels is empty: give the character"):
        load_data(_recipe(several, "data.label_delimiter=|"))  # YAML for an empty text


def test_a_score_of_abstention_without_abstention_is_refused_before_training(write):
    recipe = _recipe(
        write("tickets.csv", [*_rows(20, "lost"), *_rows(20, "stolen")]), "decision.abstain_by=energy"
    )
    with pytest.raises(RecipeError, match='abstain_by is "energy", but the model is not to abstain: give'):
        resolve(recipe, load_data(recipe))
    chosen = with_values(recipe, ["decision.abstain.coverage=0.9"])
    assert resolve(chosen, load_data(chosen)).recipe.decision.abstain_by == "energy"
