"""What `user_exam` runs inside the sandbox: reading sources, findings, the report.

All but `declared.py` is packed and sent in by `knify/agents/user_exam.py`, and runs there with what
the image has: the standard library, DuckDB, psycopg and matplotlib, each only where it is needed.
"""
