"""Files that a user names: pipes, devices, folders and giants are told and never waited for."""

import json
import os
import threading
from pathlib import Path

import pytest

from pika_emotion import calibration, files, model
from pika_emotion.encoder import card as encoder_card
from pika_emotion.errors import CalibrationError, ConfigError, LabelError, ModelError, PromptError
from pika_emotion.labels import load_labels
from pika_emotion.monitor.settings import read_token
from pika_emotion.prompt_file import load_prompt
from pika_emotion.taggers import http, http_client
from pika_emotion.tokenizer import Tokenizer

DEEP = "[" * 100_000
ENTIRE = 64


def read_encoder_card(file):
    file.replace(file.with_name(encoder_card.FILE))
    return encoder_card.read(file.parent)


def read_tokenizer(file):
    (file.parent / "tokenizer_config.json").write_text("{}")
    (file.parent / "tokenizer.json").symlink_to(file)
    return Tokenizer(file.parent)


def read_monitors_token(file):
    return read_token({"monitor.token_file": str(file)})


def read_key(file):
    return http._key({"http.api_key_file": str(file), "http.api_key_env": ""})


READERS = {
    "labels": (load_labels, LabelError),
    "prompt": (load_prompt, PromptError),
    "model": (model.load, ModelError),
    "calibration": (calibration.read, CalibrationError),
    "encoder": (read_encoder_card, ModelError),
    "tokenizer": (read_tokenizer, PromptError),
    "token": (read_monitors_token, ConfigError),
    "key": (read_key, ConfigError),
    "certificates": (lambda file: http_client._tls(str(file)), ConfigError),
}


def soon(act, release):
    """Return what ``act`` raised; a reader that hangs is let go, and the test fails."""
    raised = []

    def run():
        try:
            act()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(60)
    if thread.is_alive():
        release()
        pytest.fail("still waiting for the file")
    assert raised, "it was taken"
    return raised[0]


@pytest.fixture(params=READERS)
def reader(request):
    if request.param == "tokenizer":
        pytest.importorskip("tokenizers")
    return READERS[request.param]


def test_a_pipe_is_not_waited_for(reader, tmp_path):
    read, fault = reader
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def release():
        os.close(os.open(tmp_path / encoder_card.FILE if not pipe.exists() else pipe, os.O_RDWR))

    error = soon(lambda: read(pipe), release)
    assert isinstance(error, fault), error


def test_a_folder_is_told(reader, tmp_path):
    read, fault = reader
    (tmp_path / "folder").mkdir()
    with pytest.raises(fault):
        read(tmp_path / "folder")


def test_a_giant_is_not_read(reader, tmp_path):
    read, fault = reader
    file = tmp_path / "giant"
    with file.open("wb") as stream:
        stream.truncate(1 << 36)  # a hole of 64 GiB: more than a robot holds
    with pytest.raises(fault):
        read(file)


def test_a_wrong_encoding_is_told(reader, tmp_path):
    read, fault = reader
    file = tmp_path / "file"
    file.write_bytes("labels: [buồn]".encode("utf-16"))
    with pytest.raises(fault):
        read(file)


@pytest.mark.parametrize("name", ["labels", "prompt", "calibration", "encoder"])
def test_deep_nesting_is_told(name, tmp_path):
    read, fault = READERS[name]
    file = tmp_path / "file"
    file.write_text(DEEP)
    with pytest.raises(fault):
        read(file)


def test_a_whole_file_is_read_to_the_last_byte_allowed(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"x" * ENTIRE)
    assert files.read_bytes(file, ENTIRE) == b"x" * ENTIRE
    with pytest.raises(OSError, match="Larger than 0 KiB"):
        files.read_bytes(file, ENTIRE - 1)
    (tmp_path / "link").symlink_to(file)
    assert files.read_bytes(tmp_path / "link", ENTIRE) == b"x" * ENTIRE


def test_a_file_that_tells_no_size_is_bounded_too():
    status = Path("/proc/self/status")
    assert status.stat().st_size == 0
    assert b"Name:" in files.read_bytes(status, 1 << 20)
    with pytest.raises(OSError, match="Larger than"):
        files.read_bytes(status, 100)


def test_a_device_is_refused():
    with pytest.raises(OSError, match="Not an ordinary file"):
        files.read_bytes(Path("/dev/zero"), 100)


def test_line_ends_become_newlines(tmp_path):
    (tmp_path / "file").write_bytes("một\r\nhai\rba\n".encode())
    assert files.read_text(tmp_path / "file") == "một\nhai\nba\n"


def test_json_is_read(tmp_path):
    (tmp_path / "file").write_text(json.dumps({"a": [1]}))
    assert files.read_json(tmp_path / "file") == {"a": [1]}
    (tmp_path / "file").write_text(DEEP)
    with pytest.raises(ValueError, match="nested too deeply"):
        files.read_json(tmp_path / "file")
