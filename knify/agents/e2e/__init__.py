"""What `fh_e2e_tools` runs inside the sandbox besides the runbook: `report.py`."""
