"""Many files in parts: the same rows as in one file, whatever interrupts the run."""

from __future__ import annotations

import json
import os
import shutil

import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from tellapart.data.reading import streams
from tellapart.data.reading.tables import read_table, write_table
from tellapart.encoders import precision
from tellapart.errors import DataError, OutputError, RecipeError, UserError
from tellapart.fitting.fitted import Fitted
from tellapart.runs.predict import predict
from tellapart.scoring import parts as parts_module
from tellapart.scoring import scorer
from tellapart.scoring.checksums import rows_checksum
from tellapart.scoring.index import INDEX, read_index
from tellapart.scoring.units import STAMP

PARTS = [
    *(f"part-00000-0000{number}.parquet" for number in range(2)),
    "part-00001-00000.parquet",
    *(f"part-00002-0000{number}.parquet" for number in range(2)),
    "part-00003-00000.parquet",
]


def _predict(model, source, output, **options):
    return predict(model, source, output, quiet=True, **{"rows_per_part": 16, "precision": "fp32", **options})


def _content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_parts_of_mixed_formats_hold_every_row_once_and_in_order(model, folder, rows, tmp_path):
    noted = []
    assert _predict(model, folder, tmp_path / "out", announce=noted.extend) == 60
    assert sorted(_content(tmp_path / "out")) == [INDEX, *PARTS]
    dataset = pyarrow.dataset.dataset(tmp_path / "out", format="parquet").to_table()
    assert dataset.select(rows.schema.names).equals(rows)
    assert dataset.schema.names == [*rows.schema.names, "predicted_label", "probability"]
    assert noted[1:] == [
        "Rows: 60 in 4 file(s).",
        "1 file(s) are hidden or of another format and not read, such as README.md.",
    ]
    index = read_index(tmp_path / "out")
    assert index.finished
    assert [(part.part, part.file, part.first, part.rows) for part in index.parts][:2] == [
        (PARTS[0], 0, 0, 16),
        (PARTS[1], 0, 16, 5),
    ]
    assert [(file.name, file.rows) for file in index.files][1] == ("b.jsonl.gz", 5)
    assert index.files[0].size == (folder / "a.csv").stat().st_size


def test_parts_are_bit_for_bit_what_the_whole_file_gives(model, rows, tmp_path):
    write_table(rows, tmp_path / "all.parquet")
    _predict(model, tmp_path / "all.parquet", tmp_path / "whole.parquet", rows_per_part=None)
    assert _predict(model, tmp_path / "all.parquet", tmp_path / "parts") == 60
    found = pyarrow.dataset.dataset(tmp_path / "parts", format="parquet").to_table()
    assert found.equals(read_table(tmp_path / "whole.parquet"))
    assert rows_checksum(tmp_path / "parts") == rows_checksum(tmp_path / "whole.parquet")


@pytest.fixture
def whole(model, folder, tmp_path):
    """The parts of a run that nothing interrupted."""
    _predict(model, folder, tmp_path / "whole")
    return tmp_path / "whole"


def _parts(place):
    return {name: content for name, content in _content(place).items() if name != INDEX}


