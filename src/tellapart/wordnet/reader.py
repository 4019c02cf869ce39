"""Reads WordNet's database files: base forms, lemmas of synsets and sense counts of words.

File formats: WordNet's manual pages wndb(5WN), morphy(7WN) and senseidx(5WN).
"""

from __future__ import annotations

import functools
import os
import re
import sys
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tellapart.errors import DataError

# The suffixes that morphy replaces, and their replacements, by part of speech.
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
_SENSE_COUNTS = (
    "cntlist.rev",
    "index.sense",
)  # both end a line in the sense's number and how often it was met
_SENSE_COUNT = re.compile(r"(\S+)%([1-5]):\S*(?: \d{8})? (\d+) (\d+)\s*$")
_PART_OF_SENSE = {"1": "noun", "2": "verb", "3": "adj", "4": "adv", "5": "adj"}
_VERSION = re.compile(r"WordNet (\d+(?:\.\d+)+) Copyright")

Folder = Path | zipfile.Path


@dataclass(frozen=True)
class Reading:
    """A possible part of speech and base form of a word.

    Args:
        part: `noun`, `verb`, `adj` or `adv`.
        base: The base form, possibly the word itself.
        synsets: The lemmas of each synset, in lower case; most frequent sense first.
        counts: Frequency of the base form in each of these senses in WordNet's tagged texts; 0 if unknown.
    """

    part: str
    base: str
    synsets: tuple[tuple[str, ...], ...]
    counts: tuple[int, ...]

    @property
    def count(self) -> int:
        """Frequency of the base form as this part of speech."""
        return sum(self.counts)


class WordNet:
    """The synsets of English words.

    Args:
        folder: The folder with the files `data.noun`, `index.noun`, `noun.exc` and so on, or NLTK's `wordnet.zip`;
            None to search the usual places, see `find_wordnet`.

    Attributes:
        folder: The folder that was read.
        version: The version according to the files, such as `3.0`, or `unknown`.

    Raises:
        DataError: WordNet was not found, or a file is missing or damaged.

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
        """Returns the lemmas of all synsets of a word, in lower case, including itself; empty if it has none.

        Covers all parts of speech and every base form by morphy's rules for endings, without its exception for nouns
        that end in "ss" or have two letters: "boss" also has the base form "bos". Collocations are joined by
        underscores.
        """
        word = word.lower()
        return {lemma for part in self._parts for lemma in part.lemmas(word)}

    def readings(self, word: str) -> list[Reading]:
        """Returns every possible part of speech and base form of a word; empty if it has no synset."""
        word = word.lower()
        return [
            Reading(part.name, base, synsets, self._counts_of(part.name, base, len(synsets)))
            for part in self._parts
            for base, synsets in part.synsets(word)
        ]

    def irregular_forms(self, base: str, part: str) -> tuple[str, ...]:
        """Returns the forms of a base form in the exception lists, including those with doubled consonants.

        Args:
            base: A base form in lower case.
            part: `noun`, `verb`, `adj` or `adv`.
        """
        return next(one for one in self._parts if one.name == part).forms_of.get(base, ())

    @property
    def counts_senses(self) -> bool:
        """Whether the files contain sense counts."""
        return bool(self._counts)

    def _counts_of(self, part: str, base: str, senses: int) -> tuple[int, ...]:
        return tuple(self._counts.get((part, base, number), 0) for number in range(1, senses + 1))

    @functools.cached_property
    def _counts(self) -> dict[tuple[str, str, int], int]:
        """Frequency by part of speech, base form and number of the sense, from 1."""
        counts: dict[tuple[str, str, int], int] = {}
        file = next((self.folder / name for name in _SENSE_COUNTS if (self.folder / name).is_file()), None)
        for line in [] if file is None else _lines(file):
            if found := _SENSE_COUNT.match(line):
                lemma, part, number, count = found.groups()
                counts[_PART_OF_SENSE[part], lemma.lower(), int(number)] = int(count)
        return counts


class _PartOfSpeech:
    """WordNet's files for one part of speech."""

    def __init__(self, folder: Folder, part: str) -> None:
        self.name = part
        self._file = f"{folder}/data.{part}"
        self._endings = _ENDINGS[part]
        self._data = (folder / f"data.{part}").read_bytes()
        index = (line.split(" ", 1) for line in _lines(folder / f"index.{part}") if line[0] != " ")
        self._index = dict(index)
        irregular = (line.split() for line in _lines(folder / f"{part}.exc"))
        self._irregular = {form: bases for form, *bases in irregular}
        self._lemmas_at = functools.cache(self._read_synset)

    @property
    def licence(self) -> str:
        """The text before the data."""
        return self._data[:4096].decode("utf-8", "replace")

    def lemmas(self, word: str) -> Iterator[str]:
        for _, synsets in self.synsets(word):
            for lemmas in synsets:
                yield from lemmas

    def synsets(self, word: str) -> Iterator[tuple[str, tuple[tuple[str, ...], ...]]]:
        """Yields each base form of a word with the lemmas of its synsets."""
        for base in self._base_forms(word):
            yield base, tuple(self._lemmas_at(offset) for offset in self._offsets(base))

    @functools.cached_property
    def forms_of(self) -> dict[str, tuple[str, ...]]:
        """Base form to its irregular forms."""
        forms = defaultdict(list)
        for form, bases in self._irregular.items():
            for base in bases:
                forms[base].append(form)
        return {base: tuple(found) for base, found in forms.items()}

    def _base_forms(self, word: str) -> Iterator[str]:
        """Yields the word and its base forms, without repetition, if they are in the index."""
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
            raise self._damaged(f'the index entry of "{form}" is incomplete') from None

    def _read_synset(self, offset: int) -> tuple[str, ...]:
        line = self._data[offset : self._data.find(b"|", offset)].decode("utf-8", "replace").split()
        # offset file_number type word_count (hexadecimal) [word lexical_id]… pointer_count …
        if not line or line[0] != f"{offset:08d}":
            raise self._damaged(f"there is no synset at offset {offset} of its index")
        words = line[4 : 4 + 2 * int(line[3], 16) : 2]
        # adjectives may have a syntactic marker: galore(ip)
        return tuple(word.split("(")[0].lower() for word in words)

    def _damaged(self, how: str) -> DataError:
        return DataError(
            f"{self._file} is damaged ({how})", "install all files from the same version of WordNet"
        )


def _lines(file: Folder) -> list[str]:
    return [line for line in file.read_bytes().decode("utf-8", "replace").split("\n") if line.strip()]


def find_wordnet(folder: str | Path | None = None) -> Folder:
    """Returns the folder of WordNet's files.

    Args:
        folder: The folder itself, its parent (with a folder `dict`), or NLTK's `wordnet.zip`. None to search
            WordNet's variables `WNSEARCHDIR` and `WNHOME`, NLTK's data folders (`NLTK_DATA`), and the usual
            folders of Linux distributions and Homebrew.

    Raises:
        DataError: WordNet was not found.
    """
    places = _usual_places() if folder is None else [Path(folder).expanduser()]
    for place in places:
        for candidate in _readings(place):
            if all((candidate / name).is_file() for name in _FILES):
                return candidate
    missing = "WordNet was not found"
    if folder is not None:
        missing = f"{folder} does not contain WordNet's files (data.noun, index.noun, noun.exc and so on)"
    raise DataError(
        missing,
        "install it (apt install wordnet-base, or python -m nltk.downloader wordnet), or give its folder",
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
