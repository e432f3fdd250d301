"""Knify: run untrusted work in isolated Podman sandboxes, from one HTTP service."""

__version__ = "0.1.0"