@pytest.mark.parametrize(("parts", "batches"), [(0, 1), (2, 3), (5, 8)])
def test_an_interrupted_run_goes_on_as_if_it_had_not_been(
    model, folder, whole, tmp_path, monkeypatch, parts, batches
):
    broken, scores, calls = tmp_path / "broken", Fitted.scores, []

    def interrupted(self, split, **options):
        calls.append(split)
        if len(calls) > batches:
            raise KeyboardInterrupt
        return scores(self, split, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Fitted, "scores", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _predict(model, folder, broken)
    assert sorted(_content(broken)) == [INDEX, *PARTS[:parts]]
    assert not read_index(broken).finished
    with pytest.raises(DataError, match="unfinished run"):
        rows_checksum(broken)
    kept = {path: path.stat().st_mtime_ns for path in broken.glob("part-*")}
    (broken / f".{PARTS[parts]}.123.tmp").write_bytes(b"PAR1")  # as a process that was killed leaves it
    with pytest.raises(UserError, match="continue with --resume"):
        _predict(model, folder, broken)
    noted = []
    assert _predict(model, folder, broken, resume=True, announce=noted.extend) == 60
    assert noted[-1] == f"{parts} of 6 part(s) had been written before."
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert _content(broken) == _content(whole)


def test_damaged_parts_are_written_again_and_whole_ones_kept(model, folder, whole, monkeypatch):
    before = _content(whole)
    (whole / PARTS[0]).write_bytes(before[PARTS[0]][:-20])
    pq.write_table(pq.read_table(whole / PARTS[2]).slice(1), whole / PARTS[2])
    (whole / PARTS[4]).unlink()
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        rows_checksum(whole)
    with monkeypatch.context() as patch:
        patch.setattr(Fitted, "scores", None)  # interrupted once more
        with pytest.raises(TypeError):
            _predict(model, folder, whole, resume=True)
    assert not read_index(whole).finished
    assert _predict(model, folder, whole, resume=True) == 60
    assert _content(whole) == before


def test_a_finished_run_needs_no_model_to_be_resumed(model, folder, whole, monkeypatch):
    before = _content(whole)
    monkeypatch.setattr(scorer, "load_fitted", None)
    assert _predict(model, folder, whole, resume=True) == 60
    assert _content(whole) == before


def _touch(folder):
    os.utime(folder / "a.csv", ns=(0, 0))


def _edit(folder):
    state = (folder / "a.csv").stat()
    text = (folder / "a.csv").read_text().replace("missing", "mislaid")
    (folder / "a.csv").write_text(text)
    os.utime(folder / "a.csv", ns=(state.st_atime_ns, state.st_mtime_ns))


def _add(folder):
    shutil.copy(folder / "a.csv", folder / "z.csv")


def _remove(folder):
    (folder / "d.tsv").unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_touch, "a.csv was changed since the parts in"),
        (_edit, "a.csv was changed since the parts in"),
        (_add, "z.csv is new since the parts in"),
        (_remove, "d.tsv is missing since the parts in"),
    ],
)
def test_a_changed_input_is_not_resumed(model, folder, whole, change, message):
    (whole / PARTS[3]).unlink()
    before = _content(whole)
    change(folder)
    with pytest.raises(DataError, match=message):
        _predict(model, folder, whole, resume=True)
    assert _content(whole) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": 2}, r"begun with top_k: 0 \(now 2\)"),
        ({"rows_per_part": 20}, r"begun with rows_per_part: 16 \(now 20\)"),
        ({"text": "label"}, r"begun with text: text \(now label\)"),
        ({"precision": "bf16"}, r"weights in float32 \(now bfloat16\)"),
    ],
)
def test_other_options_are_not_resumed(model, folder, whole, options, message):
    (whole / PARTS[3]).unlink()
    before = _parts(whole)
    with pytest.raises(RecipeError, match=message):
        _predict(model, folder, whole, resume=True, **options)
    assert _parts(whole) == before


def test_a_model_may_move_but_not_change(model, folder, whole, tmp_path):
    moved = shutil.copytree(model, tmp_path / "moved")
    (whole / PARTS[3]).unlink()
    config = moved / "config.json"
    written = config.read_text()
    config.write_text(written.replace("LABEL_0", "LABEL_9"))
    with pytest.raises(RecipeError, match="other files of model: repeat its command"):
        _predict(moved, folder, whole, resume=True)
    config.write_text(written)
    assert _predict(moved, folder, whole, resume=True) == 60


def test_a_foreign_part_in_the_folder_is_refused(model, folder, whole):
    shutil.copy(whole / PARTS[0], whole / "part-00009-00000.parquet")
    with pytest.raises(UserError, match=r"part-00009-00000.parquet is no part of the run"):
        _predict(model, folder, whole, resume=True)


