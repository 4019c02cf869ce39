"""The usual text classification script of Transformers, with only the import of the Trainer changed."""

from __future__ import annotations

import re

import datasets
import numpy as np
import pytest
import transformers
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    DefaultDataCollator,
    default_data_collator,
)

from tellapart.data.batches.tokenising import tokenised_rows
from tellapart.errors import DataError, RecipeError, TellapartWarning
from tellapart.objectives import MeanSquaredError
from tellapart.training.arguments import TrainingArguments
from tellapart.training.trainer import Trainer

SCRIPT = """
import numpy as np
from datasets import Dataset, DatasetDict
from transformers import (
    AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding, EarlyStoppingCallback,
    TrainingArguments, set_seed,
)
from transformers import Trainer

set_seed(0)
raw = DatasetDict({
    "train": Dataset.from_dict({"text": texts[:120], "label": labels[:120]}),
    "validation": Dataset.from_dict({"text": texts[120:156], "label": labels[120:156]}),
    "test": Dataset.from_dict({"text": texts[156:], "label": labels[156:]}),
})
tokenizer = AutoTokenizer.from_pretrained(encoder)
tokenized = raw.map(lambda batch: tokenizer(batch["text"], truncation=True), batched=True)
id2label = dict(enumerate(["lost", "stolen", "expired"]))
model = AutoModelForSequenceClassification.from_pretrained(
    encoder, num_labels=3, id2label=id2label, label2id={name: number for number, name in id2label.items()}
)

def compute_metrics(eval_pred):
    logits, gold = eval_pred
    return {"accuracy": (np.argmax(logits, axis=-1) == gold).mean()}

trainer = Trainer(
    model=model,
    args=TrainingArguments(
        output_dir=folder + "/out", learning_rate=2e-3, per_device_train_batch_size=16,
        per_device_eval_batch_size=16, num_train_epochs=30, weight_decay=0.01, eval_strategy="epoch",
        save_strategy="epoch", save_total_limit=1, load_best_model_at_end=True, metric_for_best_model="accuracy",
        logging_steps=4, report_to="none", use_cpu=True, disable_tqdm=True,
    ),
    train_dataset=tokenized["train"],
    eval_dataset=tokenized["validation"],
    processing_class=tokenizer,
    data_collator=DataCollatorWithPadding(tokenizer=tokenizer),
    compute_metrics=compute_metrics,
    callbacks=[EarlyStoppingCallback(early_stopping_patience=4)],
)
trainer.train()
evaluated = trainer.evaluate()
predicted = trainer.predict(tokenized["test"])
trainer.save_model(folder + "/model")
"""


@pytest.fixture(scope="module")
def rows(tickets):
    """Texts and class ids, mixed."""
    names = ["lost", "stolen", "expired"]
    order = np.random.default_rng(0).permutation(len(tickets))
    return [tickets[row][0] for row in order], [names.index(tickets[row][1]) for row in order]


def _run(script: str, rows, encoder: str, folder) -> dict:
    space = {"texts": rows[0], "labels": rows[1], "encoder": encoder, "folder": str(folder)}
    exec(script, space)
    return space


def test_the_usual_script_runs_with_only_the_import_changed(rows, tiny_encoder, tmp_path):
    changed = SCRIPT.replace("from transformers import Trainer", "from tellapart import Trainer")
    assert changed != SCRIPT
    ours = _run(changed, rows, tiny_encoder, tmp_path)
    assert isinstance(ours["trainer"], Trainer)
    assert ours["evaluated"]["eval_accuracy"] > 0.9
    assert ours["trainer"].state.best_metric == pytest.approx(ours["evaluated"]["eval_accuracy"])
    assert ours["trainer"].state.epoch < 30  # stopped early
    assert ours["predicted"].label_ids.tolist() == rows[1][156:]
    assert ours["predicted"].metrics["test_accuracy"] > 0.9
    classify = transformers.pipeline("text-classification", str(tmp_path / "model"))
    assert classify("my card was stolen")[0]["label"] == "stolen"


def _pieces(rows, encoder, count=24):
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    model = AutoModelForSequenceClassification.from_pretrained(encoder, num_labels=3)
    data = datasets.Dataset.from_dict({"text": rows[0][:count], "label": rows[1][:count]})
    return model, tokenizer, data.map(lambda batch: tokenizer(batch["text"], truncation=True), batched=True)


def _arguments(folder, **options) -> TrainingArguments:
    usual = {"output_dir": str(folder), "max_steps": 2, "use_cpu": True, "report_to": "none", "seed": 3}
    return TrainingArguments(**usual | {"save_strategy": "no", "disable_tqdm": True} | options)


def test_collators_that_only_pad_change_nothing(rows, tiny_encoder, tmp_path):
    model, tokenizer, data = _pieces(rows, tiny_encoder)
    logits = []
    for collator in (
        None,
        DataCollatorWithPadding(tokenizer, padding="max_length", max_length=32),
        default_data_collator,
        DefaultDataCollator(),
    ):
        model = AutoModelForSequenceClassification.from_pretrained(tiny_encoder, num_labels=3)
        model.classifier.weight.data.fill_(0.01)
        trainer = Trainer(model, _arguments(tmp_path), train_dataset=data, data_collator=collator)
        trainer.train()
        logits.append(trainer.predict(data).predictions)
    for other in logits[1:]:
        np.testing.assert_array_equal(other, logits[0])


