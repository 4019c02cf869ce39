"""The tables that can be run again: what a protocol may say, and what the shipped ones do."""

from __future__ import annotations

import pytest
import yaml

from tellapart.data.benchmarks.registry import SETS
from tellapart.errors import RecipeError
from tellapart.evaluation.metrics import METRICS
from tellapart.recipes import with_values
from tellapart.reproduction.protocols import Protocol
from tellapart.reproduction.request import (
    check_settings,
    is_shipped,
    load_protocol,
    protocols,
    table_request,
)

SHIPPED = protocols()
SMALL = {
    "title": "Small",
    "encoders": {"bert": "some-bert", "other": "some-other"},
    "settings": {"stages.0.epochs": 2, "stages.0.objective.samples": 3, "stages.1.regularisation": 1},
    "columns": {
        "one": {"name": "One", "source": "one.csv", "settings": {"data.few_shot": 4}},
        "two": {"name": "Two", "source": "two.csv", "stands_in_for": "one", "encoder": "other"},
        "three": {"name": "Three", "note": "not public"},
    },
    "rows": {
        "ce": {"name": "CE", "method": "cross-entropy"},
        "aan": {"name": "AAN", "method": "negative-supervision", "settings": {"stages.0.epochs": 7}},
        "re": {"name": "RE", "method": "auxiliary-labels", "second": "other", "baseline": "aan"},
        "others": {"name": "Others", "note": "published elsewhere"},
    },
    "figures": {"ce": {"one": 90.0, "three": 1.5}, "aan": {"one": 91.5}},
    "cell_settings": {"re": {"one": {"stages.0.objective.total": 9}}},
}


def _written(content, folder):
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


def _request(protocol, **changes):
    return table_request("table", protocol, **changes)


@pytest.fixture
def small():
    return Protocol.model_validate(SMALL)


@pytest.mark.parametrize("file", ["tables/mine.yml", "copies/clld-table3.yaml"])
def test_the_command_names_the_file_of_a_table_as_it_was_given(small, file):
    assert _request(small, file=file, trials=small.trials).command == f"tellapart reproduce {file}"


@pytest.mark.parametrize("name", SHIPPED)
def test_every_row_of_a_shipped_table_is_a_run_that_differs_from_the_others(name):
    protocol, request = SHIPPED[name], _request(SHIPPED[name])
    if protocol.measures != "classification":
        runs = [
            repr((request.recipe(row, column, seed=0), request.pretraining(row)))
            for row in protocol.rows
            for column in protocol.columns
        ]
        assert len(set(runs)) == len(runs)
        return
    for column in protocol.columns:
        rows = [row for row in protocol.rows if not protocol.why_not(row, column)]
        recipes = [request.recipe(row, column, seed=3) for row in rows]
        assert [(recipe.method, recipe.seed) for recipe in recipes] == [(row, 3) for row in rows]
        contents = {
            repr(
                (
                    protocol.rows[row].run_by and row,
                    recipe.model_copy(update={"method": ""}),
                    request.pretraining(row),
                )
            )
            for recipe, row in zip(recipes, rows, strict=True)
        }
        assert len(contents) == len(rows), column
        for recipe, row in zip(recipes, rows, strict=True):
            assert all(with_values(recipe, one) != recipe for one in request.choices(row))


@pytest.mark.parametrize("name", SHIPPED)
def test_the_sets_and_metrics_of_a_shipped_table_are_those_that_there_are(name):
    known = {one.name for one in SETS}
    if SHIPPED[name].measures != "classification":
        known = {"rajpurkar/squad", "Salesforce/wikitext/wikitext-2-raw-v1"}
    for column in SHIPPED[name].columns.values():
        assert column.source is None or column.source in known
        assert set(column.metrics) <= set(METRICS)


@pytest.mark.parametrize("name", [name for name, one in SHIPPED.items() if one.figures])
def test_a_table_of_a_paper_has_a_figure_in_every_cell_that_the_paper_has(name):
    protocol = SHIPPED[name]
    assert protocol.paper
    assert protocol.table
    assert protocol.differences
    empty = [
        (row, column)
        for row in protocol.rows
        for column, its_column in protocol.columns.items()
        for metric in its_column.metrics
        if protocol.figure(row, column, metric) is None
    ]
    if protocol.measures == "robustness":  # the paper does not say what share was changed
        assert len(empty) == len(protocol.rows) * len(protocol.columns)
    else:  # the paper quotes nothing for arXiv, and has no figures for its reviews from Taobao
        without = {
            "negative-supervision-table3": [("sota", "arxiv")],
            "clld-table2": [(row, "taobao") for row in protocol.rows],
        }
        assert empty == without.get(name, [])
    figures = [
        protocol.figure(row, column, metric) or 50
        for row in protocol.rows
        for column, its_column in protocol.columns.items()
        for metric in its_column.metrics
    ]
    lowest = {"corrections": 1, "robustness": 2}.get(protocol.measures, 30)
    assert all(lowest < figure < 100 for figure in figures)  # per cent, all of them


