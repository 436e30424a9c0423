"""README.md says what the code does: its tables, commands and versions are checked against it."""

import re
import sys
import xml.etree.ElementTree as ET

import pytest
from conftest import ROOT

from pika_emotion.cli import COMMANDS
from pika_emotion.version import __version__

sys.path.insert(0, str(ROOT / "scripts"))
from readme_tables import message_table, parameter_table

README = (ROOT / "README.md").read_text(encoding="utf-8")
VIETNAMESE = (ROOT / "README.vi.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "table",
    [parameter_table(), message_table("EmotionTag"), message_table("Utterance")],
    ids=["parameters", "EmotionTag", "Utterance"],
)
def test_tables_are_those_of_the_code(table):
    assert table.count("\n") > 4
    assert table in README, "run: scripts/in_env.sh python scripts/readme_tables.py"


def test_topics_are_those_of_the_node():
    code = "".join(
        (ROOT / f"pika_emotion/{name}.py").read_text(encoding="utf-8")
        for name in ("serving", "topics")
    )
    topics = set(re.findall(r'"((?:child|pika)/\w+|emotion_tag)"', code))
    assert topics == {"child/transcript", "pika/reply", "pika/reply_partial", "emotion_tag"}
    for topic in (*topics, "/diagnostics"):
        assert f"| `{topic}` |" in README


def test_launch_arguments_are_those_of_the_launch_file():
    launch = (ROOT / "launch/pika_emotion.launch.py").read_text(encoding="utf-8")
    arguments = set(re.findall(r'DeclareLaunchArgument\(\s*"(\w+)"', launch))
    arguments |= set(re.findall(r'"(\w+_topic)": \(', launch))
    assert arguments >= {"tagger", "params_file", "namespace", "log_level"}
    for argument in arguments:
        assert f"`{argument}`" in README


@pytest.mark.parametrize("text", [README, VIETNAMESE])
def test_make_targets_exist(text):
    targets = set(re.findall(r"^make (\w+)", text, re.MULTILINE))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert {"demo", "test"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_command_is_described():
    for name in COMMANDS:
        assert f"`{name}`" in README


def test_files_that_are_linked_exist():
    for text in (README, VIETNAMESE):
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
            assert (ROOT / target).exists(), target


def test_versions_agree():
    assert ET.parse(ROOT / "package.xml").getroot().findtext("version") == __version__
