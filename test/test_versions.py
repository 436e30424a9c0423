"""One version everywhere, and messages whose fields do not change by accident."""

import configparser
import json
import re
import xml.etree.ElementTree as ET

import pytest
from conftest import ROOT

from pika_emotion import calibration, model, resources
from pika_emotion.encoder import card as encoder_card
from pika_emotion.errors import ResourceError
from pika_emotion.version import __version__

VERSIONING = (ROOT / "docs/versioning.md").read_text(encoding="utf-8")


def test_every_place_tells_the_same_version():
    package = ET.parse(ROOT / "package.xml").getroot().findtext("version")
    wheel = configparser.ConfigParser()
    wheel.read(ROOT / "setup.cfg")
    assert wheel["metadata"]["version"] == "attr: pika_emotion.version.__version__"
    log = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - ", log, re.MULTILINE)[0]
    assert package == newest == __version__
    policy = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert f"| {__version__.rpartition('.')[0]}, the newest state" in policy


@pytest.mark.parametrize("name", ["EmotionTag", "Utterance"])
def test_a_messages_fields_are_those_that_were_published(name):
    try:
        built = json.loads(resources.find(f"msg/{name}.json").read_text(encoding="utf-8"))
    except ResourceError:
        pytest.skip("this ROS 2 has no type hashes")
    hashes = {one["type_name"]: one["hash_string"] for one in built["type_hashes"]}
    assert f"| `{name}` | `{hashes[f'pika_emotion/msg/{name}']}` |" in VERSIONING


@pytest.mark.parametrize(
    ("what", "version"),
    [
        ("a reflex model (`.npz`)", model.VERSION),
        ("an encoder's card (`encoder.json`)", encoder_card.VERSION),
        ("a calibration card", calibration.VERSION),
    ],
)
def test_formats_are_those_of_the_code(what, version):
    assert f"| {what} | {version} |" in VERSIONING


@pytest.mark.parametrize(
    "page",
    ["SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/security.md", "docs/versioning.md"],
)
def test_what_is_named_is_there(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert ((ROOT / page).parent / target).exists(), target
    for target in re.findall(r"make (test-\w+|setup|test|lint|help|bench|train)\b", text):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    for name in re.findall(r"`((?:test|scripts|config|data)/[\w/.]+\.\w+)`", text):
        assert (ROOT / name).exists(), name
    if page == "docs/security.md":
        for name in re.findall(r"`((?:\w+/)*\w+\.py)`", text):
            assert (ROOT / name).exists() or (ROOT / "pika_emotion" / name).exists(), name
