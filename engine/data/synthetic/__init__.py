"""The embedded world: parts bins drawn from a seed, and how its sites differ."""
