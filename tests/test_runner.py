"""The engine tells the truth about every end of a run, serves hits for what has not changed, and lets no text of a user's become code."""
import json
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from engine import FAULTS, GUILTY, Faults, deeplearn, environment, left_behind, notebook

from deeplearn.core import provenance
from deeplearn.runner import execution, record as records
from deeplearn.runner.execution import EnvironmentProblem, plan, run
from deeplearn.runner.parameters import Parameter, ParameterError, check_value, find, parameters_cell, parse_parameters, read_parameters, resolve
from deeplearn.runner.record import check_shape, find_hit, read_record


# Parameters

CELL = '''seed: int = 0                # drives noise
n: int = 3                   # how many [1..1000]
rate: float = 1e-3           # step size [0..10]
share: float = 1             # of all, any from 0 [0..]
name: str = "digits"         # which {digits, mnist}
free: str = "a # b"          # anything
flag: bool = False           # whether
layers: list = [64, 64]      # units [1..512]
options: dict = {"a": 1}     # more
limit: int | None = None     # at most, if any [1..]
power: float = 0.5           # exponent {0.5, 1e-3}
'''


@pytest.mark.parametrize("name, text, expected", [
    ("seed", "-3", -3), ("n", "1_000", 1000), ("rate", "5e-2", 0.05), ("rate", "1", 1.0), ("share", "7", 7.0), ("name", "mnist", "mnist"), ("free", "", ""),
    ("free", "None", "None"), ("free", "a=b", "a=b"), ("flag", "true", True), ("flag", "False", False), ("layers", "[32, 16]", [32, 16]), ("layers", "[1e2]", [100.0]),
    ("layers", "[]", []), ("options", "{b: [1, x]}", {"b": [1, "x"]}), ("limit", "None", None), ("limit", "4", 4), ("power", "0.001", 1e-3)])
def test_text_becomes_a_value_of_the_declared_type(name, text, expected):
    value = resolve(parse_parameters(CELL), text={name: text})[name]
    assert value == expected and type(value) is type(expected)


@pytest.mark.parametrize("name, text", [
    ("n", "0"), ("n", "1001"), ("n", "2.5"), ("n", "three"), ("n", ""), ("n", "True"), ("n", "1__0"), ("n", "9" * 5000), ("seed", "9" * 30), ("rate", "nan"),
    ("rate", "inf"), ("rate", "-1"), ("rate", "1e999"), ("share", "-0.1"), ("name", "minst"), ("flag", "1"), ("flag", "maybe"), ("layers", "32"),
    ("layers", "[0]"), ("layers", "[32"), ("layers", "[2020-01-01]"), ("layers", "[.nan]"), ("options", "[1]"), ("options", "{1: 2}"), ("limit", "0"),
    ("power", "0.7"), ("free", "\udc80")])
def test_a_value_that_does_not_fit_says_what_was_expected_and_received(name, text):
    with pytest.raises(ParameterError, match=rf"(?s)`{name}` expects .*Received: {name}=") as caught: resolve(parse_parameters(CELL), text={name: text})
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("name, value", [("n", "3"), ("n", 3.0), ("n", True), ("rate", "1"), ("rate", False), ("rate", 10**400), ("name", 3), ("flag", 1),
                                         ("layers", (64,)), ("layers", [float("nan")]), ("options", {"a": {1, 2}}), ("limit", 2**70), ("n", None)])
def test_objects_are_checked_by_type_not_read(name, value):
    with pytest.raises(ParameterError): check_value(next(p for p in parse_parameters(CELL) if p.name == name), value)


@pytest.mark.parametrize("source, message", [
    ("import os", "holds only lines"), ("n = 2 * 3", "literal default"), ("n: int = m", "literal default"), ("n: int", "holds only lines"),
    ("a = b = 1", "holds only lines"), ("a, b = 1, 2", "holds only lines"), ("x.y = 1", "holds only lines"), ("%matplotlib inline", "not Python"),
    ("n: int = 1\nn: int = 2", "stands twice"), ("n: int = 0  # [1..5]", "expects int from 1 to 5"), ("s: str = 'c'  # {a, b}", "one of a, b"),
    ("n: complex = 1", "one of the types"), ("n: float = 'x'", "expects float"), ("t = (1, 2)", "one of the types")])
def test_a_parameters_cell_that_is_no_schema_is_refused(source, message):
    with pytest.raises(ParameterError, match=message): parse_parameters(source)


