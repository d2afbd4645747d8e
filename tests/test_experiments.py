"""Every experiment runs at the smoke tier through the engine; what a run must always hold is read from its record."""
import html
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deeplearn.core.claims import load_claims
from deeplearn.runner.execution import run
from deeplearn.runner.parameters import experiments
from deeplearn.runner.record import check_shape

ROOT = Path(__file__).resolve().parents[1]
NAMES = sorted(p.stem for p in (ROOT / "nbs" / "experiments").glob("*.ipynb"))


@pytest.mark.parametrize("name", NAMES)
def test_smoke_run(name, smoke):
    made = smoke(name)
    record, spec = made.record, load_claims(experiments()[name].with_suffix(".yaml"))
    check_shape(record)
    assert made.status == "ok", f"{record['reason']} {record['error']}"
    assert record["key_complete"], "the run loaded modules that its key does not name"
    assert {c["id"] for c in record["claims"]} == {c.id for c in (*spec.claims, *spec.controls)}, "each declared claim is judged"
    for claim in record["claims"]:
        if claim["kind"] == "statistical": assert claim["verdict"] == "not judged at this tier"
        elif not claim["control"]: assert claim["verdict"] == "reproduced", f"{claim['id']}: {claim['reason']}"
    for control in spec.controls:
        verdict = next(c["verdict"] for c in record["claims"] if c["id"] == control.id)
        assert verdict != "reproduced", f"control {control.id} failed"
    assert record["metrics"] and record["figures"]
    assert all((made.folder / f["file"]).is_file() and f["alt"] and f["caption"] for f in record["figures"])


@pytest.mark.parametrize("name", NAMES)
def test_page_is_small_and_asks_for_nothing_outside(name, smoke):
    page = smoke(name).page.read_text("utf-8")
    assert len(page.encode()) < 1_500_000
    assert "<script" not in page and "default-src 'none'" in html.unescape(page)
    assert not re.findall(r"""(?:src|srcset|data|action)\s*=\s*["']?(?!data:)[a-z]+:""", page, re.I)
    assert not re.findall(r"url\((?!data:)", page)


def test_second_run_is_a_hit_and_says_why(smoke):
    made = smoke(NAMES[0])
    again = run(NAMES[0], tier="smoke", reports=made.folder.parents[2])
    assert again.hit and again.folder == made.folder and again.why


SHORT = ["-p", "sizes=[20, 40]", "-p", "epochs=2", "-p", "n_seeds=1"]


def test_same_seed_in_two_processes_gives_equal_metrics_and_another_seed_does_not(tmp_path):
    "A short training in Keras, three times, each command with its own reports."
    def metrics(seed: int, folder: str) -> dict:
        command = [sys.executable, "-m", "deeplearn.runner.cli", "run", "mlp_digits", "--tier", "smoke", *SHORT, "--seed", str(seed), "--json",
                   "--reports", str(tmp_path / folder)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        return {name: m["value"] for name, m in json.loads(done.stdout)["metrics"].items()}
    first, second, other = metrics(0, "a"), metrics(0, "b"), metrics(1, "c")
    assert first == second
    assert first != other
