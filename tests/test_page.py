"""A report is one file that needs nothing and can do nothing: sanitised, under a policy, readable by ear, on a telephone and in the dark."""
import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from engine import notebook

from deeplearn.runner import gallery, page
from deeplearn.runner.execution import run
from deeplearn.runner.page import clean, collect, in_order, interval, markdown, measured, number, plain, render_cells, render_output, tally
from deeplearn.runner.record import check_shape

VOID = set("area base br col embed hr img input link meta source track wbr".split())


class Page(HTMLParser):
    "All elements of a page: tag, attributes, and the tags around it."
    def __init__(self, text: str):
        super().__init__()
        self.elements, self.around, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), tuple(self.around)))
        if tag not in VOID: self.around.append(tag)

    def handle_endtag(self, tag):
        assert tag in self.around, f"</{tag}> closes nothing"
        while self.around.pop() != tag: pass

    def handle_data(self, data): self.text += data if not {"style"} & set(self.around) else ""
    def all(self, *tags): return [(tag, attributes, around) for tag, attributes, around in self.elements if tag in tags]


HOSTILE = ("<script>alert(1)</script><img src=x onerror=alert(2)><iframe src='https://example.org'></iframe><img src='https://example.org/a.png'>"
           "<a href='javascript:alert(3)'>a</a><svg onload=alert(4)><script>alert(5)</script></svg><object data='x'></object><embed src='x'>"
           "<form action='https://example.org'><input></form><link rel=stylesheet href='https://example.org'><meta http-equiv=refresh content='0;url=x'>"
           "<style>@import url(https://example.org)</style><p style='background:url(https://example.org)'>b</p><base href='https://example.org'>"
           "<math><mtext><script>alert(6)</script></mtext></math><img src='data:text/html;base64,PHNjcmlwdD4='><audio src='https://example.org'></audio>"
           "<video src='https://example.org'></video><img srcset='https://example.org 2x'><button formaction='javascript:alert(7)'>c</button>")
RICH = ["# A rich report\n\nThe bound is $k \\le (R/\\gamma)^2$.", "seed: int = 0  # of nothing\nn: int = 20  # points [1..1000]", "# Second first-level heading",
        "## Deep\n\n$$\\begin{aligned} a &= \\frac{1}{2} \\\\ b &= \\operatorname*{arg\\,max}_x f(x) \\end{aligned}$$\n\n| wide | table |\n|---|---|\n| 1 | 2 |\n\n"
        "<script>alert(8)</script> <img src=\"https://example.org/b.png\">\n\n#### Skipped a level",
        "import numpy as np\nfrom deeplearn.core.claims import judge, metric\nfrom deeplearn.core.plotting import curves, show\n"
        "metric('mean', 0.5, 'share of points', interval=(0.4, 0.6))\nmetric('count', n, 'points')",
        "for k in range(3):\n    show(curves({'train': np.arange(n) ** k}).figure, f'Power {k}: <b>rising</b> & \"quoted\".', f'A curve of power {k} that rises')",
        f"from IPython.display import HTML, Markdown, display\ndisplay(HTML({HOSTILE!r}))\ndisplay(Markdown('A *shown* $x^2$.'))\nimport pandas as pd\npd.DataFrame(dict(a=[1, 2]))",
        "import sys\nprint('10 %\\r100 %')\nprint('\\x1b[31mred\\x1b[0m <script>alert(9)</script>', file=sys.stderr)\nprint('x' * 200_000)",
        "verdict = judge('rich', [0, 0, 0])\nverdict = judge('rich-control', [0, 1, 0])"]
RICH_YAML = """question: Is the <page> safe & sound?
claims:
  - {id: rich, statement: "Nothing <script> breaks.", source: "Nobody & Son (2026)", level: exact, kind: exact, n: 3, rule: {kind: EQ, value: 0}}
controls:
  - {id: rich-control, statement: It breaks., source: none, level: exact, kind: exact, n: 3, rule: {kind: EQ, value: 0}}
"""


