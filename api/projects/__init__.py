"""The Projects API: jobs that are defined once, and their runs."""