@pytest.mark.parametrize(
    ("name", "row", "column", "metric", "figure"),
    [
        ("clld-table2", "textcnn-clld", "mr", "accuracy", 72.1),
        ("clld-table3", "ct-clald", "20ng", "accuracy", 86.56),
        ("negative-supervision-table3", "aan", "medweb-zh", "exact_match", 86.4),
        ("auxiliary-labels-table2", "mre-bert", "dbqa", "mean_average_precision", 95.0),
        ("auxiliary-labels-table2", "mre-bert", "wikiqa", "mean_reciprocal_rank", 95.03),
        ("auxiliary-labels-table3", "re-bert-ext", "tnews", "accuracy", 57.40),
        ("auxiliary-labels-table4", "mre-bert-f", "lcqmc", "accuracy", 87.7),
        ("true-negatives-table3", "electra-base-hc", "cola", "matthews_correlation", 70.9),
        ("true-negatives-table6", "sr-sent", "qnli", "accuracy", 90.0),
        ("true-negatives-table3", "electra-base-sr", "stsb", "spearman_correlation", 91.2),
        ("true-negatives-table2", "bert-large-corrections", "at-80", "prediction_level", 1.57),
        ("true-negatives-table4", "electra-small-squad-hc", "squad", "f1", 85.6),
        ("true-negatives-table5", "electra-small-squad-sr", "swap-synonyms", "f1_after", 78.51),
        ("true-negatives-table7", "electra-base-hc", "cola", "matthews_correlation", 67.5),
        ("true-negatives-table7-reduced", "public-spanbert-large", "rte", "accuracy", 79.0),
    ],
)
def test_the_figures_are_the_papers(name, row, column, metric, figure):
    assert SHIPPED[name].figure(row, column, metric) == figure


def test_averages_of_true_negatives_are_those_of_their_rows():
    for name in ("true-negatives-table3", "true-negatives-table6", "true-negatives-table7"):
        for row, cells in SHIPPED[name].figures.items():
            tasks = [figure for column, figure in cells.items() if column != "average"]
            assert sum(tasks) / 8 == pytest.approx(cells["average"], abs=0.11), row  # as the paper rounds


def test_what_an_attack_takes_away_is_the_difference_of_before_and_after():
    for row, cells in SHIPPED["true-negatives-table5"].figures.items():
        for before, after, lost, f1_before, f1_after, f1_lost, _ in cells.values():
            assert lost == pytest.approx(before - after), row
            assert f1_lost == pytest.approx(f1_before - f1_after, abs=0.011), row  # as the paper rounds


def test_a_generator_goes_with_the_encoder_that_the_table_names():
    four, row = SHIPPED["true-negatives-table4"], "electra-base-hc"
    assert _request(four).pretraining(row).generator == "google/electra-base-generator"
    own = {"electra-base": "mine"}
    assert _request(four, encoders=own).pretraining(row).generator is None
    given = ["pretraining.generator=beside"]
    assert _request(four, encoders=own, settings=given).pretraining(row).generator == "beside"
    other = {"electra-small": "mine"}
    assert _request(four, encoders=other).pretraining(row).generator == "google/electra-base-generator"


def test_rows_that_tables_share_are_trained_once_in_one_folder():
    three, four, five = (_request(SHIPPED[f"true-negatives-table{number}"]) for number in (3, 4, 5))
    assert len(set(four.rows) & set(three.rows)) == 3
    for row in set(four.rows) & set(three.rows):
        assert four.pretraining(row) == three.pretraining(row)
    for row in five.rows:
        assert five.pretraining(row) == four.pretraining(row)
        answers, attacked = four.recipe(row, "squad", 0), five.recipe(row, "add-sentence", 0)
        assert answers.model_dump().items() <= attacked.model_dump().items()
    assert not set(SHIPPED["true-negatives-table2"].rows) & set(three.rows)  # these keep other checkpoints


