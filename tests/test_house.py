"""The house stays true: the package equals its notebooks, files agree with settings.ini, arrows run one way, every claim has one judge."""
import ast
import json
import os
import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from deeplearn.core.claims import load_claims
from deeplearn.core.provenance import code_cells, read_notebook

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(p for p in (ROOT / "nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
EXPERIMENTS = [p for p in NOTEBOOKS if p.parent.name == "experiments"]
MODULES = sorted((ROOT / "deeplearn").rglob("*.py"))


def settings() -> dict:
    parser = ConfigParser(delimiters=["="], interpolation=None)
    parser.read(ROOT / "settings.ini", encoding="utf-8")
    return parser["DEFAULT"]


def requirements(*extras) -> dict[str, Requirement]:
    words = [w for key in ("requirements", *(f"{e}_requirements" for e in extras)) for w in settings()[key].split()]
    return {Requirement(w).name.lower(): Requirement(w) for w in words}


def tree(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text("utf-8") for p in sorted(folder.rglob("*.py"))}


def test_the_package_is_what_the_notebooks_export(tmp_path):
    "Exporting into an empty folder gives exactly the committed package."
    for name in ("settings.ini", "pyproject.toml", "setup.py", "README.md"): shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "nbs", tmp_path / "nbs", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    done = subprocess.run([str(Path(sys.executable).parent / "nbdev_export")], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    fresh, committed = tree(tmp_path / "deeplearn"), tree(ROOT / "deeplearn")
    assert fresh.keys() == committed.keys()
    different = [name for name in fresh if fresh[name] != committed[name]]
    assert not different, f"edit the notebook and `make export`: {different}"


def test_generated_files_are_what_their_sources_say():
    from deeplearn.runner.chapters import generated
    for path, text in generated().items():
        assert path.read_text("utf-8") == text, f"{path.name} differs from what `make export` writes"


def test_environment_yml_agrees_with_settings():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [d for d in environment["dependencies"] if isinstance(d, str)]
    pip = next(d["pip"] for d in environment["dependencies"] if isinstance(d, dict))
    assert environment["name"] == settings()["lib_name"] and "conda-forge" in environment["channels"]
    low, high = settings()["min_python"], settings()["max_python"]
    assert f"python>={low},<3.{int(high.split('.')[1]) + 1}" in conda
    lab = requirements("lab")
    for spec in conda:
        required = Requirement(spec)
        if required.name in ("python", "pip", "make"): continue
        assert required.specifier == lab[required.name].specifier, f"{spec} in environment.yml, {lab[required.name]} in settings.ini"
    assert "--editable .[dev]" in pip and "--constraint constraints.txt" in pip


def test_constraints_lock_every_requirement_and_name_no_host():
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text and "torch" not in text.lower()
    locked = {}
    for line in text.splitlines():
        required = Requirement(line)
        locked.setdefault(required.name.lower().replace("_", "-"), []).append(next(iter(required.specifier)).version)
    for name, required in requirements("lab", "dev").items():
        assert name in locked, f"{name} is not locked: run `make lock`"
        assert all(required.specifier.contains(v) for v in locked[name]), f"{name} is locked at {locked[name]}, outside {required.specifier}"


def imports(path: Path) -> set[str]:
    "Parts and modules of the package that a file imports, as dotted names below `deeplearn`."
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import): found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            here = ["deeplearn", *path.relative_to(ROOT / "deeplearn").with_suffix("").parts]
            base = here[:len(here) - node.level] if node.level else []
            name = ".".join(base + ([node.module] if node.module else []))
            found |= {name, *(f"{name}.{a.name}" for a in node.names)}
    return {f.removeprefix("deeplearn.") for f in found if f.startswith("deeplearn.")}


PARTS = ["core", "foundations", "vision", "sequence", "generative", "rl", "games", "practice", "applications"]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_arrows_run_one_way(path):
    "core knows nobody, a chapter knows core and earlier parts, the runner knows core, nobody knows the experiments."
    part = path.relative_to(ROOT / "deeplearn").parts[0]
    known = {name.split(".")[0] for name in imports(path)} & {*PARTS, "runner", "experiments"}
    allowed = {"runner": {"core", "runner"}, "core": {"core"}}.get(part, set(PARTS[:PARTS.index(part) + 1]) if part in PARTS else set())
    assert known <= allowed, f"{path.name} of {part} imports from {known - allowed}"


def test_no_module_imports_in_a_circle():
    graph = {p.relative_to(ROOT / "deeplearn").with_suffix("").as_posix().replace("/", "."): imports(p) for p in MODULES if p.name[0] != "_"}
    edges = {name: {target for target in graph if target in found and target != name} for name, found in graph.items()}
    while leaves := [name for name, out in edges.items() if not out]:
        edges = {name: out - set(leaves) for name, out in edges.items() if name not in leaves}
    assert not edges, f"modules that import each other: {edges}"


def test_no_chapter_imports_its_own_module():
    "It would hold two copies of each class. (A script that a cell writes for another process may.)"
    for path in NOTEBOOKS:
        own = "deeplearn." + path.relative_to(ROOT / "nbs").with_suffix("").as_posix().replace("/", ".")
        for source in code_cells(read_notebook(path)):
            nodes = list(ast.walk(ast.parse(source)))
            named = {n.module for n in nodes if isinstance(n, ast.ImportFrom)} | {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
            assert own not in named, f"{path.name} imports itself"


def test_only_the_development_tools_import_nbdev_and_fastcore():
    for path in MODULES:
        if path.name == "_modidx.py": continue
        assert not re.search(r"^\s*(from|import)\s+(nbdev|fastcore|execnb)\b", path.read_text("utf-8"), re.M), path


def test_import_is_light():
    "`import deeplearn` and the command line load neither TensorFlow nor matplotlib."
    code = ("import sys, deeplearn, deeplearn.runner.cli, deeplearn.core.data, deeplearn.core.claims, deeplearn.foundations, deeplearn.runner.gallery;"
            "print([m for m in ('tensorflow', 'keras', 'matplotlib', 'scipy', 'sklearn', 'papermill', 'nbformat') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Experiments and claims

def specs() -> dict[str, object]: return {p.stem: load_claims(p.with_suffix(".yaml")) for p in EXPERIMENTS}


def ledger() -> dict[str, str]:
    chapters = yaml.safe_load((ROOT / "nbs" / "ledger.yaml").read_text("utf-8"))
    return {claim: tier for tiers in chapters.values() for tier, ids in tiers.items() for claim in ids}


def test_every_claim_is_in_the_ledger_and_has_one_judge():
    judges = {}
    for name, spec in specs().items():
        for claim in spec.claims: judges.setdefault(claim.id, []).append(name)
    assert judges, "no experiment declares a claim"
    assert not (unknown := judges.keys() - ledger().keys()), f"not in nbs/ledger.yaml: {unknown}"
    assert not (twice := {c: names for c, names in judges.items() if len(names) > 1}), f"claims with two judges: {twice}"


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda p: p.stem)
def test_experiment_is_well_formed(path):
    from deeplearn.runner.parameters import read_parameters, resolve
    notebook, spec = read_notebook(path), load_claims(path.with_suffix(".yaml"))
    assert not any(c.get("outputs") for c in notebook["cells"]), "an experiment is committed without outputs"
    schema = read_parameters(path)
    assert schema[0].name == "seed" and all(p.help for p in schema)
    for tier in ("smoke", "laptop", "full"): resolve(schema, tier, spec.tiers)
    defined = [n for s in code_cells(notebook) for n in ast.walk(ast.parse(s)) if isinstance(n, (ast.FunctionDef, ast.ClassDef))]
    assert not defined, "an experiment defines nothing"
    text = "\n".join(code_cells(notebook))
    for claim in (*spec.claims, *spec.controls): assert f'"{claim.id}"' in text or f"'{claim.id}'" in text, f"{claim.id} is declared and never judged"
    if any(c.kind == "statistical" for c in spec.claims): assert spec.controls, "a statistical experiment needs a control"


def accepted() -> dict[str, dict]:
    return {p.parent.name: json.loads(p.read_text("utf-8")) for p in sorted((ROOT / "reports" / "accepted").glob("*/record.json"))}


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda p: p.stem)
def test_accepted_report_is_honest(path):
    "Each experiment has a committed laptop-tier report whose cells, claims and parameters are today's, and whose controls came out null."
    from deeplearn.core.provenance import canonical, sha256
    from deeplearn.runner.parameters import read_parameters, resolve
    from deeplearn.runner.record import check_shape
    record, spec = accepted().get(path.stem), load_claims(path.with_suffix(".yaml"))
    assert record, f"deeplearn run {path.stem} --tier laptop && deeplearn accept {path.stem}"
    check_shape(record)
    assert record["status"] == "ok" and record["tier"] in ("laptop", "full") and record["key_complete"]
    assert record["key_parts"]["cells"] == sha256(canonical(code_cells(read_notebook(path)))), "its cells changed since: run and accept again"
    assert record["key_parts"]["claims"] == spec.claims_hash, "its claims changed since: run and accept again"
    assert record["parameters"] == resolve(read_parameters(path), record["tier"], spec.tiers), "its parameters changed since"
    judged = {c["id"]: c for c in record["claims"]}
    assert judged.keys() == {c.id for c in (*spec.claims, *spec.controls)}
    for control in spec.controls: assert judged[control.id]["verdict"] in ("not reproduced", "inconclusive"), f"control {control.id} failed"


def test_accepted_reports_are_small_and_name_no_machine():
    for folder in sorted((ROOT / "reports" / "accepted").glob("*/")):
        kept = [p for p in folder.rglob("*") if p.is_file() and p.name != "report.html"]
        sound = any(mark in (folder / "report.ipynb").read_text("utf-8") for mark in ("data:audio", "image/gif"))
        assert sum(p.stat().st_size for p in kept) < (1_200_000 if sound else 400_000), folder.name
        for path in (p for p in kept if p.suffix in (".json", ".ipynb")):
            text = json.loads(path.read_text("utf-8"))
            for hit in re.findall(r"(?<![\w.])/(?:home|root|tmp|Users|work)/[\w.\-/]+", json.dumps(text)): pytest.fail(f"{path.name}: {hit}")


# Formulas and the installed package

def test_every_formula_becomes_mathml():
    "No backslash and no ampersand of LaTeX is left in any formula that the pages would show."
    from deeplearn.runner.page import markdown
    texts = ["".join(c["source"]) for p in NOTEBOOKS for c in read_notebook(p)["cells"] if c["cell_type"] == "markdown" and "$" in "".join(c["source"])]
    assert texts
    for source, page in zip(texts, markdown(texts)):
        page = re.sub(r"<annotation.*?</annotation>", "", page, flags=re.S)
        outside = re.sub(r"<(code|pre)\b.*?</\1>", "", page, flags=re.S)
        assert not re.search(r"\\[a-zA-Z]+|\\\\", outside), f"not rendered:\n{source[:300]}"
        for formula in re.findall(r"<math.*?</math>", page, re.S):
            assert not re.search(r"\\|&amp;(?!lt;|gt;)", formula), f"not rendered:\n{source[:300]}"


def public_names() -> list[tuple[str, str]]:
    found = []
    for path in sorted((ROOT / "deeplearn").glob("*/__init__.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "names":
                found += [(path.parent.name, name) for name in ast.literal_eval(node.value)]
    return found


def test_every_public_name_imports_from_an_installed_wheel(tmp_path):
    "Build the wheel, unpack it away from the project and import every name of every part's table."
    names = public_names()
    assert {part for part, _ in names} >= {"core", "foundations", "runner"}
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=lambda folder, files: [f for f in files if f not in (
        "settings.ini", "setup.py", "pyproject.toml", "README.md", "LICENSE", "deeplearn") and Path(folder) == ROOT or f == "__pycache__"])
    build = subprocess.run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(source)],
                           capture_output=True, text=True)
    assert build.returncode == 0, build.stderr[-2000:]
    wheel = next((tmp_path / "dist").glob("*.whl"))
    target = tmp_path / "installed"
    install = subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(target), str(wheel)],
                             capture_output=True, text=True)
    assert install.returncode == 0, install.stderr
    code = "import importlib, sys\nimport deeplearn\nassert deeplearn.__file__.startswith(sys.argv[1]), deeplearn.__file__\n" + "\n".join(
        f"assert getattr(importlib.import_module('deeplearn.{part}'), '{name}') is not None" for part, name in names)
    done = subprocess.run([sys.executable, "-c", code, str(target)], capture_output=True, text=True, cwd=tmp_path,
                          env=os.environ | {"PYTHONPATH": str(target), "PYTHONSAFEPATH": "1"})
    assert done.returncode == 0, done.stderr[-2000:]


def test_settings_are_the_metadata_of_the_wheel():
    from importlib.metadata import metadata
    about = metadata("deeplearn")
    assert about["Version"] == settings()["version"] and about["Requires-Python"].startswith(f">={settings()['min_python']}")
    declared = {Requirement(r).name.lower() for r in about.get_all("Requires-Dist") if "extra" not in r}
    assert declared == set(requirements())
