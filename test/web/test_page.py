"""The monitor's page in a real headless Chromium, beside a real node; run by 'make test-web'."""

import contextlib
import os
import re
import statistics
import time
from pathlib import Path

import pytest
from chromium import launched
from monitor_process import MonitorProcess
from ros import NodeProcess, Robot, until

from pika_emotion.cli import main
from pika_emotion.corpus import read_file
from pika_emotion.labels import load_labels

LABELS = load_labels().names
PHRASES = (
    "Yes, four is right! Well done!",
    "Oh no, I am so sad.",
    "Grr! I am very angry!",
    "Hmm...",
)
AXE = Path(os.environ.get("AXE", "none"))
# More than are ever sent: on a busy machine a second's tags wait, and none may be lost for that.
DEPTH = "10000"


@pytest.fixture(scope="module")
def browser():
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    params = {"tagger": "reflex", "qos.depth": DEPTH}
    node = NodeProcess(tmp_path_factory.mktemp("node"), params=params)
    yield node
    node.close()


@pytest.fixture(scope="module")
def robot(node):
    with Robot(node) as robot:
        robot.wait_for_node(120.0)
        yield robot


@pytest.fixture
def monitor(tmp_path, node):
    monitor = MonitorProcess(tmp_path, node.namespace, monitor__show_text="true", qos__depth=DEPTH)
    yield monitor
    monitor.close()


@pytest.fixture
def page(browser, monitor):
    """A page that is connected; nothing may go wrong in it."""
    with opened(browser, monitor) as page:
        yield page


@contextlib.contextmanager
def opened(browser, monitor):
    context = browser.new_context(locale="en-US", viewport={"width": 1400, "height": 900})
    context.set_default_timeout(60_000)
    page = context.new_page()
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(monitor.url)
    met(page, "document.getElementById('link').textContent === 'connected'")
    yield page
    context.close()
    assert faults == []


def met(page, condition, seconds=120.0):
    """Wait for JavaScript to be true; Playwright's own way is barred by the page's policy."""
    until(lambda: page.evaluate(condition), seconds)


def attempt(page, **turn):
    """Use the try-it box, again while node and monitor have not met; return what it says.

    The tag has been drawn by then, too.
    """
    for name in ("question", "child", "reply"):
        page.fill(f"[name={name}]", turn.get(name, ""))
    for _ in range(50):
        page.click("#try button")
        met(page, "!['', '…'].includes(tried.textContent)")
        # The monitor may have met the node's inputs and not its tags: then there comes none.
        with contextlib.suppress(AssertionError):
            met(page, "tried.textContent !== 'published'", 20.0)
        told = page.inner_text("#tried")
        if told.startswith("tagged"):
            met(page, "pikaPage.drawn === pikaPage.taken")
            return told
        assert told == "published" or "no active emotion_node" in told
        time.sleep(0.2)
    raise AssertionError(told)


def test_what_is_tried_gets_its_tag_and_a_row(page):
    told = attempt(page, question="Two and two?", child="four", reply=PHRASES[0])
    row = page.locator("#turns li[data-n]").first
    met(page, "document.querySelector('#turns li').innerText.includes('four is')")
    assert row.locator("strong").inner_text() in told
    assert "Two and two?" in row.inner_text()
    assert "REFLEX" in row.inner_text()


def test_the_face_changes_with_the_tag(page):
    page.emulate_media(reduced_motion="reduce")  # the face is still, and jumps
    shapes = set()
    for phrase in PHRASES[:3]:
        emotion = attempt(page, reply=phrase).split(": ")[1].split(" ★")[0].split(",")[0]
        met(page, f"emotion.textContent === '{emotion}'")
        assert emotion.replace(" ", "_") in LABELS
        shape = page.eval_on_selector("#face", "face => face.innerHTML")
        frames = page.evaluate("pikaPage.painted")
        met(page, f"pikaPage.painted > {frames} + 2")
        assert page.eval_on_selector("#face", "face => face.innerHTML") == shape
        shapes.add(shape)
    assert len(shapes) == 3


def test_the_gpus_memory_is_shown_where_a_tagger_tells_it(page, browser, tmp_path):
    met(page, "facts.innerText.includes('deadline')")
    assert "GPU" not in page.inner_text("#facts")
    gpu = {"tagger": "scripted.tagger", "scripted.does": "on_gpu", "scripted.in_worker": "true"}
    node = NodeProcess(tmp_path, params=gpu)
    monitor = MonitorProcess(tmp_path, node.namespace)
    try:
        with opened(browser, monitor) as beside:
            met(beside, "facts.innerText.includes('GPU memory')")
            shown = beside.inner_text("#facts")
            held = float(re.search(r"GPU memory\s+tagger (\S+) · all programs", shown)[1])
            assert held >= 4.5
            assert "all programs 10.0 / 16.0 GiB" in shown
            beside.click("#language")
            met(beside, "facts.innerText.includes('bộ nhớ GPU')")
    finally:
        monitor.close()
        node.close()


def test_all_faces_differ_and_a_new_label_borrows_the_nearest(page):
    found = page.evaluate(
        """async names => {
          const { Face, poseOf } = await import('/face.js');
          const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
          const face = new Face(svg, {}, () => true);
          const drawn = names.map(name => (face.show(name, .5), face.step(0, 1), svg.innerHTML));
          return [drawn, poseOf('furious', {group: 'distress', valence: -.8, arousal: .9}),
                  poseOf('cosy', {group: 'unheard of', valence: .4, arousal: .1}), poseOf('x')];
        }""",
        list(LABELS),
    )
    assert len(set(found[0])) == len(LABELS) == 17
    assert found[1:] == ["angry", "calm", "idle"]


