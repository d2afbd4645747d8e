"""The command says what was expected, what it received and what to do; its exit codes and its JSON can be relied on."""
import io
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from engine import deeplearn, environment, notebook

from deeplearn.core.provenance import project_root
from deeplearn.runner import cli
from deeplearn.runner.record import check_shape

CELLS = ["# Squares", "seed: int = 0  # of nothing\nn: int = 3  # how many [1..10]\nrate: float = 0.5  # of something [0..1]\nset: str = 'digits'  # which {digits, mnist}\n"
         "label: str = 'a'  # of the curve",
         "from deeplearn.core.claims import metric\nmetric('squares', sum(i * i for i in range(n)), 'dimensionless')\nprint(label, rate)"]


@pytest.fixture
def squares(tmp_path) -> Path:
    path = notebook(tmp_path / "squares.ipynb", *CELLS)
    path.with_suffix(".yaml").write_text("question: How many?\ntiers:\n  smoke: {n: 2, rate: 1e-3}\n")
    return path


@pytest.fixture
def call(tmp_path, monkeypatch):
    "Call the command in this process, away from any folder of reports but our own."
    monkeypatch.setenv("DEEPLEARN_REPORTS", str(tmp_path / "reports"))
    monkeypatch.setenv("DEEPLEARN_OFFLINE", "1")
    monkeypatch.setenv("DEEPLEARN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DEEPLEARN_DATA", raising=False)
    return lambda *words: CliRunner().invoke(cli.main, list(map(str, words)), catch_exceptions=False)


def is_a_message(answer, code: int, *words: str) -> None:
    "One screen on standard error, nothing on standard output, no traceback."
    assert answer.exit_code == code and answer.stdout == ""
    for word in words: assert word in answer.stderr, answer.stderr
    assert "Traceback" not in answer.stderr and len(answer.stderr.splitlines()) <= 12 and max(map(len, answer.stderr.splitlines())) < 400


# Bad input

@pytest.mark.parametrize("words, expected", [
    (["run"], ["Name an experiment, or say --all"]), (["run", "--all", "mlp_digits"], ["not both"]),
    (["run", "mlp_digit", "--tier", "smoke"], ["Expected an experiment's name or the path", "Received: mlp_digit", "Did you mean `mlp_digits`?"]),
    (["params", "mlp_digit"], ["Did you mean `mlp_digits`?"]), (["run", "nowhere.ipynb"], ["No notebook there", "Received: nowhere.ipynb"]),
    (["run", "{squares}", "-p", "m=1"], ["No parameter is called `m`.", "There are: label, n, rate, seed, set"]),
    (["run", "{squares}", "-p", "lable=x"], ["Did you mean `label`?"]), (["run", "{squares}", "-p", "n=three"], ["`n` expects int from 1 to 10. Received: n='three'"]),
    (["run", "{squares}", "-p", "n=11"], ["from 1 to 10", "Received: n='11'"]), (["run", "{squares}", "-p", "set=minst"], ["one of digits, mnist", "Did you mean `mnist`?"]),
    (["run", "{squares}", "-p", "n"], ["expected NAME=VALUE. Received: n"]), (["run", "{squares}", "--tier", "smokey"], ["smoke, laptop, full", "Did you mean `smoke`?"]),
    (["run", "{squares}", "--seed", "x"], ["--seed"]), (["run", "{squares}", "--timeout", "0"], ["--timeout"]), (["run", "{squares}", "--timout", "3"], ["--timeout"]),
    (["run", "{squares}", "-f", "nowhere.yaml"], ["Can't read parameters from nowhere.yaml", "No such file"]), (["accept", "mlp_digits"], ["No finished run", "deeplearn run mlp_digits --tier laptop"]),
    (["data", "check", "digitz"], ["digits"]), (["data", "fetch", "digitz"], ["digits"]), (["rnu"], ["No such command"]), (["data", "lits"], ["No such command"])])
