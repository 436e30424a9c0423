"""A real headless Chromium, for the tests of what a browser shows."""

import contextlib
import os
import shutil

import pytest

pytest.importorskip("playwright.sync_api", reason="run by 'make test-web'")

from playwright.sync_api import sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("needs Chromium: apt install chromium", allow_module_level=True)


@contextlib.contextmanager
def launched():
    with sync_playwright() as driver:
        # Root, as in a container, has no sandbox; nothing but our own pages is opened.
        options = ["--no-proxy-server", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()
