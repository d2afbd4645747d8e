"""Every planted fault turns its named test red; one that applies to nothing fails."""
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PARTS = sorted(HERE.glob("*.yaml"))


def run_part(mutations: Path, folder: Path) -> dict[str, str]:
    "Run a file of mutations on a copy of the package; returns name -> verdict."
    shutil.copytree(ROOT / "deeplearn", folder / "deeplearn", ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run([sys.executable, str(HERE / "harness.py"), str(folder), str(mutations)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    return {row["name"]: row["verdict"] for row in map(json.loads, done.stdout.splitlines())}


@pytest.fixture(scope="session")
def verdicts(tmp_path_factory):
    "Verdicts of a part, computed once."
    known = {}

    def of(part: Path) -> dict[str, str]:
        if part not in known: known[part] = run_part(part, tmp_path_factory.mktemp(part.stem))
        return known[part]
    return of


def cases() -> list:
    return [pytest.param(part, m["name"], id=f"{part.stem}: {m['name']}") for part in PARTS for m in yaml.safe_load(part.read_text("utf-8"))]


@pytest.mark.parametrize("part, name", cases())
def test_mutation_turns_its_test_red(part, name, verdicts):
    assert verdicts(part).get(name) == "red", f"{name}: {verdicts(part).get(name, 'no verdict')}"


def test_names_of_mutations_are_unique():
    for part in PARTS:
        names = [m["name"] for m in yaml.safe_load(part.read_text("utf-8"))]
        assert len(names) == len(set(names))


def test_harness_reports_what_applies_to_nothing_and_what_survives(tmp_path):
    "The checker of the checks is checked too."
    sham = [dict(name="gone", file="core/provenance.py", old="text that stands nowhere", new="", test="test_house.py::test_import_is_light"),
            dict(name="harmless", file="core/provenance.py", old='"""What a result depends on', new='"""Whatever a result depends on',
                 test="test_house.py::test_no_chapter_imports_its_own_module")]
    (tmp_path / "sham.yaml").write_text(yaml.safe_dump(sham))
    found = run_part(tmp_path / "sham.yaml", tmp_path / "copy")
    assert found == {"gone": "applies 0 times, expected once", "harmless": "survived: the test stayed green"}