def test_a_task_of_scores_is_learnt_by_squared_error():
    recipe = _request(SHIPPED["true-negatives-table3"]).recipe("electra-small-hc", "stsb", 0)
    assert recipe.stages[0].objective.name == "mean-squared-error"
    assert (recipe.data.regression, recipe.stages[0].metric) == (True, "spearman_correlation")


PAPERS = {name: one for name, one in SHIPPED.items() if one.paper and not name.endswith("-reduced")}


@pytest.mark.parametrize(
    ("table", "row", "objective", "values"),
    [
        ("table2", "bert-large-corrections", "mlm", (512, 128, 200_000, 5e-5)),
        ("table3", "bert-base-hc", "mlm", (512, 128, 200_000, 5e-5)),
        ("table3", "electra-base", "electra", (512, 128, 200_000, 5e-5)),
        ("table3", "electra-small-sr", "electra", (128, 128, 1_000_000, 5e-4)),
        ("table4", "electra-small-squad", "electra", (512, 128, 1_000_000, 5e-4)),
        ("table6", "sr-sent", "electra", (128, 128, 1_000_000, 5e-4)),
    ],
)
def test_pretraining_has_the_papers_length_batch_steps_and_rate(table, row, objective, values):
    made = _request(SHIPPED[f"true-negatives-{table}"]).pretraining(row)
    assert made.objective == objective
    assert (made.max_length, made.batch_size, made.steps, made.learning_rate) == values
    assert (made.encoder == "new") == (values[2] == 1_000_000)  # the small models start from scratch
    reduced = SHIPPED[f"true-negatives-{table}-reduced"]
    small = _request(reduced).pretraining(row)
    assert (small.max_length, small.batch_size, small.steps) == (128, 32, 2000)
    assert small.encoder != "new"
    assert reduced.differences[0].startswith("Reduced: ")


@pytest.mark.parametrize("table", ["true-negatives-table3", "true-negatives-table6"])
def test_glue_is_learnt_with_the_settings_of_electras_code(table):
    request = _request(SHIPPED[table])
    for row in request.rows:
        epochs = {
            column: request.recipe(row, column, 0).stages[0].epochs for column in ("stsb", "rte", "mnli")
        }
        assert epochs == {"stsb": 10, "rte": 10, "mnli": 3}
        stage = request.recipe(row, "cola", 0).stages[0]
        rates = {"bert-base": 1e-4, "electra-base": 1e-4, "bert-large": 5e-5}
        expected = next((rate for name, rate in rates.items() if row.startswith(name)), 3e-4)
        assert (stage.learning_rate, stage.head_learning_rate, stage.batch_size) == (expected, expected, 32)
        assert stage.selection == "last"


def test_windows_of_squad_have_512_tokens():
    for table, column in (("true-negatives-table4", "squad"), ("true-negatives-table5", "swap-synonyms")):
        cell = _request(SHIPPED[table]).recipe("electra-small-squad", column, 0)
        assert (cell.max_length, cell.stride, cell.epochs) == (512, 128, 2)


def test_rows_are_drawn_in_the_numbers_of_the_paper_and_splits_are_those_of_all_trials():
    columns = SHIPPED["negative-supervision-table3"].columns
    drawn = {name: (one.drawn.validation, one.drawn.test) for name, one in columns.items() if one.drawn}
    assert (drawn["mr"], drawn["cr"], drawn["subj"]) == ((1706, 2133), (604, 755), (1600, 2000))
    assert (drawn["trec6"], drawn["medweb-ja"]) == ((1090, None), (384, None))
    assert {one.split_seed for one in PAPERS.values() if one.measures == "classification"} == {0}
    assert SHIPPED["few-shot"].split_seed is None  # whose seeds are draws of training rows


@pytest.mark.parametrize("name", [name for name in PAPERS if name.startswith(("clld", "auxiliary"))])
def test_where_a_paper_names_no_schedule_the_rate_is_constant(name):
    protocol, request = PAPERS[name], _request(PAPERS[name])
    column = next(iter(protocol.columns))
    for row in protocol.rows:
        if not protocol.why_not(row, column):
            stage = request.recipe(row, column, 0).stages[0]
            assert (stage.warmup_share, stage.trainer["lr_scheduler_type"]) == (0, "constant")
            assert stage.selection == ("last" if name.startswith("auxiliary") else None)


def test_what_cannot_be_had_is_named_with_the_reason():
    four = SHIPPED["auxiliary-labels-table4"]
    assert "glyphs" in four.why_not("chinesebert", "bq")
    assert "not published" in SHIPPED["clld-table2"].why_not("bert", "taobao")
    assert any("HAN" in one for one in SHIPPED["negative-supervision-table3"].differences)


