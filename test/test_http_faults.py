"""Every fault of a model server: a reply gets its tag with the reason, and service comes back."""

import contextlib
import subprocess
import time

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("tokenizers")
from model_servers import TURN, ModelServer, make_prompt, make_tokenizer, settings

from pika_emotion import taggers
from pika_emotion.deadline import DeadlineTagger, Source
from pika_emotion.errors import ConfigError, PromptError, TaggerError, TaggerUnreachableError
from pika_emotion.taggers import http
from pika_emotion.taggers.calibrated import CalibratedTagger
from pika_emotion.taggers.http_client import is_local

PATIENCE_S = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def texts(folder, labels):
    prompt, decode = make_prompt(folder, labels)
    return {t: decode(t) for answers in prompt.answers.values() for t in answers.tokens}


@pytest.fixture
def server(texts):
    server = ModelServer("ids", texts)
    yield server
    server.close()


@pytest.fixture
def make(labels, reflex, folder):
    made = []

    # Long, so that a slow test machine makes no answer late; a test that wants one late sets less.
    def make(server, *more):
        tagger = taggers.create("http", labels, settings(server, f"http.tokenizer={folder}", *more))
        deadline = DeadlineTagger(labels, reflex, tagger, deadline_ms=20_000.0)
        made.append(deadline)
        deadline.start()
        return deadline

    yield make
    for deadline in made:
        deadline.close()


def until(make_it, wanted):
    """Ask again until it is so; the last answer otherwise."""
    end = time.monotonic() + PATIENCE_S
    while (got := make_it()) != wanted and time.monotonic() < end:
        time.sleep(0.02)
    return got


def source(deadline):
    return deadline.tag(TURN).source


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("slow", Source.DEADLINE),
        ("drip", Source.DEADLINE),
        ("cut", Source.ERROR),
        ("reset", Source.ERROR),
        ("500", Source.ERROR),
        ("503", Source.ERROR),
        ("400", Source.ERROR),
        ("404", Source.ERROR),
        ("401", Source.ERROR),
        ("moved", Source.ERROR),
        ("busy", Source.OVERLOAD),
        ("no_json", Source.ERROR),
        ("wrong_json", Source.ERROR),
        ("nan", Source.ERROR),
        ("huge", Source.ERROR),
    ],
)
def test_each_fault_has_its_source_and_its_end(make, server, fault, expected):
    deadline = make(server)
    assert until(lambda: source(deadline), Source.PRIMARY) is Source.PRIMARY
    if expected is Source.DEADLINE:
        deadline.deadline_ms = 400.0
    server.fault(fault)
    answers = [deadline.tag(TURN) for _ in range(5)]
    assert {answer.source for answer in answers} == {expected}
    assert {answer.tag.tagger for answer in answers} == {"reflex"}
    assert "secret" not in str(deadline.last_error)
    server.fault("")
    deadline.deadline_ms = 20_000.0
    assert until(lambda: source(deadline), Source.PRIMARY) is Source.PRIMARY


def test_a_server_that_is_away_and_comes_back_serves_again(make, server, texts):
    deadline = make(server)
    assert until(lambda: source(deadline), Source.PRIMARY) is Source.PRIMARY
    server.close()
    assert until(lambda: source(deadline), Source.ERROR) is Source.ERROR
    assert "takes no connection" in deadline.last_error
    again = ModelServer("ids", texts, port=server.port)
    try:
        assert until(lambda: source(deadline), Source.PRIMARY) is Source.PRIMARY
    finally:
        again.close()


def test_a_server_that_comes_back_as_another_one_is_told_to_the_calibration(
    labels, server, texts, folder
):
    tagger = taggers.create("http", labels, settings(server, f"http.tokenizer={folder}"))
    calibrated = CalibratedTagger(tagger, None, labels, {"calibration": "", "pool": False})
    calibrated.load()
    before = calibrated.describe()["calibration"]
    server.close()
    again = ModelServer("top", texts, port=server.port)
    try:

        def told():
            with contextlib.suppress(TaggerError):
                calibrated.tag(TURN, time.monotonic() + 1)
            return calibrated.describe()["calibration"] != before

        assert until(told, True)
        assert calibrated.describe()["way"] == "completions, token ids, top 20"
        assert "no card for this model" in calibrated.describe()["calibration"]
    finally:
        calibrated.close()
        again.close()


def test_a_server_that_starts_after_the_node_is_found(make, server):
    server.fault("503")
    deadline = make(server)
    assert until(lambda: deadline.load_error is None, False) is False
    assert source(deadline) is Source.ERROR
    assert "has a fault (503)" in deadline.load_error
    server.fault("")
    assert until(lambda: source(deadline), Source.PRIMARY) is Source.PRIMARY
    assert deadline.load_error is None


def test_a_request_that_nobody_waits_for_is_given_up_on_the_wire(make, server):
    deadline = make(server)
    assert until(lambda: source(deadline), Source.PRIMARY) is Source.PRIMARY
    server.fault("slow")
    deadline.deadline_ms = 400.0
    for _ in range(3):
        assert source(deadline) is Source.DEADLINE
    server.fault("")
    assert until(lambda: server.record()["dropped"], 3) == 3


def test_a_broken_server_is_left_alone(make, server):
    deadline = make(server)
    assert until(lambda: source(deadline), Source.PRIMARY) is Source.PRIMARY
    server.fault("500")
    for _ in range(3):
        source(deadline)
    server.record()
    for _ in range(20):
        assert source(deadline) is Source.ERROR
    assert "tried again by itself" in deadline.last_error
    # Only the attempt to find it well again may have asked meanwhile, and that asks for the list.
    assert [kind for kind, _ in server.record()["seen"] if kind != "models"] == []


