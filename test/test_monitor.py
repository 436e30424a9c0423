"""The monitor's server: real processes over DDS and HTTP. Its page is tested in test/web."""

import asyncio
import signal
import socket
import time

import pytest

pytest.importorskip("starlette", reason="needs the extra 'serve': pip install '.[serve]'")
pytest.importorskip("uvicorn", reason="needs the extra 'serve': pip install '.[serve]'")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from monitor_process import Listener, MonitorProcess
from ros import NodeProcess, Robot, until

from pika_emotion.dialogue import Dialogue, Message, Role
from pika_emotion.errors import ConfigError
from pika_emotion.monitor.feed import MOST_PAGES, QUEUE, Feed
from pika_emotion.monitor.turns import Turns

QUESTION, CHILD, REPLY = "Lan ơi, what is two and two?", "bốn, four", "Yes, four is right! Giỏi!"
PAGE_BYTES = 150_000


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    node = NodeProcess(tmp_path_factory.mktemp("node"), params={"tagger": "reflex"})
    yield node
    node.close()


@pytest.fixture(scope="module")
def robot(node):
    with Robot(node) as robot:
        robot.wait_for_node(20.0)
        yield robot


@pytest.fixture(scope="module")
def shown(tmp_path_factory, node):
    """A monitor that shows what is said."""
    monitor = MonitorProcess(
        tmp_path_factory.mktemp("shown"), node.namespace, monitor__show_text="true"
    )
    yield monitor
    assert monitor.end() == 0
    monitor.close()
    # Nothing is logged, least of all words; but the middleware complains where /dev/shm is full.
    told = [line for line in monitor.output.splitlines() if "RTPS" not in line]
    assert told[1:] == []


@pytest.fixture
def start(tmp_path):
    """Start monitors that are ended with the test."""
    started = []

    def start(namespace, **params):
        started.append(MonitorProcess(tmp_path, namespace, **params))
        return started[-1]

    yield start
    for monitor in started:
        monitor.close()


def listened(robot, page):
    """Wait until the monitor hears the robot: both ends of a topic must have met."""

    def heard():
        # Not faster than a robot: replies whose tags the monitor missed would be taken for later.
        time.sleep(0.2)
        robot.forget()
        robot.say(("child", "hello"), ("pika", REPLY))
        return said(page) and said(page)[-1]["child"] == "hello"

    until(heard)


def said(page):
    """Return the tags whose turn the page knows."""
    turns = {turn["n"]: turn for turn in page.of("turn")}
    tags = [{**tag, **turns.get(tag["n"], {})} for tag in page.of("tag")]
    return [tag for tag in tags if "reply" in tag]


def test_a_turn_reaches_the_page_with_its_tag(robot, shown):
    page = Listener(shown)
    listened(robot, page)
    robot.forget()
    robot.say(("pika", QUESTION), ("child", CHILD), ("pika", REPLY))
    until(lambda: [tag["reply"] for tag in said(page)[-2:]] == [QUESTION, REPLY])
    first, tag = said(page)[-2:]
    expected = robot.rows[-1].tag
    assert first["reply"] == QUESTION
    assert (tag["question"], tag["child"], tag["reply"]) == (QUESTION, CHILD, REPLY)
    assert (tag["emotion"], tag["seq"]) == (expected.emotion, expected.seq)
    assert tag["scores"][0] == [expected.emotion, pytest.approx(expected.confidence, abs=1e-3)]
    assert (tag["tagger"], tag["source"]) == ("reflex", "REFLEX")
    assert tag["latency_ms"] == pytest.approx(expected.latency.nanosec / 1e6, abs=0.01)


def test_a_page_that_comes_later_gets_what_was_before(robot, shown):
    listened(robot, Listener(shown))
    assert Listener(shown).of("hello")[0]["tags"][-1]["reply"] == REPLY


def test_health_is_the_nodes(shown):
    page = Listener(shown)
    health = until(lambda: page.of("health"))[-1]
    assert health["values"]["state"] == "active"
    assert health["values"]["deadline_ms"] == "50"