def test_a_folder_without_index_is_not_resumed(model, folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").touch()
    with pytest.raises(UserError, match=r"holds notes.txt but no _parts.json"):
        _predict(model, folder, tmp_path / "out", resume=True)
    with pytest.raises(UserError, match="not written by a run"):
        _predict(model, folder, tmp_path / "out", overwrite=True)
    (tmp_path / "out" / "notes.txt").unlink()
    assert _predict(model, folder, tmp_path / "out", resume=True) == 60  # nothing was begun: from the start


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": "many"}, r"_parts.json is damaged at rows .* begin again with --overwrite"),
        ({"format": 2}, r"_parts.json is damaged at format \(Input should be 1\)"),
        ({"input_schema": "AAAA"}, "the schema in the index of the parts is damaged"),
    ],
)
def test_a_damaged_index_is_one_sentence(model, folder, whole, changes, message):
    index = json.loads((whole / INDEX).read_text())
    (whole / INDEX).write_text(json.dumps(index | changes))
    with pytest.raises(DataError, match=message):
        _predict(model, folder, whole, resume=True)


def test_parts_are_replaced_on_request_also_after_a_kill(model, folder, whole):
    (whole / f".{PARTS[0]}.123.tmp").touch()
    (whole / f".{INDEX}.123.tmp").touch()
    assert _predict(model, folder, whole, overwrite=True, rows_per_part=100) == 60
    assert sorted(_content(whole)) == [INDEX, *(f"part-0000{file}-00000.parquet" for file in range(4))]


@pytest.mark.parametrize("failure", ["full disk", "changed file"])
def test_what_fails_half_way_leaves_whole_parts_alone(model, folder, tmp_path, monkeypatch, failure):
    scores, calls = Fitted.scores, []

    def failing(self, split, **options):
        calls.append(split)
        if len(calls) == 3:  # in the second part
            if failure == "full disk":
                raise OSError(28, "No space left on device")
            _touch(folder)
        return scores(self, split, **options)

    monkeypatch.setattr(Fitted, "scores", failing)
    error, message, parts = {
        "full disk": (OutputError, "No space left", 1),
        "changed file": (DataError, r"a.csv was changed since its rows were checked: restore it", 1),
    }[failure]
    with pytest.raises(error, match=message):
        _predict(model, folder, tmp_path / "out")
    assert sorted(_content(tmp_path / "out")) == [INDEX, *PARTS[:parts]]


@pytest.mark.parametrize("large", [False, True])
def test_a_single_file_that_is_changed_while_it_is_scored_is_no_output(
    model, folder, tmp_path, monkeypatch, large
):
    if not large:
        monkeypatch.setattr(streams, "STREAM_BYTES", 1 << 20)
    scores = Fitted.scores

    def changing(self, split, **options):
        _touch(folder)
        return scores(self, split, **options)

    monkeypatch.setattr(Fitted, "scores", changing)
    with pytest.raises(DataError, match=r"a.csv was changed since its rows were checked: repeat the command"):
        predict(model, folder / "a.csv", tmp_path / "out.csv", quiet=True)
    assert not (tmp_path / "out.csv").exists()


def test_an_earlier_run_is_deleted_only_when_the_new_one_can_begin(
    model, folder, whole, tmp_path, monkeypatch
):
    before = _content(whole)
    headless = tmp_path / "headless"
    headless.mkdir()
    shutil.copy(model / "config.json", headless)
    for other, options, message in [
        (model, {"text": "txet"}, "txet"),
        (tmp_path / "modle", {}, "there is no model folder at"),
        (headless, {}, "cannot be loaded"),
        (model, {"top_k": 9}, "9"),
    ]:
        with pytest.raises(UserError, match=message):
            _predict(other, folder, whole, overwrite=True, **options)
        assert _content(whole) == before
    with monkeypatch.context() as patch:
        patch.setattr(parts_module, "survey", None)  # not asked for a model that is not there
        with pytest.raises(UserError, match="there is no model folder at"):
            _predict(tmp_path / "modle", folder, tmp_path / "out")


def test_a_mistyped_source_is_named_also_on_resuming(model, folder, tmp_path):
    with pytest.raises(DataError, match=r'there is no file or folder .*neww \(did you mean "new"\?\)'):
        _predict(model, tmp_path / "neww", tmp_path / "labelled", resume=True)


