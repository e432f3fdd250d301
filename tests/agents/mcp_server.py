"""A server of tools over stdin and stdout (Model Context Protocol), with one tool."""

import hashlib
import json
import os
import sys

# Some agents tell their model no more of a tool than its name.
TOKEN = os.environ.get("STUB_TOKEN")
NAME = f"answer_{hashlib.sha256(TOKEN.encode()).hexdigest()[:12]}" if TOKEN else "answer_everything"

TOOL = {
    "name": NAME,
    "description": "Answers everything.",
    "inputSchema": {"type": "object", "properties": {}},
}

for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    method = asked.get("method")
    result: dict = {}
    if method == "initialize":
        result = {
            "protocolVersion": asked["params"]["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "stub", "version": "1"},
        }
    elif method == "tools/list":
        result = {"tools": [TOOL]}
    elif method == "tools/call":
        result = {"content": [{"type": "text", "text": "42"}]}
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)
