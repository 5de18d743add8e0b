"""A LoRA adapter as a value: names of its factors, products, ranks."""