def test_figure_3_has_its_three_encoders():
    request = _request(SHIPPED["auxiliary-labels-figure3"])
    for total in (2, 4, 6, 12, 16, 128):
        for prefix, encoders in (
            ("", ("hfl/chinese-bert-wwm", None)),
            ("ext-", ("hfl/chinese-bert-wwm-ext", None)),
            ("mre-", ("hfl/chinese-bert-wwm", "hfl/chinese-bert-wwm-ext")),
        ):
            recipe = request.recipe(f"{prefix}total-{total}", "kbqa", 0)
            assert (recipe.encoder.name, recipe.encoder.second) == encoders
            assert recipe.stages[0].objective.total == total
            assert request.protocol.baseline_of(f"{prefix}total-{total}") == f"{prefix}without"


def test_another_encoder_is_not_described_as_a_new_one():
    request = _request(SHIPPED["true-negatives-table3"], encoders={"electra-small": "mine"})
    made = request.pretraining("electra-small-hc")
    assert (made.encoder, made.hidden_size, made.layers, made.learning_rate) == ("mine", None, None, None)
    assert made.steps == 1_000_000


def test_a_table_may_extend_another(tmp_path):
    changes = {
        "extends": "clld-table3",
        "settings": {"stages.0.epochs": 2, "stages.0.patience": None},
        "rows": {"ct-cl": None, "more": {"name": "More", "method": "supcon"}},
        "figures": {"ct-cl": None, "ct": {"20ng": 1.0}},
    }
    _, protocol = load_protocol(_written(changes, tmp_path))
    base = SHIPPED["clld-table3"]
    assert list(protocol.rows) == ["ct", "ct-clsled", "ct-clald", "more"]
    assert protocol.figure("ct", "20ng", "accuracy") == 1.0
    assert protocol.title == base.title
    settings = {path: value for path, value in base.settings.items() if path != "stages.0.patience"}
    assert protocol.settings == settings | {"stages.0.epochs": 2}


@pytest.mark.parametrize("base", ["clld-table33", "mine", ["clld-table3"]])
def test_a_table_extends_only_one_of_the_package(tmp_path, base):
    with pytest.raises(RecipeError, match="which is no table"):
        load_protocol(_written({"extends": base}, tmp_path))


MEASURED = {
    "title": "Corrections",
    "measures": "corrections",
    "encoders": {"bert": "some-bert"},
    "settings": {"max_length": 32},
    "pretraining": {"steps": 40},
    "columns": {
        "half": {"name": "Half", "source": "one.txt", "settings": {"checkpoint": 0.5}},
        "end": {"name": "End", "source": "one.txt", "settings": {"limit": 9}},
    },
    "rows": {"hc": {"name": "HC", "pretraining": {"correction": "hard"}}, "no": {"name": "No", "note": "so"}},
}


def test_a_table_of_corrections_keeps_the_checkpoints_that_its_columns_speak_of():
    protocol = Protocol.model_validate(MEASURED)
    request = _request(protocol, settings=["pretraining.steps=8", "max_length=16"])
    made = request.pretraining("hc")
    assert (made.save_at, made.keep_checkpoints, made.steps) == ([0.5, 1.0], True, 8)
    cell = request.recipe("hc", "half", seed=3)
    assert (cell.checkpoint, cell.max_length, cell.source, cell.seed) == (0.5, 16, "one.txt", 3)
    assert (protocol.why_not("no", "half"), protocol.why_not("hc", "half")) == ("so", "")
    assert protocol.baseline_of("hc") == "hc"


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("rows", "hc", "method"), "supcon", "a method, but only tables of classifiers"),
        (("rows", "hc", "pretraining"), None, "needs a pretraining, or a note"),
        (("settings", "max_lenght"), 3, 'did you mean "max_length"'),
        (("settings", "max_length"), "long", "max_length cannot be 'long'"),
        (("columns", "half", "settings"), {"checkpoint": 1.5}, "checkpoint cannot be 1.5"),
        (("columns", "models"), {"name": "M", "source": "m"}, "is reserved"),
        (("choices",), [{"max_length": 9}], "only tables of classifiers can have choices"),
        (("measures",), "correction", "measures: input should be"),
    ],
)
def test_a_table_that_measures_something_else_is_refused_with_the_place(tmp_path, place, value, message):
    content = yaml.safe_load(yaml.safe_dump(MEASURED, sort_keys=False))
    target = content
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    with pytest.raises(RecipeError, match=message):
        load_protocol(_written(content, tmp_path))


