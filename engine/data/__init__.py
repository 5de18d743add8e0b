"""Data that people bring: found, read and checked."""
