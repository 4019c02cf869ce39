from __future__ import annotations

import json
import os
import warnings

import pytest

from tellapart.errors import OutputError, RecipeError, TellapartWarning, UserError
from tellapart.execution.places import Place
from tellapart.recipes import Recipe, with_values
from tellapart.reproduction import cells as cells_module
from tellapart.reproduction.cells import CellResult, run_cell, table_cells
from tellapart.reproduction.figures import Reproduction
from tellapart.reproduction.measures import classification as module
from tellapart.reproduction.pages import reproduction_markdown
from tellapart.reproduction.protocols import Protocol
from tellapart.reproduction.request import load_protocol, table_request
from tellapart.reproduction.run import reproduce, table_plan
from tellapart.runs.compare import compare


@pytest.fixture
def table(ticket_file, tiny_encoder):
    """Quick methods on the tickets, twice; a set that is missing, one that cannot be had, a method of others."""
    return {
        "title": "Tickets",
        "paper": "Somebody: Tickets, 2020",
        "table": "Table 1",
        "encoders": {"bert": tiny_encoder},
        "trials": 2,
        "baseline": "svm",
        "settings": {"encoder.max_length": 24},
        "columns": {
            "tickets": {"name": "Tickets", "source": str(ticket_file)},
            "few": {
                "name": "Few",
                "source": str(ticket_file),
                "metrics": {"macro_f1": "F1", "accuracy": "Acc"},
                "settings": {"data.few_shot": 8},
            },
            "missing": {"name": "Missing", "source": "no/such/file.csv"},
            "secret": {"name": "Secret", "note": "nobody hands it out"},
        },
        "rows": {
            "svm": {"name": "SVM", "method": "tfidf"},
            "probe": {"name": "Probe", "method": "frozen"},
            "theirs": {"name": "Theirs", "note": "quoted"},
        },
        "figures": {
            "svm": {"tickets": 80.0, "few": [70, 71.5]},
            "probe": {"tickets": 82.5},
            "theirs": {"secret": 99},
        },
    }


ASKED = {"rows", "columns", "encoders", "trials", "seed", "settings"}


def request(table, **options):
    return table_request("mine", Protocol.model_validate(table), **options)


def run(table, output, **options):
    asked = {name: options.pop(name) for name in ASKED & options.keys()}
    return reproduce(request(table, **asked), output, quiet=True, **options)


def figures(result, column, row, metric=None):
    metrics = result.columns[column].metrics
    return metrics[metric or next(iter(metrics))][row]


def files(folder):
    """The content of what a table writes, the times aside, which no two runs share."""
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def test_every_cell_is_run_and_what_cannot_be_is_named_with_its_reason(table, tmp_path):
    result = run(table, tmp_path / "out")
    one = figures(result, "tickets", "probe")
    assert (one.paper, set(one.scores), one.missing) == (82.5, {0, 1}, {})
    assert one.mean == pytest.approx(sum(one.scores.values()) / 2)
    assert (one.difference.baseline, one.difference.trials) == ("svm", 2)
    assert one.verdict
    assert figures(result, "tickets", "svm").difference is None
    assert [figures(result, "few", "svm", name).paper for name in ("macro_f1", "accuracy")] == [70, 71.5]
    assert "there is no file" in figures(result, "missing", "svm").missing[1]
    assert figures(result, "secret", "probe").missing == {0: "nobody hands it out", 1: "nobody hands it out"}
    assert figures(result, "tickets", "theirs").missing[0] == "quoted"
    assert len(result.columns["tickets"].data.fingerprint) == 64
    written = json.loads((tmp_path / "out" / "mine.json").read_text())
    assert Reproduction.from_dict(written) == result
    assert (tmp_path / "out" / "mine.md").read_text() == reproduction_markdown(
        Reproduction.from_dict(written)
    )
    assert "Theirs" in (tmp_path / "out" / "mine.html").read_text()


