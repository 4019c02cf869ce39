"""`--overwrite` never deletes what the command reads."""

from __future__ import annotations

import shutil

import pytest

_VECTORS = ("--set", "encoder.embeddings=missing.vec")
_ABSTAIN_BY = ("--set", "decision.abstain_by=margin")
_PRETRAIN = ("--few-shot", "4", "--unlabelled", "rest", "--set", "self_training.pretrain=hard")
_DISTIL = ("--trials", "2", "--merge", "distil")
_TINY = ("--encoder", "{encoder}")
_CORRECTED = ("--max-length", "64", "--correction", "hard", "--synonyms", "{data}")
_GENERATOR = ("--max-length", "64", "--objective", "electra", "--set", "generator={encoder}")
_SHORT = (*_TINY, "--max-length", "64")
_SEARCH = ("--method", "frozen", "--over", "stages.0.regularisation=1,2", "--quiet")


@pytest.fixture
def folder(trained, ticket_file, tmp_path):
    """A finished run, with rows among its files."""
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    shutil.copy(ticket_file, run / "suspects.csv")
    return run


@pytest.mark.parametrize(
    "words",
    [
        ("check", "{run}/suspects.csv", "--deep"),
        ("train", "{run}/suspects.csv", "--method", "tfidf"),
        ("train", "{data}", "--recipe", "{run}/recipe.yaml"),
        ("sweep", "{data}", "--recipe", "{run}/recipe.yaml", "--over", "stages.0.epochs=1,2"),
        ("compare", "{data}", "--methods", "tfidf,{run}/recipe.yaml"),
        ("explain", "{run}", "{run}/suspects.csv"),
    ],
)
def test_files_that_a_command_reads_are_kept(tellapart, folder, ticket_file, words):
    before = sorted(path.name for path in folder.iterdir())
    given = [word.format(run=folder, data=ticket_file) for word in words]
    finished = tellapart(*given, "--output", folder, "--overwrite")
    assert finished.code == 2
    assert "lies in the output folder" in finished.err
    assert "which --overwrite would empty: choose another --output" in finished.err
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("train", "missing.csv", "--method", "tfidf"), "there is no file missing.csv"),
        (("train", "{data}", "--encoder", "./missing"), "there is no model folder at ./missing"),
        (("train", "{data}", "--method", "tfidf", "--few-shot", "0"), "there are no labelled training rows"),
        (("compare", "{data}", "--methods", "tfidf,frozen", "--encoder", "./missing"), "there is no model"),
        (("train", "{data}", "--encoder", "textcnn", *_VECTORS), "there is no file of word vectors"),
        (("train", "{data}", "--max-length", "999", *_TINY), "reads at most 64 tokens"),
        (("train", "{data}", "--windows", "max", "--max-length", "20", *_TINY), "fit into one window"),
        (("train", "{data}", "--set", "stages.0.metric=acuracy", *_SHORT), 'did you mean "accuracy"'),
        (
            ("train", "{data}", "--set", "stages.0.batches=balanced", "--batch-size", "2", *_SHORT),
            "a batch of 2 rows",
        ),
        (("train", "{scores}", *_DISTIL, "--set", "data.regression=true", *_SHORT), "use --merge soup"),
        (("train", "{data}", *_PRETRAIN, "--second-encoder", "{encoder}", *_SHORT), "fused"),
        (
            ("compare", "{data}", "--methods", "frozen,cross-entropy", "--max-length", "999", *_TINY),
            "at most 64 tokens",
        ),
        (("sweep", "{data}", *_SEARCH, "--max-length", "999", *_TINY), "reads at most 64 tokens"),
        (("sweep", "missing.csv", *_SEARCH), "there is no file missing.csv"),
        (("sweep", "{data}", *_SEARCH, "--encoder", "./missing"), "there is no model folder at ./missing"),
        (
            ("sweep", "{data}", *_SEARCH, "--baseline", "none", "--encoder", "./missing"),
            "there is no model folder",
        ),
        (
            ("sweep", "{data}", *_SEARCH, "--baseline", "none", "--over", "encoder.name=./a,./b"),
            "model folder at ./a",
        ),
        (
            ("sweep", "{data}", *_SEARCH, "--baseline", "none", *_ABSTAIN_BY),
            "but the model is not to abstain",
        ),
        (("check", "{data}", "--deep", "--encoder", "./missing"), "there is no model folder at ./missing"),
        (("explain", "{model}", "lost card", "--against", "found"), '"found"'),
        (("explain", "{model}", "lost card", "--attribution", "coefficients"), "only a tfidf model"),
        (("pretrain", "missing.txt"), "there is no file missing.txt"),
        (("pretrain", "{data}", "--encoder", "./missing"), "there is no model folder at ./missing"),
        (("pretrain", "{data}", "--max-length", "999", *_TINY), "reads at most 64 tokens"),
        (("pretrain", "{data}", *_TINY, *_CORRECTED), "not a synonym table"),
        (("pretrain", "{data}", "--encoder", "new", *_CORRECTED), "not a synonym table"),
        (("pretrain", "{data}", *_TINY, *_GENERATOR), "not of the ELECTRA family"),
    ],
)
def test_an_earlier_run_is_kept_until_the_command_can_start(
    tellapart, trained, folder, ticket_file, score_file, tiny_encoder, words, fault
):
    before = sorted(path.name for path in folder.iterdir())
    names = {"model": trained, "data": ticket_file, "scores": score_file, "encoder": tiny_encoder}
    given = [word.format(**names) for word in words]
    finished = tellapart(*given, "--output", folder, "--overwrite")
    assert finished.code == 2
    assert fault in " ".join(finished.err.split())
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "written"),
    [
        (("train", "{data}", "--method", "tfidf", "--quiet"), "metrics.json"),
        (("explain", "{model}", "lost card", "--attribution", "occlusion"), "word-effects.json"),
    ],
)
def test_nothing_of_an_earlier_run_stays_beside_the_new_one(
    tellapart, trained, folder, ticket_file, words, written
):
    given = [word.format(model=trained, data=ticket_file) for word in words]
    finished = tellapart(*given, "--output", folder, "--overwrite")
    assert finished.code == 0, finished.err
    assert (folder / written).is_file()
    assert not (folder / "suspects.csv").exists()
