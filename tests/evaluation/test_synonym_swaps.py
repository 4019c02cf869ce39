from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.errors import DataError, UserError
from tellapart.evaluation.synonym_swaps import Swap, SynonymSwaps, label_words
from tellapart.wordnet.reader import WordNet


def _swapped(wordnet: WordNet, text: str, **options: object) -> str:
    return SynonymSwaps(wordnet, **({"share": 1.0} | options))(text)[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("i lost my card today", "i misplaced my card nowadays"),  # calling_card is no single word
        ("i stay, she stays", "i remain, she remains"),
        ("staying at rest", "remaining at rest"),  # a noun and a verb alike
        ("two losses", "two misplacements"),
        ("the main card", "the primary card"),  # chief was never met
        ("Today, TODAY and today!", "Today, TODAY and nowadays!"),  # names and acronyms look like that
        ("it persists", "it persists"),  # the first sense of its synonyms is another
        ("stay-at-home today's today2 @today www.today.com/today", None),
        ("take, taken, robbed, geese", None),  # never met, and of two parts of speech or of one word
    ],
)
def test_words_give_way_to_synonyms_in_their_own_form_where_rules_are_sure(met_wordnet, text, expected):
    assert _swapped(met_wordnet, text) == (text if expected is None else expected)


def test_a_synonym_that_would_need_another_article_is_left_out(met_wordnet):
    wordnet = _Synonyms({"aim": "goal", "goal": "aim", "target": "purpose"})
    assert _swapped(wordnet, "an aim, a goal, the aim, my goal") == "an aim, a goal, the goal, my aim"
    assert _swapped(wordnet, "a target") == "a purpose"


class _Synonyms:
    """Nouns with a synonym each, met equally often."""

    counts_senses = True

    def __init__(self, pairs: dict[str, str]) -> None:
        self._pairs = pairs | {synonym: word for word, synonym in pairs.items()}

    def readings(self, word: str) -> list:
        from tellapart.wordnet.reader import Reading

        if word not in self._pairs:
            return []
        return [Reading("noun", word, (tuple(sorted([word, self._pairs[word]])),), (1,))]

    def irregular_forms(self, base: str, part: str) -> tuple[str, ...]:
        return ()


def test_swaps_name_what_stood_where(met_wordnet):
    text, swaps = SynonymSwaps(met_wordnet, share=1.0)("we lost it today")
    assert swaps == [Swap(3, "lost", "misplaced"), Swap(11, "today", "nowadays")]
    assert text == "we misplaced it nowadays"


@pytest.mark.parametrize("protected", [{"lost"}, {"lose"}, {"LOST"}, {"misplaced"}, {"misplace"}])
def test_protected_words_are_neither_replaced_nor_put_in_whatever_their_form(met_wordnet, protected):
    assert _swapped(met_wordnet, "i lost it today", protected=protected) == "i lost it nowadays"


def test_label_words_are_those_of_the_class_names_in_every_spelling():
    assert label_words(["lost_card", "CardStolen", "Top-up via ATM", "FAQ2"]) == {
        *("lost", "card", "stolen", "top", "up", "via", "atm", "faq")
    }


def test_stop_words_pronouns_and_short_words_stay():
    wordnet = _Synonyms({"someone": "person", "more": "greater", "ox": "cattle", "despite": "contempt"})
    text = "someone has more ox despite"
    assert _swapped(wordnet, text) == text
    assert _swapped(wordnet, "a person") == "a person"  # someone is no synonym either


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from(["lost", "today", "my", "card", "stays", "main", "x1", "it's"]), max_size=14),
    st.sampled_from([0.1, 0.25, 0.5]),
    st.integers(0, 5),
)
def test_at_most_the_share_of_the_words_changes_and_always_the_same(met_wordnet, words, share, seed):
    text = " ".join(words)
    swap = SynonymSwaps(met_wordnet, share=share, seed=seed)
    made, swaps = swap(text)
    plain = [word for word in words if word != "x1"]
    assert len(swaps) <= share * len(plain)
    assert (made, swaps) == SynonymSwaps(met_wordnet, share=share, seed=seed)(text)
    assert len(re.findall(r"\S+", made)) == len(words)
    for made_swap in swaps:
        assert text[made_swap.start :].startswith(made_swap.original)


def test_the_choice_is_the_same_on_every_machine_and_another_with_another_seed(met_wordnet):
    text = "today lost today lost today lost today lost"
    chosen = {seed: SynonymSwaps(met_wordnet, share=0.25, seed=seed)(text)[0] for seed in range(4)}
    assert chosen[0] == "nowadays lost today lost today lost nowadays lost"
    assert len(set(chosen.values())) > 1


@pytest.mark.parametrize("share", [0, 1.5, -0.1])
def test_a_share_that_is_none_is_refused(met_wordnet, share):
    with pytest.raises(UserError, match="share"):
        SynonymSwaps(met_wordnet, share=share)


def test_with_the_installed_wordnet_common_words_are_swapped_in_form():
    try:
        wordnet = WordNet()
    except DataError as missing:
        pytest.skip(str(missing))
    if not wordnet.counts_senses:
        pytest.skip("these files do not tell how often a sense was met")
    made = _swapped(wordnet, "it happened two hours after i purchased it")
    assert made.split()[-2] == "bought"
    assert _swapped(wordnet, "i purchased it", protected={"buy"}) == "i purchased it"
