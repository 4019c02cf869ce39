from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tellapart.cli import main


@dataclass(frozen=True)
class Finished:
    code: int
    out: str
    err: str


@pytest.fixture
def tellapart(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Finished]:
    """Runs the command line in this process, with the width of a pipe whatever the environment says."""
    monkeypatch.delenv("COLUMNS", raising=False)

    def run(*arguments: object) -> Finished:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Finished(int(end.value.code or 0), out, err)

    return run


@pytest.fixture(scope="session")
def trained(ticket_file, quick, tmp_path_factory) -> str:
    """The folder of a finished run on the tickets."""
    folder = tmp_path_factory.mktemp("runs") / "tickets"
    with pytest.raises(SystemExit) as end:
        main(["train", str(ticket_file), *quick, "--output", str(folder)])
    assert not end.value.code
    return str(folder)
