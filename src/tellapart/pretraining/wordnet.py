"""WordNet, read from its own database files: the words that share a meaning with a word.

Only what a synonym table needs: from a word, through its base forms, to the lemmas of its synsets. The format
is that of WordNet's manual pages wndb(5WN) and morphy(7WN).
"""

from __future__ import annotations

import functools
import os
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tellapart.errors import DataError

# The endings that morphy takes off, by part of speech, and what it puts in their place.
_ENDINGS: dict[str, tuple[tuple[str, str], ...]] = {
    "noun": (
        ("s", ""),
        ("ses", "s"),
        ("ves", "f"),
        ("xes", "x"),
        ("zes", "z"),
        ("ches", "ch"),
        ("shes", "sh"),
        ("men", "man"),
        ("ies", "y"),
    ),
    "verb": (
        ("s", ""),
        ("ies", "y"),
        ("es", "e"),
        ("es", ""),
        ("ed", "e"),
        ("ed", ""),
        ("ing", "e"),
        ("ing", ""),
    ),
    "adj": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "adv": (),
}
_FILES = tuple(f"{kind}.{part}" for part in _ENDINGS for kind in ("data", "index")) + tuple(
    f"{part}.exc" for part in _ENDINGS
)
_VERSION = re.compile(r"WordNet (\d+(?:\.\d+)+) Copyright")

Folder = Path | zipfile.Path


class WordNet:
    """The synsets of English words.

    Args:
        folder: The folder with the files `data.noun`, `index.noun`, `noun.exc` and their like, or NLTK's
            `wordnet.zip`; None looks where WordNet is usually installed, see `find_wordnet`.

    Attributes:
        folder: Where it was read from.
        version: What the files say, such as `3.0`; `unknown` when they do not say it.

    Raises:
        DataError: There is no WordNet, or a file of it is missing or damaged.

    Example:
        >>> sorted(WordNet().lemmas("primary"))[:3]
        ['basal', 'chief', 'elementary']

    References:
        - Miller 1995, WordNet: A Lexical Database for English.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = find_wordnet(folder)
        self._parts = [_PartOfSpeech(self.folder, part) for part in _ENDINGS]
        found = _VERSION.search(self._parts[0].licence)
        self.version = found.group(1) if found else "unknown"

    def lemmas(self, word: str) -> set[str]:
        """Returns the lemmas, in lower case, of all synsets of a word, itself among them; empty for no synset.

        All parts of speech count, and every base form that morphy finds for each. Words of a collocation are
        joined by underscores.
        """
        word = word.lower()
        return {lemma for part in self._parts for lemma in part.lemmas(word)}


class _PartOfSpeech:
    """The nouns, or the verbs, adjectives or adverbs."""

    def __init__(self, folder: Folder, part: str) -> None:
        self._name = f"{folder}/data.{part}"
        self._endings = _ENDINGS[part]
        self._data = (folder / f"data.{part}").read_bytes()
        index = (line.split(" ", 1) for line in _lines(folder / f"index.{part}") if line[0] != " ")
        self._index = dict(index)
        irregular = (line.split() for line in _lines(folder / f"{part}.exc"))
        self._irregular = {form: bases for form, *bases in irregular}
        self._lemmas_at = functools.cache(self._read_synset)

    @property
    def licence(self) -> str:
        """What stands above the data."""
        return self._data[:4096].decode("utf-8", "replace")

    def lemmas(self, word: str) -> Iterator[str]:
        for form in self._base_forms(word):
            for offset in self._offsets(form):
                yield from self._lemmas_at(offset)

    def _base_forms(self, word: str) -> Iterator[str]:
        """The word itself and its base forms, as far as the index has them; each once."""
        bases = self._irregular.get(word)
        if bases is None:
            bases = [word.removesuffix(old) + new for old, new in self._endings if word.endswith(old)]
        return filter(self._index.__contains__, dict.fromkeys([word, *bases]))

    def _offsets(self, form: str) -> list[int]:
        fields = self._index[
            form
        ].split()  # pos synset_count pointer_count [pointer]… senses tagged [offset]…
        try:
            return [int(field) for field in fields[-int(fields[1]) :]]
        except (ValueError, IndexError):
            raise self._damaged(f'its index is cut off at "{form}"') from None

    def _read_synset(self, offset: int) -> list[str]:
        line = self._data[offset : self._data.find(b"|", offset)].decode("utf-8", "replace").split()
        # offset file_number type word_count (hexadecimal) [word lexical_id]… pointer_count …
        if not line or line[0] != f"{offset:08d}":
            raise self._damaged(f"its index points to {offset}, where there is no synset")
        words = line[4 : 4 + 2 * int(line[3], 16) : 2]
        return [
            word.split("(")[0].lower() for word in words
        ]  # an adjective may say where it stands: galore(ip)

    def _damaged(self, how: str) -> DataError:
        return DataError(
            f"{self._name} is damaged ({how})", "install the files of one version of WordNet together"
        )


def _lines(file: Folder) -> list[str]:
    return [line for line in file.read_bytes().decode("utf-8", "replace").split("\n") if line.strip()]


def find_wordnet(folder: str | Path | None = None) -> Folder:
    """Returns where the files of WordNet are.

    Args:
        folder: Where to look: the folder itself, one with a folder `dict` in it, or NLTK's `wordnet.zip`.
            None: where WordNet's own variables `WNSEARCHDIR` and `WNHOME` point, then the data folders of
            NLTK (`NLTK_DATA`), then where Linux distributions and Homebrew put it.

    Raises:
        DataError: It is not there.
    """
    places = _usual_places() if folder is None else [Path(folder).expanduser()]
    for place in places:
        for candidate in _readings(place):
            if all((candidate / name).is_file() for name in _FILES):
                return candidate
    missing = "WordNet is needed, and was not found"
    if folder is not None:
        missing = (
            f"{folder} does not hold the files of WordNet (data.noun, index.noun, noun.exc and their like)"
        )
    raise DataError(
        missing,
        "install it (apt install wordnet-base, or python -m nltk.downloader wordnet), "
        "or name the folder that holds it",
    )


def _readings(place: Path) -> Iterator[Folder]:
    if zipfile.is_zipfile(place):
        yield zipfile.Path(place, "wordnet/")
    else:
        yield from (place, place / "dict")


def _usual_places() -> Iterator[Path]:
    yield from (Path(os.environ[name]) for name in ("WNSEARCHDIR", "WNHOME") if os.environ.get(name))
    nltk = [Path(folder) for folder in os.environ.get("NLTK_DATA", "").split(os.pathsep) if folder]
    nltk.append(Path.home() / "nltk_data")
    nltk += [
        prefix / below / "nltk_data"
        for prefix in (Path(sys.prefix), Path("/usr"), Path("/usr/local"))
        for below in ("share", "lib", ".")
    ]
    for data in nltk:
        yield from (data / "corpora" / "wordnet", data / "corpora" / "wordnet.zip")
    for installed in (
        "/usr/share/wordnet",
        "/usr/share/wordnet-3.0",
        "/usr/local/WordNet-3.0",
        "/opt/homebrew/opt/wordnet",
        "/usr/local/opt/wordnet",
    ):
        yield Path(installed)
