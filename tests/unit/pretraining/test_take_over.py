"""Pretraining goes on from an earlier model: same weights, word by word."""

from __future__ import annotations

import json

import torch
from safetensors.torch import save_file

from engine.pretraining.miniature import TEXT, build_model, vocabulary
from engine.pretraining.pretrain import take_over


def test_words_keep_their_rows_where_the_vocabulary_has_grown(tmp_path):
    torch.manual_seed(1)
    words = vocabulary()
    fewer = [word for word in words if word not in ("cracked", "rusty")]
    earlier = build_model({**TEXT, "vocab_size": len(fewer)})
    weights = {k: v.clone().contiguous() for k, v in earlier.state_dict().items()}
    save_file(weights, tmp_path / "model.safetensors")
    vocab = {word: number for number, word in enumerate(fewer)}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocab}}))
    model = build_model()
    take_over(model, tmp_path)
    ours, theirs = model.get_input_embeddings().weight, earlier.get_input_embeddings().weight
    for word in ("red", "crate", "yes"):
        torch.testing.assert_close(ours[words.index(word)], theirs[fewer.index(word)])
    same = dict(earlier.named_parameters())
    tower = [n for n in same if "vision_tower" in n]
    assert tower
    for key in tower[:5]:
        torch.testing.assert_close(dict(model.named_parameters())[key], same[key])
