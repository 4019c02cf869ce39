"""WordNet, read from its own database files: the words that share a meaning with a word.

Only what tables of synonyms and swaps of words need: from a word, through its base forms, to the lemmas of its
synsets, and how often each part of speech was met. The format is that of WordNet's manual pages wndb(5WN),
morphy(7WN) and senseidx(5WN).
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
    """A word as one part of speech.

    Args:
        part: `noun`, `verb`, `adj` or `adv`.
        base: Its base form, which is the word itself where it is one.
        synsets: The lemmas of each of its synsets, as WordNet writes them but in lower case; the most frequent
            sense first.
        counts: How often the base form was met in each of these senses in WordNet's tagged texts; 0 also where the
            files do not tell.
    """

    part: str
    base: str
    synsets: tuple[tuple[str, ...], ...]
    counts: tuple[int, ...]

    @property
    def count(self) -> int:
        """How often the base form was met as this part of speech."""
        return sum(self.counts)


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

    def readings(self, word: str) -> list[Reading]:
        """Returns every part of speech and base form that a word can have; none for a word without a synset."""
        word = word.lower()
        return [
            Reading(part.name, base, synsets, self._counts_of(part.name, base, len(synsets)))
            for part in self._parts
            for base, synsets in part.synsets(word)
        ]

    def irregular_forms(self, base: str, part: str) -> tuple[str, ...]:
        """Returns the forms of a base that its part of speech lists as exceptions, doubled consonants among them.

        Args:
            base: A base form in lower case.
            part: `noun`, `verb`, `adj` or `adv`.
        """
        return next(one for one in self._parts if one.name == part).forms_of.get(base, ())

    @property
    def counts_senses(self) -> bool:
        """Whether the files tell how often each sense was met."""
        return bool(self._counts)

    def _counts_of(self, part: str, base: str, senses: int) -> tuple[int, ...]:
        return tuple(self._counts.get((part, base, number), 0) for number in range(1, senses + 1))

    @functools.cached_property
    def _counts(self) -> dict[tuple[str, str, int], int]:
        """How often each base form was met as each part of speech in each of its senses, which count from 1."""
        counts: dict[tuple[str, str, int], int] = {}
        file = next((self.folder / name for name in _SENSE_COUNTS if (self.folder / name).is_file()), None)
        for line in [] if file is None else _lines(file):
            if found := _SENSE_COUNT.match(line):
                lemma, part, number, count = found.groups()
                counts[_PART_OF_SENSE[part], lemma.lower(), int(number)] = int(count)
        return counts


class _PartOfSpeech:
    """The nouns, or the verbs, adjectives or adverbs."""

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
        """What stands above the data."""
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

    def _read_synset(self, offset: int) -> tuple[str, ...]:
        line = self._data[offset : self._data.find(b"|", offset)].decode("utf-8", "replace").split()
        # offset file_number type word_count (hexadecimal) [word lexical_id]… pointer_count …
        if not line or line[0] != f"{offset:08d}":
            raise self._damaged(f"its index points to {offset}, where there is no synset")
        words = line[4 : 4 + 2 * int(line[3], 16) : 2]
        # an adjective may say where it stands: galore(ip)
        return tuple(word.split("(")[0].lower() for word in words)

    def _damaged(self, how: str) -> DataError:
        return DataError(
            f"{self._file} is damaged ({how})", "install the files of one version of WordNet together"
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
