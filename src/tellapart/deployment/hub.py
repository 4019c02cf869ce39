"""Uploads a model folder to the Hugging Face Hub: what will be sent, and sending it in one commit."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath

from tellapart.deployment.manifest import MANIFEST_FILE
from tellapart.errors import ModelError, TellapartError, UserError
from tellapart.training.tfidf import CONFIG_FILE as TFIDF_CONFIG

_MODEL_FILES = ("config.json", TFIDF_CONFIG, MANIFEST_FILE)  # each of a kind of model folder


@dataclass(frozen=True)
class Upload:
    """The files of a model as they will lie in the repository.

    Args:
        folder: The model folder.
        files: Path in the repository to the file on disk, sorted.
    """

    folder: Path
    files: dict[str, Path]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.stat().st_size for file in self.files.values())


def prepare_upload(model: str | Path, include: Sequence[str] = ()) -> Upload:
    """Lists the files of a model folder, without hidden ones.

    Args:
        model: A run folder, of which only `model` is taken; or a folder with a model, or an export.
        include: Names of further files of the run folder, such as `report.html`.

    Raises:
        ModelError: There is no model.
        UserError: A file to include is not one of the run folder, or a file is a link that leads outside.
    """
    given = Path(model).expanduser()
    folder = next((one for one in (given, given / "model") if _is_model(one)), None)
    if folder is None:
        raise ModelError(f"{model} holds no model", "give a run folder, a checkpoint or an export")
    found = {
        file.relative_to(folder).as_posix(): file
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    }
    for name in include:
        file = given / name
        if PurePath(name).name != name or name.startswith(".") or name in found or not file.is_file():
            raise UserError(
                f'"{name}" is no further file of {given}',
                "name a file of the run folder, such as report.html",
            )
        found[name] = file
    for name, file in found.items():
        inside = folder if file.is_relative_to(folder) else given
        if not file.resolve().is_relative_to(inside.resolve()):
            raise UserError(
                f"{name} is a link to a file outside of {inside}", "put the file itself in its place"
            )
    return Upload(folder, dict(sorted(found.items())))


def _is_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _MODEL_FILES)


def push(
    upload: Upload,
    repository: str,
    *,
    public: bool = False,
    message: str = "Upload model",
) -> str:
    """Creates a repository if it is missing, and uploads the files in one commit.

    The token is that of `hf auth login` or `HF_TOKEN`; the server is `HF_ENDPOINT`, by default huggingface.co.

    Args:
        upload: The files.
        repository: `owner/name`, or `name` for the owner of the token.
        public: Whether anyone may read the repository, if it is created now.
        message: Message of the commit.

    Returns:
        The URL of the repository.

    Raises:
        UserError: The server cannot be reached or refuses, or the repository is public and `public` is not set.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    with _explained(repository):
        hub = HfApi(library_name="tellapart")
        created = hub.create_repo(repository, private=not public, exist_ok=True)
        if not public and not hub.model_info(created.repo_id).private:
            raise UserError(
                f"the repository {created.repo_id} is public",
                "use --public to send the model there, or choose another name",
            )
        hub.create_commit(
            created.repo_id,
            [CommitOperationAdd(name, str(file)) for name, file in upload.files.items()],
            commit_message=message,
        )
    return str(created)


@contextmanager
def _explained(repository: str) -> Iterator[None]:
    """Turns what huggingface_hub raises into one sentence, in which no token can be."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (  # type: ignore[attr-defined]
        HfHubHTTPError,
        HFValidationError,
        HTTPError,  # of the HTTP client, which depends on the version
        OfflineModeIsEnabled,
    )

    try:
        with _without_warnings():
            yield
    except TellapartError:
        raise
    except OfflineModeIsEnabled:
        raise UserError("the Hub is switched off by HF_HUB_OFFLINE", "unset it to push") from None
    except HFValidationError as error:
        raise UserError(f'"{repository}" is no name of a repository ({error})', "give owner/name") from None
    except HfHubHTTPError as error:
        status = error.response.status_code
        cause, remedy = _ANSWERS.get(status, (f"answered with status {status}", "try again later"))
        reason = " ".join((error.server_message or "").split())
        raise UserError(
            f"the Hub {cause} for {repository}" + (f" ({reason})" if reason else ""), remedy
        ) from None
    except (HTTPError, OSError, RuntimeError, ValueError) as error:
        if "Invalid metadata in README.md" in str(error):
            raise UserError(
                f"the Hub does not accept the metadata of README.md ({' '.join(str(error).split())})",
                "correct the block between the lines --- of the file",
            ) from None
        raise UserError(
            f"{repository} could not be sent to {constants.ENDPOINT} ({type(error).__name__})",
            "check the network, the server in HF_ENDPOINT and its answer, and try again",
        ) from None


_LOGIN = "log in with `hf auth login`, or set HF_TOKEN to a token that may write"
_ANSWERS = {
    400: ("refused the files", "correct the file that it names"),
    401: ("does not know the token", _LOGIN),
    403: ("does not let this token write", _LOGIN),
    404: ("knows no such owner or repository", "check the name, and that the token belongs to the owner"),
    429: ("takes no more requests now", "try again later"),
}


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Hides what huggingface_hub logs: progress and warnings about retries."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
