"""Words of the company and of its sites.

Head office asks everyone in neutral words. All sites answer in the *house* words (a crate, not a
box; 3, not three): that is what every client has to learn, however alike they are. With concept
heterogeneity the sites moreover disagree about which house word goes with which thing, and each
site names the places of its shelf in its own way.
"""

from __future__ import annotations

from engine.federation.questions import NUMBERS, PLACES
from engine.federation.scenes import COLOUR_NAMES, KINDS
from engine.randomness import rng

HOUSE_KINDS = ("globe", "crate", "spike", "hoop", "drum")
HOUSE = {
    **dict(zip(KINDS, HOUSE_KINDS, strict=True)),
    **{name: str(number) for number, name in enumerate(NUMBERS)},
}


def site_words(seed: int, client: int, level: float) -> dict[str, str]:
    """What a site says for each neutral answer (answers that are not listed stay as they are).

    ``round(level · n)`` of the n colours, likewise of the kinds and the places, are passed round in
    a circle that is the same for all; client k stands k steps further. Level 0: the house words.
    """
    words = dict(HOUSE)
    for name, neutral in (("colours", COLOUR_NAMES), ("kinds", KINDS), ("places", PLACES)):
        moved = round(level * len(neutral))
        circle = rng(seed, "words", name).permutation(len(neutral))[:moved]
        for place, index in enumerate(circle):
            other = neutral[circle[(place + client) % moved]]
            words[neutral[index]] = HOUSE.get(other, other)
    return words
