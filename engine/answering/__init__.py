"""Answers for pages from a process of its own, which keeps models warm; pages load none."""