def test_an_idle_connection_that_the_server_closed_costs_nothing(make, server):
    deadline = make(server)
    assert until(lambda: source(deadline), Source.PRIMARY) is Source.PRIMARY
    server.fault("reset")
    source(deadline)  # this closes the connection; the breaker stays closed
    server.fault("")
    assert source(deadline) is Source.PRIMARY


def test_refusing_server_is_named_at_load(labels, server):
    server.close()
    tagger = taggers.create("http", labels, settings(server))
    with pytest.raises(TaggerUnreachableError, match=r"takes no connection .* start it"):
        tagger.load()
    tagger.close()


def test_a_server_that_is_slow_to_show_what_it_can_do_is_named(labels, server):
    server.fault("slow")
    tagger = taggers.create("http", labels, settings(server, "http.load_timeout_s=1"))
    with pytest.raises(TaggerUnreachableError, match=r"did not show what it can do in 1 s"):
        tagger.load()
    tagger.close()


# Keys, certificates, addresses.


def test_the_key_is_sent_and_never_shown(labels, server, folder, tmp_path, monkeypatch):
    key_file = tmp_path / "key"
    key_file.write_text("sk-from-file\n", encoding="utf-8")
    monkeypatch.setenv("PIKA_TEST_KEY", "sk-from-environment")
    for setting, key in (
        (f"http.api_key_file={key_file}", "sk-from-file"),
        ("http.api_key_env=PIKA_TEST_KEY", "sk-from-environment"),
    ):
        tagger = taggers.create(
            "http", labels, settings(server, f"http.tokenizer={folder}", setting)
        )
        tagger.load()
        told = tagger._client.run(tagger._client.get("/record"), 5)["headers"]
        assert told["Authorization"] == f"Bearer {key}"
        assert key not in str(tagger.describe())
        tagger.close()


@pytest.mark.parametrize(
    ("more", "match"),
    [
        (["http.api_key_env=PIKA_NO_SUCH"], "http.api_key_env 'PIKA_NO_SUCH' is not set; export"),
        (["http.api_key_file=/no/such"], "http.api_key_file '/no/such' cannot be read; name"),
        (["http.api_key_file=~no.such/k"], "http.api_key_file '~no.such/k' cannot be read; name"),
        (["http.api_key_file=/a", "http.api_key_env=B"], "are both set; empty one"),
        (["http.ca_file=/no/such"], "http.ca_file '/no/such' cannot be read; name a PEM"),
        (["http.url=ftp://127.0.0.1/v1"], "is no server's address; write one such as"),
        (["http.url=http://127.0.0.1:port/v1"], "is no server's address"),
        (["http.url=http://user@127.0.0.1/v1"], "is no server's address"),
        (["http.url=https://93.184.216.34/v1"], r"what the child says would leave the robot"),
        (
            ["http.url=http://93.184.216.34/v1", "http.allow_remote=true"],
            "over the internet unencrypted; use https",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused(labels, more, match):
    with pytest.raises(ConfigError, match=match):
        taggers.create("http", labels, taggers.settings_from_text("http", more))


def test_a_prompt_file_that_is_missing_leaves_no_client_open(labels, monkeypatch):
    opened = []
    monkeypatch.setattr(http, "Client", lambda *args, **options: opened.append(args))
    wrong = taggers.settings_from_text("http", ["http.prompt_file=/no/such.yaml"])
    with pytest.raises(PromptError, match=r"prompt file '/no/such\.yaml' cannot be read"):
        taggers.create("http", labels, wrong)
    assert opened == []


@pytest.mark.parametrize(
    ("allowed", "match"),
    [
        ("false", r"names 'far.example', which is not on the local net"),
        ("true", r"names 'far.example', which would send .* unencrypted; use https"),
    ],
)
def test_names_of_far_addresses_are_refused(labels, server, monkeypatch, allowed, match):
    import socket

    far = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", server.port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: far)
    url = f"http.url=http://far.example:{server.port}/v1"
    more = f"http.allow_remote={allowed}"
    tagger = taggers.create("http", labels, taggers.settings_from_text("http", [url, more]))
    with pytest.raises(TaggerError, match=match):
        tagger.load()
    tagger.close()


@pytest.mark.parametrize(
    ("address", "local"),
    [("127.0.0.1", True), ("192.168.1.7", True), ("10.0.0.1", True), ("fe80::1", True),
     ("8.8.8.8", False), ("2606:4700::1111", False)],
)  # fmt: skip
def test_what_is_near(address, local):
    assert is_local(address) is local


@pytest.fixture
def certificate(tmp_path):
    """A certificate for this machine that nobody else has signed, with its key."""
    file = tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
               "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
               "-keyout", str(tmp_path / "key.pem"), "-out", str(file)]  # fmt: skip
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    file.write_text(file.read_text() + (tmp_path / "key.pem").read_text(), encoding="utf-8")
    return file


def test_a_certificate_must_verify(labels, texts, folder, certificate):
    server = ModelServer("ids", texts, certificate)
    try:
        strange = taggers.create("http", labels, settings(server, f"http.tokenizer={folder}"))
        with pytest.raises(TaggerError, match=r"cannot be trusted: .* http.ca_file"):
            strange.load()
        strange.close()
        known = taggers.create(
            "http",
            labels,
            settings(server, f"http.tokenizer={folder}", f"http.ca_file={certificate}"),
        )
        known.load()
        assert known.tag(TURN, time.monotonic() + 5).tagger == "http"
        known.close()
    finally:
        server.close()
