"""The peers of a table run on the same rows, and their trials stand in it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import yaml

from tellapart.reproduction.request import load_protocol, table_request
from tellapart.reproduction.run import reproduce

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "peers.py"


@pytest.fixture(scope="module")
def peers():
    spec = importlib.util.spec_from_file_location("peers", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_stock_trainer_stands_beside_the_methods_of_a_table(
    peers, ticket_file, tiny_encoder, tmp_path, monkeypatch, capsys
):
    content = {
        "title": "Tickets",
        "encoders": {"encoder": tiny_encoder},
        "trials": 1,
        "settings": {"encoder.max_length": 24, "stages.0.epochs": 1},
        "columns": {"tickets": {"name": "Tickets", "source": str(ticket_file)}},
        "rows": {
            "tfidf": {"name": "SVM", "method": "tfidf"},
            "stock-trainer": {"name": "Trainer", "method": "cross-entropy", "run_by": "the script of peers"},
        },
    }
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    request = table_request(*load_protocol(file))
    before = reproduce(request, tmp_path / "out", quiet=True)
    rows = before.columns["tickets"].metrics["accuracy"]
    assert rows["stock-trainer"].missing == {0: "to be run by the script of peers"}
    monkeypatch.setattr("sys.argv", ["peers.py", str(file), "--output", str(tmp_path / "out")])
    peers.main()
    assert "tickets stock-trainer 0 accuracy" in capsys.readouterr().out
    after = reproduce(request, tmp_path / "out", resume=True, quiet=True)
    rows = after.columns["tickets"].metrics["accuracy"]
    assert set(rows["stock-trainer"].scores) == {0}
    assert rows["stock-trainer"].difference.baseline == "tfidf"
    monkeypatch.setitem(peers.PEERS, "stock-trainer", lambda *_: pytest.fail("it was there"))
    peers.main()


def test_every_peer_of_the_shipped_tables_can_be_run(peers):
    _, protocol = load_protocol("few-shot")
    assert {row for row, one in protocol.rows.items() if one.run_by} == set(peers.PEERS)
