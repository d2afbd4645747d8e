"""Notebooks and runs that the tests of the report engine share; a run is made once a session."""
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil

COMMAND = [sys.executable, "-m", "deeplearn.runner.cli"]


def notebook(path: Path, *cells: str, tagged: int = 1) -> Path:
    "Write a notebook: a cell that begins with # is markdown, the first `tagged` code cells carry the tag `parameters`."
    made = []
    for number, source in enumerate(cells):
        kind = "markdown" if source.startswith("# ") or source.startswith("## ") else "code"
        tags = ["parameters"] if kind == "code" and tagged > 0 else []
        tagged -= bool(tags)
        cell = dict(cell_type=kind, id=f"c{number}", metadata=dict(tags=tags) if tags else {}, source=source)
        made.append(cell | (dict(execution_count=None, outputs=[]) if kind == "code" else {}))
    path.parent.mkdir(parents=True, exist_ok=True)
    spec = dict(display_name="Python 3", language="python", name="python3")
    path.write_text(json.dumps(dict(cells=made, metadata=dict(kernelspec=spec), nbformat=4, nbformat_minor=5)))
    return path


def environment(**more: str) -> dict[str, str]:
    "The environment of a command under test: without anything that a developer's shell may have set."
    return {k: v for k, v in os.environ.items() if not k.startswith("DEEPLEARN_")} | dict(DEEPLEARN_OFFLINE="1") | more


def deeplearn(*words, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess:
    "Call the command in a process of its own."
    return subprocess.run([*COMMAND, *map(str, words)], capture_output=True, text=True, cwd=cwd, env=environment(**more), timeout=120)


def left_behind(folder: Path) -> list[str]:
    "Processes that still carry the mark of a run in `folder`."
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("DEEPLEARN_PROGRESS", "").startswith(str(folder)): found.append(" ".join(process.cmdline()))
    return found


def until(condition, seconds: float = 30):
    "Wait until `condition()` is true and return what it gave."
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition(): return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {condition}")


FAULTS = ['# Faults\n\nHow a run ends.', 'how: str = "well"  # how the third cell ends {well, raises, sleeps, stubborn, exits, killed, aborts, worker}\nseed: int = 0  # of the noise',
          "import os, random, signal, subprocess, sys, time\nfrom deeplearn.core.claims import metric\nrandom.seed(seed)\n"
          "metric('noise', random.random(), 'dimensionless')\nprint('so far', how)\n"
          "if how != 'well': subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'], start_new_session=True)",
          "print('before the end', flush=True)\ntime.sleep(0.4)\nif how == 'stubborn': signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
          "if how in ('sleeps', 'stubborn'): time.sleep(120)\nif how == 'raises': {}['missing']\nif how == 'exits': os._exit(3)\n"
          "if how == 'killed': os.kill(os.getpid(), signal.SIGKILL)\nif how == 'aborts': os.abort()\n"
          "if how == 'worker': os.kill(os.getppid(), signal.SIGKILL); time.sleep(120)",
          "print('after')"]
GUILTY = 4  # in report.ipynb: title, parameters, the run's values, the set-up, the cell that ends badly


class Faults:
    "One experiment that ends well once and badly in every way; all its runs share a folder of reports."
    def __init__(self, folder: Path):
        self.path, self.reports, self.codes, self.screens = notebook(folder / "faults.ipynb", *FAULTS), folder / "reports", {}, {}
        self._run("well")
        self.good = self.record("well")[0]
        self.before = self.contents()
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda job: self._run(*job), [
                ("raises",), ("exits",), ("killed",), ("aborts",), ("worker",), ("sleeps cell", "--cell-timeout", "4"), ("sleeps run", "--timeout", "5"),
                ("stubborn", "--cell-timeout", "4")]))
            list(pool.map(lambda job: self._interrupt(*job), [("SIGINT", 1), ("SIGTERM", 2), ("SIGKILL", 3)]))
        self.gallery = deeplearn("index", "--reports", self.reports)
        self.left = left_behind(self.reports)

    def contents(self) -> dict[str, bytes]: return {p.relative_to(self.good).as_posix(): p.read_bytes() for p in self.good.rglob("*") if p.is_file()}

    def _run(self, name: str, *more: str):
        done = deeplearn("run", self.path, "-p", f"how={name.split()[0]}", "-p", f"seed={len(name)}", "--reports", self.reports, *more)
        self.codes[name], self.screens[name] = done.returncode, done.stderr

    def _interrupt(self, name: str, seed: int):
        "Send a signal to the command while the third cell sleeps."
        process = subprocess.Popen([*COMMAND, "run", str(self.path), "-p", "how=sleeps", "-p", f"seed={seed}", "--reports", str(self.reports)],
                                   env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
        hidden = until(lambda: next(self.reports.glob(f"runs/faults/.*-{process.pid}"), None))
        progress = hidden / "progress.jsonl"
        until(lambda: progress.is_file() and progress.read_text().count("\n") >= 4)
        time.sleep(1)  # the cell prints its line
        process.send_signal(getattr(signal, name))
        self.screens[name] = process.communicate(timeout=60)[1]
        self.codes[name] = process.returncode
        until(lambda: not any("worker" in line or "ipykernel" in line for line in left_behind(hidden)))  # even without its command a worker ends

    def record(self, name: str) -> tuple[Path, dict]:
        "Folder and record of the run of that name."
        seed = dict(SIGINT=1, SIGTERM=2, SIGKILL=3).get(name, len(name))
        how = "sleeps" if name in ("SIGINT", "SIGTERM", "SIGKILL") else name.split()[0]
        found = [(p.parent, json.loads(p.read_text())) for p in self.reports.glob("runs/faults/*/record.json")]
        return next((folder, r) for folder, r in found if r["parameters"] == dict(how=how, seed=seed))
