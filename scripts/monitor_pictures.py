"""Makes the pictures of the monitor's page in docs/monitor, from a real node and a real browser.

make test-web brings the browser's driver; then:
PYTHONPATH=.venv-web/packages:test:test/web scripts/in_env.sh python scripts/monitor_pictures.py
"""

import io
import tempfile
from pathlib import Path

from chromium import launched
from monitor_process import MonitorProcess
from PIL import Image
from ros import NodeProcess, Robot, conversation, until

ROOT = Path(__file__).resolve().parent.parent
COLOURS = 96
OUT = ROOT / "docs/monitor"
TURNS = 10
TOKEN = "a-token-of-this-robot"
# A page's picture: its size in CSS pixels, its colours, its language.
SIZES = {
    "light": (1400, 900, "light", "en-US"),
    "dark": (1400, 900, "dark", "en-US"),
    "vietnamese": (1400, 900, "light", "vi-VN"),
    "phone": (390, 844, "light", "en-US"),
    "wall": (2560, 1440, "dark", "en-US"),
}


def connected(page):
    """Wait until the page shows what the monitor has."""
    until(lambda: page.evaluate("document.getElementById('link').className !== 'bad'"))
    until(lambda: page.evaluate("pikaPage.taken > 0 && pikaPage.drawn === pikaPage.taken"))
    page.wait_for_timeout(1500)  # the face has moved to its place


def save(page, name):
    """Write the page's picture, in few colours: it stays in the repository."""
    shot = Image.open(io.BytesIO(page.screenshot()))
    shot.convert("RGB").quantize(COLOURS).save(OUT / f"{name}.png", optimize=True)
    print(f"docs/monitor/{name}.png")


def pictures_of(browser, url):
    """Write a picture of the page in each size."""
    for name, (width, height, scheme, locale) in SIZES.items():
        size = {"width": width, "height": height}
        page = browser.new_page(viewport=size, color_scheme=scheme, locale=locale)
        page.goto(url)
        connected(page)
        save(page, name)
        page.close()


def main():
    """Write all pictures."""
    with tempfile.TemporaryDirectory() as name, launched() as browser:
        folder = Path(name)
        node = NodeProcess(folder, params={"tagger": "reflex"})
        monitor = MonitorProcess(folder, node.namespace, monitor__show_text="true")
        try:
            with Robot(node) as robot:
                robot.wait_for_node(60.0)
                for who, text in conversation()[:TURNS]:
                    robot.say((who, text))
            pictures_of(browser, monitor.url)
            page = browser.new_page(viewport={"width": 1400, "height": 900}, locale="en-US")
            page.goto(monitor.url)
            connected(page)
            page.locator("#turns li .fix").first.click()
            page.wait_for_selector(".fixing")
            save(page, "correction")
            monitor.end()
            page.wait_for_selector("#link.bad")
            save(page, "lost")
        finally:
            monitor.close()
            node.close()
        token = folder / "token"
        token.write_text(TOKEN, encoding="utf-8")
        monitor = MonitorProcess(folder, "/login", monitor__token_file=token)
        try:
            page = browser.new_page(viewport={"width": 390, "height": 400})
            page.goto(monitor.url)
            page.wait_for_selector("[name=token]:focus")
            page.keyboard.type("another")
            page.keyboard.press("Enter")
            page.get_by_role("alert").wait_for()
            save(page, "login")
        finally:
            monitor.close()


if __name__ == "__main__":
    main()
