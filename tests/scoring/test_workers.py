from __future__ import annotations

from concurrent.futures import Future

import pytest

from tellapart.encoders import precision
from tellapart.errors import RecipeError, UserError
from tellapart.execution.engine import Engine, Loss
from tellapart.execution.places import Place
from tellapart.runs.predict import predict
from tellapart.scoring import workers as module
from tellapart.scoring.index import read_index


def _parts(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("part-*.parquet"))}


def test_parts_of_workers_are_those_of_this_process_byte_for_byte(model, folder, elsewhere, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    rows = predict(model, folder, here, rows_per_part=20, quiet=True)
    begun = elsewhere(slots=3, shares_files=False)
    notes = []
    assert predict(model, folder, there, rows_per_part=20, quiet=True, announce=notes.extend) == rows
    assert _parts(here) == _parts(there)
    assert len(begun) == len(_parts(here)) > 3
    assert read_index(there).finished
    assert len({request for request, _ in begun}) == 1
    assert module._kept is not None  # one model for all units of a process


def test_only_what_is_left_goes_to_workers(model, folder, elsewhere, tmp_path):
    output = tmp_path / "out"
    predict(model, folder, output, rows_per_part=20, quiet=True)
    whole = _parts(output)
    lost = sorted(whole)[1:3]
    for name in lost:
        (output / name).unlink()
    begun = elsewhere(slots=2)
    notes = []
    predict(model, folder, output, rows_per_part=20, quiet=True, resume=True, announce=notes.extend)
    assert _parts(output) == whole
    assert sorted(unit.output.rpartition("/")[2] for _, unit in begun) == lost
    assert f"{len(whole) - 2} of {len(whole)} part(s) had been written before." in notes


def test_a_machine_that_does_not_see_the_folder_says_so(model, folder, elsewhere, tmp_path, monkeypatch):
    elsewhere(shares_files=False)
    monkeypatch.setattr(module, "LOCK", ".of-another-disk")
    with pytest.raises(UserError, match=r"does not see the folder .*use an --output that all nodes share"):
        predict(model, folder, tmp_path / "out", quiet=True)


def test_a_worker_with_other_weights_is_refused(model, folder, elsewhere, tmp_path, monkeypatch):
    elsewhere()
    monkeypatch.setattr(module, "_kept", None)
    monkeypatch.setattr(module.PartScorer, "weights", property(lambda self: next(kinds)))
    kinds = iter(["float32", "bfloat16", "bfloat16"])
    with pytest.raises(RecipeError, match=r"cannot score with weights in float32, as the run does"):
        predict(model, folder, tmp_path / "out", quiet=True)


def test_workers_on_other_machines_score_in_the_precision_of_the_run(
    model, folder, elsewhere, tmp_path, monkeypatch
):
    begun = elsewhere(shares_files=False)
    monkeypatch.setattr(module, "_kept", None)
    gains = iter([True])  # this machine gains from bf16, and those of the workers do not
    monkeypatch.setattr(precision, "gains_from_bf16", lambda device: next(gains, False))
    predict(model, folder, tmp_path / "auto", quiet=True)
    assert read_index(tmp_path / "auto").weights == "bfloat16"
    assert {request.options.precision for request, _ in begun} == {"bf16"}
    predict(model, folder, tmp_path / "bf16", quiet=True, precision="bf16")
    assert _parts(tmp_path / "auto") == _parts(tmp_path / "bf16")


def test_a_part_whose_process_dies_ends_the_run_and_can_be_resumed(model, folder, tmp_path, monkeypatch):
    class Dying(Engine):
        slots = 1

        def submit(self, function, /, *arguments):
            future = Future()
            future.set_exception(ConnectionResetError())
            return future

        def loss(self, error):
            return Loss("its process died: buy memory")

    with monkeypatch.context() as patch:
        patch.setattr(Place, "engine", lambda self: Dying())
        with pytest.raises(
            UserError,
            match=r"part-00000-00000.parquet could not be .* died: buy memory, and go on with --resume",
        ):
            predict(model, folder, tmp_path / "out", quiet=True)
    assert predict(model, folder, tmp_path / "out", quiet=True, resume=True) == 60


def test_one_file_has_no_parts_to_share_out(model, folder, tmp_path):
    with pytest.raises(UserError, match="leave out --resume, --rows-per-part, --jobs and --on"):
        predict(model, folder / "a.csv", tmp_path / "out.csv", quiet=True, place=Place(jobs=2))
