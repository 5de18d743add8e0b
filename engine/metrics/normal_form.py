"""The normal form of a text: without what does not make an answer another one.

As SQuAD's official evaluation (Rajpurkar et al., arXiv 1606.05250) it drops case, punctuation,
articles and superfluous spaces. What carries the meaning stays: signs beside letters and digits
(A+, C++, x<5, 5 %, -3), marks inside numbers (2.5, 10:30), letters that only look like an article
(hepatitis A), accents and other combining marks. Texts that look alike are alike, in any script:
full-width forms, curly quotes, kinds of dashes, digits, invisible characters.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

import regex

_ALNUM = r"[\p{L}\p{M}\p{N}]"
# Scripts that put no space between words, where a character with its marks counts as one.
_UNSPACED = (
    r"[\p{Han}\p{Hiragana}\p{Katakana}ー"
    r"\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}\p{Tai_Tham}]"
)

# --- Texts that look alike -------------------------------------------------------------------
# Tags tell flags of regions apart; all else that nobody sees goes.
_INVISIBLE = regex.compile(
    r"[[\p{Default_Ignorable_Code_Point}\p{Cf}\p{Cc}\u0640]--[\U000E0020-\U000E007F\s]]", regex.V1
)
_SUPERSCRIPTS = regex.compile(r"(?<=[^\s⁰¹²³⁴-⁾])[⁰¹²³⁴-⁾]+")
_FRACTION = regex.compile(r"(?<=\d)(?=[¼-¾⅐-⅞↉])")
_GROUPED_BY_SPACE = regex.compile(r"(?<=\d)[\u00a0\u2009\u202f](?=\d{3}(?!\d))")
_ALIKE = str.maketrans(
    {
        **dict.fromkeys("´`‘’‚‛ʼ′＇", "'"),
        **dict.fromkeys("“”„‟«»″＂", '"'),
        **dict.fromkeys("‐‑‒–−﹣－", "-"),  # hyphens, figure and en dash, minus
        **dict.fromkeys("—―⸺〜", " "),
        **{"⁄": "/", "∕": "/", "٫": ".", "٬": ",", "፡": " ", "་": " ", "∗": "*"},
    }
)
_DIGIT = regex.compile(r"[^\P{Nd}0-9]")

# --- Signs and punctuation -------------------------------------------------------------------
_INFIX = regex.compile(r"(?<=\S) ([<>=≤≥≠≈±×÷+]+) (?=\S)|(?<!\S)([<>≤≥≈±~]) (?=\d)")
_MINUS = regex.compile(r"(?<=\d) - (?=\d)")
_MARKS = regex.compile(
    rf"""
      (?P<grouped>(?<![\d.,])\d{{1,3}}(?:,\d{{3}})+(?!\d|,\d))
    | (?P<point>(?<![\p{{L}}\p{{M}}\p{{N}}.])\.(?=\d))
    | (?P<percent>(?<=\d)\ ?%)
    | (?P<inner>(?<=\d)[.,:-](?=\d) | (?<={_ALNUM})[/&@*](?={_ALNUM}))
    | (?P<sign>
          \^(?=[-+]?{_ALNUM})
        | (?<={_ALNUM})\#+ | \#(?={_ALNUM})
        | (?<![\p{{L}}\p{{M}}\p{{N}}-])-(?=\.?\d|\p{{L}}(?!{_ALNUM}))  # minus, before
        | (?<=[\p{{L}}\p{{M}}\p{{N}}+])-(?![\p{{L}}\p{{M}}\p{{N}}-])  # minus, after
      )
    | (?P<joining>['"*_`\p{{Pc}}\p{{Ps}}\p{{Pe}}\p{{Pi}}\p{{Pf}}] | (?<={_ALNUM})[.-](?={_ALNUM}))
    | (?P<parting>[\p{{P}}|¨¯¸^])
    """,
    regex.VERBOSE,
)
_BETWEEN_UNSPACED = regex.compile(rf"(?<={_UNSPACED}\p{{M}}*) (?={_UNSPACED})")
_WORD = regex.compile(rf"{_UNSPACED}\p{{M}}*|(?:(?!{_UNSPACED})\S)+")
_TOKEN = regex.compile(rf"{_UNSPACED}\p{{M}}*|(?:(?!{_UNSPACED}){_ALNUM})+|[^\s\p{{P}}|¨¯¸]|[%#-]")

# --- Articles --------------------------------------------------------------------------------
_ARTICLES = {"a", "an", "the"}
# After one of these words "a" is an article, elsewhere it is a letter: hepatitis A.
_BEFORE_A = regex.compile(
    "is|are|was|were|be|been|has|have|had|its?|there|here|this|that|these|those|with|without|of|in|"
    "on|at|by|for|from|to|into|onto|near|over|under|behind|beside|between|against|through|like|as|"
    "and|or|not|than|but|what|such|quite|only|just|about|s?he|they|i|we|you|holds|wears|shows|eats|"
    r"\w+ing"
)
# Before one of these words it is a letter as well: "A and B", "A is right", "A negative".
_AFTER_LETTER = regex.compile(
    "an?|the|and|or|is|are|was|were|be|but|because|than|to|of|in|on|at|by|for|from|with|not|nor|vs|"
    "versus|plus|minus|if|as|then|positive|negative|minor|major|flat|sharp"
)


def folded(text: str) -> str:
    """Return a text in which characters that look alike are alike, in lower case."""
    text = unicodedata.normalize("NFC", _INVISIBLE.sub("", text))
    if not text.isascii():
        text = _SUPERSCRIPTS.sub(r"^\g<0>", _GROUPED_BY_SPACE.sub("", text))
        text = _FRACTION.sub(" ", text).translate(_ALIKE)
        for _ in range(2):  # what folding makes may have to be composed, and the other way round
            text = unicodedata.normalize("NFKC", text.casefold()).translate(_ALIKE)
        text = _DIGIT.sub(lambda digit: str(unicodedata.decimal(digit[0], digit[0])), text)
    else:
        text = text.casefold().replace("`", "'")
    return " ".join(text.split())


@lru_cache(maxsize=2**16)
def normalised(text: str) -> str:
    """Return the normal form of a text. Where nothing would be left, signs stay (option +).

    Number words stay words: clients of the embedded world differ in just that, and learn it.
    """
    plain = bare = folded(text)
    while (barer := _without_marks(_without_articles(bare))) != bare:
        bare = barer
    return bare or plain


def words(text: str) -> list[str]:
    """Return the words of a text's normal form; of a script without spaces, its characters."""
    return _WORD.findall(normalised(text))


def tokens(text: str) -> list[str]:
    """Return runs of letters and digits, characters of scripts without spaces, and single signs.

    For text of ASCII letters, digits and punctuation these are the tokens of the rouge-score
    library; signs beside them, such as + or <, count as well.
    """
    return _TOKEN.findall(_MARKS.sub(_parted, _closed(folded(text))))


def _closed(text: str) -> str:
    """Return a text without the spaces around signs between words or numbers."""
    return _MINUS.sub("-", _INFIX.sub(r"\1\2", text))


def _replaced(mark: regex.Match[str]) -> str:
    match mark.lastgroup:
        case "grouped":
            return mark[0].replace(",", "")
        case "point":
            return "0."
        case "percent":
            return "%"
        case "inner" | "sign":
            return mark[0]
        case "joining":
            return ""
    return " "


def _parted(mark: regex.Match[str]) -> str:
    """Return what stands for a mark where all but signs part words, inside of numbers as well."""
    if mark.lastgroup == "grouped":
        return mark[0].replace(",", " ")
    return mark[0] if mark.lastgroup in ("percent", "sign") else " "


def _without_marks(text: str) -> str:
    bare = " ".join(_MARKS.sub(_replaced, _closed(text)).split())
    return _BETWEEN_UNSPACED.sub("", bare)


def _without_articles(text: str) -> str:
    sentence = text.split(" ")
    return " ".join(word for k, word in enumerate(sentence) if not _is_article(sentence, k))


def _is_article(sentence: list[str], k: int) -> bool:
    word, rest = sentence[k], sentence[k + 1 :]
    if word not in _ARTICLES or not rest or rest[0] in _ARTICLES:
        return False
    if word != "a":
        return True
    if len(rest[0]) == 1 or not rest[0][0].isalpha() or _AFTER_LETTER.fullmatch(rest[0]):
        return False
    return k == 0 or bool(_BEFORE_A.fullmatch(sentence[k - 1]))
