"""``pika-emotion serve`` as its callers see it: the real server process, real clients."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
from conftest import TEST

from pika_emotion import taggers
from pika_emotion.dialogue import make_turn
from pika_emotion.parameters import CELEBRATE_THRESHOLD

SECRET = "bí mật của Lan"
TURN = {"question": "What is two and two?", "child": SECRET, "reply": f"{SECRET}! That's right!"}
CONTEXT = (
    f'[CONTEXT]\nprevious_question: "{TURN["question"]}"\nuser_last_message: "{SECRET}"\n'
    f'pika_response: "{TURN["reply"]}"'
)
CHECK = (
    f"Previous Question: {TURN['question']}\nPrevious Answer: {SECRET}\n"
    f"Response to check: {TURN['reply']}"
)
SCRIPTED = ("--tagger", "scripted.tagger", "--set")
LIMIT = 256 * 1024
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "PIKA_EMOTION_TOKEN"},
    "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}{os.pathsep}{TEST}",
    "NO_PROXY": "*",
}
SERVE = [sys.executable, "-m", "pika_emotion.cli", "serve"]


class Served:
    """A running server: calls it, ends it, and holds what it printed."""

    def __init__(self, log, *arguments, **environment):
        self._log = log
        self._file = log.open("wb")
        # A background job of a shell script inherits that interrupts are ignored.
        command = ["env", "--default-signal=INT", *SERVE, "--port", "0", *arguments]
        self.process = subprocess.Popen(
            command,
            stdout=self._file,
            stderr=subprocess.STDOUT,
            env={**ENVIRONMENT, **environment},
        )
        until(lambda: "http://" in self.output or self.process.poll() is not None)
        self.url = re.search(r"http://[^,\s]+", self.output)[0]

    @property
    def output(self):
        return self._log.read_text(encoding="utf-8")

    @property
    def port(self):
        return int(self.url.rsplit(":", 1)[1])

    def call(self, path, body=None, token=None, **headers):
        """Return the status and the answer: JSON as it is meant, else text."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        request = urllib.request.Request(self.url + path, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                status, kind, text = answer.status, answer.headers["Content-Type"], answer.read()
        except urllib.error.HTTPError as answer:
            status, kind, text = answer.code, answer.headers["Content-Type"], answer.read()
        return status, json.loads(text) if kind == "application/json" else text.decode()

    def fault(self, path, body=None, **options):
        """Return the status and the message of an error in OpenAI's shape."""
        status, told = self.call(path, body, **options)
        assert set(told["error"]) == {"message", "type", "param", "code"}
        return status, told["error"]["message"]

    def ask(self, turn=None):
        status, told = self.call("/tag", turn or TURN)
        assert status == 200
        return told

    def client(self, key="none"):
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, timeout=30)

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        code = self.process.wait(30)
        self._file.close()
        return code