@pytest.fixture(scope="session")
def rich(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rich")
    path = notebook(folder / "rich.ipynb", *RICH)
    path.with_suffix(".yaml").write_text(RICH_YAML)
    made = run(str(path), reports=folder / "reports")
    assert made.status == "ok", made.record["error"]
    return made


@pytest.fixture(scope="session")
def pages(rich) -> dict[str, str]:
    return dict(report=rich.page.read_text("utf-8"), gallery=gallery.build(rich.folder.parents[2]).read_text("utf-8"))


# Nothing acts and nothing is fetched

def acts(text: str) -> list[str]:
    "Whatever in a page could run or fetch something."
    found, parsed = [], Page(text)
    for tag, attributes, _ in parsed.elements:
        if tag in ("script", "iframe", "object", "embed", "form", "link", "base", "svg", "video", "button"): found.append(tag)
        found += [f"{tag} {name}" for name in attributes if name.startswith("on") or name in ("srcset", "formaction", "action", "background")]
        if not re.fullmatch(r"((text-align|padding-left|padding-right): ?\w+;? ?)*", attributes.get("style", "")): found.append(f"{tag} style")
        found += [f"{tag} {name}={attributes[name][:40]}" for name in ("src", "data", "poster") if name in attributes and not re.match("data:(image|audio)/", attributes[name])]
        if tag == "a" and not re.match(r"(https?:|mailto:|#|[\w./%-]+$)", attributes.get("href", "#")): found.append(f"a {attributes['href']}")
    styles = "".join(re.findall(r"<style>(.*?)</style>", text, re.S))
    return found + re.findall(r"@import|url\(|expression\(", styles)


@pytest.mark.parametrize("name", ["report", "gallery"])
def test_a_page_runs_nothing_and_fetches_nothing(pages, name):
    assert acts(pages[name]) == []
    policy = next(a["content"] for tag, a, _ in Page(pages[name]).elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'") and "script-src" not in policy
    assert Page(pages[name]).elements.index(("meta", {"http-equiv": "Content-Security-Policy", "content": policy}, ("html", "head"))) < 4


def test_the_check_above_would_see_a_hostile_page():
    assert len(acts(HOSTILE)) >= 20


@pytest.mark.parametrize("piece", re.findall(r"<(?!/)[^>]*>[^<]*(?:<script>[^<]*</script>)?", HOSTILE))
def test_each_hostile_piece_is_harmless_after_cleaning(piece):
    for text in (piece, f"<div>{piece}</div>", f"<table><tr><td>{piece}", f"<math>{piece}</math>", piece.upper(), piece.replace("<", "<<")):
        for safe in (clean(text), markdown([text])[0], render_output(dict(output_type="display_data", data={"text/html": text}))):
            assert acts(safe) == [] and "example.org" not in re.sub(r">[^<]*<", "", safe), safe


def test_what_is_harmless_stays():
    kept = '<p>a <b>b</b> <code>c</code></p><img alt="d" src="data:image/png;base64,aaaa" width="3"><audio controls="" src="data:audio/wav;base64,aaaa"></audio>'
    assert clean(kept) == kept
    assert 'href="https://example.org"' in clean('<a href="https://example.org">e</a>') and "rel=" in clean('<a href="https://example.org">e</a>')
    assert clean("a < b & c") == "a &lt; b &amp; c"


def test_text_of_users_is_escaped_everywhere(pages):
    for text in pages.values():
        assert "Is the &lt;page&gt; safe &amp; sound?" in text and "Nothing &lt;script&gt; breaks." in text
    assert "Power 1: &lt;b&gt;rising&lt;/b&gt; &amp; &quot;quoted&quot;." in pages["report"] and "red &lt;script&gt;" in pages["report"]


# Maths, outputs, figures

def test_formulas_are_mathml(pages):
    parsed = Page(pages["report"])
    assert len(parsed.all("math")) == 4 and len(parsed.all("mfrac")) == 1 and len(parsed.all("mtr")) == 2 and parsed.all("munder")
    shown = re.sub(r"<annotation.*?</annotation>", "", pages["report"], flags=re.S)
    assert not re.search(r"\\(frac|gamma|le|operatorname)", re.sub(r"<(pre|code).*?</\1>", "", shown, flags=re.S))


def test_outputs_are_shown_plain_and_long_ones_shortened(pages):
    printed = re.findall(r'<pre class="stream (\w+)" tabindex="0">(.*?)</pre>', pages["report"], re.S)
    assert [kind for kind, _ in printed] == ["stdout", "stderr"] and printed[0][1].startswith("100 %\nxxx") and printed[1][1].startswith("red &lt;script")
    assert "characters are left out here" in pages["report"] and len(pages["report"]) < 1_500_000


def test_figures_carry_caption_and_alternative_text(rich, pages):
    images = Page(pages["report"]).all("img")
    assert [a["alt"] for _, a, around in images if "figure" in around] == [f"A curve of power {k} that rises" for k in range(3)]
    assert [f["alt"] for f in rich.record["figures"]] == [f"A curve of power {k} that rises" for k in range(3)] and pages["report"].count("<figcaption>") == 3
    assert all((rich.folder / f["file"]).read_bytes().startswith(b"\x89PNG") for f in rich.record["figures"])
    assert pages["report"].count("Power 1:") == 1  # below the figure, and not printed again
    assert 'src="data:image/webp;base64,' in pages["gallery"]


def test_claims_controls_and_metrics_are_on_the_page(rich, pages):
    check_shape(rich.record)
    assert rich.metrics == dict(mean=0.5, count=20) and rich.record["metrics"]["mean"]["interval"] == [0.4, 0.6]
    for text in pages.values():
        assert '<span class="chip good">reproduced</span>' in text and "null, as it must be" in text and "[0.4, 0.6]" in text and "equal to 0" in text
    assert "1 of 1 claim reproduced" in pages["report"] and "1 of 1 claim reproduced" in pages["gallery"]
    assert gallery.summary(rich.record["claims"]) == "1 claim: 1 reproduced; 1 control, none failed."
    assert "deeplearn run rich.ipynb --tier laptop" in pages["report"] and rich.record["key"][:16] in pages["report"]


# For everybody

@pytest.mark.parametrize("name", ["report", "gallery"])
def test_a_page_can_be_heard_and_walked_by_keyboard(pages, name):
    parsed = Page(pages[name])
    levels = [int(tag[1]) for tag, _, _ in parsed.all("h1", "h2", "h3", "h4", "h5", "h6")]
    assert levels[0] == 1 and levels.count(1) == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:])), levels
    assert parsed.all("html")[0][1] == dict(lang="en") and len(parsed.all("title")) == len(parsed.all("main")) == 1
    assert all(a.get("alt", "").strip() for _, a, _ in parsed.all("img")) and all("scope" in a for _, a, _ in parsed.all("th"))
    boxes = [a for tag, a, _ in parsed.elements if "wide" in (a.get("class") or "").split()]
    assert len(boxes) == len(parsed.all("table")) > 0 and all(a["tabindex"] == "0" and a["aria-label"] for a in boxes)
    ids = [a["id"] for _, a, _ in parsed.elements if "id" in a]
    assert len(ids) == len(set(ids)) and {a["href"][1:] for _, a, _ in parsed.all("a") if a.get("href", "").startswith("#")} <= set(ids)
    assert all("href" in a for _, a, around in parsed.all("a") if not {"div", "p"} & set(around))


