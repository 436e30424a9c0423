"""The page of ``serve``'s documentation in a real headless Chromium; run by 'make test-web'."""

import pytest
from chromium import launched
from test_serve import Served


@pytest.fixture(scope="module")
def browser():
    with launched() as browser:
        yield browser


@pytest.fixture
def served(tmp_path):
    served = Served(tmp_path / "serve.log")
    yield served
    served.end()


def test_it_is_drawn_without_another_host(browser, served):
    context = browser.new_context()
    page = context.new_page()
    asked, faults = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(f"{served.url}/docs")
    page.get_by_text("Tag a reply", exact=True).wait_for(timeout=60_000)
    context.close()
    assert len(asked) >= 4  # the page, its script, its looks, the interface
    assert [url for url in asked if not url.startswith((served.url, "data:"))] == []
    assert faults == []