def test_the_first_seed_of_all_comes_before_the_second_of_any(table, tmp_path, monkeypatch):
    order = []

    def recorded(cell, _directory):
        order.append((cell.seed, cell.column, cell.row))
        return CellResult(error="not now")

    monkeypatch.setattr("tellapart.reproduction.run.run_cell", recorded)
    run(table, tmp_path / "out", seed=4)
    wanted = [(column, row) for column in ("tickets", "few") for row in ("svm", "probe")]
    assert order == [(seed, *cell) for seed in (4, 5) for cell in wanted]


def test_interrupted_after_any_cell_it_goes_on_to_the_same_page(table, tmp_path, monkeypatch):
    run(table, tmp_path / "whole")
    done = sorted((tmp_path / "whole").rglob("*-seed*.json"))
    assert len(done) == 8
    real = module.run_trial

    def as_it_was(*arguments, **more):  # the times of the first run: all else must come out alike by itself
        trial = real(*arguments, **more)
        file = arguments[2] / f"{trial['method']}-seed{trial['seed']}.json"
        kept = tmp_path / "whole" / arguments[2].parent.name / "trials" / file.name
        trial["seconds"] = json.loads(kept.read_text())["seconds"]
        file.write_text(json.dumps(trial, ensure_ascii=False))
        return trial

    monkeypatch.setattr(module, "run_trial", as_it_was)
    for after in range(len(done)):
        output, calls = tmp_path / f"after-{after}", []

        def interrupted(*arguments, calls=calls, after=after, **more):
            if len(calls) == after:
                raise KeyboardInterrupt
            calls.append(arguments)
            return as_it_was(*arguments, **more)

        monkeypatch.setattr(module, "run_trial", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(table, output)
        assert not (output / "mine.json").exists()
        monkeypatch.setattr(
            module, "run_trial", lambda *a, calls=calls, **k: calls.append(a) or as_it_was(*a, **k)
        )
        run(table, output, resume=True)
        assert len(calls) == len(done)  # nothing twice
        assert files(output) == files(tmp_path / "whole")


def test_trials_of_a_comparison_are_its_cells(table, ticket_file, tiny_encoder, tmp_path, monkeypatch):
    table["rows"] = {"tfidf": {"name": "SVM", "method": "tfidf"}, "frozen": {"name": "P", "method": "frozen"}}
    table |= {"baseline": "tfidf", "figures": {}}
    recipe = with_values(
        Recipe(), [f"data.source={ticket_file}", f"encoder.name={tiny_encoder}", "encoder.max_length=24"]
    )
    compared = compare(recipe, ["frozen", "tfidf"], tmp_path / "out" / "tickets", trials=2, quiet=True)
    monkeypatch.setattr(module, "run_trial", lambda *_, **__: pytest.fail("it was there"))
    result = run(table, tmp_path / "out", columns=["tickets"], resume=True)
    for row in ("tfidf", "frozen"):
        assert figures(result, "tickets", row).scores == compared.methods[row].scores


def test_a_cell_that_fails_is_kept_and_the_rest_still_runs(table, tmp_path, monkeypatch):
    real = module.run_trial

    def failing(recipe, *rest, **more):
        if recipe.method == "svm" and recipe.seed == 0:
            raise RuntimeError("it broke\nbadly")
        if recipe.method == "probe" and recipe.data.few_shot:
            raise RuntimeError("CUDA out of memory. Tried to allocate")
        return real(recipe, *rest, **more)

    monkeypatch.setattr(module, "run_trial", failing)
    result = run(table, tmp_path / "out")
    assert figures(result, "tickets", "svm").missing == {0: "failed: RuntimeError: it broke badly"}
    assert set(figures(result, "tickets", "svm").scores) == {1}
    assert figures(result, "tickets", "probe").difference.trials == 1
    assert "not enough memory" in figures(result, "few", "probe").missing[0]
    page = (tmp_path / "out" / "mine.md").read_text()
    assert "it broke badly: Tickets (SVM, seed 0); Few (SVM, seed 0)." in page
    # What is on disk is enough for the page; and what failed is tried again where there is time.
    assert figures(run(table, tmp_path / "out", budget=0, resume=True), "tickets", "svm").missing == {
        0: "failed: RuntimeError: it broke badly"
    }
    monkeypatch.setattr(module, "run_trial", real)
    mended = run(table, tmp_path / "out", resume=True)
    assert not figures(mended, "tickets", "svm").missing
    assert not list((tmp_path / "out").rglob("*.failed.json"))


def test_a_full_disk_ends_the_run(table, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OutputError("it could not be written", "free some space")

    monkeypatch.setattr(module, "run_trial", full)
    with pytest.raises(OutputError):
        run(table, tmp_path / "out")


def test_a_budget_leaves_cells_out_and_the_page_says_so(table, tmp_path):
    result = run(table, tmp_path / "out", budget=0)
    assert figures(result, "tickets", "svm").missing == {
        0: "did not fit into the budget",
        1: "did not fit into the budget",
    }
    page = (tmp_path / "out" / "mine.md").read_text()
    assert "80 / not run" in page
    assert "did not fit into the budget: Tickets (SVM, Probe); Few (SVM, Probe)." in page


def test_rows_and_columns_can_be_run_one_by_one_into_one_page(table, tmp_path):
    first = run(table, tmp_path / "out", rows=["svm"], columns=["tickets"], trials=1)
    assert figures(first, "tickets", "probe").missing == {0: "not asked for"}
    assert figures(first, "missing", "svm").missing == {0: "not asked for"}  # nobody looked for it
    assert first.command == "tellapart reproduce mine.yaml --rows svm --columns tickets --trials 1"
    second = run(table, tmp_path / "out", rows=["probe"], columns=["tickets"], trials=1, resume=True)
    assert set(figures(second, "tickets", "svm").scores) == {0}
    assert figures(second, "tickets", "probe").difference is not None


def test_the_mean_without_the_best_and_the_worst_stands_for_a_cell_where_the_paper_did_so(table, tmp_path):
    table |= {"summary": "trimmed"}
    result = run(table, tmp_path / "out", rows=["probe"], columns=["few"], trials=3)
    one = figures(result, "few", "probe")
    scores = sorted(one.scores.values())
    assert one.trimmed_mean == pytest.approx(scores[1])
    page = (tmp_path / "out" / "mine.md").read_text()
    assert f"| – / {100 * scores[1]:.2f} |" in page
    assert "without the best and the worst" in page


def test_the_validation_rows_choose_once_for_all_seeds(table, tmp_path, monkeypatch):
    table["choices"] = [{"stages.0.regularisation": 1e-9}, {"stages.0.regularisation": 10.0}]
    table["rows"]["svm"]["choices"] = []
    seen, real = [], module.run_trial

    def recorded(recipe, *rest, **more):
        seen.append((recipe.method, recipe.seed, recipe.stages[0].regularisation))
        return real(recipe, *rest, **more)

    monkeypatch.setattr(module, "run_trial", recorded)
    run(table, tmp_path / "out", columns=["tickets"])
    assert ("probe", 0, 10.0) in seen
    assert ("probe", 1, 10.0) in seen
    kept = json.loads((tmp_path / "out" / "tickets" / "trials" / "probe-choice.json").read_text())
    assert kept["validation"][0] < kept["validation"][1]
    assert kept["chosen"] == ["stages.0.regularisation=10.0"]
    monkeypatch.setattr(module, "fit", lambda *_, **__: pytest.fail("it was chosen"))
    run(table, tmp_path / "out", columns=["tickets"], resume=True)
    # Another question is asked anew.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "run_trial", recorded)
        patch.setattr(module, "fit", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("asked")))
        changed = run(
            table, tmp_path / "out", columns=["tickets"], settings=["encoder.max_length=20"], resume=True
        )
    assert figures(changed, "tickets", "probe").missing[0] == "failed: RuntimeError: asked"


def test_published_validation_rows_can_be_those_to_compare_on(table, tickets, tmp_path):
    source = tmp_path / "set"
    source.mkdir()
    labelled = [{"text": text, "label": label} for text, label in tickets]
    (source / "train.json").write_text(json.dumps(labelled[::2]))
    (source / "validation.json").write_text(json.dumps(labelled[1::4]))
    table["columns"] = {
        "valid": {"name": "Valid", "source": str(source), "evaluated": "validation"},
        "split": {"name": "Split", "source": str(source)},
    }
    table["figures"] = {}
    run(table, tmp_path / "out", rows=["svm"], trials=1)
    trials = {
        column: json.loads((tmp_path / "out" / column / "trials" / "svm-seed0.json").read_text())
        for column in table["columns"]
    }
    rows = {column: sum(map(sum, trial["confusion"])) for column, trial in trials.items()}
    assert rows["valid"] == len(labelled[1::4])
    assert rows["split"] != rows["valid"]
    assert trials["valid"]["fingerprint"] != trials["split"]["fingerprint"]


def test_rows_can_be_drawn_in_exact_numbers_that_are_the_same_in_all_trials(
    table, tickets, tmp_path, monkeypatch
):
    """Also where the source brings a test split."""
    source = tmp_path / "set"
    source.mkdir()
    labelled = [{"text": text, "label": label} for text, label in tickets]
    (source / "train.json").write_text(json.dumps(labelled[:-20]))
    (source / "test.json").write_text(json.dumps(labelled[-20:]))
    table |= {"split_seed": 5, "figures": {}}
    table["columns"] = {
        "drawn": {"name": "Drawn", "source": str(source), "drawn": {"validation": 17, "test": 33}},
        "kept": {"name": "Kept", "source": str(source)},
    }
    seen, real = {}, module.run_trial

    def recorded(recipe, data, *rest, **more):
        seen[recipe.data.source, recipe.seed, len(data.test)] = data
        return real(recipe, data, *rest, **more)

    monkeypatch.setattr(module, "run_trial", recorded)
    result = run(table, tmp_path / "out", rows=["svm"])
    first, second = (seen[str(source), seed, 33] for seed in (0, 1))
    assert (len(first.train), len(first.validation)) == (len(tickets) - 50, 17)
    assert first.splits == second.splits
    sizes = {"train": len(tickets) - 50, "validation": 17, "test": 33}
    assert result.columns["drawn"].data.split_sizes == sizes
    assert result.columns["drawn"].data.known_overlap == 0
    kept = [seen[str(source), seed, 20] for seed in (0, 1)]
    assert kept[0].splits == kept[1].splits
    assert kept[0].test.texts == [row["text"] for row in labelled[-20:]]
    # other splits are other trials
    table["split_seed"] = 6
    run(table, tmp_path / "out", rows=["svm"], resume=True)
    assert seen[str(source), 0, 33].test.texts != first.test.texts


def test_rows_that_replace_the_tables_are_named_beside_the_papers_figures(
    table, ticket_file, tickets, tmp_path
):
    other = tmp_path / "other.json"
    other.write_text(json.dumps([{"text": text, "label": label} for text, label in tickets]))
    asked = {"rows": ["svm"], "columns": ["tickets"], "trials": 1}
    with pytest.warns(TellapartWarning, match="the rows of Tickets are others than the table's"):
        result = run(table, tmp_path / "out", settings=[f"data.source={other}"], **asked)
    assert "figures beside ours are about other data" in reproduction_markdown(result)
    with warnings.catch_warnings():
        warnings.simplefilter("error", TellapartWarning)
        result = run(table, tmp_path / "own", **asked)
    assert "other data" not in reproduction_markdown(result)


def test_the_test_rows_of_glue_are_predicted_for_its_server(table, tmp_path, monkeypatch):
    folder = tmp_path / "data" / "cola"
    folder.mkdir(parents=True)
    rows = [
        f"gj04\t{number % 2}\t\t{'good' if number % 2 else 'bad *'} sentence {number}" for number in range(40)
    ]
    (folder / "train.tsv").write_text("\n".join(rows[:30]) + "\n")
    (folder / "dev.tsv").write_text("\n".join(rows[30:]) + "\n")
    monkeypatch.setenv("TELLAPART_DATA", str(tmp_path / "data"))
    table["columns"] = {
        "cola": {"name": "CoLA", "source": "cola", "evaluated": "validation", "submission": "cola"}
    }
    table["figures"] = {"svm": {"cola": 50.0}}
    asked = {"rows": ["svm"], "trials": 1}
    missing = run(table, tmp_path / "out", **asked)
    assert "has no test.tsv" in figures(missing, "cola", "svm").missing[0]
    (folder / "test.tsv").write_text("index\tsentence\n0\tbad * sentence\n1\tgood sentence\n2\tgood\n")
    result = run(table, tmp_path / "out", resume=True, **asked)
    assert len(figures(result, "cola", "svm").scores) == 1
    page = reproduction_markdown(result)
    assert "The folder glue-submission has the predictions" in page
    written = tmp_path / "out" / "glue-submission" / "svm-seed0" / "CoLA.tsv"
    assert written.read_text() == "index\tprediction\n0\t0\n1\t1\n2\t1\n"
    # a file that was lost is written again
    written.unlink()
    run(table, tmp_path / "out", resume=True, **asked)
    assert written.is_file()
    run(table, tmp_path / "out", overwrite=True, budget=0, **asked)
    assert not written.exists()


def test_an_encoder_may_come_from_a_run_of_pretraining(table, tickets, tmp_path, monkeypatch):
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(text for text, _ in tickets))
    table["pretraining"] = {"texts": str(texts), "steps": 2, "batch_size": 8, "max_length": 24}
    table["rows"]["probe"]["pretraining"] = {"correction": "none"}
    run(table, tmp_path / "out", columns=["tickets"])
    folder = tmp_path / "out" / "pretraining" / "probe"
    assert (folder / "model").is_dir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tellapart.pretraining.run.pretrain", lambda *_, **__: pytest.fail("it was there"))
        patch.setattr(module, "run_trial", lambda *_, **__: pytest.fail("it was there"))
        run(table, tmp_path / "out", columns=["tickets"], resume=True)
    # A trial after another pre-training is another one.
    calls, real = [], module.run_trial
    monkeypatch.setattr(module, "run_trial", lambda *a, **k: calls.append(a[0].method) or real(*a, **k))
    before = json.loads((tmp_path / "out" / "tickets" / "trials" / "probe-seed0.json").read_text())
    run(table, tmp_path / "out", columns=["tickets"], resume=True, trials=1, settings=["pretraining.steps=3"])
    assert calls == ["probe"]
    after = json.loads((tmp_path / "out" / "tickets" / "trials" / "probe-seed0.json").read_text())
    assert after["fingerprint"] != before["fingerprint"]


