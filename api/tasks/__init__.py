"""The Tasks API: manifests, and what becomes of them."""
