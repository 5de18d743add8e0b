"""The error that every user's mistake becomes."""


class ConfigError(ValueError):
    """A user's mistake in a config, in one sentence that names the key and what is allowed."""

    def __init__(self, sentence: str) -> None:
        super().__init__(" ".join(sentence.splitlines()))  # a key or a path may hold line breaks