def test_a_column_of_scores_may_have_an_objective_and_a_metric_of_its_own(table, score_file, tmp_path):
    table["columns"]["scores"] = {
        "name": "Scores",
        "source": str(score_file),
        "metrics": {"spearman_correlation": "Spearman"},
        "settings": {
            "data.regression": True,
            "stages.0.objective": {"name": "mean-squared-error"},
            "stages.0.metric": "spearman_correlation",
        },
    }
    table["rows"]["ce"] = {"name": "CE", "method": "cross-entropy", "settings": {"stages.0.epochs": 1}}
    result = run(table, tmp_path / "out", columns=["scores"], trials=1)
    for row in ("ce", "svm", "probe"):
        assert not figures(result, "scores", row).missing
        assert -1 <= figures(result, "scores", row).scores[0] <= 1
    assert figures(result, "scores", "svm").scores[0] > 0.8


def test_several_processes_of_torchrun_are_refused(table, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="one process"):
        run(table, tmp_path / "out")


def test_cells_side_by_side_ask_the_validation_rows_once(table, tmp_path, monkeypatch, elsewhere):
    elsewhere(slots=2)
    table["choices"] = [{"stages.0.regularisation": 0.1}, {"stages.0.regularisation": 10.0}]
    asked, real = [], module._select
    monkeypatch.setattr(module, "_select", lambda *a: asked.append(a[0].seed) or real(*a))
    result = run(table, tmp_path / "out", rows=["probe"], columns=["tickets"])
    assert len(asked) == 1
    assert set(figures(result, "tickets", "probe").scores) == {0, 1}


