"""Nobody's words are in anything that a running node, its worker or a tool writes, shows or leaves.

Real processes with folders of their own; everything below these is searched afterwards, and so are
/rosout, /diagnostics, /parameter_events, the tags, and what /proc shows of the processes.
"""

import contextlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from canaries import SPOKEN, Room, found, found_in_files, found_in_processes
from conftest import TEST
from model_servers import ModelServer
from monitor_process import Listener, MonitorProcess
from rcl_interfaces.msg import Log, ParameterEvent
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros import NodeProcess, Robot, until
from std_msgs.msg import String
from test_serve import Served

from pika_emotion.node_process import program

LONG_S = 120.0
PATIENT_MS = 2000.0  # what is tested is what is written, not how fast
REPLY = "Right, xylophonecanary, khuỷu nghễnh 🦤🪗🫧!"


@pytest.fixture
def room(tmp_path, monkeypatch):
    """Folders of the test's own, in an environment in which everything is told that can be."""
    monkeypatch.setenv("PYTHONFAULTHANDLER", "1")
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    (tmp_path / "room").mkdir()
    return Room(tmp_path / "room", monkeypatch)


@pytest.fixture
def core_files():
    """Let processes leave core files, as far as this machine does."""
    limits = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (limits[1], limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, limits)


