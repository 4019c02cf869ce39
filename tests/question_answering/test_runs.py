from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer, TrainingArguments

from tellapart.errors import DataError, ModelError, RecipeError, TellapartError, UserError
from tellapart.question_answering import runs as module
from tellapart.question_answering.metrics import qa_metrics
from tellapart.question_answering.runs import (
    SETTINGS,
    evaluate_qa,
    load_qa_encoder,
    load_qa_model,
    predict_qa,
    train_qa,
)
from tellapart.question_answering.squad import read_squad
from tellapart.question_answering.trainer import QATrainer, token_logits
from tellapart.question_answering.windows import qa_windows

QUICK = {"max_length": 32, "stride": 8, "learning_rate": 0.01, "quiet": True}


def test_a_model_learns_to_mark_answers_and_to_say_that_there_is_none(span_run):
    folder, metrics = span_run
    assert metrics["validation"]["answerable_exact_match"] > 0.9
    assert metrics["validation"]["unanswerable_exact_match"] > 0.9
    assert metrics["rows"] == {"train": 192, "windows": 192}
    assert metrics["settings"]["may_be_missing"]
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    assert {path.name for path in folder.iterdir()} == {"model", "metrics.json", "predictions.json"}


def test_the_checkpoint_is_a_plain_one(span_run, squad_file):
    folder, _ = span_run
    model = AutoModelForQuestionAnswering.from_pretrained(folder / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    example = read_squad(squad_file)[1]
    inputs = tokenizer(example.question, example.context, return_tensors="pt")
    with torch.no_grad():
        output = model(**inputs)
    ids = inputs["input_ids"][0, output.start_logits.argmax() : output.end_logits.argmax() + 1]
    assert tokenizer.decode(ids) == example.answers[0].text


def test_what_is_predicted_is_what_is_evaluated(span_run, squad_file, tmp_path):
    folder, metrics = span_run
    predictions = predict_qa(folder, squad_file, tmp_path / "predicted.json", quiet=True)
    assert json.loads((tmp_path / "predicted.json").read_text()) == predictions
    assert predictions == json.loads((folder / "predictions.json").read_text())
    assert evaluate_qa(folder, squad_file, quiet=True) == metrics["validation"]
    assert qa_metrics(read_squad(squad_file), predictions) == metrics["validation"]


def test_scores_do_not_depend_on_what_else_is_in_the_batch(span_run, squad_file):
    model, tokenizer = load_qa_model(span_run[0])
    windows = qa_windows(read_squad(squad_file)[:9], tokenizer, max_length=32, stride=8)
    scores = token_logits(model, windows)
    for number in (0, 3, 8):
        batch = windows.batch([number])
        with torch.no_grad():
            alone = model(**batch)
        expected = torch.stack([alone.start_logits[0], alone.end_logits[0]], dim=1).numpy()
        np.testing.assert_allclose(scores[windows.tokens(number)], expected, atol=1e-5)


def test_the_same_seed_gives_the_same_model(squad_file, tiny_encoder, tmp_path):
    for name in ("first", "second"):
        train_qa(squad_file, tmp_path / name, encoder=tiny_encoder, epochs=0.2, **QUICK)
    weights = [(tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("first", "second")]
    assert weights[0] == weights[1]
    with pytest.raises(UserError, match="not empty"):
        train_qa(squad_file, tmp_path / "first", encoder=tiny_encoder, **QUICK)


def test_a_model_of_questions_that_all_have_answers_always_gives_one(squad_file, tiny_encoder, tmp_path):
    content = json.loads(squad_file.read_text())
    paragraphs = content["data"][0]["paragraphs"]
    content["data"][0]["paragraphs"] = [one for one in paragraphs if one["qas"][0]["answers"]]
    misplaced = content["data"][0]["paragraphs"][0]["qas"][0]["answers"][0]
    misplaced["answer_start"] -= 1
    data = tmp_path / "answered.json"
    data.write_text(json.dumps(content))
    metrics = train_qa(data, tmp_path / "run", encoder=tiny_encoder, epochs=0.2, **QUICK)
    assert metrics["rows"]["train"] == 143  # one of 144 is not where the file says
    assert all(predict_qa(tmp_path / "run", squad_file, tmp_path / "out.json", quiet=True).values())


def test_a_classifier_gets_a_fresh_head_and_is_no_question_answering_model(
    squad_file, tiny_encoder, tmp_path
):
    from transformers import AutoModelForSequenceClassification

    classifier = AutoModelForSequenceClassification.from_pretrained(tiny_encoder, num_labels=5)
    classifier.save_pretrained(tmp_path / "classifier")
    AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(tmp_path / "classifier")
    with pytest.raises(ModelError, match="BertForSequenceClassification, which does not answer questions"):
        predict_qa(tmp_path / "classifier", squad_file, tmp_path / "out.json")
    train_qa(squad_file, tmp_path / "run", encoder=str(tmp_path / "classifier"), epochs=0.1, **QUICK)
    assert load_qa_model(tmp_path / "run")[0].qa_outputs.out_features == 2


def test_what_cannot_work_is_refused_before_anything_is_trained(squad_file, tiny_encoder, tmp_path):
    with pytest.raises(RecipeError, match="reads at most 64"):
        train_qa(squad_file, tmp_path / "run", encoder=tiny_encoder, max_length=128, quiet=True)
    with pytest.raises(DataError, match="there is no file"):
        train_qa(tmp_path / "no.json", tmp_path / "run", encoder=tiny_encoder)
    assert not (tmp_path / "run").exists()


def test_a_diverged_run_does_not_pass_for_trained(squad_file, tiny_encoder, tmp_path, monkeypatch):
    """Also one that is too short to log its loss before its end."""

    def broken(encoder):
        model, tokenizer = load_qa_encoder(encoder)
        torch.nn.init.constant_(model.qa_outputs.weight, float("nan"))
        return model, tokenizer

    monkeypatch.setattr(module, "load_qa_encoder", broken)
    with pytest.raises(TellapartError, match=r"the loss is nan at step 2: lower the learning rate\."):
        train_qa(squad_file, tmp_path / "run", encoder=tiny_encoder, epochs=0.1, **QUICK)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("number", "message"),
    [
        ({"batch_size": 0}, "the batch size cannot be 0"),
        ({"epochs": -1.0}, "the number of epochs cannot be -1:"),
        ({"learning_rate": float("nan")}, "the learning rate cannot be nan"),
    ],
)
def test_a_number_that_cannot_be_costs_no_earlier_run(squad_file, tiny_encoder, tmp_path, number, message):
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(RecipeError, match=message):
        train_qa(squad_file, tmp_path, encoder=tiny_encoder, overwrite=True, **{**QUICK, **number})
    assert (tmp_path / "metrics.json").exists()


def test_of_several_gpus_one_is_used_so_that_steps_have_the_size_asked_for(
    squad_file, tiny_encoder, tmp_path
):
    model, tokenizer = load_qa_encoder(tiny_encoder)
    windows = qa_windows(read_squad(squad_file), tokenizer, max_length=32, stride=8, with_answers=True)
    arguments = TrainingArguments(
        str(tmp_path), per_device_train_batch_size=4, use_cpu=True, report_to="none"
    )
    assert arguments.n_gpu < 2
    arguments._n_gpu = 2
    trainer = QATrainer(model, arguments, windows)
    assert trainer.args.n_gpu == 1
    assert len(next(iter(trainer.get_train_dataloader()))["input_ids"]) == 4


def test_the_file_of_the_questions_is_never_replaced_by_the_answers(squad_file, tmp_path):
    before = squad_file.read_bytes()
    with pytest.raises(UserError, match="a file that the command reads: choose another --output"):
        predict_qa(tmp_path / "no-model", squad_file, squad_file)
    assert squad_file.read_bytes() == before


def test_a_model_without_a_record_may_give_no_answer_where_questions_have_none(
    span_run, squad_file, tmp_path
):
    model = tmp_path / "foreign"
    shutil.copytree(span_run[0] / "model", model)
    config = json.loads((model / "config.json").read_text())
    assert config.pop(SETTINGS)["may_be_missing"]
    (model / "config.json").write_text(json.dumps(config))
    assert evaluate_qa(model, squad_file, quiet=True)["unanswerable_exact_match"] > 0.9
    output = tmp_path / "answers.json"
    assert all(predict_qa(model, squad_file, output, quiet=True).values())
    assert not all(predict_qa(model, squad_file, output, no_answer=True, quiet=True).values())


def test_new_questions_need_no_answers(span_run, squad_file, tmp_path):
    content = json.loads(squad_file.read_text())
    for article in content["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                del question["answers"]
    (tmp_path / "new.json").write_text(json.dumps(content))
    with_answers = predict_qa(span_run[0], squad_file, tmp_path / "a.json", quiet=True)
    assert predict_qa(span_run[0], tmp_path / "new.json", tmp_path / "b.json", quiet=True) == with_answers
    with pytest.raises(DataError, match=r'"answers" of .* is missing'):
        evaluate_qa(span_run[0], tmp_path / "new.json", quiet=True)