def test_cells_may_run_side_by_side(table, tmp_path, elsewhere):
    one = run(table, tmp_path / "one", columns=["tickets"])
    elsewhere(slots=2)
    two = run(table, tmp_path / "two", columns=["tickets"])
    for row in ("svm", "probe"):
        assert figures(one, "tickets", row).scores == figures(two, "tickets", row).scores


def test_a_machine_that_does_not_see_the_folder_says_so_in_its_cells(table, tmp_path, monkeypatch, elsewhere):
    elsewhere(shares_files=False)
    seen = run(table, tmp_path / "out", rows=["svm"], columns=["tickets"])
    assert not figures(seen, "tickets", "svm").missing
    monkeypatch.setattr(cells_module, "LOCK", ".of-another-disk")
    result = run(table, tmp_path / "other", rows=["svm"], columns=["tickets"])
    assert "use an --output that all nodes share" in figures(result, "tickets", "svm").missing[0]


def test_an_encoder_that_is_a_folder_of_another_machine_fails_its_cells(table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "mlm").mkdir(parents=True)
    asked = request(
        table, rows=["svm", "probe"], columns=["tickets"], encoders={"bert": "runs/mlm"}, trials=1
    )
    cells = {cell.row: cell for cell in table_cells(asked, tmp_path / "out", quiet=True)}
    assert [cells[row].model_folders for row in ("svm", "probe")] == [(), ("runs/mlm",)]
    (tmp_path / "runs" / "mlm").rmdir()
    assert "has no folder runs/mlm, in which" in run_cell(cells["probe"]).error


