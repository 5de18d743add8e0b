"""From a config to a running worker: resolve, validate, submit, prefetch, execute."""
