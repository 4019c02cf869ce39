"""Every mistake of a user's: one sentence, exit code 2, no traceback, nothing left behind."""

from __future__ import annotations

import errno
import json
import subprocess
import sys

import pytest


@pytest.fixture
def refused(tellapart, tmp_path):
    """Runs a command that must fail, and returns its one line."""

    def run(*arguments: object) -> str:
        before = set(tmp_path.rglob("*"))
        finished = tellapart(*arguments)
        assert finished.code == 2, finished.err
        assert finished.out == ""
        errors = [line for line in finished.err.splitlines() if not line.startswith("note: ")]
        assert len(errors) == 1, finished.err
        assert errors[0].startswith("error: ")
        assert errors[0].endswith(".")
        assert set(tmp_path.rglob("*")) == before
        return errors[0]

    return run


@pytest.fixture
def train(refused, quick, tmp_path):
    """Trains on the content of a file and returns the error."""

    def run(content: str | bytes, name: str = "data.csv", *options: object) -> str:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return refused("train", path, *quick, *options, "--output", tmp_path / "run")

    return run


ROWS = "text,label\n" + "".join(f"text {number},{'ab'[number % 2]}\n" for number in range(20))


def test_a_missing_file_is_named(refused, quick, tmp_path):
    assert "nowhere.csv" in refused("train", tmp_path / "nowhere.csv", *quick, "--output", tmp_path / "run")


def test_a_missing_column_is_named_with_those_there_are(train):
    message = train(ROWS, "data.csv", "--label", "lable")
    assert "lable" in message
    assert 'did you mean "label"?' in message


def test_an_unknown_label_in_the_test_split_is_named(refused, quick, tmp_path):
    folder = tmp_path / "splits"
    folder.mkdir()
    (folder / "train.csv").write_text(ROWS)
    (folder / "test.csv").write_text("text,label\none,a\ntwo,c\n")
    message = refused("train", folder, *quick, "--output", tmp_path / "run")
    assert '"c"' in message
    assert "test" in message


def test_one_class_only_is_refused(train):
    assert "class" in train("text,label\none,a\ntwo,a\nthree,a\n")


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ([{"text": 3, "label": "a"}, {"text": 4, "label": "b"}], "text"),
        ([{"text": "one", "label": "a"}, {"text": None, "label": "b"}], "text"),
        ([{"text": "one", "label": "a"}, {"text": "two", "label": None}], "label"),
    ],
)
def test_numbers_and_nulls_where_texts_or_labels_belong_are_refused(train, rows, named):
    assert named in train("\n".join(json.dumps(row) for row in rows), "data.jsonl")


def test_a_label_that_is_nan_is_refused(train):
    assert "label" in train('{"text": "one", "label": 1.5}\n{"text": "two", "label": NaN}\n', "data.jsonl")


def test_empty_texts_do_not_stop_a_run_and_check_reports_them(tellapart, quick, tiny_encoder, tmp_path):
    path = tmp_path / "data.csv"
    path.write_text(ROWS + ",a\n,b\n")
    assert tellapart("train", path, "--method", "frozen", *quick, "--output", tmp_path / "run").code == 0
    findings = json.loads(tellapart("check", path, "--encoder", tiny_encoder, "--json").out)["findings"]
    assert [finding["count"] for finding in findings if finding["kind"] == "empty_texts"] == [2]


def test_broken_utf_8_is_named_with_the_remedy(train):
    assert "UTF-8" in train(ROWS.encode() + b"caf\xe9,a\n")


@pytest.mark.parametrize("content", ["", "text,label\n"])
def test_a_file_without_rows_is_refused(train, content):
    assert "data.csv" in train(content)


