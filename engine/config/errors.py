"""The error that every user's mistake becomes."""


class ConfigError(ValueError):
    """A user's mistake in a config, in one sentence that names the key and what is allowed."""
