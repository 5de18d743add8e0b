"""Measurements that the command line repeats: ``python -m engine bench NAME --json``."""
