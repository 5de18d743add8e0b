"""What makes two answers the same: cases by hand, and what must hold for any text."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.metrics import METRICS, is_right, normalised
from engine.metrics.normal_form import tokens, words

SAME = [
    *[
        ("是。", "是"),
        ("it’s", "it's"),
        ("“red”", "red"),
        ("２", "2"),
        (".5", "0.5"),
        ("-.5", "-0.5"),
    ],
    *[("cafe\u0301", "café"), ("\u200bred\ufeff", "red"), ("soft\u00adware", "software")],
    *[("–3", "-3"), ("−3", "-3"), ("10–15", "10-15"), ("5 - 3", "5-3"), ("x < 5", "x<5")],
    *[("50 %", "50%"), ("1,000", "1000"), ("1'000", "1000"), ("1\u202f000", "1000"), ("½", "1/2")],
    *[("10⁵", "10^5"), ("CO₂", "co2"), ("٣٫٥", "3.5"), ("१२", "12"), ("STRASSE", "Straße")],
    *[
        ("「はい」", "はい"),
        ("红、蓝", "红蓝"),
        ("红 色", "红色"),
        ("ﾊﾝｶｸ", "ハンカク"),
        ("¿Qué?", "qué"),
    ],
    *[("نعم؟", "نعم"), ("❤️", "❤"), ("red,blue", "red, blue"), ("**red**", "red"), ("`x`", "x")],
    *[
        ("U.S.", "US"),
        ("The Eiffel Tower!", "eiffel tower"),
        ("a dog", "dog"),
        ("an apple", "apple"),
    ],
    *[("there is a cat", "there is cat"), ("riding a horse", "riding horse"), ("the B", "B")],
    *[("yes—no", "yes no"), ("…", "..."), ("Ca²⁺", "Ca^2+"), ("≤ 5", "≤5"), ("(a)", "A")],
]
OTHER = [
    *[("B", "A, B"), ("hepatitis", "hepatitis A"), ("A+", "A−"), ("A+", "A-"), ("A", "A-")],
    *[("C", "C++"), ("C", "C#"), ("x<5", "x>5"), ("x < 5", "x > 5"), ("x<5", "x≤5"), ("5", "-5")],
    *[("5", "5%"), ("5", "$5"), ("$5", "€5"), ("5", "5°"), ("10⁵", "105"), ("2.5", "25")],
    *[
        ("1,5", "15"),
        ("1½", "11/2"),
        ("10:30", "1030"),
        ("1/2", "12"),
        ("m/s", "ms"),
        ("x^2", "x2"),
    ],
    *[("vitamin A deficiency", "vitamin deficiency"), ("A and B", "B"), ("A negative", "negative")],
    *[("A or B", "B"), ("A is right", "is right"), ("type A", "type"), ("the", "an"), ("A", "The")],
    *[
        ("लड़की", "लड़का"),
        ("ข่าว", "ข้าว"),
        ("كَتَبَ", "كُتِبَ"),
        ("も", "もう"),
        ("ば", "は"),
        ("café", "cafe"),
    ],
    *[
        ("😀", "😢"),
        ("👍🏻", "👍🏿"),
        ("Na+", "Na"),
        ("Cl-", "Cl"),
        ("R&D", "RD"),
        ("5*3", "53"),
        ("±2", "2"),
    ],
    *[("🏴\U000e0067\U000e0062\U000e0065\U000e007f", "🏴\U000e0067\U000e0062\U000e0073\U000e007f")],
]
PIECES = "a an the A red Car B is and 5 .5 1,000 x<5 < > 5% # C++ - − hepatitis riding 是 กิ ड़की 😀"
ANY = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.text(
        st.sampled_from("aAB the 0159.,:;-+*/^%#'\"()<>=$½²−–’。、ก็่้ड़❤️\u200d\u0301ßİ"), max_size=12
    ),
    st.lists(st.sampled_from(PIECES.split()), max_size=6).map(" ".join),
)
some = settings(max_examples=150, deadline=None, derandomize=True, database=None)


@pytest.mark.parametrize(("one", "other"), SAME)
@pytest.mark.parametrize("metric", METRICS)
def test_what_means_the_same_counts_in_full(metric, one, other):
    assert METRICS[metric].score(one, (other,)) == METRICS[metric].score(other, (one,)) == 1


@pytest.mark.parametrize(("one", "other"), OTHER)
@pytest.mark.parametrize("metric", METRICS)
def test_what_means_something_else_never_counts_in_full(metric, one, other):
    assert METRICS[metric].score(one, (other,)) < 1 and METRICS[metric].score(other, (one,)) < 1


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("红色的car。", ["红", "色", "的", "car"]),
        ("スマホ", ["ス", "マ", "ホ"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("한국 사람", ["한국", "사람"]),
        ("The girl, लड़की", ["girl", "लड़की"]),
        ("big red car 😀", ["big", "red", "car", "😀"]),
    ],
)
def test_words_of_every_script(text, parts):
    assert words(text) == parts


def test_a_chinese_sentence_shares_its_characters():
    f1, rouge = (
        METRICS[key].score("一辆红色的车", ("一辆蓝色的车",)) for key in ("token_f1", "rouge_l")
    )
    assert f1 == rouge == pytest.approx(5 / 6)
    assert METRICS["rouge_l"].score("लड़की", ("लड़का",)) == 0
    assert tokens("C++ x<5 A−") == ["c", "+", "+", "x", "<", "5", "a", "-"]


@given(ANY)
@some
def test_any_text_equals_itself(text):
    assert all(metric.score(text, (text,)) == 1 for metric in METRICS.values())


@given(ANY)
@some
def test_the_form_does_not_depend_on_how_a_text_is_encoded_or_spaced(text):
    for same in (*(unicodedata.normalize(form, text) for form in ("NFC", "NFD")), f" {text}\n"):
        assert (normalised(same), words(same), tokens(same)) == (
            normalised(text),
            words(text),
            tokens(text),
        )
    assert normalised(text.upper()) == normalised(text.casefold()) == normalised(text)
    assert normalised(normalised(text)) == normalised(text)


@given(ANY, ANY)
@some
def test_metrics_are_symmetric_for_one_reference_and_lie_between_nothing_and_one(one, other):
    for key, metric in METRICS.items():
        score = metric.score(one, (other,))
        assert score == pytest.approx(metric.score(other, (one,))) and 0 <= score <= 1
        assert (score == 1) == is_right(one, (other,)) or key != "exact"


@given(st.lists(st.sampled_from(["red", "blue", "car", "红", "5"]), min_size=1, max_size=6))
@some
def test_another_word_of_the_reference_never_lowers_token_f1(reference):
    scores = [
        METRICS["token_f1"].score(" ".join(reference[:n]), (" ".join(reference),))
        for n in range(1, len(reference) + 1)
    ]
    assert scores == sorted(scores) and scores[-1] == 1