def test_a_parameters_cell_is_read_with_ranges_choices_and_help():
    schema = {p.name: p for p in parse_parameters(CELL)}
    assert schema["n"] == Parameter("n", "int", 3, "how many", 1.0, 1000.0)
    assert schema["free"].help == "anything" and schema["free"].default == "a # b" and schema["share"].allowed == "float from 0"
    assert schema["power"].choices == (0.5, 0.001) and schema["limit"].kind == "int | None"
    several = parse_parameters("sizes: list = [\n  1,  # not this\n  2,\n]  # how many [1..5]")
    assert several[0].help == "how many" and several[0].high == 5


def test_later_sources_win_and_every_name_is_there():
    schema = parse_parameters(CELL)
    values = resolve(schema, "smoke", tiers=dict(smoke=dict(n=1, rate=1)), given=dict(n=2, seed=9), text=dict(n="4"))
    assert values["n"] == 4 and values["rate"] == 1.0 and values["seed"] == 9 and list(values) == [p.name for p in schema]
    with pytest.raises(ParameterError, match="No parameter is called `m`"): resolve(schema, "full", tiers=dict(full=dict(m=1)))
    with pytest.raises(ParameterError, match="Did you mean `laptop`"): resolve(schema, "latop")


ATTACKS = ["seed=0;import os;os.abort()", "__import__('os').abort()", "seed\nimport os", "seed: int = 0 #", "", "free'", "ſeed"]


@pytest.mark.parametrize("name", ATTACKS)
def test_no_name_but_a_declared_one_passes(name):
    for source in (dict(given={name: 1}), dict(text={name: "1"}), dict(tiers=dict(laptop={name: 1}))):
        with pytest.raises(ParameterError, match="No parameter is called"): resolve(parse_parameters(CELL), **source)


def test_no_value_becomes_code():
    "papermill's own quoting gives back each value, character by character."
    import ast
    from papermill.translators import PythonTranslator
    for value in ['"; import os #', "'''", '"""', "\\", "\\n", "\n__import__('os')", "{seed}", "${x}", "%s", "\u2028", "é", "\x00", "a'b\"c"]:
        schema = (Parameter("free", "str", ""), Parameter("deep", "list", []), Parameter("more", "dict", {}))
        values = resolve(schema, given=dict(free=value, deep=[value], more={value: value}))
        tree = ast.parse(PythonTranslator.codify(values))
        assert {node.targets[0].id: ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign)} == values


def test_finding_an_experiment(tmp_path, root):
    assert find("mlp_digits") == root / "nbs/experiments/mlp_digits.ipynb" == find(str(root / "nbs/experiments/mlp_digits.ipynb"))
    with pytest.raises(ParameterError, match="Did you mean `mlp_digits`"): find("mlp_digit")
    with pytest.raises(ParameterError, match="expected the path of an .ipynb"): find(str(tmp_path / "no.ipynb"))
    (tmp_path / "broken.ipynb").write_text("{")
    with pytest.raises(ParameterError, match="is not a notebook"): read_parameters(tmp_path / "broken.ipynb")
    for tagged in (0, 2):
        path = notebook(tmp_path / "tags.ipynb", "a = 1", "b = 2", tagged=tagged)
        with pytest.raises(ParameterError, match=f"exactly one code cell tagged `parameters`. Received: {tagged} such cells"): read_parameters(path)
    tagged_prose = dict(cells=[dict(cell_type="markdown", source="n = 1", metadata=dict(tags=["parameters"]))])
    with pytest.raises(ParameterError, match="Received: 0"): parameters_cell(tagged_prose)


# Every end of a run

@pytest.fixture(scope="session")
def faults(tmp_path_factory): return Faults(tmp_path_factory.mktemp("faults"))


ENDS = {  # name: status, exit code, beginning of the reason, what the record says of the cell
    "raises": ("failed", 1, "", "KeyError: 'missing'"),
    "exits": ("kernel_died", 6, "exited: exit code 3", "the kernel died while this cell ran"),
    "killed": ("kernel_died", 6, "signal: ended by SIGKILL", "the kernel died while this cell ran"),
    "aborts": ("kernel_died", 6, "signal: ended by SIGABRT", "the kernel died while this cell ran"),
    "worker": ("kernel_died", 6, "the worker process ended with SIGKILL", None),
    "sleeps cell": ("timeout", 5, "the cell exceeded its 4.0 s", "this cell was still running"),
    "sleeps run": ("timeout", 5, "the run exceeded its 5.0 s", "this cell was still running"),
    "stubborn": ("timeout", 5, "the cell exceeded its 4.0 s", "this cell was still running"),
    "SIGINT": ("interrupted", 130, "interrupted by SIGINT", "this cell was still running"),
    "SIGTERM": ("interrupted", 130, "interrupted by SIGTERM", "this cell was still running"),
    "SIGKILL": ("lost", -9, "the command that ran it was killed", "this cell was still running")}


