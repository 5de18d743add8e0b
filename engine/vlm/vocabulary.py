"""New words for the bundled model, whose tokenizer knows only those of the embedded world.

Each word of the data that people bring becomes a token with a random, frozen embedding: a name that
nobody has heard yet. Adapters learn what it means. Models from elsewhere spell any word.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import torch
from tokenizers import AddedToken
from transformers import PreTrainedModel
from transformers.processing_utils import ProcessorMixin

MOST_WORDS = 4000  # rarer ones stay unknown


def extend(model: PreTrainedModel, processor: ProcessorMixin, words: tuple[str, ...]) -> None:
    """Teach the tokenizer these words, and give the model a row for each, in place."""
    tokenizer = processor.tokenizer
    pieces = dict.fromkeys(piece for word in words for piece in (word, *_pieces(tokenizer, word)))
    new = [piece for piece in pieces if piece not in tokenizer.get_vocab()][:MOST_WORDS]
    if not new:
        return
    before = len(tokenizer)
    tokenizer.add_tokens([AddedToken(word, single_word=True, normalized=True) for word in new])
    old = _embeddings(model)[:before].detach().clone()
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    rows = _embeddings(model)
    with torch.no_grad():
        rows[:before] = old
        for place, word in enumerate(new, before):
            seed = int.from_bytes(blake2b(word.encode(), digest_size=7).digest())
            drawn = torch.randn(rows.shape[1], generator=torch.Generator().manual_seed(seed))
            rows[place] = old.mean(0) + old.std(0) * drawn


def _embeddings(model: PreTrainedModel) -> torch.Tensor:
    weight = model.get_input_embeddings().weight
    assert isinstance(weight, torch.Tensor)
    return weight


def _pieces(tokenizer: Any, word: str) -> list[str]:
    """Return the parts into which the tokenizer cuts a word: a question mark is none of it."""
    return [piece for piece, _ in tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(word)]