def test_the_tokeniser_of_the_collator_is_saved_where_no_other_is_given(rows, tiny_encoder, tmp_path):
    model, tokenizer, _ = _pieces(rows, tiny_encoder)
    trainer = Trainer(model, _arguments(tmp_path), data_collator=DataCollatorWithPadding(tokenizer))
    trainer.save_model(str(tmp_path / "model"))
    assert AutoTokenizer.from_pretrained(tmp_path / "model").get_vocab() == tokenizer.get_vocab()


def test_collators_that_do_more_are_refused_with_the_reason(rows, tiny_encoder, tmp_path):
    model, tokenizer, data = _pieces(rows, tiny_encoder)

    class Masking(DataCollatorWithPadding):
        pass

    for collator in (DataCollatorForTokenClassification(tokenizer), Masking(tokenizer), lambda rows: rows):
        with pytest.raises(RecipeError, match=r"padded without one: do in dataset\.map"):
            Trainer(model, _arguments(tmp_path), train_dataset=data, data_collator=collator)
    with pytest.raises(RecipeError, match="preprocess_logits_for_metrics has no effect"):
        Trainer(model, _arguments(tmp_path), preprocess_logits_for_metrics=lambda logits, gold: logits)


def test_rows_padded_in_advance_are_read_without_their_padding(rows, tiny_encoder):
    _, tokenizer, data = _pieces(rows, tiny_encoder)
    padded = data.map(
        lambda batch: tokenizer(batch["text"], padding="max_length", max_length=30), batched=True
    )
    short, long = tokenised_rows(data, tokenizer), tokenised_rows(padded, tokenizer)
    assert long.lengths.tolist() == short.lengths.tolist()
    for name, column in short.columns.items():
        assert long.columns[name].tolist() == column.tolist()


def test_rows_labelled_minus_100_are_trained_and_scored_as_if_they_had_no_loss(rows, tiny_encoder, tmp_path):
    _, _, data = _pieces(rows, tiny_encoder)
    labels = [-100 if row % 3 == 0 else label for row, label in enumerate(data["label"])]
    partly = data.remove_columns("label").add_column("label", labels)
    kept = partly.filter(lambda row: row["label"] >= 0)
    found = []
    for rows_given in (partly, kept):
        model = AutoModelForSequenceClassification.from_pretrained(tiny_encoder, num_labels=3)
        model.classifier.weight.data.fill_(0.01)
        if rows_given is partly:
            with pytest.warns(TellapartWarning, match="8 of 24 training rows have the label -100"):
                trainer = Trainer(model, _arguments(tmp_path), train_dataset=partly)
        else:
            trainer = Trainer(model, _arguments(tmp_path), train_dataset=kept)
        trainer.train()
        found.append(trainer.predict(rows_given))
    assert found[0].label_ids.tolist() == labels
    counted = np.array(labels) >= 0
    np.testing.assert_array_equal(found[0].predictions[counted], found[1].predictions)
    assert found[0].metrics["test_loss"] == pytest.approx(found[1].metrics["test_loss"], abs=1e-6)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ([0, 1, -1, 2], r"row 2 of the data set has the label -1, and the classes .* from 0 to 2"),
        ([0, 1, 2, 3], r"row 3 of the data set has the label 3"),
        ([0, None, 1, 2], r'row 1 of the data set has no label in "label"'),
        ([None] * 4, r"row 0 of the data set has no label"),
        (["lost"] * 4, r"row 0 of the data set has a text as label"),
        ([[0, 1], [1]] * 2, r"neither class ids nor multi-hot vectors of one length"),
        ([[0, 1]] * 4, r"a row has 2 labels, and the model has 3 outputs"),
        ([-100] * 4, r"all rows of the data set have the label -100"),
    ],
)
def test_labels_that_are_no_classes_are_one_sentence(rows, tiny_encoder, tmp_path, labels, sentence):
    model, _, data = _pieces(rows, tiny_encoder, 4)
    data = [{"input_ids": ids, "label": label} for ids, label in zip(data["input_ids"], labels, strict=True)]
    with pytest.raises(DataError, match=sentence):
        Trainer(model, _arguments(tmp_path), train_dataset=data)


def test_true_and_false_are_the_classes_one_and_zero(rows, tiny_encoder, tmp_path):
    model, _, data = _pieces(rows, tiny_encoder)
    truth = data.remove_columns("label").add_column("label", [label == 1 for label in data["label"]])
    trainer = Trainer(model, _arguments(tmp_path), train_dataset=truth, eval_dataset=truth)
    trainer.train()
    assert trainer.predict(truth).label_ids.tolist() == [int(label == 1) for label in data["label"]]
    hot = [{"input_ids": ids, "labels": [True, False, True]} for ids in data["input_ids"]]
    assert re.search("float32", str(tokenised_rows(hot).labels.dtype))


def test_a_model_with_one_output_and_no_problem_type_learns_numbers_as_in_transformers(
    rows, tiny_encoder, tmp_path
):
    _, _, data = _pieces(rows, tiny_encoder)
    model = AutoModelForSequenceClassification.from_pretrained(tiny_encoder, num_labels=1)
    numbers = data.cast_column("label", datasets.Value("float32"))
    trainer = Trainer(model, _arguments(tmp_path), train_dataset=numbers)
    assert isinstance(trainer.objective, MeanSquaredError)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [([], "no rows"), (iter([{"input_ids": [1]}]), "cannot be indexed")],
)
def test_data_sets_without_rows_or_without_an_index_are_one_sentence(data, sentence):
    with pytest.raises(DataError, match=sentence):
        tokenised_rows(data)
