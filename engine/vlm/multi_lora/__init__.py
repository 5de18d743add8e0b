"""Many LoRA adapters over one frozen base, in one pass."""
