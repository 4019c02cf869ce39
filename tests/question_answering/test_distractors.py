from __future__ import annotations

import dataclasses

import pytest

from tellapart.errors import DataError
from tellapart.question_answering.distractors import Distractors
from tellapart.question_answering.squad import SquadAnswer, SquadExample
from tellapart.question_answering.statements import statement
from tellapart.wordnet.reader import Reading, WordNet

_VERBS = {
    "wrote": "write",
    "won": "win",
    "leave": "leave",
    "beat": "beat",
    "lived": "live",
    "lives": "live",
    "born": "bear",
    "restored": "restore",
    "sacks": "sack",
    "live": "live",
    "play": "play",
    "called": "call",
}
_IRREGULAR = {"write": ("wrote",), "win": ("won",), "bear": ("born",)}


class Verbs:
    """A dictionary of a few verbs; sacks was met more often as a noun."""

    counts_senses = True

    def readings(self, word: str) -> list[Reading]:
        if word not in _VERBS:
            return []
        return [Reading("verb", _VERBS[word], (("x",),), (5,))]

    def irregular_forms(self, base: str, part: str) -> tuple[str, ...]:
        return _IRREGULAR.get(base, ())


@pytest.mark.parametrize(
    ("question", "answer", "expected"),
    [
        # the question word is the subject
        ("Who wrote Hamlet?", "Kafka", "Kafka wrote Hamlet."),
        ("Which young author wrote it ?", "Kafka", "Kafka wrote it."),
        ("How many people live in Oslo?", "seven", None),  # "live" is no finite form: it could be anything
        ("How many people lived in Oslo?", "seven", "Seven people lived in Oslo."),
        ("What is the capital of Norway?", "Rome", "Rome is the capital of Norway."),
        ("Who was elected president?", "Kafka", "Kafka was elected president."),
        ("How many seconds were left?", "22", "22 seconds were left."),
        # an auxiliary and a subject follow
        ("When did she leave Rome?", "1880", "It was in 1880 that she did leave Rome."),
        ("When did the last king leave?", "on Monday", "It was on Monday that the last king did leave."),
        ("What game do they play?", "chess", "It is chess that they do play."),
        ("How many sacks did Jared beat?", "138", "It was 138 sacks that Jared did beat."),
        ("In what year did the king leave Rome?", "1880", "It was in 1880 that the king did leave Rome."),
        ("What team has Ann restored?", "Rome", "It is Rome that Ann has restored."),
        ("Where was Tesla born?", "Paris", "It was in Paris that Tesla was born."),
        ("Where is the Eiffel Tower?", "Rome", "It is in Rome that the Eiffel Tower is."),
        ("Where can the king live now?", "Rome", "It is in Rome that the king can live now."),
        # no rule fits
        ("Why did she leave Rome?", "x", None),
        ("Was she in Rome?", "x", None),
        ("Name a river.", "x", None),
        ("Who did the sign language?", "x", None),
        ("However who wrote it?", "x", None),
        ("What?", "x", None),
    ],
)
def test_questions_become_statements_by_rule(question, answer, expected):
    assert statement(question, answer, Verbs()) == expected


FIRST = "Tesla was born in 1856. He won a prize in Paris in 1893. He lived in Rome."
SECOND = "Ada Byron wrote her notes in 1842. Oslo has 3,700 lakes."


def _example(name: str, question: str, context: str, *answers: str) -> SquadExample:
    gold = tuple(SquadAnswer(text, context.index(text)) for text in answers)
    return SquadExample(name, question, context, gold)


@pytest.fixture
def examples() -> list[SquadExample]:
    return [
        _example("a", "When did Tesla leave Vienna for Paris 7 times?", FIRST, "1893", "in 1893"),
        _example("b", "Who wrote notes about Charles Babbage?", SECOND, "Ada Byron"),
        _example("c", "Where was Nikola Tesla born?", FIRST, "Paris"),
        _example("d", "Who won the Nobel Prize?", FIRST, "Tesla"),
        _example("e", "Who wrote it?", FIRST, "Tesla"),
        _example("f", "Who wrote Hamlet?", SECOND),
    ]


