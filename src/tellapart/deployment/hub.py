"""Uploads a model folder to the Hugging Face Hub: what will be sent, and sending it in one commit."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath

from tellapart.deployment.manifest import MANIFEST_FILE
from tellapart.deployment.model_files import is_pickle, is_weights, remarks, why_left_out
from tellapart.errors import ModelError, TellapartError, UserError
from tellapart.training.tfidf import CONFIG_FILE as TFIDF_CONFIG

_MODEL_FILES = ("config.json", TFIDF_CONFIG, MANIFEST_FILE)  # each of a kind of model folder


@dataclass(frozen=True)
class Upload:
    """The files of a model as they will lie in the repository.

    Args:
        folder: The model folder.
        files: Path in the repository to the file on disk, sorted.
        left_out: Path of each other file of the folder to the reason why it is not sent, sorted.
        remarks: Sentences on what readers of the files learn of the data.
    """

    folder: Path
    files: dict[str, Path]
    left_out: dict[str, str]
    remarks: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.stat().st_size for file in self.files.values())


def prepare_upload(model: str | Path, include: Sequence[str] = ()) -> Upload:
    """Lists the files of a model folder to send, without hidden ones: those that models have, and no pickles.

    Args:
        model: A run folder, of which only `model` is taken; or a folder with a model, or an export.
        include: Names of further files of the model folder or the run folder, such as `report.html`.

    Raises:
        ModelError: There is no model, or its weights are a pickle.
        UserError: A file to include is none of the folders or a pickle, or a file is a link that leads outside.
    """
    given = Path(model).expanduser()
    folder = next((one for one in (given, given / "model") if _is_model(one)), None)
    if folder is None:
        raise ModelError(f"{model} holds no model", "give a run folder, a checkpoint or an export")
    found: dict[str, Path] = {}
    left_out: dict[str, str] = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if not file.is_file() or any(part.startswith(".") for part in Path(name).parts):
            continue
        reason = why_left_out(name)
        if reason is None:
            found[name] = file
        else:
            left_out[name] = reason
    _check_weights(folder, found, left_out)
    for name in include:
        found[name] = _included(name, given, folder, found)
        left_out.pop(name, None)
    for name, file in found.items():
        inside = folder if file.is_relative_to(folder) else given
        if not file.resolve().is_relative_to(inside.resolve()):
            raise UserError(
                f"{name} is a link to a file outside of {inside}", "put the file itself in its place"
            )
    return Upload(folder, dict(sorted(found.items())), left_out, remarks(folder, found))


def _check_weights(folder: Path, found: Collection[str], left_out: Collection[str]) -> None:
    """Refuses a model whose only weights are pickles."""
    pickles = [name for name in left_out if "/" not in name and is_pickle(name)]
    if pickles and not any(map(is_weights, found)):
        raise ModelError(
            f"{folder} has no weights but those in {pickles[0]}, a file that can run code when it is loaded",
            "save the model again with save_pretrained, which writes model.safetensors",
        )


def _included(name: str, given: Path, folder: Path, found: Collection[str]) -> Path:
    """Returns the file of the model folder, else of the run folder, that is to be sent too."""
    file = next((one for one in (folder / name, given / name) if one.is_file()), None)
    if PurePath(name).name != name or name.startswith(".") or name in found or file is None:
        raise UserError(
            f'"{name}" is no further file of {given}', "name a file of the run folder, such as report.html"
        )
    if is_pickle(name):
        raise UserError(f"{name} can run code when it is loaded, and is not sent", "leave it out")
    return file


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