def test_a_page_suits_telephones_and_the_dark(pages):
    for text in pages.values():
        assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text
        assert "@media (prefers-color-scheme:dark)" in text and "overflow-x:auto" in text and "color-scheme:light dark" in text


def test_links_of_the_gallery_lead_somewhere(rich, pages):
    reports = rich.folder.parents[2]
    links = [a["href"] for _, a, _ in Page(pages["gallery"]).all("a") if not a["href"].startswith("#")]
    assert len(links) >= 4 and all((reports / link).is_file() for link in links)


# The small parts

@pytest.mark.parametrize("source, expected", [
    ("a\r\nb", "a\nb"), ("1 %\r2 %\r", "2 %"), ("1\r2\n3\r4", "2\n4"), ("\x1b[1;31mred\x1b[0m", "red"), ("\x1b]8;;http://x\x07link", "link"), (["a\n", "b"], "a\nb")])
def test_plain_text(source, expected): assert plain(source) == expected


@pytest.mark.parametrize("value, expected", [(None, "–"), (0.93402777, "0.934"), (1234567, "1\u202f234\u202f567"), (1e-7, "1e-07"), (True, "True"), ("x", "x"), (0.0, "0"),
                                             (2.5e20, "2.5e+20"), (-3.0, "-3")])
def test_numbers(value, expected): assert number(value) == expected


@pytest.mark.parametrize("bounds, expected", [(None, "–"), ([1, 2], "[1, 2]"), ([None, 2], "(−∞, 2]"), ([1, None], "[1, ∞)"), ([None, None], "–"), ("ab", "–"), ([1], "–")])
def test_intervals(bounds, expected): assert interval(bounds) == expected


@pytest.mark.parametrize("before, after", [("<h1>a</h1>", "<h2>a</h2>"), ("<h3>a</h3><h3>b</h3>", "<h2>a</h2><h2>b</h2>"), ("<h2>a</h2><h6>b</h6><h6>c</h6><h2>d</h2>", "<h2>a</h2><h3>b</h3><h3>c</h3><h2>d</h2>"),
                                           ("<h2>a</h2><h1>b</h1><h2>c</h2>", "<h2>a</h2><h2>b</h2><h3>c</h3>"), ("<h3>a</h3><h2>b</h2>", "<h2>a</h2><h2>b</h2>")])
def test_headings_skip_no_level(before, after): assert in_order(before) == after


