"""The operator's PostgreSQL databases, for sandboxes: signed in to here, and read only."""