def until(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def start(tmp_path):
    """Start servers; whatever they print, it holds nobody's words."""
    servers = []

    def start(*arguments, **environment):
        log = tmp_path / f"{len(servers)}.log"
        servers.append(Served(log, *arguments, **environment))
        return servers[-1]

    yield start
    check_ended(servers)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server with the reflex alone."""
    served = Served(tmp_path_factory.mktemp("serve") / "log")
    yield served
    check_ended([served])
    lines = set(served.output.splitlines()[1:])  # the first says where it answers
    assert lines <= {"Invalid HTTP request received."}


def check_ended(servers):
    for served in servers:
        if served.process.poll() is None:
            assert served.end() == 0
        assert not any(word in served.output for word in ("Lan", "right!", "Traceback"))


@pytest.fixture(scope="module")
def expected(labels):
    """What the reflex says of the turn."""
    reflex = taggers.create("reflex", labels, taggers.settings_from_text("reflex", []))
    reflex.load()
    return reflex.tag(make_turn(**TURN), 0.0).shown(CELEBRATE_THRESHOLD)


def said(completion):
    return json.loads(completion.choices[0].message.content)


def user(content, **fields):
    return {"model": "m", "messages": [{"role": "user", "content": content}], **fields}


def test_tag_shows_everything_with_source_and_latency(server, expected):
    told = server.ask()
    assert told.pop("latency_ms") > 0
    assert told == pytest.approx({**expected, "source": "REFLEX"})


@pytest.mark.parametrize("text", [CONTEXT, CHECK], ids=["context", "check"])
def test_the_openai_client_is_answered(server, expected, text):
    messages = [{"role": "system", "content": CHECK}, {"role": "user", "content": text}]
    answer = server.client().chat.completions.create(model="phi-3", messages=messages)
    celebrate = "yes" if expected["celebrate"] else "no"
    assert said(answer) == {"emotion_name": expected["emotion"], "celebrate": celebrate}
    assert (answer.object, answer.model) == ("chat.completion", "phi-3")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.id.startswith("chatcmpl-")
    assert abs(answer.created - time.time()) < 60
    assert answer.usage.total_tokens == 0


def test_the_openai_client_streams(server, expected):
    chunks = list(
        server.client().chat.completions.create(
            **user(CONTEXT), stream=True, stream_options={"include_usage": True}
        )
    )
    assert len({chunk.id for chunk in chunks}) == 1
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    *steps, last = chunks
    deltas = [step.choices[0].delta for step in steps]
    assert deltas[0].role == "assistant"
    text = "".join(delta.content or "" for delta in deltas)
    assert json.loads(text)["emotion_name"] == expected["emotion"]
    assert [step.choices[0].finish_reason for step in steps] == [None, None, "stop"]
    assert last.choices == []
    assert last.usage.total_tokens == 0


def test_a_stream_is_events_that_end_with_done(server):
    status, text = server.call("/v1/chat/completions", user(CONTEXT, stream=True))
    events = text.split("\n\n")
    assert status == 200
    assert events[-2:] == ["data: [DONE]", ""]
    assert all("usage" not in json.loads(event[6:]) for event in events[:-2])


def test_the_openai_client_lists_the_tagger(server):
    assert [model.id for model in server.client().models.list()] == ["reflex"]


def test_the_openai_client_raises_what_is_wrong(server):
    with pytest.raises(openai.BadRequestError, match="no line for what the child said") as told:
        server.client().chat.completions.create(**user(SECRET))
    assert told.value.param == "messages[0].content"
    assert told.value.type == "invalid_request_error"
    assert SECRET not in str(told.value)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_is_answered(server, expected):
    body = json.dumps(user(CONTEXT))
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--noproxy", "*", "--json", "@-",
         f"{server.url}/v1/chat/completions"],
        input=body, capture_output=True, text=True, check=True,
    )  # fmt: skip
    content = json.loads(done.stdout)["choices"][0]["message"]["content"]
    assert json.loads(content)["emotion_name"] == expected["emotion"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("header", ["Expect:", "Transfer-Encoding: chunked"])
def test_curl_is_told_that_a_body_is_too_large(server, tmp_path, header):
    file = tmp_path / "body"
    file.write_bytes(b"x" * 20 * LIMIT)
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--noproxy", "*", "--header", header,
         "--data-binary", f"@{file}", f"{server.url}/tag"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "larger than 262144 bytes" in json.loads(done.stdout)["error"]["message"]


def test_a_body_may_be_as_large_as_the_limit(server):
    body = json.dumps(TURN).encode()
    assert server.call("/tag", body + b" " * (LIMIT - len(body)))[0] == 200
    assert server.fault("/tag", body + b" " * (LIMIT - len(body) + 1))[0] == 413


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/tag", b"", 400, "the body is not JSON"),
        ("/tag", b'{"child": "\xff"}', 400, "the body is not JSON"),
        ("/tag", {"child": SECRET}, 400, "reply is missing; send what Pika says now"),
        ("/tag", {"reply": [SECRET]}, 400, "reply is a list; send a string"),
        ("/tag", {"reply": "x", SECRET: 1}, 400, "unknown field; send question, child and reply"),
        ("/v1/chat/completions", {"model": "m"}, 400, "messages is missing or null"),
        ("/v1/chat/completions", user(SECRET), 400, "no line for what the child said"),
        (f"/{len(SECRET)}", None, 404, "there is no such route; see /docs"),
        ("/tag?child=Lan", None, 405, "the route has another method; see /docs"),
    ],
)
def test_wrong_input_is_told_in_openais_shape(server, path, body, status, message):
    answered, told = server.fault(path, body)
    assert answered == status
    assert message in told
    assert SECRET not in told


@pytest.mark.parametrize(
    "reply",
    ["", "\x00\x1b[31m", "\ud800 broken \udcff", "la " * 80_000, "👩‍🚀" * 500, "</s><|system|>"],
    ids=["empty", "control", "surrogates", "long", "emoji", "instruction"],
)
def test_whatever_is_said_is_tagged(server, reply):
    told = server.ask({"question": "", "child": "", "reply": reply})
    assert sum(told["scores"]) == pytest.approx(1)


def test_a_name_of_a_model_with_broken_characters_is_repeated(server):
    status, told = server.call("/v1/chat/completions", user(CONTEXT) | {"model": "\ud800 ä"})
    assert (status, told["model"]) == (200, "\ud800 ä")


def test_what_is_no_http_is_refused_and_harms_nobody(server):
    with socket.create_connection(("127.0.0.1", server.port), 30) as connection:
        connection.sendall(SECRET.encode() + b"\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 400")
    server.ask()


def test_a_caller_that_leaves_early_harms_nobody(server):
    with socket.create_connection(("127.0.0.1", server.port), 30) as connection:
        connection.sendall(b"POST /tag HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{")
    server.ask()


def test_health_of_the_reflex_alone(server):
    status, told = server.call("/health")
    assert (status, told["status"], told["primary"]) == (200, "ok", None)
    assert told["reflex"]["state"] == "ready"
    assert {"pika_emotion", "fastapi", "uvicorn"} <= told["versions"].keys()


def metrics(server):
    text = server.call("/metrics")[1]
    found = re.findall(r"^(pika_emotion_\w+)(?:{(.*)})? (\S+)$", text, re.MULTILINE)
    return {(name, labels): float(value) for name, labels, value in found}


def test_metrics_count_requests_and_tags(server):
    before = metrics(server)
    server.ask()
    server.call("/tag", b"")
    server.call("/Lan")
    after = metrics(server)

    def grown(name, labels=""):
        return after[name, labels] - before.get((name, labels), 0)

    requests = "pika_emotion_requests_total"
    assert grown(requests, 'route="/tag",status="200"') == 1
    assert grown(requests, 'route="/tag",status="400"') == 1
    assert grown(requests, 'route="other",status="404"') == 1
    assert grown("pika_emotion_tags_total", 'source="REFLEX"') == 1
    assert after["pika_emotion_tags_total", 'source="DEADLINE"'] == 0
    assert grown("pika_emotion_tag_latency_seconds_count") == 1
    assert grown("pika_emotion_tag_latency_seconds_bucket", 'le="+Inf"') == 1
    assert "Lan" not in str(after)


def test_the_documentation_is_from_here_alone(server):
    status, page = server.call("/docs")
    assert status == 200
    assets = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert sorted(asset.rpartition(".")[2] for asset in assets) == ["css", "js", "png"]
    assert "://" not in page
    for asset in assets:
        with urllib.request.urlopen(server.url + asset, timeout=30) as answer:
            assert len(answer.read()) > 1000


def test_the_examples_of_the_documentation_work(server):
    paths = server.call("/openapi.json")[1]["paths"]
    assert set(paths) == {"/v1/chat/completions", "/tag", "/v1/models", "/health", "/metrics"}
    tried = 0
    for path in ("/v1/chat/completions", "/tag"):
        content = paths[path]["post"]["requestBody"]["content"]["application/json"]
        for example in content["examples"].values():
            assert server.call(path, example["value"])[0] == 200
            tried += 1
    assert tried == 5


def test_the_primary_answers(start):
    server = start(*SCRIPTED, "scripted.does=answers", "--threshold", "1")
    until(lambda: server.call("/health")[1]["status"] == "ok")
    told = server.ask()
    assert (told["emotion"], told["source"], told["tagger"]) == ("angry", "PRIMARY", "scripted")
    answer = server.client().chat.completions.create(**user(CONTEXT))
    assert said(answer) == {"emotion_name": "angry", "celebrate": "yes"}
    primary = server.call("/health")[1]["primary"]
    assert (primary["name"], primary["state"]) == ("scripted", "ready")
    assert [model.id for model in server.client().models.list()] == ["scripted"]


def test_a_primary_that_sleeps_costs_no_deadline_and_holds_nobody_up(start, expected):
    server = start(
        *SCRIPTED, "scripted.does=sleeps", "--deadline-ms", "2000", "--publish-margin-ms", "1000"
    )
    until(lambda: server.call("/health")[1]["status"] == "ok")
    with ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(server.ask) for _ in range(5)]
        # Four wait for the primary; the fifth and the counts are answered beside them.
        until(lambda: 'source="OVERLOAD"} 1.0' in server.call("/metrics")[1])
        assert 'source="DEADLINE"} 0.0' in server.call("/metrics")[1]
        answers = sorted((one.result() for one in asked), key=lambda told: told["latency_ms"])
    assert [told["source"] for told in answers] == ["OVERLOAD"] + ["DEADLINE"] * 4
    assert all(1000 <= told["latency_ms"] < 2000 for told in answers[1:])
    assert all(told["emotion"] == expected["emotion"] for told in answers)


def test_a_primary_that_raises_is_told_without_the_words(start, expected):
    server = start(*SCRIPTED, "scripted.does=raises", "--deadline-ms", "5000")
    until(lambda: server.ask()["source"] == "ERROR")
    assert server.ask()["emotion"] == expected["emotion"]
    _, health = server.call("/health")
    assert "ValueError at " in health["primary"]["last_error"]
    assert "Lan" not in json.dumps(health, ensure_ascii=False)
    assert health["counts"]["primary_errors"] > 0


def test_a_primary_that_cannot_load_is_told_with_the_remedy(start):
    server = start(*SCRIPTED, "scripted.does=fails_to_load")
    until(lambda: server.call("/health")[1]["status"] == "degraded")
    assert server.call("/health")[1]["primary"]["error"] == "no GPU; set tagger to reflex"
    assert server.ask()["source"] == "ERROR"
    until(lambda: "the reflex answers alone: no GPU; set tagger to reflex\n" in server.output)


def test_a_primary_that_loads_for_ever_is_not_waited_for(start):
    server = start(*SCRIPTED, "scripted.does=never_loads")
    assert server.ask()["source"] == "LOADING"
    status, told = server.call("/health")
    assert (status, told["status"], told["primary"]["state"]) == (200, "loading", "loading")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_when_what_is_under_way_is_answered(start, number):
    server = start(
        *SCRIPTED, "scripted.does=sleeps", "--deadline-ms", "2000", "--publish-margin-ms", "1000"
    )
    until(lambda: server.call("/health")[1]["status"] == "ok")
    with ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(server.ask) for _ in range(5)]
        until(lambda: 'source="OVERLOAD"} 1.0' in server.call("/metrics")[1])
        assert server.end(number) == 0
        sources = sorted(one.result()["source"] for one in asked)
    assert sources == ["DEADLINE"] * 4 + ["OVERLOAD"]


def test_its_worker_ends_with_it(start):
    server = start(*SCRIPTED, "scripted.does=answers", "--set", "scripted.in_worker=true")
    until(lambda: server.call("/health")[1]["status"] == "ok")
    worker = int(server.call("/health")[1]["primary"]["worker pid"])
    assert server.end() == 0
    until(lambda: not os.path.exists(f"/proc/{worker}"))


@pytest.mark.parametrize(
    ("headers", "wanted", "message"),
    [
        ({"Host": "evil.example"}, 421, "the Host header names another machine"),
        ({"Host": "127.0.0.1.evil.example:7862"}, 421, "the Host header names another machine"),
        ({"Origin": "http://evil.example"}, 403, "a page of another site asks"),
        ({"Origin": "null", "Content-Type": "text/plain"}, 403, "a page of another site asks"),
    ],
)
def test_a_page_of_another_site_learns_nothing(server, headers, wanted, message):
    for path, body in (("/tag", TURN), ("/health", None), ("/metrics", None)):
        status, told = server.fault(path, body, **headers)
        assert status == wanted
        assert message in told
    assert server.call("/tag", TURN, Host="localhost", Origin="http://localhost")[0] == 200


def test_the_address_that_is_told_is_one_that_is_served(start):
    server = start("--host", "127.1")  # as a name of this machine that only its hosts file knows
    assert server.call("/tag", TURN)[0] == 200


def test_there_is_a_most_of_connections(start):
    server = start()
    with contextlib.ExitStack() as held:
        for _ in range(256):
            held.enter_context(socket.create_connection(("127.0.0.1", server.port), 30))
        until(lambda: server.call("/health") == (503, "Service Unavailable"))
    until(lambda: server.call("/health")[0] == 200)


TOKEN = "a1b2c3"


@pytest.mark.parametrize("way", ["option", "file", "variable"])
def test_callers_must_show_the_token(start, tmp_path, way):
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    given = {"option": ("--token", TOKEN), "file": ("--token-file", str(file)), "variable": ()}
    variable = {"PIKA_EMOTION_TOKEN": TOKEN} if way == "variable" else {}
    server = start(*given[way], "--host", "0.0.0.0", **variable)
    assert server.call("/tag", TURN, token=TOKEN)[0] == 200
    assert server.call("/tag", TURN, Authorization=f"bearer  {TOKEN}")[0] == 200
    for header in ({}, {"Authorization": "Bearer"}, {"Authorization": f"Basic {TOKEN}"}):
        status, message = server.fault("/tag", TURN, **header)
        assert status == 401
        assert "send the header 'Authorization: Bearer TOKEN'" in message
    for path in ("/health", "/metrics", "/v1/models", "/none"):
        assert server.call(path)[0] == 401
        assert server.call(path, token=TOKEN[:-1])[0] == 401
    assert server.call("/docs")[0] == 200
    assert server.call("/docs-assets/swagger-ui.css")[0] == 200
    assert server.call("/docs-assets/redoc.standalone.js")[0] == 401
    assert server.call("/openapi.json")[1]["security"] == [{"token": []}]
    with pytest.raises(openai.AuthenticationError):
        server.client("wrong").models.list()
    assert said(server.client(TOKEN).chat.completions.create(**user(CONTEXT)))
    # Behind a proxy it has another name; a page elsewhere has no token.
    assert server.call("/tag", TURN, token=TOKEN, Host="pika.example")[0] == 200
    assert TOKEN not in server.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--host", "0.0.0.0"), "--host '0.0.0.0' lets other machines call; give --token-file"),
        (("--host", "::"), "--host '::' lets other machines call"),
        (("--host", "256.0.0.1"), "--host '256.0.0.1' is not known"),
        (("--host", "127.0..1"), "--host '127.0..1' is not known"),
        (("--port", "65536"), "--port 65536 is no port; choose one from 1 to 65535"),
        (("--token", ""), "the token is empty or has spaces"),
        (("--token", "đ"), "letters that a header cannot carry; make one with 'openssl"),
        (("--token", "a", "--token-file", "b"), "both given; leave one out"),
        (("--token-file", "/none"), "token file '/none' cannot be read"),
        (("--deadline-ms", "0"), "deadline_ms 0.0 is out of range; set it from 1 to 60000"),
        (("--deadline-ms", "4"), "publish_margin_ms 5 leaves the primary no time"),
        (("--tagger", "gpt"), "unknown tagger 'gpt'; choose one of vllm, reflex"),
        (("--set", "reflex.model=/none.npz"), "/none.npz"),
        (("--labels", "/none.yaml"), "label file '/none.yaml' cannot be read"),
    ],
)
def test_a_server_that_cannot_start_says_why(arguments, message):
    done = subprocess.run(
        [*SERVE, "--port", "0", *arguments],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("pika-emotion serve: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_port_in_use_is_told(server):
    command = [*SERVE, "--port", str(server.port)]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert done.returncode == 1
    assert f"port {server.port} of '127.0.0.1' cannot be used" in done.stderr
    assert "choose another --port" in done.stderr


@pytest.mark.parametrize("library", ["fastapi", "fastapi_offline", "uvicorn", "prometheus_client"])
def test_a_missing_extra_is_told(library):
    code = (
        f"import sys; sys.modules['{library}'] = None\n"
        "from pika_emotion.cli import main\nsys.exit(main(['serve']))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert library in done.stderr
    assert "pip install '.[serve]'" in done.stderr