def test_a_wrong_request_costs_a_message_and_the_code_2(call, squares, tmp_path, words, expected):
    answer = call(*(str(squares) if word == "{squares}" else word for word in words))
    is_a_message(answer, 2, *expected)
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize("tagged", [0, 2])
def test_a_notebook_without_exactly_one_parameters_cell(call, tmp_path, tagged):
    path = notebook(tmp_path / "a.ipynb", "n: int = 1", "m: int = 1", tagged=tagged)
    is_a_message(call("run", path), 2, "a.ipynb: The notebook needs exactly one code cell tagged `parameters`", f"Received: {tagged} such cells", "In JupyterLab:")
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize("text, expected", [
    ("- 1", "must hold a flat mapping"), ("a: [", "is not YAML"), ("n: 11", "from 1 to 10"), ("n: '3'", "Received: n='3'"), ("m: 1", "No parameter is called `m`"),
    ("set: no", "Received: set=False"), ("n: 2020-01-01", "`n` expects int"), ("1: 2", "No parameter is called `1`")])
def test_a_wrong_file_of_parameters(call, squares, tmp_path, text, expected):
    (tmp_path / "p.yaml").write_text(text)
    is_a_message(call("run", squares, "-f", tmp_path / "p.yaml"), 2, expected)


@pytest.mark.parametrize("text, expected", [("question: no mark\n", "question mark"), ("question: A?\nclams: []\n", "Did you mean `claims`?"), ("question: [", "is not YAML"),
                                            ("question: A?\ndata: [mnits]\n", "mnist"), ("question: A?\ntiers: {smoke: {m: 1}}\n", "No parameter is called `m`")])
def test_a_wrong_yaml_beside_the_notebook(call, squares, text, expected):
    squares.with_suffix(".yaml").write_text(text)
    is_a_message(call("run", squares, "--tier", "smoke"), 2, expected)


def test_data_that_cannot_be_had_offline_is_code_7(call, squares, tmp_path):
    squares.with_suffix(".yaml").write_text("question: A?\ndata: [mnist]\n")
    is_a_message(call("run", squares), 7, "mnist", "DEEPLEARN_DATA", "deeplearn data fetch mnist")
    is_a_message(call("data", "fetch", "mnist"), 7, "mnist")
    assert not (tmp_path / "reports").exists()


def test_outside_a_project(tmp_path, squares):
    "`list` and names need the project, a path does not; reports then go below the working directory."
    for words in (["list"], ["run", "mlp_digits"], ["accept", "mlp_digits"]):
        done = deeplearn(*words, cwd=tmp_path)
        assert done.returncode in (2, 7) and done.stdout == "" and "Traceback" not in done.stderr
        if words[0] != "accept": assert "DEEPLEARN_HOME" in done.stderr and done.returncode == 7
    done = deeplearn("run", "squares.ipynb", cwd=tmp_path)
    assert done.returncode == 0 and (tmp_path / "reports" / "index.html").is_file() and "reports/runs/squares/" in done.stderr
    assert deeplearn("list", cwd=tmp_path, DEEPLEARN_HOME=str(project_root())).stdout.startswith("experiment")