def test_health_of_another_robots_node_is_not_shown(shown, robot, node):
    page = Listener(shown)

    def status(namespace):
        return DiagnosticStatus(
            name=f"{namespace}/emotion_node: tags",
            hardware_id="pika_emotion",
            values=[KeyValue(key="state", value=namespace)],
        )

    def states():
        told.publish(DiagnosticArray(status=[status("another"), status(ours)]))
        return [health["values"]["state"] for health in page.of("health")]

    ours = node.namespace[1:]
    told = robot._node.create_publisher(DiagnosticArray, f"{node.namespace}/diagnostics", 10)
    until(lambda: ours in states())
    assert "another" not in states()
    robot._node.destroy_publisher(told)


def test_without_show_text_nobodys_words_are_sent(robot, start, node):
    hidden = start(node.namespace)
    page = Listener(hidden)
    turn = {"question": QUESTION, "child": CHILD, "reply": REPLY}
    # Again: what is said before the node has met this monitor, it does not hear.
    until(lambda: hidden.attempt(**turn)[0] == 200 and len(page.of("tag")) >= 2)
    assert page.of("hello")[0]["show_text"] is False
    assert not any(word in page.text for word in ("Lan", "four", "right!", '"reply"'))


def test_what_is_tried_is_tagged(shown, robot):
    page = Listener(shown)
    listened(robot, page)
    status, told = shown.attempt(question=QUESTION, child=CHILD, reply=REPLY)
    assert (status, told) == (200, {"published": True})
    until(lambda: [tag["reply"] for tag in said(page)[-2:]] == [QUESTION, REPLY])
    tag = said(page)[-1]
    assert (tag["question"], tag["child"], tag["reply"]) == (QUESTION, CHILD, REPLY)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_another_site_cannot_try(shown, origin):
    status, told = shown.attempt(origin=origin, reply=REPLY)
    assert status == 403
    assert "another site" in told["error"]


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"reply": 1}', b'{"reply": " "}', b"x" * 40_000, b"[" * 30_000, b"\xff"],
)
def test_what_is_no_turn_is_refused(shown, body):
    with shown.open("/try", body, Origin=shown.url) as response:
        assert response.status == 400


@pytest.mark.parametrize("path", ["/try", "/login"])
def test_a_visitor_that_leaves_early_is_not_logged(start, path):
    monitor = start("/leaving")
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"
    with socket.create_connection(("127.0.0.1", monitor.port), 30) as connection:
        connection.sendall(f"{head}Content-Length: 99\r\n\r\n{{".encode())
    assert monitor.status("/") == 200
    assert monitor.end() == 0  # what was under way has ended by then
    told = [line for line in monitor.output.splitlines() if "RTPS" not in line]
    assert told[1:] == []


def test_without_a_node_nothing_is_tried(start):
    monitor = start("/nobody")
    status, told = monitor.attempt(reply=REPLY)
    assert status == 409
    assert "no active emotion_node" in told["error"]


def test_a_node_that_is_not_active_is_told(start, tmp_path):
    node = NodeProcess(tmp_path, params={"tagger": "reflex", "autostart": "false"})
    try:
        # It hears replies itself, and counts for nothing.
        monitor = start(node.namespace, monitor__show_text="true")
        page = Listener(monitor)
        until(lambda: page.of("health"))  # they have met
        status, told = monitor.attempt(reply=REPLY)
        assert status == 409
        assert "or activate it" in told["error"]
    finally:
        node.close()


def test_a_node_whose_topics_are_remapped_is_tried(start, tmp_path):
    remap = ("emotion_tag:=face/emotion", "pika/reply:=llm/reply")
    rules = [word for rule in remap for word in ("-r", rule)]
    node = NodeProcess(tmp_path, *rules, params={"tagger": "reflex"})
    try:
        monitor = start(node.namespace, remap=remap)
        until(lambda: monitor.attempt(reply=REPLY)[0] == 200)
    finally:
        node.close()


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "", "[::1"])
def test_a_host_that_is_not_ours_is_refused(shown, host):
    assert shown.status("/", Host=host) == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1234", "192.168.1.7:7863", "[::1]:80"])
def test_a_host_of_this_machine_is_served(shown, host):
    assert shown.status("/", Host=host) == 200


