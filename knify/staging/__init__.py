"""Repositories: into a sandbox before its first turn, and what became of them out of it."""
