"""The bundled model: a miniature Florence-2 (arXiv 2311.06242) with a word-level tokenizer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BartConfig,
    CLIPImageProcessorPil,
    Florence2Config,
    Florence2ForConditionalGeneration,
    Florence2Processor,
    PreTrainedTokenizerFast,
)

from engine.data.synthetic.questions import SIDES, TEMPLATES, plural, topics
from engine.data.synthetic.scenes import KINDS, SIZES
from engine.data.synthetic.words import BASE_VOCABULARY

PIXELS = 96  # that the model sees; people see scenes.SIZE
GRID = 3  # image tokens per side: one for each place of the bin, so that none holds two objects
IMAGE_TOKENS = GRID * GRID + 1  # and one for their mean
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<image>")
_WORDS = 54  # of a question, with its marks
WIDTH = 128
TEXT = {
    "d_model": WIDTH,
    "encoder_layers": 4,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 3 * WIDTH,
    "decoder_ffn_dim": 3 * WIDTH,
    "max_position_embeddings": IMAGE_TOKENS + _WORDS,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "init_std": 0.08,  # at 0.02 attention stays flat in so narrow a model and nothing is learnt
}
VISION = {
    "depths": (1, 1, 2),
    "patch_size": (7, 3, 5),
    "patch_stride": (4, 2, 4),
    "patch_padding": (3, 1, 2),
    "patch_prenorm": (False, True, True),
    "embed_dim": (48, 96, 128),
    "num_heads": (3, 6, 8),
    "num_groups": (3, 6, 8),
    "window_size": 4,
    "drop_path_rate": 0.0,
    "mlp_ratio": 3.0,
    "projection_dim": WIDTH,
    "max_position_embeddings": 16,
}


def vocabulary() -> list[str]:
    """List the special tokens, then every word of the embedded world, sorted."""
    splitter = pre_tokenizers.Whitespace()
    templates = [re.sub(r"{\w+}", "", text) for texts in TEMPLATES.values() for text in texts]
    spoken = [
        *templates,
        *topics(),
        *BASE_VOCABULARY.values(),
        *SIDES,
        *SIZES,
        "things",
        *map(plural, KINDS),
    ]
    words = {word for text in spoken for word, _ in splitter.pre_tokenize_str(text.lower())}
    return [*SPECIAL, *sorted(words)]


def build_processor(pixels: int = PIXELS, image_tokens: int = IMAGE_TOKENS) -> Florence2Processor:
    """Build tokenizer and image processor, ready for ``save_pretrained``."""
    ids = {word: number for number, word in enumerate(vocabulary())}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", ids["<s>"]), ("</s>", ids["</s>"])]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>"},
        model_max_length=image_tokens + _WORDS,
    )
    images = CLIPImageProcessorPil(
        size={"height": pixels, "width": pixels}, do_center_crop=False, do_convert_rgb=True
    )
    images.image_seq_length = image_tokens  # type: ignore[attr-defined]  # Florence2Processor reads it
    return Florence2Processor(image_processor=images, tokenizer=fast)


def build_model(
    text: Mapping[str, Any] = TEXT, vision: Mapping[str, Any] = VISION
) -> Florence2ForConditionalGeneration:
    """Build a Florence-2 with random weights; the bundled one has about 2.1 million."""
    language = BartConfig(
        **{"vocab_size": len(vocabulary()), "forced_bos_token_id": SPECIAL.index("<s>"), **text},
        bos_token_id=SPECIAL.index("<s>"),
        pad_token_id=SPECIAL.index("<pad>"),
        eos_token_id=SPECIAL.index("</s>"),
        decoder_start_token_id=SPECIAL.index("</s>"),
        forced_eos_token_id=None,
    )
    config = Florence2Config(
        text_config=language.to_dict(),
        vision_config=dict(vision),
        image_token_id=SPECIAL.index("<image>"),
    )
    model = Florence2ForConditionalGeneration(config)
    model.generation_config.forced_bos_token_id = SPECIAL.index("<s>")
    return model
