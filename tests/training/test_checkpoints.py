from __future__ import annotations

from tellapart.training.checkpoints import last_checkpoint


def test_half_written_checkpoints_are_passed_over(tmp_path):
    for number, state in ((5, "{}"), (10, '{"half'), (15, None)):
        folder = tmp_path / f"checkpoint-{number}"
        folder.mkdir()
        if state is not None:
            (folder / "trainer_state.json").write_text(state)
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-5")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-5"]
    assert last_checkpoint(tmp_path / "nowhere") is None
