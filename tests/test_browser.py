"""The pages in a real browser: nothing is requested from outside, nothing overflows a phone, and axe finds no fault that hides content."""
import shutil
from pathlib import Path

import pytest

CHROMIUM = next((p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH: install the system package `chromium`")
QUIET = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-sandbox"]


@pytest.fixture(scope="module")
def browser():
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(smoke):
    "The gallery and the page of a run, by name."
    from deeplearn.runner.gallery import build
    made = smoke("perceptron_convergence")
    return dict(gallery=build(smoke.reports), report=made.page)


def opened(browser, path: Path, width: int, scheme: str = "light"):
    page = browser.new_page(viewport=dict(width=width, height=900), color_scheme=scheme)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    return page, [url for url in asked if not url.startswith(("file:", "data:"))]


@pytest.mark.parametrize("name", ["gallery", "report"])
def test_page_asks_for_nothing_and_runs_nothing(browser, pages, name):
    page, outside = opened(browser, pages[name], 1280)
    assert outside == []
    assert page.locator("h1").count() == 1 and page.locator("h1").inner_text().strip()
    assert page.evaluate("document.scripts.length") == 0
    broken = page.evaluate("[...document.images].filter(i => !i.complete || i.naturalWidth === 0).length")
    assert page.locator("img").count() > 0 and broken == 0
    page.close()


@pytest.mark.parametrize("name", ["gallery", "report"])
@pytest.mark.parametrize("width", [360, 1280])
def test_page_does_not_scroll_sideways(browser, pages, name, width):
    page, _ = opened(browser, pages[name], width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


@pytest.mark.parametrize("name", ["gallery", "report"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_is_accessible(browser, pages, name, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    page = browser.new_page(color_scheme=scheme, bypass_csp=True)
    page.goto(pages[name].as_uri())
    found = axe.Axe().run(page, options=dict(runOnly=["wcag2a", "wcag2aa"])).response["violations"]
    assert not found, "\n".join(f"{v['id']}: {v['help']}: {v['nodes'][0]['html'][:200]}" for v in found)
    page.close()


def test_links_of_the_gallery_lead_to_pages(browser, pages):
    page, _ = opened(browser, pages["gallery"], 1280)
    links = page.evaluate("[...document.querySelectorAll('a')].map(a => a.getAttribute('href'))")
    files = [link for link in links if not link.startswith(("#", "http"))]
    assert files and all((pages["gallery"].parent / link).is_file() for link in files)
    page.close()
