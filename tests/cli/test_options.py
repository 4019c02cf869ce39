from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from tellapart.cli.options import default_output, recipe_from
from tellapart.cli.train import train
from tellapart.errors import RecipeError
from tellapart.fitting.fingerprints import Fingerprint, check_resumed


def options(**given: Any) -> dict[str, Any]:
    """What typer passes on when only these options are given."""
    return (
        dict.fromkeys(inspect.signature(train).parameters) | {"data": "tickets.csv", "settings": []} | given
    )


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "method: label-distance\n"
        "data: {source: other.csv}\n"
        "encoder: {max_length: 64}\n"
        "stages: [{objective: {name: label-distance, tau: 7}, epochs: 9}]\n"
    )
    return path


def test_every_option_reaches_its_place_in_the_recipe():
    recipe = recipe_from(
        options(
            text="body",
            text_pair="title",
            label="queue",
            label_delimiter="|",
            ordered="bad, fair,good",
            hierarchy=".",
            few_shot=8,
            encoder="some/encoder",
            second_encoder="another/encoder",
            fusion="sum",
            pooling="cls",
            max_length=32,
            method="supcon",
            epochs=2.5,
            batch_size=16,
            learning_rate=1e-05,
            thresholds="tuned",
            temperature="folded",
            seed=3,
        )
    )
    stage = recipe.stages[0]
    assert recipe.data.model_dump(exclude_unset=True) == {
        "source": "tickets.csv",
        "text": "body",
        "text_pair": "title",
        "label": "queue",
        "label_delimiter": "|",
        "order": ["bad", "fair", "good"],
        "hierarchy_separator": ".",
        "few_shot": 8,
    }
    assert recipe.encoder.model_dump(exclude_unset=True) == {
        "name": "some/encoder",
        "second": "another/encoder",
        "fusion": "sum",
        "pooling": "cls",
        "max_length": 32,
    }
    assert (recipe.method, stage.objective.name, stage.epochs) == ("supcon", "supcon", 2.5)
    assert (stage.batch_size, stage.learning_rate, recipe.seed) == (16, 1e-05, 3)
    assert (recipe.decision.thresholds, recipe.decision.temperature) == ("tuned", "folded")


@pytest.mark.parametrize(("written", "threshold"), [("0.3", 0.3), ("tuned", "tuned")])
def test_a_threshold_is_a_number_or_tuned(written, threshold):
    assert recipe_from(options(thresholds=written)).decision.thresholds == threshold
    with pytest.raises(RecipeError, match=r"decision\.thresholds cannot be"):
        recipe_from(options(thresholds="tund"))


def test_settings_win_over_flags_flags_over_the_file_and_the_file_over_the_method(recipe_file):
    from_file = recipe_from(options(recipe=recipe_file, data=None))
    assert (from_file.data.source, from_file.stages[0].objective.tau) == ("other.csv", 7)
    with_flags = recipe_from(options(recipe=recipe_file, epochs=2.0, max_length=32))
    assert (with_flags.data.source, with_flags.stages[0].epochs, with_flags.encoder.max_length) == (
        "tickets.csv",
        2,
        32,
    )
    with_both = recipe_from(options(recipe=recipe_file, epochs=2.0, settings=["stages.0.epochs=3"]))
    assert with_both.stages[0].epochs == 3


def test_naming_the_method_of_the_file_keeps_its_settings_and_another_one_replaces_the_objective(recipe_file):
    assert recipe_from(options(recipe=recipe_file, method="label-distance")).stages[0].objective.tau == 7
    other = recipe_from(options(recipe=recipe_file, method="r-drop"))
    assert (other.stages[0].objective.name, other.stages[0].epochs) == ("r-drop", 9)


@pytest.mark.parametrize("column", ["1", "true", "null", "a: b", "日本", "😀", '"'])
def test_a_column_name_stays_the_string_it_is(column):
    assert recipe_from(options(text=column)).data.text == column


def test_without_data_the_error_says_so():
    with pytest.raises(RecipeError, match="no data are named"):
        recipe_from(options(data=None))


@pytest.mark.parametrize(
    ("source", "folder"),
    [
        ("tickets.csv", "runs/tickets-supcon"),
        ("data/tickets.csv.gz", "runs/tickets-supcon"),
        ("data/tickets/", "runs/tickets-supcon"),
        ("organisation/name", "runs/name-supcon"),
        ("r8", "runs/r8-supcon"),
    ],
)
def test_the_default_output_is_named_after_the_data_and_the_method(source, folder):
    assert default_output(source, "supcon") == Path(folder)


def test_the_default_output_of_the_current_folder_has_its_name(tmp_path, monkeypatch):
    (tmp_path / "mails").mkdir()
    monkeypatch.chdir(tmp_path / "mails")
    assert default_output(".", "supcon") == Path("runs/mails-supcon")


def test_the_default_output_stays_under_runs_whatever_the_method_is_called(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for method in ("../../../escaped/x", "..", "a\0b", "x" * 300, "/etc"):
        assert default_output("tickets.csv", method).parent == Path("runs")
    assert default_output("tick\0ets.csv", "supcon").parent == Path("runs")


def test_the_default_output_of_other_data_is_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept = Fingerprint(kind="train", settings={"data.source": "a/tickets.csv"})
    check_resumed(Path("runs/tickets-supcon"), kept, resume=False)
    assert default_output("a/tickets.csv", "supcon") == Path("runs/tickets-supcon")
    assert default_output(f"{tmp_path}/a/tickets.csv", "supcon") == Path("runs/tickets-supcon")
    others = {default_output(f"{place}/tickets.csv", "supcon") for place in "bcd"}
    assert len(others) == 3
    assert all(re.fullmatch(r"tickets-[0-9a-f]{8}-supcon", other.name) for other in others)
