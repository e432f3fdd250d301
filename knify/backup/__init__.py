"""Backups: a whole installation in one file, of one moment, and back into an empty home."""
