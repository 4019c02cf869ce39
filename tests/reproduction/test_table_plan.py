from __future__ import annotations

import json
import socket

import pytest

from tellapart.encoders.sizes import parameters_a_token
from tellapart.errors import RecipeError
from tellapart.reproduction.protocols import Protocol, load_protocol
from tellapart.reproduction.run import reproduce
from tellapart.reproduction.table_plan import table_plan


@pytest.fixture
def table(ticket_file, tiny_encoder):
    """Two quick methods on the tickets, and one of others; a set that has to be fetched, one that nobody has."""
    return {
        "title": "Tickets",
        "encoders": {"bert": tiny_encoder},
        "trials": 2,
        "settings": {"encoder.max_length": 24},
        "columns": {
            "tickets": {
                "name": "Tickets",
                "source": str(ticket_file),
                "settings": {"data.few_shot": 8, "data.test_rows": 30},
            },
            "far": {"name": "Far", "source": "organisation/set"},
            "secret": {"name": "Secret", "note": "nobody hands it out"},
        },
        "rows": {
            "probe": {"name": "Probe", "method": "frozen"},
            "trained": {
                "name": "Trained",
                "method": "cross-entropy",
                "settings": {"stages.0.epochs": 1, "stages.0.evaluations": 1, "stages.0.start": "random"},
            },
            "theirs": {"name": "Theirs", "method": "cross-entropy", "run_by": "another tool"},
        },
    }


def plan(table, output, **options):
    return table_plan("mine", Protocol.model_validate(table), output, **options)


@pytest.fixture
def no_network(monkeypatch):
    """Lets every attempt to reach something outside be seen, and fail."""
    attempts = []

    def refused(*arguments, **_):
        attempts.append(arguments)
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    return attempts


def test_cells_and_work_are_those_that_the_hand_counts(table, tiny_encoder, tmp_path):
    planned = plan(table, tmp_path / "out", columns=["tickets"])
    share = planned.columns["tickets"]
    assert (share.to_run, share.there, share.impossible) == (4, 0, {"to be run by another tool": 2})
    # 8 rows of each of 3 classes to train on, as many to validate on; 30 of the 38 test rows
    assert (share.training_texts, share.scored_texts) == (2 * 24, 2 * (24 + 24 + 30) + 2 * (24 + 30))
    operations = (6 * share.training_texts + 2 * share.scored_texts) * 24 * parameters_a_token(tiny_encoder)
    assert share.petaflop == pytest.approx(operations / 1e15)
    assert (share.uncounted, share.timed) == ({}, 0)
    assert not (tmp_path / "out").exists()


def test_what_is_not_known_is_named_and_left_out_of_the_sums(table, tmp_path):
    planned = plan(table, tmp_path / "out", encoders={"bert": "nobody/has-this"})
    size = "the size of nobody/has-this is not known before it is fetched"
    assert planned.columns["tickets"].uncounted == {size: 4}
    reason = "how many rows organisation/set has is not known before it is fetched"
    assert planned.columns["far"].uncounted == {reason: 4}
    assert planned.columns["secret"].impossible == {"nobody hands it out": 6}
    assert (planned.columns["secret"].to_run, planned.total.petaflop, planned.total.to_run) == (0, 0, 8)
    assert planned.total.uncounted == {size: 4, reason: 4}


def test_after_finished_cells_only_the_rest_is_planned_with_the_time_that_it_will_take(table, tmp_path):
    output = tmp_path / "out"
    before = plan(table, output, columns=["tickets"])
    reproduce("mine", Protocol.model_validate(table), output, columns=["tickets"], trials=1, quiet=True)
    files = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    share = plan(table, output, columns=["tickets"]).columns["tickets"]
    assert (share.to_run, share.there) == (2, 2)
    assert 2 * share.training_texts == before.total.training_texts
    assert 2 * share.petaflop == pytest.approx(before.total.petaflop)
    trials = [json.loads(path.read_text()) for path in output.rglob("*-seed0.json")]
    assert share.timed == len(trials) == 2
    assert share.seconds == pytest.approx(sum(trial["seconds"] for trial in trials))
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == files
    anew = plan(table, output, columns=["tickets"], overwrite=True)
    assert anew.to_dict() == before.to_dict()
    other = plan(table, output, columns=["tickets"], settings=["encoder.max_length=20"])
    assert other.columns["tickets"].there == 0


def test_times_of_another_machine_say_nothing(table, tmp_path):
    output = tmp_path / "out"
    options = {"rows": ["probe"], "columns": ["tickets"]}
    reproduce("mine", Protocol.model_validate(table), output, trials=1, quiet=True, **options)
    (file,) = output.rglob("*-seed0.json")
    trial = json.loads(file.read_text())
    trial["environment"]["processor"] = "another"
    file.write_text(json.dumps(trial))
    share = plan(table, output, **options).columns["tickets"]
    assert (share.there, share.to_run, share.timed, share.seconds) == (1, 1, 0, 0)


