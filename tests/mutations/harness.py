"""Run one part's mutations in this process: `python harness.py FOLDER_OF_COPY MUTATIONS.yaml` prints one JSON line a mutation."""
import importlib
import json
import os
import sys
from pathlib import Path

import pytest
import yaml

TESTS = Path(__file__).resolve().parents[1]


class Outcomes:
    "A pytest plugin that notes what came of the tests it saw."
    def __init__(self): self.failed, self.passed, self.broken = [], [], []

    def pytest_runtest_logreport(self, report):
        if report.failed: (self.failed if report.when == "call" else self.broken).append(f"{report.nodeid}: {report.longrepr}"[-400:])
        elif report.when == "call" and report.passed: self.passed.append(report.nodeid)

    def pytest_collectreport(self, report):
        if report.failed: self.broken.append(f"collecting {report.nodeid}: {report.longrepr}"[-400:])


def outcome_of(test: str) -> Outcomes:
    "Run one test on the package as it stands in the copy now, with every module read afresh."
    for name in [m for m in sys.modules if m.split(".")[0] in ("deeplearn", "conftest") or m.startswith("test_")]: del sys.modules[name]
    importlib.invalidate_caches()
    seen, written = Outcomes(), os.dup(1)
    with open(os.devnull, "w") as nowhere:  # the tests' own output is of no interest here
        os.dup2(nowhere.fileno(), 1)
        try: pytest.main([str(TESTS / test), "-q", "-x", "-p", "no:cacheprovider", "--no-header", "-o", "addopts="], plugins=[seen])
        finally:
            sys.stdout.flush()
            os.dup2(written, 1)
            os.close(written)
    return seen


def main(copy: Path, mutations: list[dict]) -> None:
    sys.path.insert(0, str(copy))
    sys.dont_write_bytecode = True
    os.environ["PYTHONPATH"] = str(copy)  # for tests that start processes
    green = {}
    for test in dict.fromkeys(m["test"] for m in mutations):
        seen = outcome_of(test)
        used = sys.modules["deeplearn"].__file__ if "deeplearn" in sys.modules else ""
        if not used.startswith(str(copy)): seen.broken.append(f"the test used {used}, not the copy")
        green[test] = bool(seen.passed) and not seen.failed and not seen.broken, (seen.failed + seen.broken)[:1]
    for mutation in mutations:
        path = copy / "deeplearn" / mutation["file"]
        source = path.read_text("utf-8")
        count = source.count(mutation["old"])
        if count != 1: verdict = f"applies {count} times, expected once"
        elif not green[mutation["test"]][0]: verdict = f"its test is not green without it: {green[mutation['test']][1]}"
        else:
            path.write_text(source.replace(mutation["old"], mutation["new"]), encoding="utf-8")
            seen = outcome_of(mutation["test"])
            path.write_text(source, encoding="utf-8")
            verdict = "red" if seen.failed else f"broken, not red: {seen.broken[:1]}" if seen.broken else "survived: the test stayed green"
        print(json.dumps(dict(name=mutation["name"], verdict=verdict)), flush=True)


if __name__ == "__main__": main(Path(sys.argv[1]), yaml.safe_load(Path(sys.argv[2]).read_text("utf-8")))
