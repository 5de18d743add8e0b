"""Data that people bring: read, checked and told what is wrong with it, before any training."""
