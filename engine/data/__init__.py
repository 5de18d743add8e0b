"""Any client's data as examples, whatever they come from, and as tensors on disk."""