@pytest.mark.parametrize("version", [(3, 10, 14), (3, 14, 0), (2, 7, 18)])
def test_another_python_is_told_before_anything_is_imported(version):
    code = (f"import sys; from deeplearn.runner import cli; sys.version_info = {version}; sys.argv = ['deeplearn', 'list']\n"
            "before = set(sys.modules)\ntry: cli.main()\nfinally: assert not any(m.startswith('deeplearn.') for m in set(sys.modules) - before)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment())
    assert done.returncode == 7 and done.stdout == "" and "Traceback" not in done.stderr
    assert f"this Python is {version[0]}.{version[1]}; expected 3.11, 3.12 or 3.13" in done.stderr and "make PYTHON=" in done.stderr


def test_a_gallery_that_cannot_be_written_is_code_7(call, tmp_path):
    (tmp_path / "file").write_text("")
    is_a_message(call("index", "--reports", tmp_path / "file" / "x"), 7, "Can't write the gallery", "Received: reports=")


# JSON and the rest of what programs read

def test_json_of_a_run_is_the_record_and_nothing_else(squares, tmp_path):
    words = ["run", squares, "--tier", "smoke", "-f", tmp_path / "p.yaml", "-p", "label=a=b", "--seed", "7", "--reports", tmp_path / "r", "--json"]
    (tmp_path / "p.yaml").write_text("rate: 1e-2\nlabel: overruled\n")
    first, again = deeplearn(*words), deeplearn(*words)
    record = json.loads(first.stdout)
    check_shape(record)
    assert (first.returncode, again.returncode) == (0, 0) and record["parameters"] == dict(seed=7, n=2, rate=0.01, set="digits", label="a=b")
    assert record["metrics"] == dict(squares=dict(value=1, unit="dimensionless")) and record["hit"] is False and Path(record["folder"]).is_dir()
    assert json.loads(again.stdout) == record | dict(hit=True) and "hit, nothing it depends on has changed since" in again.stderr
    assert "runs, because: first run of this experiment here" in first.stderr and "finished in" in first.stderr
    assert deeplearn(*words, "--force").returncode == 0 and len(list((tmp_path / "r/runs/squares").iterdir())) == 2


def test_several_runs_give_a_list_and_the_worst_code(tmp_path):
    good = notebook(tmp_path / "good.ipynb", "n: int = 1")
    bad = notebook(tmp_path / "bad.ipynb", "n: int = 1", "n / 0")
    done = deeplearn("run", good, bad, "--reports", tmp_path / "r", "--json")
    assert done.returncode == 1 and [r["status"] for r in json.loads(done.stdout)] == ["ok", "failed"]
    assert "at cell 2 of report.ipynb: ZeroDivisionError: division by zero" in done.stderr and "bad" in (tmp_path / "r/index.html").read_text()
    assert deeplearn("run", good, tmp_path / "none.ipynb", "--reports", tmp_path / "s").returncode == 2 and not (tmp_path / "s").exists()


@pytest.mark.parametrize("words", [["list"], ["list", "--stale"], ["params", "mlp_digits"], ["params", "mlp_digits", "--tier", "smoke"], ["index"], ["data", "list"], ["doctor"]])
def test_reading_commands_speak_json(call, words):
    answer = call(*words, "--json")
    assert answer.exit_code == 0 and isinstance(json.loads(answer.stdout), list) and "Traceback" not in answer.stderr


def test_the_list_knows_every_experiment(call):
    from deeplearn.runner.parameters import experiments
    rows = json.loads(call("list", "--json").stdout)
    assert [row["experiment"] for row in rows] == list(experiments()) and all(row["question"].endswith("?") for row in rows)
    assert all(row["state"] in ("not accepted", "stale", "current") for row in rows)
    lines = call("list").stdout.splitlines()
    assert len(lines) == 1 + len(rows) and lines[0].split()[:2] == ["experiment", "claims"]


def test_a_broken_experiment_hides_no_other(tmp_path):
    (tmp_path / "settings.ini").write_text("[DEFAULT]\nlib_name = deeplearn\n")
    for name, question in (("good", "question: A?"), ("torn", "question: [")):
        notebook(tmp_path / f"nbs/experiments/{name}.ipynb", "n: int = 1").with_suffix(".yaml").write_text(question)
    done = deeplearn("list", cwd=tmp_path)
    assert done.returncode == 0 and "good" in done.stdout and "can't be read" in done.stdout
    assert deeplearn("index", cwd=tmp_path).returncode == 0 and "torn.yaml" in (tmp_path / "reports/index.html").read_text()
    assert deeplearn("run", "--all", cwd=tmp_path).returncode == 2 and not (tmp_path / "reports/runs").exists()


def test_parameters_are_shown_at_a_tier(call, squares):
    rows = {row["name"]: row for row in json.loads(call("params", squares, "--tier", "smoke", "--json").stdout)}
    assert rows["n"] == dict(name="n", type="int", value=2, default=3, low=1.0, high=10.0, choices=[], help="how many") and rows["set"]["choices"] == ["digits", "mnist"]
    shown = call("params", squares).stdout
    assert "int from 1 to 10" in shown and "one of digits, mnist" in shown and "of the curve" in shown
    assert yaml.safe_load(call("params", squares, "--tier", "smoke", "--yaml").stdout) == dict(seed=0, n=2, rate=0.001, set="digits", label="a")


def test_plain_papermill_runs_the_same_notebook_with_our_yaml(call, squares, tmp_path):
    (tmp_path / "p.yaml").write_text(call("params", squares, "--tier", "smoke", "--yaml").stdout)
    done = subprocess.run([sys.executable, "-m", "papermill", str(squares), str(tmp_path / "out.ipynb"), "-f", str(tmp_path / "p.yaml"), "--no-progress-bar"],
                          capture_output=True, text=True, env=environment(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    outputs = [o for c in json.loads((tmp_path / "out.ipynb").read_text())["cells"] for o in c.get("outputs", [])]
    assert outputs[0]["data"]["application/vnd.deeplearn.metric+json"]["value"] == 1 and "".join(outputs[1]["text"]) == "a 0.001\n"


def test_the_doctor(call, tmp_path, monkeypatch):
    found = {row["what"]: row for row in json.loads(call("doctor", "--json").stdout)}
    assert found["Python"]["fine"] and found["packages"]["fine"] and found["reports"]["fine"] and "digits" in found["data"]["detail"]
    monkeypatch.setenv("DEEPLEARN_DATA", str(tmp_path / "nowhere"))
    answer = call("doctor")
    assert answer.exit_code == 7 and "NOT OK" in answer.stdout and "names no folder" in answer.stdout
    monkeypatch.delenv("DEEPLEARN_DATA")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DEEPLEARN_REPORTS", str(tmp_path / "file" / "x"))
    assert call("doctor").exit_code == 7


@pytest.mark.parametrize("words", [[], ["list"], ["params"], ["run"], ["accept"], ["index"], ["data"], ["data", "list"], ["data", "fetch"], ["data", "check"], ["doctor"]])
def test_every_command_has_help(call, words):
    answer = call(*words, "--help")
    assert answer.exit_code == 0 and answer.stdout.startswith("Usage:") and len(answer.stdout.splitlines()) < 40


def test_data_commands(call):
    assert call("data", "check").stdout.startswith("digits: ") and "bundled" in call("data", "fetch", "digits").stdout
    assert call("data", "list").stdout.count("\n") >= 5


# Speed and progress

@pytest.mark.parametrize("words", [["list"], ["params", "mlp_digits"], ["--help"], ["doctor"]])
def test_reading_commands_answer_at_once(words):
    "The best of five, since a busy machine is no fault of the command's."
    def seconds():
        began = time.perf_counter()
        deeplearn(*words)
        return time.perf_counter() - began
    assert min(seconds() for _ in range(5)) < 1.5


def test_the_bar_counts_cells_and_epochs_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self): return True
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    bar = cli._Bar("study")
    for line in (dict(why=["first run"]), dict(cell=0, of=4), dict(cell=2, of=4), dict(step=3, of=10, text="epochs, loss 0.5"), dict(step=0, of=None, text=""), {}): bar(line)
    bar.close()
    assert "study: runs, because: first run" in screen.getvalue() and "2/4 cells" in screen.getvalue() and "epochs, loss 0.5 3/10" in screen.getvalue()
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    quiet = cli._Bar("study")
    for line in (dict(why=["first run"]), dict(cell=0, of=4), dict(step=3, of=10, text="epochs")): quiet(line)
    quiet.close()
    assert sys.stderr.getvalue() == "study: runs, because: first run\n"
