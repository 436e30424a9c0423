"""``bench`` and ``replay`` as their users run them: a real node, a scripted server, one object."""

import csv
import json
import os
import subprocess

import pytest
from model_servers import ModelServer, make_prompt, make_tokenizer
from ros import NodeProcess

from pika_emotion import cli, resources
from pika_emotion.commands import bench as command
from pika_emotion.commands.bench import demo_turns
from pika_emotion.errors import ConfigError
from pika_emotion.node_process import program

PROGRAM = program().with_name("pika-emotion")
CONVERSATION = resources.find("resource/demo/conversation")
SHORT = ("--rounds", "1", "--turns", "3", "--warm-up", "1")


def run(*arguments):
    done = subprocess.run(
        [PROGRAM, *arguments], capture_output=True, env=os.environ, check=False, encoding="utf-8"
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def bench(*arguments):
    done = run("bench", *arguments, "--json")
    assert done.returncode in (0, 1), done.stderr
    result = json.loads(done.stdout)
    assert {"machine", "versions", "cases", "ratios"} <= set(result)
    return result, {case["name"]: case for case in result["cases"]}, done.returncode


def test_the_reflex_is_measured_with_and_without_a_hint():
    result, cases, code = bench("--tagger", "reflex", *SHORT)
    assert code == 0
    assert list(cases) == ["reflex", "deadline_tagger", "reflex_without_hint"]
    for case in cases.values():
        assert case["n"] == 3
        assert 0.0 < case["p50_ms"] <= case["p99_ms"] <= case["max_ms"]
    ratio = cases["deadline_tagger"]["p50_ms"] / cases["reflex"]["p50_ms"]
    assert result["ratios"]["deadline_tagger/reflex"] == pytest.approx(ratio, rel=0.05)


def test_without_json_it_is_a_table():
    done = run("bench", "--tagger", "reflex", *SHORT)
    assert done.returncode == 0
    assert "reflex_without_hint" in done.stdout


def test_a_node_is_told_the_card_and_the_pool(monkeypatch):
    told = {}

    def node(parameters, prefix):
        told.update(parameters)
        raise ConfigError("enough")

    monkeypatch.setattr(command, "import_probe", lambda: None)
    monkeypatch.setattr(command, "NodeProcess", node)
    given = ["--tagger", "vllm", "--pool", "--calibration", "card.json", "--set", "a.b=1"]
    assert cli.main(["bench", "--ros", *given]) == 1
    assert told == {"tagger": "vllm", "pool": "true", "calibration": "card.json", "a.b": "1"}


def test_a_node_is_measured_from_another_process():
    _, cases, code = bench(
        "--ros", "--tagger", "reflex", "--seconds", "1", "--rate", "20", "--warm-up", "2"
    )
    case = cases["publisher_to_tag"]
    assert case["n"] == 20
    assert sum(case["by_source"].values()) + case["lost"] == 20
    assert code == int(case["lost"] + case["duplicated"] + case["reordered"] > 0)
    assert cases["node_receipt_to_publish"]["n"] == 20


def test_a_node_that_cannot_start_is_not_waited_for():
    done = run("bench", "--ros", "--tagger", "reflex", "--set", "deadline=10.0")
    assert (done.returncode, done.stdout) == (1, "")
    assert "unknown parameter 'deadline'; did you mean 'deadline_ms'?" in done.stderr
    assert "pika-emotion bench: the node ended before it was active" in done.stderr


@pytest.fixture
def serve():
    servers = []

    def serve(profile, texts):
        servers.append(ModelServer(profile, texts))
        return f"http.url={servers[-1].url}"

    yield serve
    for server in servers:
        server.close()


def test_the_http_tagger_is_measured_beside_its_server(serve, tmp_path, labels):
    folder = make_tokenizer(tmp_path)
    prompt, decode = make_prompt(folder, labels)
    url = serve("ids", {t: decode(t) for a in prompt.answers.values() for t in a.tokens})
    told = ("--set", url, "--set", f"http.tokenizer={folder}")
    _, cases, code = bench("--tagger", "http", *told, *SHORT)
    assert code == 0
    assert len(cases) == 3
    assert {case["n"] for case in cases.values()} == {3}
    first = next(iter(cases.values()))
    assert {"added_p50_ms", "added_p99_ms"} <= set(first)


def test_a_server_that_takes_two_requests_a_reply_is_told(serve):
    done = run("bench", "--tagger", "http", "--set", serve("chat_top", {}), *SHORT)
    assert (done.returncode, done.stdout) == (1, "")
    assert "this server takes two requests a reply; its own time is not" in done.stderr


def test_robots_that_share_a_server_are_counted(serve):
    told = ("--set", serve("chat_top", {}), "--robots", "1", "2", "--every", "0.3")
    result, cases, code = bench("--tagger", "http", *told, "--seconds", "1")
    assert code == 0
    assert list(cases) == ["robots_1", "robots_2"]
    for case in cases.values():
        assert sum(case["by_source"].values()) == case["n"] > 0
    assert result["most_robots"] in (0, 1, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "reflex.model=/none.npz"), "model file '/none.npz' does not exist"),
        (("--rate", "0"), "--rate 0.0 must be above 0"),
        (("--seconds", "nan"), "--seconds nan must be above 0"),
        (("--rounds", "-1"), "--rounds -1 must be above 0"),
        (("--tagger", "reflex", "--robots", "2"), "--robots takes numbers from 1 on, with"),
        (("--tagger", "http", "--robots", "0"), "--robots takes numbers from 1 on, with"),
        (("--ros", "--prefix", "nice '"), "prefix 'nice '' cannot be read (No closing quotation)"),
    ],
)
def test_what_cannot_be_measured_is_told(arguments, message):
    done = run("bench", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("pika-emotion bench: ")
    assert message in done.stderr


def test_a_namespace_that_cannot_be_is_told():
    done = run("replay", CONVERSATION, "--namespace", "robot 1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("pika-emotion replay: 'robot 1' is no namespace; write it like")


def test_a_replay_gives_each_reply_its_row(tmp_path):
    node = NodeProcess(tmp_path, params={"tagger": "reflex"})
    try:
        table = tmp_path / "rows.csv"
        options = ("--namespace", node.namespace, "--rate", "40", "--wait", "60")
        done = run("replay", CONVERSATION, *options, "--csv", table, "--json")
        shown = run("replay", CONVERSATION, *options)
    finally:
        node.close()
    result = json.loads(done.stdout)
    count = len(demo_turns())
    assert len(result["rows"]) == result["replies"] == count
    broken = result["lost"] + result["duplicated"] + result["reordered"]
    assert done.returncode == int(broken > 0)
    tagged = [row for row in result["rows"] if "seq" in row]
    assert len(tagged) == count - result["lost"]
    assert {row["source"] for row in tagged} == {"REFLEX"}
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [str(row["id"]) for row in result["rows"]]
    assert f"replies {count}, tags " in shown.stdout
    assert "by source: REFLEX" in shown.stdout
