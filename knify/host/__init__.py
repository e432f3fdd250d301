"""What this host can do, and what Knify installs on it."""
