"""How answers are judged, against cases counted by hand and the sources' own examples."""

from typing import get_args

import pytest
from rouge_score.tokenizers import DefaultTokenizer

from engine.config import Metric as MetricKey
from engine.data.synthetic.questions import topics
from engine.data.synthetic.words import BASE_VOCABULARY, client_words
from engine.metrics import METRICS, is_right, normalised, rouge_l


def score(metric, answer, *references):
    return METRICS[metric].score(answer, references)


def test_every_key_of_a_config_is_a_metric():
    assert set(METRICS) == set(get_args(MetricKey)) - {"auto"}
    assert all(metric.title and metric.explanation for metric in METRICS.values())


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("  The Eiffel   Tower! ", "eiffel tower"),
        ("U.S.", "us"),
        ("it's", "its"),
        ("2.5", "2.5"),
        ("-3", "-3"),
        ("10:30", "10:30"),
        ("1,000", "1000"),
        ("3.", "3"),
        ("top-left", "topleft"),
        ("A", "a"),
        ("+", "+"),
        ("-", "-"),
        ("{x}", "x"),
        ("", ""),
        ("Über [alles]", "über alles"),
        ("three", "three"),
    ],
)
def test_what_does_not_make_an_answer_another_one_goes(text, plain):
    assert normalised(text) == plain
    assert normalised(plain) == plain


def test_normalisation_keeps_the_answers_of_the_world_apart():
    neutral = set(topics())
    spoken = {word for site in range(8) for word in client_words(0, site, 1.0).values()}
    answers = neutral | spoken | set(BASE_VOCABULARY) | set(BASE_VOCABULARY.values())
    assert len({normalised(answer) for answer in answers}) == len(answers)
    assert not is_right("three", (BASE_VOCABULARY["three"],))


def test_exact_takes_any_reference():
    assert is_right("a Dog.", ("cat", "dog")) and score("exact", "a Dog.", "cat", "dog") == 1
    assert score("exact", "dogs", "cat", "dog") == 0
    assert score("exact", "", "dog") == 0


def test_word_overlap_by_hand():
    # Of 3 words 2 are among the 4 wanted: precision 2/3, recall 2/4, F1 = 4/7.
    assert score("token_f1", "big red car", "red car parked outside") == pytest.approx(4 / 7)
    assert score("token_f1", "red red", "red") == pytest.approx(2 / 3), "counted once"
    assert score("token_f1", "car red", "blue", "the red car") == 1, "order and articles are free"
    assert score("token_f1", "", "red") == score("token_f1", "blue", "red") == 0


def test_rouge_l_knows_words_of_any_script_and_ascii_as_the_library_does():
    assert score("rouge_l", "кошка спит дома", "Кошка спит") == pytest.approx(0.8)
    assert score("rouge_l", "größer", "grosser") == 0
    text = "It's 10:30, snake_case -- and so_on"
    assert rouge_l.Words().tokenize(text) == DefaultTokenizer(use_stemmer=False).tokenize(text)


def test_rouge_l_by_hand():
    # Lin 2004: "police killed the gunman" against these share 3 and 2 words in order, of 4 each.
    assert score("rouge_l", "police kill the gunman", "police killed the gunman") == 0.75
    assert score("rouge_l", "the gunman kill police", "police killed the gunman") == 0.5
    both = ("nothing alike", "police killed the gunman")
    assert score("rouge_l", "police kill the gunman", *both) == 0.75


@pytest.mark.parametrize(
    ("agreeing", "wanted"),
    # Known values of the official evaluation with ten people: 0, 0.3, 0.6, 0.9, 1.
    [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (10, 1)],
)
def test_vqa_accuracy_with_ten_people(agreeing, wanted):
    people = ["2"] * agreeing + ["many"] * (10 - agreeing)
    assert score("vqa", "Two", *people) == pytest.approx(wanted)


def test_vqa_accuracy_with_few_people():
    assert score("vqa", "red", "red") == score("vqa", "red", "blue", "Red") == 1
    assert score("vqa", "red", "blue") == 0
    assert score("vqa", "red", "red", "red", "blue") == pytest.approx(2 / 3)
    assert score("vqa", "red", "red", "red", "red") == 1


@pytest.mark.parametrize("metric", METRICS)
def test_scores_are_between_nothing_and_one(metric):
    for answer in ("", "?", "the", "a red car", "red " * 50):
        for references in (("",), ("the",), ("red car",), ("red",) * 3, ("red",) * 10):
            assert 0 <= score(metric, answer, *references) <= 1
    assert score(metric, "a red car", "a red car") == 1
