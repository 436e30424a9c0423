"""The monitor's login in a real headless Chromium; run by 'make test-web'."""

import os
from pathlib import Path

import pytest
from chromium import launched
from monitor_process import MonitorProcess

TOKEN = "s3cret"
AXE = Path(os.environ.get("AXE", "none"))


@pytest.fixture(scope="module")
def browser():
    with launched() as browser:
        yield browser


@pytest.fixture
def monitor(tmp_path):
    file = tmp_path / "token"
    file.write_text(TOKEN, encoding="utf-8")
    monitor = MonitorProcess(tmp_path, "/login", monitor__token_file=file)
    yield monitor
    monitor.close()


def give(page, token):
    """Type the token and send it; the field gets the focus by itself, but after the page's load."""
    page.wait_for_selector("[name=token]:focus")
    page.keyboard.type(token)
    page.keyboard.press("Enter")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_wrong_token_is_told_and_the_right_one_opens_the_page(browser, monitor, scheme):
    context = browser.new_context(color_scheme=scheme, viewport={"width": 360, "height": 740})
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.goto(monitor.url)
    assert page.get_by_role("alert").count() == 0
    give(page, "wrong")
    told = page.get_by_role("alert")
    told.wait_for()
    assert told.inner_text() == "That is not the token. Mã truy cập không đúng."
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    if AXE.is_file():
        page.evaluate(AXE.read_text(encoding="utf-8"))
        found = page.evaluate("axe.run()")["violations"]
        assert [(fault["id"], fault["nodes"][0]["html"]) for fault in found] == []
    give(page, TOKEN)
    page.wait_for_selector("#link:text('connected')")
    context.close()


def test_a_page_whose_token_is_no_longer_right_asks_for_it(browser, monitor, tmp_path):
    context = browser.new_context()
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.goto(monitor.url)
    give(page, TOKEN)
    page.wait_for_selector("#link:text('connected')")
    monitor.end()
    file = tmp_path / "token"
    file.write_text("another", encoding="utf-8")
    again = MonitorProcess(tmp_path, "/login", port=monitor.port, monitor__token_file=file)
    try:
        page.wait_for_url("**/login")
    finally:
        again.close()
        context.close()