def test_a_sentence_that_answers_another_question_stands_before_the_answers_own(examples):
    distract = Distractors(examples, Verbs())
    harder = distract(examples[0])
    assert harder.question == examples[0].question
    place = FIRST.index("He won")
    added = len(harder.context) - len(FIRST)
    sentence = harder.context[place : place + added]
    assert harder.context == FIRST[:place] + sentence + FIRST[place:]
    assert sentence.startswith("It was in 1")
    assert sentence.endswith("times. ")
    assert "did leave" in sentence
    assert "Tesla" not in sentence
    assert "1893" not in sentence
    assert " 7 " not in sentence
    for answer in harder.answers:
        assert harder.context[answer.start :].startswith(answer.text)
    assert [answer.start for answer in harder.answers] == [gold.start + added for gold in examples[0].answers]


def test_answers_before_the_sentence_stay_where_they_are(examples):
    example = _example("z", "When did Tesla leave Vienna?", FIRST, "1893")
    both = dataclasses.replace(example, answers=(*example.answers, SquadAnswer("1856", FIRST.index("1856"))))
    harder = Distractors(examples, Verbs())(both)
    assert harder.answers[1].start == FIRST.index("1856")
    assert harder.context[harder.answers[0].start :].startswith("1893")


def test_the_answer_that_is_made_up_is_of_the_gold_answers_kind_and_not_in_the_text(examples):
    harder = Distractors(examples, Verbs())(examples[3])
    sentence = harder.context[: len(harder.context) - len(FIRST)]
    assert sentence.startswith("Ada Byron won the ")  # the only name among the answers that the text lacks
    assert "Nobel" not in sentence


def test_questions_that_cannot_be_changed_or_said_stay_as_they_are(examples):
    distract = Distractors(examples, Verbs())
    assert distract(examples[4]) is None  # nothing in it to change
    assert distract(examples[5]) is None  # no answer to protect
    assert distract(_example("y", "Why did Tesla leave Rome?", FIRST, "1893")) is None
    lonely = _example("x", "Who won the Nobel Prize?", FIRST, "Tesla")
    assert Distractors([lonely], Verbs())(lonely) is None  # no other answer to take


def test_a_sentence_that_holds_the_right_answer_is_not_added():
    examples = [
        _example("a", "Which city has 3 lakes by Monet?", "Rome has a lake. It is 4.", "4"),
        _example("b", "Who wrote 4 books for Monet?", "Manet did.", "Manet"),
    ]
    for seed in range(20):
        harder = Distractors(examples, Verbs(), seed=seed)(examples[0])
        assert harder is None or " 4 " not in harder.context[: len(harder.context) - 25]


def test_the_choice_follows_the_seed_alone(examples):
    made = [[Distractors(examples, Verbs(), seed=seed)(one) for one in examples] for seed in (0, 0, 1)]
    assert made[0] == made[1]
    assert made[0] != made[2]


@pytest.mark.parametrize(
    ("question", "gold"),
    [("How many of 9 kings left Rome?", "five"), ("How many of 12 kings left Rome?", "1,999")],
)
def test_other_numbers_keep_their_form(question, gold):
    context = f"Oslo had {gold} lakes. It is in Norway."
    distract = Distractors([_example("a", question, context, gold)], Verbs())
    for seed in range(12):
        distract._seed = seed
        other = distract._other_answer(_example("a", question, context, gold))
        assert other != gold
        assert other.isalpha() == gold.isalpha()
        if "," in gold:
            assert len(other) == len(gold)
            assert other[1] == ","
        changed = distract._other_question(_example("a", question, context, gold))
        assert changed != question
        assert "-" not in changed


def test_the_installed_wordnet_tells_where_a_subject_ends():
    try:
        wordnet = WordNet()
    except DataError as missing:
        pytest.skip(str(missing))
    if not wordnet.counts_senses:
        pytest.skip("these files do not tell how often a sense was met")
    said = statement("How many tackles did Luke Kuechly register?", "124", wordnet)
    assert said == "It was 124 tackles that Luke Kuechly did register."
