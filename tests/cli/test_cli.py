from __future__ import annotations

import importlib
import inspect
import re
import warnings

import pytest

import tellapart as package
from tellapart.cli import messages
from tellapart.cli.version import full_version
from tellapart.errors import DataError, TellapartWarning

VERBS = (
    "train",
    "compare",
    "sweep",
    "evaluate",
    "predict",
    "playground",
    "serve",
    "explain",
    "suggest",
    "export",
    "push",
    "check",
    "relabel",
    "data",
    "recipes",
    "synonyms",
    "pretrain",
    "pretrain-stats",
    "robustness",
    "spans",
)


def test_help_names_every_verb_and_each_verb_has_help_of_its_own(tellapart):
    listed = tellapart("--help")
    assert listed.code == 0
    for verb in VERBS:
        assert f" {verb} " in listed.out
        assert tellapart(verb, "--help").code == 0


VERBS_WITH_EXAMPLES = [
    *("train", "compare", "evaluate", "predict", "serve", "explain", "suggest", "export", "push", "check"),
    "relabel",
    "playground",
]


@pytest.mark.parametrize("verb", VERBS_WITH_EXAMPLES)
def test_help_of_a_verb_shows_examples_that_fit_a_terminal_of_80_columns(tellapart, verb):
    shown = tellapart(verb, "--help").out.splitlines()
    examples = [line for line in shown if line.startswith(f"  tellapart {verb} ")]
    written = inspect.getdoc(getattr(importlib.import_module(f"tellapart.cli.{verb}"), verb))
    assert len(examples) >= 2
    for example in examples:
        assert f"\n{example.strip()}" in written  # a line of the source that was not wrapped


def test_help_of_a_verb_lists_its_options_by_panel(tellapart):
    shown = tellapart("train", "--help").out
    panels = re.findall(r"^(\w+):$", shown, re.MULTILINE)
    assert panels == ["Arguments", "Data", "Model", "Training", "Output", "Options"]
    assert shown.index("Model:") < shown.index("--encoder") < shown.index("Training:")
    assert "`textcnn`" in shown


def test_version_is_the_package_version(tellapart):
    shown = tellapart("--version").out
    assert shown.startswith(f"tellapart {package.__version__}")
    assert shown == f"tellapart {full_version()}\n"


def test_a_misspelt_verb_or_option_is_a_usage_error_with_a_suggestion(tellapart):
    verb = tellapart("trian")
    assert (verb.code, "train" in verb.err) == (2, True)
    option = tellapart("train", "--methd", "x")
    assert (option.code, "--method" in option.err) == (2, True)


@pytest.mark.parametrize(
    "arguments", [("--debug", "recipes", "show", "x"), ("recipes", "show", "x", "--debug")]
)
def test_debug_before_or_after_the_verb_adds_the_traceback_and_keeps_the_exit_code(tellapart, arguments):
    finished = tellapart(*arguments)
    assert finished.code == 2
    assert "Traceback" in finished.err
    assert finished.err.splitlines()[-1].startswith('error: there is no method "x"')


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (DataError("the file\nis empty", "add rows"), 2, "the file is empty: add rows."),
        (OSError(28, "No space left on device"), 2, "the disk is full"),
        (RuntimeError("SafetensorError: No space left on device (os error 28)"), 2, "the disk is full"),
        (MemoryError(), 1, "lower --batch-size"),
        (RuntimeError("CUDA out of memory. Tried to allocate"), 1, "lower --batch-size"),
        (KeyError("logits"), 1, "KeyError: 'logits': run again with --debug"),
    ],
)
def test_an_exception_becomes_one_line_and_an_exit_code(capsys, error, code, sentence):
    with pytest.raises(SystemExit) as end, messages.failures_in_one_line(debug=False):
        raise error
    shown = capsys.readouterr().err
    assert end.value.code == code
    assert shown.startswith("error: ")
    assert sentence in shown
    assert shown.count("\n") == 1


def test_an_interruption_says_how_to_go_on(tellapart, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("tellapart.recipes.methods", interrupted)
    finished = tellapart("recipes")
    assert finished.code == 130
    assert "--resume" in finished.err


def test_a_warning_for_the_user_is_one_line_and_shown_once(capsys):
    with messages.notes_on_stderr():
        for _ in range(2):
            warnings.warn("two rows\nwere left out.", TellapartWarning, stacklevel=1)
    assert capsys.readouterr().err == "note: two rows were left out.\n"
