"""The normal form of a text: without what does not make an answer another one."""

from __future__ import annotations

import re

_ARTICLES = {"a", "an", "the"}
# ASCII punctuation, except what is part of a number: -3, 2.5, 10:30, 1/2, 10-15.
_PART_OF_NUMBER = r"(?<!\w)-(?=\d)|(?<=\d)[.:/-](?=\d)"
_PUNCTUATION = re.compile(rf"(?:{_PART_OF_NUMBER})|([!-/:-@\[-`{{-~])")


def normalised(text: str) -> str:
    """Return a text without case, punctuation, articles and superfluous spaces.

    As SQuAD's official evaluation does it, but marks inside numbers stay (2.5 is not 25), and what
    nothing would be left of stays as it was (option A, a sign +). Number words stay words: sites of
    the embedded world differ in just that, and have to learn it.
    """
    lower = " ".join(text.lower().split())
    bare = _PUNCTUATION.sub(lambda found: "" if found[1] else found[0], lower)
    words = bare.split()
    return " ".join([word for word in words if word not in _ARTICLES] or words) or lower