class Ear:
    """Hears everything that a node publishes beside the tags."""

    def __init__(self, robot):
        self.heard = []
        latched = QoSProfile(depth=1000, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        node = robot._node
        self._robot = robot
        self._subscriptions = [
            node.create_subscription(Log, "/rosout", self._hear, latched),
            node.create_subscription(ParameterEvent, "/parameter_events", self._hear, 100),
        ]
        self._partial = node.create_publisher(String, "pika/reply_partial", 10)

    def _hear(self, message):
        self.heard.append(str(message))

    def converse(self):
        """Say all canaries, as questions, transcripts, partial replies and replies."""
        robot = self._robot
        for number, words in enumerate(SPOKEN):
            robot.child_says(words)
            self._partial.publish(String(data=f"{words} {words}"))
            if number % 2:
                robot.pika_says(f"{REPLY} {words}")
        robot.wait_for_tags(30.0)
        assert all(row.tag is not None for row in robot.rows)

    def leaks(self):
        robot = self._robot
        published = {
            "rosout and parameter events": self.heard,
            "diagnostics": [str(status) for status in robot.statuses],
            "tags": [str(row.tag) for row in robot.rows],
        }
        return {name: words for name, said in published.items()
                if (words := found("\n".join(said)))}  # fmt: skip


@pytest.fixture
def meet(room):
    met = []

    def meet(**params):
        params = {"deadline_ms": PATIENT_MS, **params}
        node = NodeProcess(room.folder, params=params, log_level="debug")
        robot = Robot(node)
        met.append((node, robot))
        robot.wait_for_node(60.0)
        return node, robot, Ear(robot)

    yield meet
    for node, robot in met:
        robot.__exit__(None, None, None)
        node.close()


def values_of(robot):
    for status in reversed(robot.statuses):
        return {pair.key: pair.value for pair in status.values}
    return {}


def leaks_of(room, ear, node):
    """Search everything, before and after the node's end."""
    leaks = {**found_in_processes(node.process.pid), **ear.leaks()}
    node.end()
    return {**leaks, **room.leaks()}


FORMS = [
    "the child said xylophonecanary",
    "Xylophone Canary",
    repr("con quờ quạng khuỷu nghễnh ngãng".encode()),
    json.dumps({"text": "con quờ quạng khuỷu nghễnh ngãng"}),
    json.dumps(json.dumps("🦤🪗🫧")),
    ascii("🦤🪗🫧"),
    "khu%E1%BB%B7u%20ngh%E1%BB%85nh",
    "khu&#7927;u ngh&#7877;nh",
    "xylophonecanary".encode("utf-16"),
    b"\x00" + "khuỷu nghễnh".encode("utf-16-be"),
    b'"eHlsb3Bob25lY2FuYXJ5IGxpdmVzIHdpdGggbWU="',
    b"x" + "con quờ quạng khuỷu nghễnh".encode().hex().encode(),
]


@pytest.mark.parametrize("form", FORMS, ids=range(len(FORMS)))
def test_the_search_finds_every_form(form):
    assert found(form)


def test_the_search_finds_nothing_in_what_is_no_leak():
    assert found((TEST.parent / "README.md").read_bytes()) == []
    assert found_in_files(TEST.parent / "config") == {}


@pytest.mark.parametrize(
    ("to", "places"),
    [
        ("error", {"rosout and parameter events", "diagnostics"}),
        ("print", {".log"}),
        ("file", {"home/seen"}),
        ("temporary file", {"room/tmp/"}),
        ("file name", {"room/tmp/"}),
        ("thread name", {" task/"}),
    ],
)
def test_a_tagger_of_somebodys_that_leaks_is_found(room, meet, to, places):
    """Else the tests below would prove nothing."""
    node, robot, ear = meet(tagger="scripted.leaking", **{"leaking.to": f"'{to}'"})
    until(lambda: robot.statuses)
    ear.converse()
    until(lambda: "last primary error" in values_of(robot))
    if to == "error":
        until(lambda: places <= set(ear.leaks()), 60.0)
    leaks = leaks_of(room, ear, node)
    for place in places:
        assert any(place in leak for leak in leaks), leaks


def test_the_reflex_leaves_no_words(room, meet):
    node, robot, ear = meet(tagger="reflex")
    ear.converse()
    until(lambda: int(values_of(robot).get("tags REFLEX", 0)) >= len(robot.rows))
    until(lambda: any("now active" in line for line in ear.heard))
    assert leaks_of(room, ear, node) == {}


# What ends the engine, and what it outlives.
ENDS = ("raises in cancelling", "raises what no one catches", "exits with a text")
DIES = ("aborts", "segfaults")
OUTLIVES = ("raises", "raises in a hint", "raises in a thread", "raises where nobody can")


@pytest.mark.parametrize(
    ("does", "isolation"),
    [
        *((does, "process") for does in (*OUTLIVES, *ENDS, *DIES)),
        *((does, "thread") for does in ("raises in a hint", *ENDS)),
    ],
)
def test_a_worker_that_crashes_over_somebodys_words_leaves_none(
    room, meet, core_files, does, isolation
):
    node, robot, ear = meet(
        tagger="scripted.crashing",
        **{"crashing.does": f"'{does}'", "crashing.isolation": isolation},
    )
    until(lambda: values_of(robot).get("crashing: worker") == "ready")
    ear.converse()
    if does in OUTLIVES:
        until(lambda: "in the engine" in values_of(robot).get("last primary error", ""), 60.0)
    else:
        until(lambda: int(values_of(robot)["crashing: worker restarts"]) >= 1, 60.0)
    assert leaks_of(room, ear, node) == {}
    assert not list(Path.cwd().iterdir()), "a core file"


@pytest.mark.parametrize("does", DIES)
def test_a_node_that_a_thread_of_its_own_crashes_leaves_none(room, meet, core_files, does):
    node, robot, ear = meet(
        tagger="scripted.crashing",
        **{"crashing.does": does, "crashing.isolation": "thread"},
    )
    until(lambda: values_of(robot).get("crashing: worker") == "ready")
    robot.child_says(next(iter(SPOKEN)))
    robot.pika_says(REPLY)
    assert node.process.wait(LONG_S) in (-signal.SIGABRT, -signal.SIGSEGV)
    assert "Fatal Python error" in node.output  # it has told where
    assert {**ear.leaks(), **room.leaks()} == {}
    assert not list(Path.cwd().iterdir()), "a core file"


def test_this_machine_would_have_left_core_files(room, core_files):
    told = Path("/proc/sys/kernel/core_pattern")  # not there where the system makes none at all
    pattern = told.read_text().strip() if told.exists() else ""
    if resource.getrlimit(resource.RLIMIT_CORE)[0] == 0 or not re.match(r"[^|/]+$", pattern):
        pytest.skip("this machine leaves none in the folder where a program crashed")
    subprocess.run([sys.executable, "-c", "import os; os.abort()"], check=False)
    assert list(Path.cwd().iterdir())


def test_no_image_is_handed_to_a_program_either(core_files):
    code = (
        "import resource; from pika_emotion.crashes import keep_private; keep_private(); "
        "print(*resource.getrlimit(resource.RLIMIT_CORE))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    soft, hard = map(int, told.stdout.split())
    assert hard == resource.getrlimit(resource.RLIMIT_CORE)[1]
    assert soft == (1 if hard else 0)  # 1 alone stops a pipe; see pika_emotion/crashes.py


def converse_until(ear, condition):
    ear.converse()
    return condition()


def primary_answers(robot):
    return robot.rows[-1].tag.tagger == "http"


def error_of(robot):
    return values_of(robot).get("last primary error", "")


def test_a_server_that_echoes_the_words_in_its_errors_spreads_none(room, meet):
    server = ModelServer("chat_text", {})
    try:
        node, robot, ear = meet(tagger="http", **{"http.url": server.url})

        def failures():
            return int(values_of(robot).get("http: failed answers", 0))

        for fault in ("echo 400", "echo 500", "echo 429", "echo 200", "no_json", "cut", "moved"):
            until(lambda: converse_until(ear, lambda: primary_answers(robot)), LONG_S)
            before = failures()
            server.fault(fault)
            until(lambda before=before: converse_until(ear, lambda: failures() > before), LONG_S)
            server.fault("")
    finally:
        server.close()
    until(lambda: converse_until(ear, lambda: "takes no connection" in error_of(robot)), LONG_S)
    assert leaks_of(room, ear, node) == {}


def test_a_monitor_that_shows_no_text_has_none(room, meet):
    node, _, ear = meet(tagger="reflex")
    monitor = MonitorProcess(room.folder, node.namespace)
    try:
        listener = Listener(monitor)
        # It may not have found the node's topic yet.
        until(lambda: converse_until(ear, lambda: len(listener.of("tag")) >= len(SPOKEN)), LONG_S)
        for path in ("/", "/events?xylophonecanary", "/xylophonecanary", "/try"):
            body = b'{"reply": xylophonecanary' if path == "/try" else None
            with monitor.open(path, body, Origin=monitor.url) as response:
                (response.readline if "events" in path else response.read)()
        assert found(listener.text) == []
        assert found_in_processes(monitor.process.pid) == {}
        assert monitor.end() == 0
    finally:
        monitor.close()
    assert leaks_of(room, ear, node) == {}


SAID = 'user_last_message: "{}"\npika_response: "{}"'


def test_serving_over_http_leaves_no_words_whatever_is_sent(room):
    folders = {key: value for key, value in os.environ.items() if str(room.folder) in value}
    served = Served(room.folder / "serve.log", **folders)
    answers = []
    try:
        for words in SPOKEN:
            text = SAID.format(words, REPLY)
            for path, body in [
                ("/tag", {"child": words, "reply": REPLY}),
                ("/tag", {"child": words, "reply": [REPLY]}),
                ("/tag", {words: words}),
                ("/tag", json.dumps({"reply": words}, ensure_ascii=False).encode("utf-16")),
                ("/tag", f'{{"reply": "{words}'.encode()),
                ("/v1/chat/completions", {"messages": [{"role": "user", "content": text}]}),
                ("/v1/chat/completions", {"messages": [{"role": "user", "content": words}]}),
                ("/v1/chat/completions", {"messages": words}),
                ("/xylophonecanary?khu%E1%BB%B7u%20ngh%E1%BB%85nh", {"child": words}),
                ("/health?xylophonecanary", None),
                ("/metrics?xylophonecanary", None),
            ]:
                answers.append(str(served.call(path, body, **{"X-Said": "xylophonecanary"})[1]))
        assert found_in_processes(served.process.pid) == {}
    finally:
        served.end()
    assert found("\n".join(answers)) == []
    assert room.leaks() == {}


@pytest.fixture
def turns(tmp_path):
    """A file of labelled turns with the words in it: not in the room."""
    lines = ["question\tchild\treply\temotions\tcelebrate"]
    lines += [f"{words}\t{words}\t{REPLY} {words}\thappy\tno" for words in SPOKEN]
    (tmp_path / "turns.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "turns.tsv"


CRASHING = ("--tagger", "scripted.crashing", "--set")


@pytest.mark.parametrize(
    "arguments",
    [
        ("evaluate", "--data", "TURNS"),
        ("evaluate", "--data", "TURNS", *CRASHING, "crashing.does=raises"),
        ("evaluate", "--data", "TURNS", *CRASHING, "crashing.does=exits with a text"),
        ("calibrate", "--data", "TURNS", *CRASHING, "crashing.does=raises"),
        ("distill", "TURNS", "--teacher", "scripted.crashing", "--set", "crashing.does=raises",
         "--out", "OUT"),
        ("bag", "stats", "TURNS"),
        ("replay", "TURNS"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_tool_that_reads_or_fails_over_somebodys_words_logs_none(room, turns, arguments):
    places = {"TURNS": str(turns), "OUT": str(room.folder / "out.npz")}
    command = [str(program().parent / "pika-emotion"), *(places.get(a, a) for a in arguments)]
    with (room.folder / "output").open("wb") as output, contextlib.ExitStack() as stack:
        run = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": f"{os.environ['PYTHONPATH']}{os.pathsep}{TEST}"},
        )  # fmt: skip
        stack.callback(run.kill)
        run.wait(300)
    told = (room.folder / "output").read_text(encoding="utf-8")
    assert told
    assert room.leaks() == {}, told