def test_markdown_cells_do_not_swallow_each_other():
    texts = ["```\nan open block", "$x$ <b>and an open tag", "| a |\n|---|\n| 1 |", "", "[link](other.ipynb) [good](https://example.org)\n\n[^1]: note"]
    parts = markdown(texts)
    assert len(parts) == 5 and "an open block" in parts[0] and "<math" in parts[1] and "<table>" in parts[2] and parts[3].strip() == ""
    assert 'href="https://example.org"' in parts[4] and "other.ipynb" not in parts[4] and markdown([]) == []


def test_a_page_survives_without_pandoc(monkeypatch):
    import subprocess
    def fails(*_, **__): raise subprocess.CalledProcessError(1, "pandoc")
    monkeypatch.setattr(page, "_pandoc", fails)
    assert markdown(["a <b> $x$"]) == ["<pre>a &lt;b&gt; $x$</pre>"]


def test_never_begun_runs_say_so():
    cells = [dict(cell_type="code", source="x", metadata={}, outputs=[dict(output_type="stream", text="old")])]
    shown = render_cells(dict(cells=cells), failed=-1)
    assert "never run" in shown and "old" not in shown and "guilty" not in shown


def test_collecting_twice_gives_the_same(rich):
    executed = json.loads((rich.folder / "report.ipynb").read_text())
    found = collect(executed)
    assert found["metrics"] == rich.record["metrics"] and found["claims"] == rich.record["claims"] and found["malformed"] == 0
    assert [f["png"] for f in found["figures"]] == [(rich.folder / f["file"]).read_bytes() for f in rich.record["figures"]]


def test_tallies_never_call_an_unjudged_claim_refuted():
    claim = lambda verdict, control=False: dict(verdict=verdict, control=control)
    assert tally([]) == "no claims" and tally([claim("not judged at this tier")] * 2) == "2 claims, not judged at this tier"
    assert tally([claim("reproduced"), claim("not reproduced"), claim("not judged at this tier")]) == "1 of 3 claims reproduced, 1 not judged"
    assert tally([claim("reproduced"), claim("reproduced", True), claim("reproduced", True)]) == "1 of 1 claim reproduced, 2 controls failed"
    assert measured(dict(rule={"a": dict(kind="EQ", value=1), "b": dict(kind="new", x=1)}))[1][2].startswith("b: ")


def test_foreign_pictures_keep_their_size_and_bad_ones_are_dropped():
    png = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"0" * 60).decode()
    shown = render_output(dict(output_type="display_data", data={"image/png": png}, metadata={"image/png": {"width": 320}}))
    assert 'width="320"' in shown and 'alt="Figure without a description"' in shown
    assert render_output(dict(output_type="display_data", data={"image/png": '"><script>', "text/plain": "<fig>"})) == '<pre class="stream" tabindex="0">&lt;fig&gt;</pre>'
    assert "width" not in render_output(dict(output_type="display_data", data={"image/png": png}, metadata={"image/png": {"width": '1" onload="x'}}))


# Accepting

def test_accepting_is_strict_and_whole(rich, tmp_path, monkeypatch):
    reports = rich.folder.parents[2]
    with pytest.raises(gallery.ParameterError, match="it is no experiment of this project"): gallery.accept("rich", reports)
    monkeypatch.setattr(gallery, "accepted_folder", lambda: tmp_path / "accepted")
    monkeypatch.setattr(gallery, "objections", lambda folder, record: [])
    kept = gallery.accept("rich", reports)
    assert sorted(p.relative_to(kept).as_posix() for p in kept.rglob("*") if p.is_file()) == ["figures/01.png", "figures/02.png", "figures/03.png", "figures/thumbnail.webp",
                                                                                            "record.json", "report.ipynb"]
    (kept / "left over").write_text("")
    assert gallery.accept(rich.folder.name, reports) == kept and not (kept / "left over").exists()
    assert [p.name for p in (tmp_path / "accepted").iterdir()] == ["rich"] and list(gallery.accepted_records()) == ["rich"]
    with pytest.raises(gallery.ParameterError, match="Did you mean `rich`"): gallery.accept("rick", reports)


def test_a_gallery_is_built_from_whatever_is_there(tmp_path):
    "A record cut short, one of another engine, a card without a page: each is listed as what it is."
    for name, text in (("20260101T000000Z-aaaaaaaa", "{"), ("20260102T000000Z-bbbbbbbb", "[]"), ("20260103T000000Z-cccccccc", None)):
        folder = tmp_path / "runs" / "broken" / name
        folder.mkdir(parents=True)
        if text: (folder / "record.json").write_text(text)
    text = Path(gallery.build(tmp_path)).read_text()
    assert text.count("The record in `") == 2 and "No readable record in `" in text and acts(text) == []