@pytest.mark.parametrize("name", ENDS)
def test_every_end_is_called_by_its_name(faults, name):
    status, code, reason, error = ENDS[name]
    folder, record = faults.record(name)
    check_shape(record)
    assert (record["status"], faults.codes[name]) == (status, code), faults.screens[name]
    assert record["reason"].startswith(reason) and record["error"] == error and record["failed_cell"] == GUILTY
    assert not folder.name.startswith(".") and record["process"] is None and not record["key_complete"] and record["wall_seconds"] > 0
    assert "Traceback" not in faults.screens[name] and (status == "lost" or f"at cell {GUILTY}" in faults.screens[name])


@pytest.mark.parametrize("name", ENDS)
def test_outputs_so_far_are_kept_and_later_cells_say_never_run(faults, name):
    folder, record = faults.record(name)
    executed = json.loads((folder / "report.ipynb").read_text())
    printed = ["".join(o.get("text", "")) for c in executed["cells"] if c["cell_type"] == "code" for o in c["outputs"] if o["output_type"] == "stream"]
    kept = [f"so far {record['parameters']['how']}\n", "before the end\n"]
    assert printed[:1] == kept[:1] and record["metrics"]["noise"]["unit"] == "dimensionless"
    if name != "worker": assert printed == kept  # who is killed in the middle of a cell has not saved that cell
    assert [c["status"] for c in record["cells"]] == ["ok", "ok", "ok", record["status"], "never run"]
    page = (folder / "report.html").read_text()
    assert f'<a href="#cell-{GUILTY}">' in page and f'<div class="cell guilty" id="cell-{GUILTY}">' in page and page.count(">never run</p>") == 1
    assert "This run did not finish" in page and "after" not in "".join(printed)


def test_a_stopped_cell_shows_where_it_was(faults):
    for name in ("sleeps cell", "SIGINT"):
        outputs = json.loads((faults.record(name)[0] / "report.ipynb").read_text())["cells"][GUILTY]["outputs"]
        assert outputs[-1]["ename"] == "KeyboardInterrupt" and "time.sleep(120)" in "".join(outputs[-1]["traceback"])


def test_no_process_is_left(faults): assert faults.left == []


def test_the_good_report_is_untouched_and_the_gallery_shows_all(faults):
    assert faults.contents() == faults.before
    assert faults.gallery.returncode == 0, faults.gallery.stderr
    page = (faults.reports / "index.html").read_text()
    for words in ("a cell failed", "the kernel died", "out of time", "interrupted", "lost: the command was killed"): assert words in page
    assert page.count('report.html">2') == 12 and list(faults.reports.rglob(".*")) == []  # 2...: a run's id; no hidden folder is left
    assert "Faults</a></h3>" in page and page.index("finished") and f"faults/{faults.good.name}/report.html\">Faults" in page


def test_a_lost_run_of_another_machine_is_left_alone(tmp_path):
    folder = tmp_path / "runs/x/.20261123T211500Z-00000000-1"
    folder.mkdir(parents=True)
    made = {name: {} for name in records.RECORD_SCHEMA["required"]} | dict(status="running", started="2026-11-23T21:15:00+00:00", process=dict(here="elsewhere", pid=1, created=0))
    records.write_record(folder, made)
    assert execution.recover(tmp_path) == [] and folder.is_dir()


def test_reports_that_cannot_be_written(tmp_path):
    path = notebook(tmp_path / "a.ipynb", "n: int = 1")
    (tmp_path / "file").write_text("here first")
    done = deeplearn("run", path, "--reports", tmp_path / "file" / "reports")
    assert done.returncode == 7 and done.stdout == "" and "expected a writable folder" in done.stderr and "--reports DIR" in done.stderr and "Traceback" not in done.stderr
    assert (tmp_path / "file").read_text() == "here first" and sorted(p.name for p in tmp_path.iterdir()) == ["a.ipynb", "file"]