def test_a_folder_in_use_is_refused_and_overwriting_leaves_what_is_not_of_the_table(table, tmp_path):
    run(table, tmp_path / "out", rows=["svm"], columns=["tickets"])
    with pytest.raises(UserError, match="--resume"):
        run(table, tmp_path / "out", rows=["svm"], columns=["tickets"])
    (tmp_path / "out" / "notes.txt").write_text("mine")
    result = run(table, tmp_path / "out", rows=["probe"], columns=["tickets"], overwrite=True)
    assert not figures(result, "tickets", "svm").scores
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"
    (tmp_path / "out" / "tickets" / "thesis.doc").write_text("mine")
    with pytest.raises(UserError, match="not written by a run"):
        run(table, tmp_path / "out", overwrite=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"columns": ["tickets"], "encoders": {"bert": "./gone"}},
            "probe on tickets .* no model folder at ./gone",
        ),
        ({"columns": ["tickets"], "settings": ["data.source=gone.csv"]}, "there is no file gone.csv"),
        ({"columns": ["missing"]}, "svm on missing cannot be run, because there is no file"),
    ],
)
def test_overwriting_keeps_results_that_cannot_be_computed_again(table, tmp_path, options, message):
    run(table, tmp_path / "out", columns=["tickets"], trials=1)
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=message):
        run(table, tmp_path / "out", overwrite=True, **options)
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