def test_an_unknown_recipe_key_is_named_with_the_closest_one(train, tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("method: cross-entropy\nencoder: {max_lenght: 64}\n")
    assert 'did you mean "max_length"?' in train(ROWS, "data.csv", "--recipe", recipe)
    assert 'did you mean "epochs"?' in train(ROWS, "data.csv", "--set", "stages.0.epoch=3")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--ordered", "a,c"), 'the class "c", which does not occur in the data'),
        (("--ordered", "a"), "lacks b"),
        (("--hierarchy", "."), 'no class name contains the separator "."'),
        (("--ordered", "a,b", "--hierarchy", "."), "not both"),
        (("--thresholds", "tuned"), "one class each"),
        (("--thresholds", "1.5"), "less than 1"),
        (("--temperature", "hot"), "'none', 'fitted' or 'folded'"),
        (("--method", "negative-supervision-prior"), "--ordered"),
    ],
)
def test_what_is_said_of_the_classes_and_of_decisions_has_to_fit(train, options, named):
    assert named in train(ROWS, "data.csv", *options)


def test_an_order_that_does_not_fit_the_model_is_refused(refused, trained, ticket_file):
    assert "lacks expired" in refused("evaluate", trained, ticket_file, "--ordered", "lost,stolen")


def test_an_unknown_method_is_named_with_the_closest_one(train):
    assert 'did you mean "label-distance"?' in train(ROWS, "data.csv", "--method", "label-distanse")


@pytest.mark.parametrize("verb", ["evaluate", "predict"])
def test_a_model_folder_that_is_none_is_refused(refused, ticket_file, tmp_path, verb):
    (tmp_path / "empty").mkdir()
    output = ("--output", tmp_path / "predicted.csv") if verb == "predict" else ()
    assert "holds no model" in refused(verb, tmp_path / "empty", ticket_file, *output)


def test_an_output_folder_in_use_is_left_alone(refused, ticket_file, quick, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("mine")
    assert "--overwrite" in refused("train", ticket_file, *quick, "--output", tmp_path / "run")
    refused("train", ticket_file, *quick, "--output", tmp_path / "run", "--overwrite")
    assert (tmp_path / "run" / "thesis.tex").read_text() == "mine"


def test_a_disk_that_is_full_at_the_end_leaves_no_half_of_a_file(
    refused, trained, ticket_file, tmp_path, monkeypatch
):
    def fill_up(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.ParquetWriter.write_table", fill_up)
    output = tmp_path / "predicted.parquet"
    message = refused("predict", trained, ticket_file, "--output", output, "--quiet")
    assert "No space left on device" in message


def test_a_trained_model_that_is_not_there_is_not_replaced_by_an_encoder(refused, ticket_file, tmp_path):
    message = refused("predict", "no-such-model", ticket_file, "--output", tmp_path / "out.csv")
    assert "use a folder that tellapart or save_pretrained wrote" in message
    assert "--encoder" not in message
    assert "--encoder minilm" in refused(
        "train", ticket_file, "--encoder", "no-such-model", "--output", tmp_path / "r"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--trials", "3"], "--merge soup"),
        (["--merge", "soup"], "--trials 2 or more"),
        (["--method", "frozen", "--set=stages.0.selection=average"], "no weights to average"),
        (["--set=stages.0.selection=average", "--set=stages.0.patience=2"], "choose selection: best"),
        (["--set=stages.0.averaging=0"], "averaging"),
        (["--set=stages.0.objective={name: soft-targets}"], "the training rows have none"),
        (["--method", "label-distance", "--validation-in-training"], "adaptive label distance"),
    ],
)
def test_weights_that_cannot_be_selected_averaged_or_merged(train, options, message):
    assert message in train(ROWS, "data.csv", *options)


@pytest.mark.parametrize("verb", ["train", "compare", "sweep", "pretrain"])
def test_a_mistake_in_the_settings_is_answered_before_torch_is_imported(verb):
    code = (
        "import sys\nfrom tellapart.cli import main\n"
        f"try:\n    main([{verb!r}, 'x.csv', '--set', 'seed=-1'])\n"
        "except SystemExit as end:\n    assert end.code == 2\n"
        "assert not {'torch', 'transformers'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr
    assert "seed cannot be -1" in done.stderr