def test_a_folder_that_may_not_be_written(tmp_path):
    "The same for a folder that belongs to somebody else, as another user where we are root."
    reports = tmp_path / "reports"
    reports.mkdir(mode=0o555)
    code = ("import os\nfrom pathlib import Path\nfrom types import SimpleNamespace as N\nfrom deeplearn.runner import execution as e\n"
            "e._first_record = lambda plan, why: dict(run_id='1')\nif os.getuid() == 0: os.setgid(65534), os.setuid(65534)\n"
            f"try: e._open(N(experiment='a'), Path({str(reports)!r}), [])\nexcept e.EnvironmentProblem as error: print(error)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment())
    assert "Received: Permission denied" in done.stdout, done.stderr
    assert list(reports.iterdir()) == []


# Hits

YAML = """question: How many are they?
data: [table.csv]
environment: [HOW_MANY]
claims:
  - {id: count, statement: There are three., source: nobody (2026), level: exact, kind: exact, rule: {kind: EQ, value: 3}}
tiers:
  smoke: {n: 2}
"""


@pytest.fixture(scope="session")
def counted(tmp_path_factory):
    "An experiment with a claim and a data file, run once; tests copy its folder before they change anything."
    folder = tmp_path_factory.mktemp("counted")
    path = notebook(folder / "count.ipynb", "# Counting", "n: int = 3  # how many [1..9]\nseed: int = 0  # of nothing",
                    "from deeplearn.core.claims import judge, metric\nmetric('count', n, 'things')", "verdict = judge('count', [n])")
    path.with_suffix(".yaml").write_text(YAML)
    (folder / "table.csv").write_text("a,b\n1,2\n")
    first = run(str(path), reports=folder / "reports")
    return first, folder


@pytest.fixture
def copied(counted, tmp_path):
    shutil.copytree(counted[1], tmp_path / "copy")
    return tmp_path / "copy"


def served(folder: Path, **how) -> tuple[bool, list[str]]:
    "Whether a run would be a hit now, and if not, why it would run; nothing is started."
    made = plan(str(folder / "count.ipynb"), **how)
    hit = find_hit(folder / "reports", made.experiment, made.key)
    return hit is not None, [] if hit else execution._why(made, folder / "reports", False)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_run_leaves_a_valid_record(counted):
    first, _ = counted
    check_shape(first.record)
    assert first.status == "ok" and first.exit_code == 0 and first.metrics == dict(count=3) and first.why == ("first run of this experiment here",)
    assert [(c["id"], c["verdict"]) for c in first.record["claims"]] == [("count", "reproduced")]
    assert first.record == read_record(first.folder) and first.record["key_complete"] and set(first.record["data"]) == {"table.csv"}
    assert first.record["cpu_seconds"] > 0 and first.record["peak_memory_bytes"] > 1e6 and all(c["seconds"] >= 0 for c in first.record["cells"])
    assert sorted(p.name for p in first.folder.iterdir()) == ["figures", "record.json", "report.html", "report.ipynb"]


def test_running_again_is_a_hit_and_says_so(counted):
    first, folder = counted
    again = run(str(folder / "count.ipynb"), reports=folder / "reports")
    assert again.hit and again.folder == first.folder and again.record == first.record and again.why == ("nothing it depends on has changed since",)
    assert run(str(folder / "count.ipynb"), parameters=dict(n=3), seed=0, reports=folder / "reports").hit


@pytest.mark.parametrize("file, old, new", [
    ("count.ipynb", "# Counting", "# Counting, told better"), ("count.ipynb", '"outputs": []', '"outputs": [{"output_type": "stream", "name": "stdout", "text": "9"}]'),
    ("count.ipynb", '"id": "c2"', '"id": "other"'), ("count.yaml", "nobody (2026)", "somebody (2026)"), ("count.yaml", "How many are they?", "How many were they?"),
    ("count.yaml", "smoke: {n: 2}", "smoke: {n: 1}")])
def test_what_changes_no_result_is_still_a_hit(copied, file, old, new):
    edit(copied / file, old, new)
    assert served(copied) == (True, [])


@pytest.mark.parametrize("file, old, new, reason", [
    ("count.ipynb", "n, 'things'", "n + 0, 'things'", "the experiment's code changed"), ("count.yaml", "value: 3", "value: 4", "the claims' rules changed"),
    ("count.yaml", "There are three.", "There are four.", "the claims' rules changed"), ("table.csv", "1,2", "1,3", "data `table.csv` changed")])
def test_what_changes_a_result_runs_again_and_is_named(copied, file, old, new, reason):
    edit(copied / file, old, new)
    assert served(copied) == (False, [reason])


def test_parameters_tier_and_environment_are_in_the_key(copied, monkeypatch):
    assert served(copied, given=dict(n=4)) == (False, ["parameter n changed from 3 to 4"])
    assert served(copied, tier="smoke") == (False, ["parameter n changed from 3 to 2"])
    monkeypatch.setenv("DEEPLEARN_THREADS", "1")
    assert served(copied)[1][0] == "pinned MKL_NUM_THREADS changed from '2' to '1'"
    monkeypatch.delenv("DEEPLEARN_THREADS")
    monkeypatch.setenv("HOW_MANY", "5")
    assert served(copied) == (False, ["environment variable HOW_MANY changed from None to '5'"])


def test_a_changed_module_is_named_and_a_reworded_one_is_not(copied, tmp_path, monkeypatch, root):
    "The package is copied, so that a module of it can be edited."
    shutil.copytree(root / "deeplearn", tmp_path / "deeplearn")
    monkeypatch.setattr(provenance, "_package_folder", lambda: tmp_path / "deeplearn")
    assert served(copied) == (True, [])
    module = tmp_path / "deeplearn/core/statistics.py"
    module.write_text(f"# a comment\n{module.read_text()}")
    (tmp_path / "deeplearn/core/plotting.py").write_text("not_used = True")
    assert served(copied) == (True, [])
    module.write_text(module.read_text() + "\nextra = 1\n")
    assert served(copied) == (False, ["deeplearn/core/statistics.py changed"])


def test_a_package_version_is_named(copied, monkeypatch):
    true = provenance.versions
    monkeypatch.setattr(provenance, "versions", lambda names: true(names) | dict(numpy="0.1"))
    (reason,) = served(copied)[1]
    assert reason.startswith("package numpy changed from") and reason.endswith("to '0.1'")


@pytest.mark.parametrize("change", [dict(status="failed"), dict(key_complete=False), None])
def test_only_a_good_complete_run_with_a_page_is_served(copied, change):
    folder = next((copied / "reports/runs/count").iterdir())
    if change: records.write_record(folder, read_record(folder) | change)
    else: (folder / "report.html").unlink()
    hit, why = served(copied)
    assert not hit and why == ["no run of this experiment was good yet" if change == dict(status="failed") else "the earlier run with this key is incomplete"]


def test_an_undeclared_module_beside_the_notebook_makes_the_key_incomplete(tmp_path):
    "Both halves at once: `helper.py` is not declared, and the notebook is edited while it runs."
    path = notebook(tmp_path / "a.ipynb", "n: int = 1", "import helper\nfrom pathlib import Path\n"
                    "for p in (Path('a.ipynb'),): p.write_text(p.read_text().replace('n: int = 1', 'n: int = 2'))")
    (tmp_path / "helper.py").write_text("x = 1")
    made = run(str(path), reports=tmp_path / "reports")
    assert made.status == "ok" and not made.record["key_complete"] and "helper.py was loaded and is not in the key" in made.record["reason"]
    assert "key incomplete" in made.page.read_text() and find_hit(tmp_path / "reports", "a", made.record["key"]) is None
    changed = execution._unkeyed({}, made.record, path)
    assert changed == "the experiment's code changed while the run was made"


# What a report says, and that it says it again

def test_one_seed_gives_one_report_in_two_processes(faults, tmp_path):
    seeds = [deeplearn("run", faults.path, "-p", f"seed={seed}", "--reports", tmp_path, "--force", "--json") for seed in (4, 4, 5)]
    first, second, other = (json.loads(done.stdout) for done in seeds)
    assert first["metrics"] == second["metrics"] != other["metrics"] and first["run_id"] != second["run_id"]
    one, two = ((Path(r["folder"]) / "report.ipynb").read_bytes() for r in (first, second))
    assert one == two


def test_an_executed_notebook_is_tidy(faults):
    import nbformat
    for name in ("well", "raises"):
        folder, _ = faults.record(name)
        text = (folder / "report.ipynb").read_text()
        executed = json.loads(text)
        nbformat.validate(executed)
        assert "papermill" not in text.replace("papermill-error", "") and str(faults.path.parent) not in text and "\\u001b" not in text
        assert {tuple(c["metadata"]) for c in executed["cells"]} <= {(), ("tags",)}
        assert [c["id"] for c in executed["cells"]] == ["c0", "c1", "parameters-of-this-run", "c2", "c3", "c4"]
    for part in (str(Path.home()), "/tmp/", sys.prefix): assert part not in text


def test_printing_is_kept_in_one_order():
    "In which pieces two streams arrive is chance; what stands between two displays stays there."
    out, err = (partial(lambda name, text: dict(output_type="stream", name=name, text=text), name) for name in ("stdout", "stderr"))
    shown = dict(output_type="display_data", data={})
    for pieces in ([out("a"), err("x"), out("b")], [err("x"), out("a"), out("b")], [out("ab"), err("x")]):
        assert execution._one_stream_each([*pieces, shown, out("c")]) == [out("ab"), err("x"), shown, out("c")]
    assert execution._one_stream_each([]) == [] and execution._one_stream_each([shown, shown]) == [shown, shown]


def test_a_report_names_no_machine(faults):
    import platform
    for name in ("well", *ENDS):
        folder, record = faults.record(name)
        for file in ("report.ipynb", "report.html", "record.json"):
            text = (folder / file).read_text()
            assert platform.node() not in text or len(platform.node()) < 4
            assert str(faults.reports) not in text and str(faults.path.parent) not in text, (name, file)


def test_an_exact_claim_against_us_is_exit_code_3(counted):
    _, folder = counted
    done = deeplearn("run", folder / "count.ipynb", "-p", "n=4", "--reports", folder / "reports", "--json")
    record = json.loads(done.stdout)
    assert done.returncode == 3 and record["status"] == "ok" and record["claims"][0]["verdict"] == "not reproduced"
    assert "count: not reproduced (expected 3, found 4)" in done.stderr and record["why"] == ["parameter n changed from 3 to 4"]


def test_data_that_cannot_be_had(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPLEARN_OFFLINE", "1")
    monkeypatch.setenv("DEEPLEARN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DEEPLEARN_DATA", raising=False)
    path = notebook(tmp_path / "a.ipynb", "dataset: str = 'digits'  # {digits, mnist}")
    path.with_suffix(".yaml").write_text("question: Which?\ndata: [digits, mnist]\n")
    with pytest.raises(EnvironmentProblem, match="(?s)mnist.*DEEPLEARN_DATA"): run(str(path), parameters=dict(dataset="mnist"), reports=tmp_path / "reports")
    assert not (tmp_path / "reports").exists()
    assert list(plan(str(path)).parts["data"]) == ["digits"]


def test_a_notebook_that_hands_over_nonsense_is_still_recorded():
    from deeplearn.runner.page import CLAIM, FIGURE, METRIC, collect
    displays = [{METRIC: {"name": "x"}}, {METRIC: [1]}, {CLAIM: {"id": 3}}, {FIGURE: {"alt": "a", "caption": "b"}}, {FIGURE: None, "image/png": "?"},
                {FIGURE: {"alt": "a", "caption": "b"}, "image/png": "iVBORw0KGgo="}]
    outputs = [dict(output_type="display_data", data=data, metadata={}) for data in displays]
    found = collect(dict(cells=[dict(cell_type="code", outputs=outputs)]))
    assert found["malformed"] == 5 and len(found["figures"]) == 1 and not found["metrics"] and not found["claims"]


def test_the_worker_names_a_kernel_that_never_starts(tmp_path, monkeypatch):
    "An interpreter without ipykernel: the kernel's process ends before it answers."
    from deeplearn.runner import worker
    path = notebook(tmp_path / "a.ipynb", "n: int = 1")
    code = ("import sys, json, os; from deeplearn.runner import worker\n"
            f"sys.executable = {str(shutil.which('false'))!r}\n"
            f"job = dict(notebook={str(path)!r}, output={str(tmp_path / 'out.ipynb')!r}, progress={str(tmp_path / 'p')!r}, folder={str(tmp_path)!r}, parameters=dict(n=2), "
            "timeout=None, cell_timeout=None, start_timeout=20)\nprint(json.dumps(worker.work(job, worker.Halt())))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), timeout=60)
    outcome = json.loads(done.stdout.splitlines()[-1])
    assert outcome["status"] == "kernel_died" and outcome["reason"].startswith("exited: the kernel did not start") and outcome["failed_cell"] is None


@pytest.mark.parametrize("returncode, text, reason", [(None, "", "exited"), (0, "", "exited"), (1, "MemoryError", "memory"), (-9, "", "signal"),
                                                      (-signal.SIGABRT, "std::bad_alloc", "memory"), (-64, "", "signal")])
def test_kernel_deaths_have_one_of_three_reasons(returncode, text, reason):
    from deeplearn.runner.worker import kernel_death
    assert kernel_death(returncode, text).split(":")[0] == reason
