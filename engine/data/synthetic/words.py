"""Words of the company and of its clients.

Head office asks everyone in neutral words. All clients answer in the *base vocabulary* (a crate,
not a box; 3, not three; bay 1, not top left): that is what each has to learn, however alike they
are. With concept heterogeneity they moreover disagree about which of its words goes with which
thing: one says *teal* where its neighbour says *green*, one calls a *drum* what another calls a
*crate*, and each numbers its bays from another corner.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.data.synthetic.faults import CONDITIONS
from engine.data.synthetic.questions import NUMBERS, PLACES
from engine.data.synthetic.scenes import COLOUR_NAMES, KINDS, MATERIALS
from engine.system.seeding import rng

BASE_KINDS = ("globe", "cap", "drum", "crate", "spike", "gear", "joint", "hoop")
BASE_VOCABULARY = {
    **dict(zip(KINDS, BASE_KINDS, strict=True)),
    **dict(zip(MATERIALS, ("dull", "polished"), strict=True)),
    **{name: str(number) for number, name in enumerate(NUMBERS)},
    **{place: f"bay {number + 1}" for number, place in enumerate(PLACES)},
}
# Neighbours in a circle are alike, so that swaps make sense: hues, shapes, the rim of the shelf.
_AROUND = (0, 1, 2, 5, 8, 7, 6, 3, 4)
CIRCLES = {
    "colours": COLOUR_NAMES,
    "kinds": KINDS,
    "places": tuple(PLACES[number] for number in _AROUND),
    "conditions": CONDITIONS,
}


def client_words(seed: int, client: int, level: float) -> dict[str, str]:
    """Return what a client says for each neutral answer (those not listed stay as they are).

    Of every circle an arc of ``round(level · length)`` neighbours is permuted; client k stands
    k steps further. At level 1 eight clients have eight vocabularies in which no two agree on the
    word for any kind or colour. Level 0: the base vocabulary.
    """
    words = dict(BASE_VOCABULARY)
    for name, circle in CIRCLES.items():
        permuted = permute(name, circle, seed, client, level)
        words |= {neutral: BASE_VOCABULARY.get(word, word) for neutral, word in permuted.items()}
    return words


def permute(
    name: str, circle: Sequence[str], seed: int, client: int, level: float
) -> dict[str, str]:
    """Return the word that each word of an arc becomes: the one ``client`` steps further.

    The arc has ``round(level · length)`` neighbours and starts where the seed and the circle's name
    say.
    """
    length = round(level * len(circle))
    if length == 0:
        return {}
    start = int(rng(seed, "words", name).integers(len(circle)))
    arc = [circle[(start + step) % len(circle)] for step in range(length)]
    return {word: arc[(step + client) % length] for step, word in enumerate(arc)}


def say(answer: str, words: dict[str, str]) -> str:
    """Return an answer in a client's words; of a longer answer, each of its words."""
    if answer in words:
        return words[answer]
    return " ".join(words.get(word, word) for word in answer.split())