def test_overwriting_goes_on_beside_cells_that_never_ran(table, tmp_path):
    for overwrite in (False, True):
        result = run(table, tmp_path / "out", rows=["svm"], trials=1, overwrite=overwrite)
        assert "there is no file" in figures(result, "missing", "svm").missing[0]
        assert set(figures(result, "tickets", "svm").scores) == {0}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": ["prob"]}, 'did you mean "probe"'),
        ({"columns": ["ticket"]}, 'did you mean "tickets"'),
        ({"encoders": {"brt": "x"}}, 'did you mean "bert"'),
        ({"trials": 0}, "0 trials"),
        ({"settings": ["stages.0.epoch=3"]}, 'did you mean "epochs"'),
        ({"rows": ["theirs"]}, "none of these cells can be run"),
    ],
)
def test_what_the_table_does_not_have_is_refused_before_anything_is_written(
    table, tmp_path, options, message
):
    with pytest.raises(RecipeError, match=message):
        run(table, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_metric_that_a_set_does_not_have_fails_its_cells(table, tmp_path):
    table["columns"]["tickets"]["metrics"] = {"exact_match": "EM"}
    result = run(table, tmp_path / "out", columns=["tickets"])
    assert 'no metric "exact_match"' in figures(result, "tickets", "svm").missing[0]


def test_jobs_give_what_one_process_gives(table, tmp_path):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core cannot be shared")
    alone = run(table, tmp_path / "alone", columns=["tickets"])
    shared = run(table, tmp_path / "shared", columns=["tickets"], place=Place(jobs=2))
    for row in ("svm", "probe"):
        assert figures(shared, "tickets", row).scores == figures(alone, "tickets", row).scores


def test_more_jobs_than_cores_are_refused_before_anything_is_written(table, tmp_path):
    with pytest.raises(UserError, match="cannot share"):
        run(table, tmp_path / "out", place=Place(jobs=1000))
    assert not (tmp_path / "out").exists()


def counts(one):
    return (one.cells, one.finished, one.failed, one.left)


def test_a_plan_counts_cells_and_changes_nothing(table, tmp_path, monkeypatch):
    output = tmp_path / "out"
    table["rows"]["other"] = {"name": "Other", "method": "frozen", "run_by": "another tool"}
    plan = table_plan(request(table), output)
    # two rows and two seeds of each column that has a source; nothing was looked for yet
    assert {name: counts(one) for name, one in plan.columns.items()} == {
        "tickets": (4, 0, 0, 4),
        "few": (4, 0, 0, 4),
        "missing": (4, 0, 0, 4),
        "secret": (0, 0, 0, 0),
    }
    assert counts(plan.total) == (12, 0, 0, 12)
    assert not output.exists()
    real = module.run_trial

    def failing(recipe, *rest, **more):
        if recipe.method == "svm":
            raise RuntimeError("it broke")
        return real(recipe, *rest, **more)

    monkeypatch.setattr(module, "run_trial", failing)
    run(table, output, columns=["tickets"], trials=1)
    files = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    monkeypatch.setattr(module, "run_trial", lambda *_, **__: pytest.fail("a plan runs nothing"))
    plan = table_plan(request(table, columns=["tickets", "few"]), output)
    assert counts(plan.columns["tickets"]) == (4, 1, 1, 2)
    assert counts(plan.total) == (8, 1, 1, 6)
    assert plan.command == "tellapart reproduce mine.yaml --columns tickets,few"
    assert plan.to_dict()["columns"]["few"] == {"cells": 4, "finished": 0, "failed": 0, "left": 4}
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == files
    # other settings make other trials, and what would be overwritten is not counted
    other = table_plan(request(table, settings=["encoder.max_length=20"]), output)
    assert other.columns["tickets"].finished == 0
    assert counts(table_plan(request(table), output, overwrite=True).total) == (12, 0, 0, 12)


def test_a_plan_does_not_fetch_a_data_set(tmp_path, monkeypatch):
    monkeypatch.delenv("TELLAPART_DATA", raising=False)
    monkeypatch.setattr(
        "tellapart.data.benchmarks.registry._cached", lambda chosen: pytest.fail(f"fetches {chosen.name}")
    )
    asked = table_request(*load_protocol("clld-table3"), rows=["ct", "ct-cl"], trials=2)
    assert counts(table_plan(asked, tmp_path / "out").total) == (4, 0, 0, 4)


def test_label_distances_are_drawn_for_the_rows_that_learn_them(table, tmp_path):
    table["rows"] = {
        "svm": {"name": "SVM", "method": "tfidf"},
        "clld": {"name": "CLLD", "method": "label-distance", "settings": {"stages.0.epochs": 1}},
    }
    table["columns"] = {"tickets": table["columns"]["tickets"]}
    table["figures"] = {}
    result = run(table, tmp_path / "out")
    file = tmp_path / "out" / "tickets" / "label-distance-clld.png"
    assert file.read_bytes().startswith(b"\x89PNG")
    assert result.pictures == {"Tickets, CLLD": "tickets/label-distance-clld.png"}
    assert (
        "## Label distances\n\n- Tickets, CLLD: `tickets/label-distance-clld.png`"
        in (tmp_path / "out" / "mine.md").read_text()
    )
    again = run(table, tmp_path / "out", resume=True)
    assert again.pictures == result.pictures
