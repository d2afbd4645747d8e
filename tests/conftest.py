"""What several test files share."""
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(scope="session")
def root() -> Path:
    "The project's folder."
    return ROOT


@pytest.fixture(scope="session")
def smoke(tmp_path_factory):
    "Smoke runs of the project's experiments: `smoke(name)` runs one on first use and gives the same run afterwards."
    from deeplearn.runner.execution import run
    reports, made = tmp_path_factory.mktemp("reports"), {}

    def of(name: str):
        if name not in made: made[name] = run(name, tier="smoke", reports=reports)
        return made[name]
    of.reports = reports
    return of
