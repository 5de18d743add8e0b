"""Tiny checkpoints of every first-class family, with random weights, made on the spot.

Their tokenizers know single bytes and the family's special tokens.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
import transformers as hf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

TEXT = {
    "vocab_size": 0,  # filled in
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
CHAT = """{% for message in messages %}{{ '<s>' + message.role + ':' }}{% for part in
 message.content %}{% if part.type == 'image' %}IMAGE{% else %}{{ part.text }}{% endif %}
{% endfor %}{{ '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"""


def save_checkpoint(family: str, folder: Path, seed: int = 0) -> Path:
    """A checkpoint of a family (its ``model_type``) in a folder; returns the folder."""
    config, pictures, tokenizer, processor = _PARTS[family]()
    torch.manual_seed(seed)
    model = hf.AutoModelForImageTextToText.from_config(config)
    livelier = 1 if family == "florence2" else 6  # so that answers differ from picture to picture
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(livelier)
    model.generation_config.eos_token_id = 2
    model.generation_config.pad_token_id = 0
    for part in (model, pictures, tokenizer):
        part.save_pretrained(folder)
    (folder / "processor_config.json").write_text(json.dumps(processor))
    image = processor.get("image_chat", processor.get("image_token", "<image>"))
    if image != "none":
        (folder / "chat_template.jinja").write_text(CHAT.replace("IMAGE", image))
    return folder


def _tokenizer(special: Sequence[str]) -> hf.PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ["<pad>", "<s>", "</s>", "<unk>", *special, *alphabet]
    backend = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=list(special),
    )


def _idefics3(name: str = "Idefics3") -> tuple:
    cells = [f"<row_{i}_col_{j}>" for i in range(1, 5) for j in range(1, 5)]
    own = ["<fake_token_around_image>", "<image>", "<global-img>", "<end_of_utterance>", *cells]
    tokenizer = _tokenizer(own)
    config = getattr(hf, f"{name}Config")(
        text_config={**TEXT, "model_type": "llama", "vocab_size": len(tokenizer)},
        vision_config=VISION,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=0,
    )
    sizes = {"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32}}
    pictures = getattr(hf, f"{name}ImageProcessorPil")(**sizes)
    return config, pictures, tokenizer, {"processor_class": f"{name}Processor", "image_seq_len": 4}


def _smolvlm() -> tuple:
    return _idefics3("SmolVLM")


def _clip_pictures() -> hf.CLIPImageProcessorPil:
    edges = {"height": 32, "width": 32}
    return hf.CLIPImageProcessorPil(size=edges, crop_size=edges)


def _llava() -> tuple:
    tokenizer = _tokenizer(["<image>"])
    config = hf.LlavaConfig(
        text_config={**TEXT, "model_type": "llama", "vocab_size": len(tokenizer)},
        vision_config={**VISION, "model_type": "clip_vision_model", "projection_dim": 16},
        image_token_id=4,
        image_seq_length=16,
    )
    processor = {
        "processor_class": "LlavaProcessor",
        "patch_size": 8,
        "num_additional_image_tokens": 1,
        "vision_feature_select_strategy": "default",
        "image_chat": "none",
    }
    return config, _clip_pictures(), tokenizer, processor


def _llava_onevision() -> tuple:
    tokenizer = _tokenizer(["<image>", "<video>"])
    grid = [[32, 32], [32, 64], [64, 32], [64, 64]]
    config = hf.LlavaOnevisionConfig(
        text_config={**TEXT, "model_type": "qwen2", "vocab_size": len(tokenizer)},
        vision_config={**VISION, "model_type": "siglip_vision_model"},
        image_token_id=4,
        video_token_id=5,
        image_grid_pinpoints=grid,
        vision_aspect_ratio="anyres_max_9",
    )
    edges = {"height": 32, "width": 32}
    pictures = hf.LlavaOnevisionImageProcessorPil(size=edges, image_grid_pinpoints=grid)
    processor = {
        "processor_class": "LlavaOnevisionProcessor",
        "num_image_tokens": 16,
        "vision_feature_select_strategy": "full",
    }
    return config, pictures, tokenizer, processor


def _paligemma() -> tuple:
    tokenizer = _tokenizer(["<image>"])
    locations = 1024 + 128 + 1  # the processor adds these words
    text = {**TEXT, "model_type": "gemma", "vocab_size": len(tokenizer) + locations, "head_dim": 8}
    config = hf.PaliGemmaConfig(
        text_config=text,
        vision_config={**VISION, "model_type": "siglip_vision_model", "projection_dim": 32},
        image_token_id=4,
        projection_dim=32,
        hidden_size=32,
    )
    config.vision_config.num_image_tokens = config.text_config.num_image_tokens = 16
    pictures = hf.SiglipImageProcessorPil(size={"height": 32, "width": 32})
    pictures.image_seq_length = 16
    processor = {"processor_class": "PaliGemmaProcessor", "image_chat": "none"}
    return config, pictures, tokenizer, processor


def _qwen2_vl(name: str = "Qwen2VL", **vision: object) -> tuple:
    own = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"]
    tokenizer = _tokenizer([*own, "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"])
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
    text = {**TEXT, "vocab_size": len(tokenizer), "rope_parameters": rope, "head_dim": 8}
    tower = {"depth": 2, "num_heads": 2, "patch_size": 8, "spatial_merge_size": 2, **vision}
    config = getattr(hf, f"{name}Config")(
        text_config=text,
        vision_config={"temporal_patch_size": 2, "in_channels": 3, **tower},
        image_token_id=9,
        video_token_id=10,
        vision_start_token_id=6,
        vision_end_token_id=7,
    )
    pictures = hf.Qwen2VLImageProcessorPil(
        patch_size=8, merge_size=2, min_pixels=16 * 16, max_pixels=48 * 48
    )
    processor = {"processor_class": f"{name}Processor"}
    processor["image_chat"] = "<|vision_start|><|image_pad|><|vision_end|>"
    return config, pictures, tokenizer, processor


def _qwen2() -> tuple:
    return _qwen2_vl(embed_dim=16, hidden_size=32, mlp_ratio=2)


def _qwen2_5() -> tuple:
    tower = {"hidden_size": 16, "out_hidden_size": 32, "intermediate_size": 24}
    return _qwen2_vl("Qwen2_5_VL", **tower, window_size=32, fullatt_block_indexes=[1])


def _qwen3() -> tuple:
    tower = {"hidden_size": 16, "out_hidden_size": 32, "intermediate_size": 24}
    tower |= {"num_position_embeddings": 16, "deepstack_visual_indexes": [0]}
    return _qwen2_vl("Qwen3VL", **tower)


def _florence2() -> tuple:
    from engine.pretraining.miniature import build_model, build_processor

    processor = build_processor()
    made = {"processor_class": "Florence2Processor", "image_chat": "none"}
    return build_model().config, processor.image_processor, processor.tokenizer, made


_PARTS = {
    "florence2": _florence2,
    "smolvlm": _smolvlm,
    "idefics3": _idefics3,
    "llava": _llava,
    "llava_onevision": _llava_onevision,
    "paligemma": _paligemma,
    "qwen2_vl": _qwen2,
    "qwen2_5_vl": _qwen2_5,
    "qwen3_vl": _qwen3,
}
FAMILIES = tuple(_PARTS)