@pytest.fixture
def other(model, tmp_path):
    """A model of the same classes with other weights."""
    import torch
    from transformers import AutoModelForSequenceClassification

    place = shutil.copytree(model, tmp_path / "other")
    changed = AutoModelForSequenceClassification.from_pretrained(place)
    with torch.no_grad():
        changed.classifier.weight.add_(1)
    changed.save_pretrained(place)
    return place


def test_parts_that_an_orphan_of_an_earlier_run_writes_are_not_those_of_the_new_one(
    model, other, folder, whole, tmp_path, monkeypatch
):
    _predict(other, folder, tmp_path / "clean")
    output = tmp_path / "out"
    written = parts_module.write_index

    def orphan(place, index):
        written(place, index)
        if not index.finished:
            for name in PARTS[2:4]:
                shutil.copy(whole / name, output)

    with monkeypatch.context() as patch:
        patch.setattr(parts_module, "write_index", orphan)
        _predict(other, folder, output)
    assert _content(output) == _content(tmp_path / "clean")
    shutil.rmtree(output)
    finish = parts_module.PartsRun.finish

    def late_orphan(self):
        shutil.copy(whole / PARTS[1], output)
        return finish(self)

    with monkeypatch.context() as patch:
        patch.setattr(parts_module.PartsRun, "finish", late_orphan)
        with pytest.raises(UserError, match=r"part-00000-00001.parquet was overwritten by another run: end"):
            _predict(other, folder, output)
    assert not read_index(output).finished
    noted = []
    _predict(other, folder, output, resume=True, announce=noted.extend)
    assert noted[-1] == "5 of 6 part(s) had been written before."
    assert _content(output) == _content(tmp_path / "clean")


def test_a_run_in_whose_folder_a_further_part_appeared_is_not_finished(model, folder, tmp_path, monkeypatch):
    scores, further = Fitted.scores, tmp_path / "out" / "part-00009-00000.parquet"

    def beside_an_orphan(self, split, **options):
        further.touch()
        return scores(self, split, **options)

    monkeypatch.setattr(Fitted, "scores", beside_an_orphan)
    with pytest.raises(UserError, match=r"part-00009-00000.parquet is no part of the run in .*: move it"):
        _predict(model, folder, tmp_path / "out")
    assert not read_index(tmp_path / "out").finished


def test_a_run_that_an_earlier_version_began_keeps_its_parts(model, folder, whole):
    index = json.loads((whole / INDEX).read_text())
    del index["run"]
    (whole / INDEX).write_text(json.dumps(index | {"finished": False}))
    for name in PARTS:
        table = pq.read_table(whole / name)
        assert table.schema.metadata.keys() == {STAMP}
        pq.write_table(table.replace_schema_metadata(), whole / name)
    (whole / PARTS[3]).unlink()
    noted = []
    _predict(model, folder, whole, resume=True, announce=noted.extend)
    assert noted[-1] == "5 of 6 part(s) had been written before."
    assert pq.read_schema(whole / PARTS[3]).metadata is None  # as the others
    assert read_index(whole).finished


def test_a_run_is_resumed_with_the_weights_that_it_was_begun_with(model, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "gains_from_bf16", lambda device: True)
    _predict(model, folder, tmp_path / "out", precision="auto")
    before = _content(tmp_path / "out")
    assert read_index(tmp_path / "out").weights == "bfloat16"
    (tmp_path / "out" / PARTS[3]).unlink()
    monkeypatch.setattr(precision, "gains_from_bf16", lambda device: False)
    _predict(model, folder, tmp_path / "out", precision="auto", resume=True)
    assert _content(tmp_path / "out") == before


def test_a_model_that_cannot_be_loaded_leaves_no_folder(folder, tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError):
        _predict(tmp_path / "none", folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_output_file_is_not_written_in_parts(model, folder, tmp_path):
    for options in ({"resume": True}, {"rows_per_part": 5}):
        with pytest.raises(UserError, match="is one file, which is not written in parts"):
            predict(model, folder / "a.csv", tmp_path / "out.csv", quiet=True, **options)
    with pytest.raises(UserError, match="a part cannot have 0 rows"):
        _predict(model, folder, tmp_path / "out", rows_per_part=0)
    with pytest.raises(UserError, match=r"out.csv is named like a file"):
        _predict(model, folder, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