def test_a_choice_is_counted_once_for_a_row_and_column_until_it_has_been_made(table, tmp_path):
    output = tmp_path / "out"
    table["rows"] = {"trained": table["rows"]["trained"]}
    del table["columns"]["far"]
    alone = plan(table, output)
    table["choices"] = [{"stages.0.learning_rate": 0.001}, {"stages.0.learning_rate": 0.002}]
    share = plan(table, output).columns["tickets"]
    assert share.training_texts == alone.total.training_texts + 2 * 24
    assert share.scored_texts == alone.total.scored_texts + 2 * (24 + 24)
    reproduce("mine", Protocol.model_validate(table), output, trials=1, quiet=True)
    assert plan(table, output).columns["tickets"].training_texts == 24


def test_pre_training_is_counted_once_for_a_row_until_it_is_there(table, ticket_file, tiny_encoder, tmp_path):
    output = tmp_path / "out"
    table["columns"]["again"] = table["columns"]["tickets"]
    del table["columns"]["far"]
    table["pretraining"] = {"texts": str(ticket_file), "steps": 2, "batch_size": 4, "max_length": 16}
    table["rows"]["probe"]["pretraining"] = {"objective": "mlm"}
    planned = plan(table, output)
    share = planned.pretraining
    operations = 6 * 2 * 4 * 16 * parameters_a_token(tiny_encoder)
    assert (share.to_run, share.there, share.training_texts) == (1, 0, 8)
    assert share.petaflop == pytest.approx(operations / 1e15)
    columns = sum(one.petaflop for one in planned.columns.values())
    assert planned.total.petaflop == pytest.approx(columns + share.petaflop)
    reproduce("mine", Protocol.model_validate(table), output, rows=["probe"], trials=1, quiet=True)
    after = plan(table, output)
    assert (after.pretraining.to_run, after.pretraining.there, after.pretraining.petaflop) == (0, 1, 0)
    longer = plan(table, output, settings=["pretraining.steps=3"])
    assert longer.pretraining.to_run == 1


def test_a_shipped_table_is_planned_from_the_registry_alone(no_network, tmp_path, monkeypatch):
    monkeypatch.delenv("TELLAPART_DATA", raising=False)
    monkeypatch.setattr(
        "tellapart.data.benchmarks.registry._cached", lambda chosen: pytest.fail(f"fetches {chosen.name}")
    )
    name, protocol = load_protocol("clld-table3")
    planned = table_plan(name, protocol, tmp_path / "out", rows=["ct", "ct-cl"], trials=2)
    share = planned.columns["20ng"]
    # a tenth of 11,293 rows validates; 50 epochs of 80 steps, an evaluation every eighth step
    train, validation, test = 10_164, 1_129, 7_528
    assert (share.to_run, share.training_texts) == (4, 4 * 50 * train)
    assert share.scored_texts == 4 * (500 * validation + test)
    trained, scored = 2 * 50 * train * (6 + 12), 2 * share.scored_texts
    size = parameters_a_token("google-bert/bert-base-uncased")
    assert share.petaflop == pytest.approx((trained + scored) * 128 * size / 1e15)
    assert parameters_a_token("nobody/has-this-either") is None
    assert no_network == []


def test_a_set_of_validation_rows_is_compared_on_these_and_validates_on_others(table, tmp_path):
    table["columns"] = {"rte": {"name": "RTE", "source": "rte", "evaluated": "validation"}}
    share = plan(table, tmp_path / "out", rows=["trained"]).columns["rte"]
    assert (share.training_texts, share.scored_texts) == (2 * 2241, 2 * (249 + 277))
    table["columns"]["rte"]["source"] = "trec6"
    assert plan(table, tmp_path / "out").columns["rte"].uncounted == {"trec6 has no validation rows": 4}


def test_rows_of_a_folder_of_ones_own_come_before_the_registry(table, ticket_file, tmp_path, monkeypatch):
    (tmp_path / "data" / "rte").mkdir(parents=True)
    (tmp_path / "data" / "rte" / "train.csv").write_bytes(ticket_file.read_bytes())
    monkeypatch.setenv("TELLAPART_DATA", str(tmp_path / "data"))
    table["columns"] = {"rte": {"name": "RTE", "source": "rte", "settings": {"data.train_rows": 100}}}
    share = plan(table, tmp_path / "out", rows=["trained"]).columns["rte"]
    assert (share.training_texts, share.scored_texts) == (2 * 100, 2 * (15 + 38))


def test_what_cannot_be_run_at_all_is_refused(table, tmp_path):
    with pytest.raises(RecipeError, match="none of these cells can be run"):
        plan(table, tmp_path / "out", columns=["secret"])
