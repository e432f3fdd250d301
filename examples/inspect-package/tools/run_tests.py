"""Runs the tests (pytest where there is one, else unittest) and writes findings/tests.json."""

import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree


def with_pytest():
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder, "report.xml")
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
        )
        cases = ElementTree.parse(report).iter("testcase")
    return [(name_of(case), reason_of(case)) for case in cases]


def name_of(case):
    return f"{case.get('classname')}.{case.get('name')}"


def reason_of(case):
    for kind in ("failure", "error"):
        found = case.find(kind)
        if found is not None:
            return found.get("message", kind).splitlines()[0]
    return None


class Recorder(unittest.TextTestResult):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.cases = []

    def addSuccess(self, test):
        super().addSuccess(test)
        self.cases.append((test.id(), None))

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.cases.append((test.id(), f"{err[0].__name__}: {err[1]}"))

    def addError(self, test, err):
        super().addError(test, err)
        self.cases.append((test.id(), f"{err[0].__name__}: {err[1]}"))


def with_unittest():
    suite = unittest.defaultTestLoader.discover(".", top_level_dir=".")
    runner = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=Recorder)
    return runner.run(suite).cases


def main():
    pytest = importlib.util.find_spec("pytest") is not None
    cases = with_pytest() if pytest else with_unittest()
    failures = [{"test": name, "reason": reason} for name, reason in cases if reason]
    result = {
        "runner": "pytest" if pytest else "unittest",
        "passed": len(cases) - len(failures),
        "failed": len(failures),
        "failures": failures,
    }
    pathlib.Path("findings").mkdir(exist_ok=True)
    pathlib.Path("findings/tests.json").write_text(json.dumps(result, indent=2) + "\n")
    return 1 if failures or not cases else 0


if __name__ == "__main__":
    sys.path.insert(0, ".")
    sys.exit(main())