def test_the_page_is_small_and_from_here_alone(shown):
    total = 0
    for path in ("/", *(f"/{name}" for name in FILES)):
        with shown.open(path) as response:
            content = response.read().decode()
            policy = response.headers["Content-Security-Policy"]
            for part in ("default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
                assert part in policy
            assert "unsafe" not in policy
        total += len(content.encode())
        assert "//" not in content.replace("http://www.w3.org/2000/svg", "").replace("// ", "")
    assert 10_000 < total < PAGE_BYTES


FILES = ("style.css", "page.js", "face.js", "health.js", "stream.js", "words.js")


def test_others_need_a_token(start):
    monitor = start("/open", monitor__address="0.0.0.0")
    assert monitor.process.wait(60) == 1
    assert "monitor.address '0.0.0.0' lets other machines look in; set" in monitor.output


def test_a_token_is_asked_for(start, tmp_path):
    file = tmp_path / "token"
    file.write_text("s3cret\n", encoding="utf-8")
    monitor = start("/token", monitor__address="0.0.0.0", monitor__token_file=file)
    assert monitor.status("/events") == 401
    assert monitor.status("/page.js", Authorization="Bearer wrong") == 401
    assert monitor.status("/page.js", Cookie="pika_monitor=s3cret") == 401
    assert monitor.status("/page.js", Authorization="Bearer s3cret") == 200
    with monitor.open("/") as response:
        assert response.url.endswith("/login")
    with monitor.open("/login") as response:
        assert 'role="alert"' not in response.read().decode()
    with monitor.open("/login", b"token=wrong", Origin=monitor.url) as response:
        assert response.url.endswith("/login?wrong")
        told = response.read().decode()
    assert told.count('role="alert"') == 1
    assert "That is not the token." in told
    assert "Mã truy cập không đúng." in told
    cookie = log_in(monitor, b"token=s3cret")
    assert "s3cret" not in cookie
    assert monitor.status("/page.js", Cookie=cookie) == 200
    assert "s3cret" not in monitor.output


def log_in(monitor, body):
    """Give the token as the form does; return the cookie."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", monitor.port, timeout=20)
    connection.request("POST", "/login", body, {"Origin": monitor.url})
    response = connection.getresponse()
    cookie = response.getheader("Set-Cookie")
    connection.close()
    assert response.status == 303
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    return cookie.partition(";")[0]


@pytest.mark.parametrize("content", ["", "two words", "bí-mật"])
def test_a_token_that_cannot_be_sent_is_refused(start, tmp_path, content):
    file = tmp_path / "token"
    file.write_text(content, encoding="utf-8")
    monitor = start("/token", monitor__token_file=file)
    assert monitor.process.wait(60) == 1
    assert "make one with 'openssl rand -hex 32'" in monitor.output


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"monitor__prt": 1}, "unknown parameter 'monitor.prt'; did you mean 'monitor.port'?"),
        ({"monitor__address": "nowhere.invalid"}, "monitor.address 'nowhere.invalid' is not known"),
        ({"monitor__show_text": 1}, "monitor.show_text 1 is a int; set a bool, such as False"),
        ({"monitor__token_file": "/none"}, "monitor.token_file '/none' cannot be read"),
        ({"reply__type": "no_msgs/msg/None"}, "message type 'no_msgs/msg/None' is not installed"),
    ],
)
def test_a_wrong_parameter_ends_it_and_says_why(start, params, message):
    monitor = start("/wrong", **params)
    assert monitor.process.wait(60) == 1
    assert message in monitor.output
    assert "Traceback" not in monitor.output


def test_a_parameter_of_the_node_is_left_to_it(start):
    assert start("/shared", tagger="reflex", deadline_ms=40.0).status("/") == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_though_a_page_is_open(start, number):
    monitor = start("/ending")
    Listener(monitor)
    assert monitor.end(number) == 0
    assert "Traceback" not in monitor.output


def test_a_slow_page_loses_the_oldest_and_is_told():
    async def follow():
        feed = Feed({"run": 1})
        with feed.page() as slow, feed.page() as quick:
            slow.take()
            quick.take()
            got = ""
            for n in range(QUEUE + 10):
                feed.put("tag", {"n": n})
                got += quick.take()
            events = feed.follow(slow, lambda: False)
            first = await anext(events)
            await events.aclose()
            return first, got

    told, got = asyncio.run(follow())
    assert told.startswith('event: dropped\ndata: {"n": 10}\n\nevent: tag\ndata: {"n": 10}\n\n')
    assert told.count("event: tag") == QUEUE
    assert got.count("event: tag") == QUEUE + 10
    assert "dropped" not in got


def test_too_many_pages_are_refused_until_one_closes():
    feed = Feed({})
    pages = [feed.page() for _ in range(MOST_PAGES)]
    for page in pages:
        page.__enter__()
    with pytest.raises(ConfigError, match=f"{MOST_PAGES} pages are open; close one"):
        feed.page().__enter__()
    pages[0].__exit__(None, None, None)
    with feed.page() as page:
        assert "hello" in page.take()


SECOND = 1_000_000_000


def replies(*said):
    turns = Turns(Dialogue())
    for at_s, text, reply_id in said:
        turns.heard(Message(Role.REPLY, text, at_s * SECOND, id=reply_id))
    return turns


def test_a_tag_finds_its_reply_by_its_id():
    turns = replies((1, "one", "a"), (1, "two", "b"), (1, "three", "c"))
    assert turns.of_tag(1, 1, "b", SECOND).reply == "two"
    assert turns.of_tag(1, 1, "c", SECOND).reply == "three"
    assert turns.of_tag(1, 1, "c", SECOND) is None


def test_a_tag_without_an_id_is_the_oldest_replys():
    turns = replies((1, "one", ""), (2, "two", ""))
    assert turns.of_tag(1, 1, "", SECOND).reply == "one"
    assert turns.of_tag(1, 1, "", SECOND) is None  # the second was said after this tag's reply
    assert turns.of_tag(1, 1, "", 2 * SECOND).reply == "two"


def test_a_tag_that_overtook_its_reply_gets_its_turn_then():
    turns = replies()
    assert turns.of_tag(7, 7, "", 2 * SECOND) is None
    assert turns.heard(Message(Role.CHILD, "four", SECOND)) is None
    n, turn = turns.heard(Message(Role.REPLY, "Right!", SECOND))
    assert (n, turn.child, turn.reply) == (7, "four", "Right!")
    assert turns.heard(Message(Role.REPLY, "Next", SECOND)) is None


def test_replies_whose_tags_were_not_heard_do_not_shift_those_that_are():
    turns = Turns(Dialogue())
    for n in range(1, 8):
        turns.heard(Message(Role.REPLY, f"reply {n}", n * SECOND // 50))
        if n not in (2, 5, 6):
            received_ns = n * SECOND // 50 + 1_000_000
            assert turns.of_tag(n, n, "", received_ns).reply == f"reply {n}"


@pytest.mark.parametrize("before_s", [1, 5])  # passed over as late, forgotten
def test_a_reply_that_is_passed_over_counts_as_one_whose_tag_was_missed(before_s):
    turns = replies((1, "first", ""))
    assert turns.of_tag(1, 1, "", SECOND).reply == "first"
    turns.heard(Message(Role.REPLY, "its tag was missed", 2 * SECOND))
    at_ns = (2 + before_s) * SECOND
    for n, text in enumerate(("one", "two")):
        turns.heard(Message(Role.REPLY, text, at_ns + n))
    assert turns.of_tag(2, 3, "", at_ns).reply == "one"
    assert turns.of_tag(3, 4, "", at_ns + 1).reply == "two"


def test_a_burst_of_replies_keeps_its_order():
    turns = Turns(Dialogue())
    for n in range(1, 5):
        turns.heard(Message(Role.REPLY, f"reply {n}", SECOND + n))
    for n in range(1, 5):
        assert turns.of_tag(n, n, "", SECOND + 1_000_000).reply == f"reply {n}"


@pytest.mark.parametrize("at_s", [1, 8])
def test_a_reply_that_was_never_tagged_is_passed_over(at_s):
    turns = replies((at_s, "to nobody", ""), (9, "to the node", ""))
    assert turns.of_tag(1, 1, "", 9 * SECOND).reply == "to the node"
    assert turns.of_tag(2, 2, "", 9 * SECOND) is None