def test_settings_of_the_user_are_those_of_what_a_table_measures():
    with pytest.raises(RecipeError, match=r'no setting "stages\.0\.epochs"'):
        check_settings(SHIPPED["true-negatives-table4"], ["stages.0.epochs=3"])
    check_settings(SHIPPED["true-negatives-table4"], ["epochs=3", "pretraining.steps=3", "train=mine.json"])


def test_settings_come_from_the_table_the_column_the_row_the_cell_and_the_user_in_this_order(small):
    plain = _request(small).recipe("ce", "one", 0)
    assert (plain.stages[0].epochs, plain.data.few_shot, plain.encoder.name) == (2, 4, "some-bert")
    row = _request(small).recipe("aan", "one", 0)
    assert (row.stages[0].epochs, row.stages[0].objective.samples) == (7, 3)
    cell = _request(small).recipe("re", "one", 0)
    assert (cell.stages[0].objective.total, cell.stages[1].regularisation) == (9, 1)
    assert (cell.encoder.name, cell.encoder.second) == ("some-bert", "some-other")
    settings = ["stages.0.epochs=1", "stages.0.objective.samples=2"]
    asked = _request(small, encoders={"other": "mine"}, settings=settings).recipe("aan", "two", 0)
    assert (asked.stages[0].epochs, asked.stages[0].objective.samples) == (1, 2)
    assert (asked.encoder.name, asked.data.few_shot) == ("mine", None)


def test_a_cell_knows_its_baseline_its_figure_and_why_it_cannot_be_run(small):
    assert [small.baseline_of(row) for row in small.rows] == ["ce", "ce", "aan", "ce"]
    assert small.figure("aan", "two", "accuracy") == 91.5  # of the set that it stands in for
    assert small.figure("re", "one", "accuracy") is None
    assert small.figure("ce", "one", "macro_f1") is None
    assert small.why_not("ce", "one") == ""
    assert small.why_not("ce", "three") == "not public"
    assert small.why_not("others", "three") == "published elsewhere"


def test_a_table_of_ones_own_is_read_from_a_file(tmp_path):
    name, protocol = load_protocol(_written(SMALL, tmp_path))
    assert name == "mine"
    assert list(protocol.rows) == ["ce", "aan", "re", "others"]
    assert is_shipped("few-shot")
    assert not is_shipped("mine")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("rows", "ce", "method"), "cross-entrpy", 'did you mean "cross-entropy"'),
        (("rows", "aan", "baseline"), "c", 'row aan is "c", which is not defined'),
        (("rows", "aan", "encoder"), "brt", 'did you mean "bert"'),
        (("rows", "ce", "method"), None, "needs a method, or a note"),
        (("columns", "one", "source"), None, "needs a source, or a note"),
        (("columns", "two", "stands_in_for"), "on", "which is not defined"),
        (("figures", "aan", "oen"), 1.0, 'did you mean "one"'),
        (("figures", "aan", "one"), [1.0, 2.0], "has 2 figures"),
        (("rows", "UPPER"), {"name": "U", "method": "tfidf"}, "describes no table"),
        (("column",), {}, "describes no table: column"),
        (("settings", "stages.0.epoch"), 3, 'did you mean "epochs"'),
        (("rows", "aan", "settings"), {"stages.0.objective.margin": 3}, "margin"),
        (("cell_settings", "ce", "one"), {"data.few_shot": -1}, "few_shot"),
        (("rows", "aan", "pretraining"), {"corection": "hard"}, 'did you mean "correction"'),
        (("columns", "pretraining"), {"name": "P", "source": "p"}, "is reserved"),
        (("columns", "one", "drawn"), {"test": 5}, "no split_seed"),
        (("columns", "one", "submission"), "wnli", "submission"),
    ],
)
def test_what_describes_no_table_is_refused_with_the_place(tmp_path, place, value, message):
    content = yaml.safe_load(yaml.safe_dump(SMALL, sort_keys=False))
    target = content
    for key in place[:-1]:
        target = target.setdefault(key, {})
    target[place[-1]] = value
    with pytest.raises(RecipeError, match=message):
        load_protocol(_written(content, tmp_path))


def test_an_unknown_table_is_refused_with_the_closest_one():
    with pytest.raises(RecipeError, match='did you mean "clld-table3"'):
        load_protocol("clld-table33")
