from __future__ import annotations

import contextlib

import pytest

from tellapart.errors import UserError
from tellapart.listening import bound_socket, read_tokens, url_of

TOKEN = "a-token-of-24-characters"


def test_tokens_are_the_lines_of_the_file(tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"{TOKEN}\n\n  {TOKEN}-2 \n")
    assert read_tokens(file) == (TOKEN.encode(), f"{TOKEN}-2".encode())


@pytest.mark.parametrize("content", [b"", b"\n", b"short\n", b"two words that are long", b"\xff" * 20])
def test_a_file_without_a_usable_token_is_refused_and_not_quoted(content, tmp_path):
    file = tmp_path / "tokens"
    file.write_bytes(content)
    with pytest.raises(UserError, match="token") as refused:
        read_tokens(file)
    assert "short" not in str(refused.value)
    assert "two words" not in str(refused.value)


def test_a_missing_token_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_tokens(tmp_path / "none")


def test_a_port_in_use_is_refused_with_the_option_that_changes_it():
    with contextlib.closing(bound_socket("127.0.0.1", 0)) as first:
        first.listen()
        port = first.getsockname()[1]
        assert url_of("127.0.0.1", first) == f"http://127.0.0.1:{port}"
        with pytest.raises(UserError, match=rf"port {port} .*--port"):
            bound_socket("127.0.0.1", port)