def test_a_correction_is_exported_as_evaluate_reads_it(page, tmp_path, capsys):
    attempt(page, question="Two and\ttwo?", child="bốn", reply=PHRASES[0])
    met(page, "document.querySelector('#turns li').innerText.includes('bốn')")
    page.locator("#turns li .fix").first.click()
    page.locator(".fixing [name=emotion]").select_option("calm")
    page.locator(".fixing [name=celebrate]").select_option("either")
    page.locator(".fixing button").click()
    with page.expect_download() as download:
        page.click("#export")
    file = tmp_path / "turns.tsv"
    download.value.save_as(file)
    row = read_file(file, load_labels())[-1]
    assert (row.turn.child, row.turn.reply) == ("bốn", PHRASES[0])
    assert (row.emotions, row.celebrate) == (("calm",), "either")
    assert main(["evaluate", "--tagger", "reflex", "--data", str(file)]) == 0
    assert "emotion" in capsys.readouterr().out


def test_a_correction_is_made_by_keyboard_and_keeps_the_focus(page):
    attempt(page, reply=PHRASES[0])
    fix = "document.activeElement.matches('#turns li:first-child .fix')"
    for close in ("Escape", "Enter"):
        page.focus("#turns li:first-child .fix")
        page.keyboard.press("Enter")
        met(page, "document.activeElement.matches('.fixing [name=emotion]')")
        page.keyboard.press("ArrowDown")
        if close == "Enter":
            page.keyboard.press("Tab")
            page.keyboard.press("Tab")  # OK
        page.keyboard.press(close)
        met(page, f"!document.querySelector('.fixing') && {fix}")
    assert page.inner_text("#turns li:first-child .fix") == "corrected"


def test_pause_and_filters(page):
    attempt(page, reply=PHRASES[0])
    page.click("#pause")
    rows = page.locator("#turns li[data-n]").count()
    attempt(page, reply=PHRASES[1])
    met(page, "note.textContent.startsWith('1 ')")
    assert page.locator("#turns li[data-n]").count() == rows
    page.click("#pause")
    met(page, f"document.querySelectorAll('#turns li[data-n]').length === {rows + 1}")
    label = page.locator("#turns li strong").first.inner_text().replace(" ", "_")
    page.select_option("#by-label", label)
    met(page, "document.querySelectorAll('#turns li[data-n]').length === 1")
    assert page.locator("#turns li strong").inner_text().replace(" ", "_") == label


def test_a_lost_server_comes_back(page, monitor, node, tmp_path):
    attempt(page, reply=PHRASES[0])
    monitor.end()
    page.wait_for_selector("#link.bad")
    again = MonitorProcess(tmp_path, node.namespace, port=monitor.port, monitor__show_text="true")
    try:
        page.wait_for_selector("#link:not(.bad)")
        assert attempt(page, reply=PHRASES[1]).startswith("tagged")
    finally:
        again.close()


def test_it_stays_smooth_at_a_hundred_tags_a_second_for_a_minute(page, robot):
    count = 6000
    attempt(page, reply=PHRASES[0])
    met(page, "pikaPage.frames.length > 100")
    idle = page.evaluate("pikaPage.frames")
    page.evaluate("pikaPage.frames.length = pikaPage.arrivals.length = 0")
    robot.forget()
    begin = time.monotonic()
    for n in range(count):
        robot.pika_says(PHRASES[n % 4])
        time.sleep(max(0.0, begin + n / 100 - time.monotonic()))
    robot.wait_for_tags(60.0)
    # A page that is too slow for it is told of each tag that it was not sent.
    met(page, f"pikaPage.arrivals.length + pikaPage.dropped >= {count}")
    frames, arrivals, dropped = page.evaluate(
        "[pikaPage.frames, pikaPage.arrivals, pikaPage.dropped]"
    )
    centiles = statistics.quantiles(arrivals, n=100)
    print(
        f"{len(arrivals)} tags, {dropped} dropped; published to page p50 {centiles[49]:.1f} ms, "
        f"p99 {centiles[98]:.1f} ms; {len(frames)} frames, slowest {max(frames):.0f} ms, "
        f"{sum(frame > 200 for frame in frames)} over 200 ms"
    )
    assert len(arrivals) <= count <= len(arrivals) + dropped
    assert page.locator("#turns li").count() <= 60
    # How smooth depends on the machine; a page that hangs draws next to nothing.
    assert statistics.median(frames) < max(1000, 5 * statistics.median(idle))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not there: 'make test-web' needs npm")
def test_axe_finds_no_serious_fault(page, scheme):
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    attempt(page, question="Two and two?", child="four", reply=PHRASES[0])
    page.locator("#turns li .fix").first.click()
    page.wait_for_selector(".fixing")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run()")["violations"]
    assert [(fault["id"], fault["nodes"][0]["html"]) for fault in found] == []


def test_it_fits_a_phone_and_speaks_vietnamese(page):
    page.set_viewport_size({"width": 360, "height": 740})
    attempt(page, reply=PHRASES[0])
    page.keyboard.press("Home")
    page.focus("#language")
    page.keyboard.press("Enter")
    assert page.inner_text("#turns-title") == "Lượt nói"
    assert page.get_attribute("html", "lang") == "vi"
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
