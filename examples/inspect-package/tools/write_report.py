"""Turns the findings into report.md, for people, and result.json, for programs."""

import json
import pathlib


def finding(name):
    path = pathlib.Path("findings", name)
    return json.loads(path.read_text()) if path.exists() else None


def verdict(tests, undocumented, todos):
    advice = []
    if tests["failed"]:
        advice.append(f"Fix the {tests['failed']} failing test(s) below before anything else.")
    if undocumented:
        advice.append(f"Write docstrings for {', '.join(f'`{name}`' for name in undocumented)}.")
    if todos:
        advice.append(f"Settle {len(todos)} open TODO(s).")
    return advice or ["Nothing to do: all tests pass and every function is documented."]


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines]


def report(modules, tests, todos, advice):
    functions = [
        (each["lines"], module, each) for module in modules for each in module["functions"]
    ]
    functions.sort(key=lambda row: -row[0])
    lines = ["# Report on the package", "", "## What to do", ""]
    lines += [f"{number}. {each}" for number, each in enumerate(advice, 1)]
    lines += ["", "## Tests", "", f"{tests['passed']} passed, {tests['failed']} failed "]
    lines[-1] += f"(run by {tests['runner']})."
    for each in tests["failures"]:
        lines += ["", f"- `{each['test']}`: {each['reason']}"]
    lines += ["", "## Modules", ""]
    lines += table(
        ["module", "lines", "functions"],
        [(f"`{each['path']}`", each["lines"], len(each["functions"])) for each in modules],
    )
    lines += ["", "## Longest functions", ""]
    lines += table(
        ["function", "where", "lines", "documented"],
        [
            (f"`{each['name']}`", f"`{module['path']}:{each['line']}`", length,
             "yes" if each["documented"] else "**no**")
            for length, module, each in functions[:5]
        ],
    )  # fmt: skip
    lines += ["", "## Open TODOs", ""]
    if todos is None:
        lines.append("Not searched: this image has no Node.js.")
    else:
        lines += [f"- `{each['path']}:{each['line']}` {each['text']}" for each in todos] or [
            "None."
        ]
    return "\n".join(lines) + "\n"


def main():
    modules, tests, todos = finding("modules.json"), finding("tests.json"), finding("todos.json")
    functions = [each for module in modules for each in module["functions"]]
    undocumented = [each["name"] for each in functions if not each["documented"]]
    advice = verdict(tests, undocumented, todos)
    result = {
        "tests": {"passed": tests["passed"], "failed": tests["failed"]},
        "failures": tests["failures"],
        "modules": len(modules),
        "lines": sum(module["lines"] for module in modules),
        "functions": len(functions),
        "undocumented": undocumented,
        "todos": None if todos is None else len(todos),
        "advice": advice,
    }
    pathlib.Path("report.md").write_text(report(modules, tests, todos, advice))
    pathlib.Path("result.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
