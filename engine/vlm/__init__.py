"""The vision-language model: loading, LoRA, the image-feature cache, batches and answers."""
