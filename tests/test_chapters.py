"""Every chapter runs in a fresh kernel and says what its saved outputs say."""
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deeplearn.core.provenance import read_notebook
from deeplearn.runner.chapters import chapters, run_beside
from deeplearn.runner.comparison import compare_notebooks

NBS = Path(__file__).resolve().parents[1] / "nbs"
SECONDS = 40  # a chapter's limit on two quiet cores; reported, not failed on: the machine may be busy


@pytest.fixture(scope="session")
def reruns(request):
    "The chapters that this session's tests ask for, run two at a time."
    with ThreadPoolExecutor(2) as pool:
        asked = [item.callspec.params["path"] for item in request.session.items if "reruns" in getattr(item, "fixturenames", ())]
        yield {path: pool.submit(run_beside, path) for path in asked}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("path", chapters(), ids=lambda p: p.relative_to(NBS).with_suffix("").as_posix())
def test_chapter_says_what_its_saved_outputs_say(path, reruns):
    found, trouble, _ = reruns[path].result()
    assert found, f"{path.stem} does not run:\n{trouble}"
    different = compare_notebooks(read_notebook(path), found)
    assert not different, f"`make chapters ONLY={path.relative_to(NBS).with_suffix('')}`: " + "\n".join(f"cell {i}\n{d}" for i, d in different[:3])


@pytest.mark.parametrize("path", chapters(), ids=lambda p: p.relative_to(NBS).with_suffix("").as_posix())
def test_chapter_is_committed_executed(path):
    "A chapter other than an index has saved outputs, none of them an error, and no path of a machine."
    import json, re
    outputs = [o for c in read_notebook(path)["cells"] for o in c.get("outputs", [])]
    assert outputs or path.stem == "index", "run it in place: make chapters"
    assert not [o["ename"] for o in outputs if o["output_type"] == "error"]
    text = json.dumps([o if "data" not in o else {k: v for k, v in o["data"].items() if k != "image/png"} for o in outputs])
    assert not re.search(r"(?<![\w.])/(?:home|root|tmp|Users|work|opt)/[\w.\-/]+", text)
