"""The pages under docs/ say what the code does: commands, parameters, names, links, navigation."""

import configparser
import importlib
import itertools
import re
import shlex
import sys

import pytest
import yaml
from conftest import ROOT
from test_systems import DOCS, PARAMETERS, check_file, names_in, rows, text_of

from pika_emotion.cli import COMMANDS, main
from pika_emotion.deadline import DeadlineTagger, Source
from pika_emotion.health import Health
from pika_emotion.monitor import settings as monitor

sys.path.insert(0, str(ROOT / "scripts"))
from check_site import loaded_from_elsewhere

PAGES = sorted(DOCS.rglob("*.md"))
VIETNAMESE = sorted((DOCS / "vi").glob("*.md"))
LAUNCH = text_of(ROOT / "launch/pika_emotion.launch.py")
LAUNCH_ARGUMENTS = {
    *re.findall(r'DeclareLaunchArgument\(\s*"(\w+)"', LAUNCH),
    *re.findall(r'"(\w+_topic)": \(', LAUNCH),
}
PROGRAMS = re.search(r"foreach\(program ([^)]+)\)", text_of(ROOT / "CMakeLists.txt"))[1].split()
KNOWN = {*PARAMETERS, *(parameter.name for parameter in monitor.PARAMETERS)}
MAKEFILE = text_of(ROOT / "Makefile")

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")


def by_name(page):
    return str(page.relative_to(DOCS))


def blocks(page, *languages):
    """Return the texts of the fenced blocks in these languages."""
    return [text for language, text in _FENCE.findall(text_of(page)) if language in languages]


def command_lines(page):
    """Return the shell commands of a page, each as its words, without what it is piped to."""
    lines = []
    for block in blocks(page, "sh", "bash", ""):
        for line in block.replace("\\\n", " ").splitlines():
            bare = re.sub(r"(^|\s)#.*", "", line)
            for part in re.split(r"&&|\||;|>", bare):
                try:
                    lines.append(shlex.split(part))
                except ValueError:  # a program's output, or a quote that was cut in two
                    continue
    return [line for line in lines if line]


def tool_arguments(line):
    """Return what a command line gives to ``pika-emotion``; None where it is another's."""
    if line[:3] == ["ros2", "run", "pika_emotion"] and line[3] in COMMANDS:
        return line[3:]
    if line[:4] == ["scripts/in_env.sh", "python", "-m", "pika_emotion.cli"]:
        return line[4:]
    return line[1:] if re.fullmatch(r"(?:.*/)?pika-emotion", line[0]) else None


def uris(nav):
    if isinstance(nav, str):
        return [nav]
    entries = nav.values() if isinstance(nav, dict) else nav
    return [uri for entry in entries for uri in uris(entry)]


def test_every_page_is_in_the_navigation_once():
    named = uris(yaml.safe_load(text_of(ROOT / "mkdocs.yml"))["nav"])
    own = [uri for uri in named if not uri.startswith("repository/")]
    assert sorted(own) == sorted(map(by_name, PAGES))
    for uri in set(named) - set(own):
        assert (ROOT / uri.removeprefix("repository/")).is_file(), uri


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_links_and_included_files_exist(page):
    text = text_of(page)
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (page.parent / target).is_file(), target
    for file in re.findall(r'^--8<-- "([^"]+)"', text, re.MULTILINE):
        assert (ROOT / file).is_file(), file


def test_commands_are_found_where_they_stand():
    lines = [tool_arguments(line) for line in command_lines(DOCS / "get_started.md")]
    assert ["evaluate", "--data", "data/dialogues/dev.tsv"] in lines
    assert [line[0] for line in lines if line].count("tag") == 2


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_commands_are_understood(page, monkeypatch):
    """Each command of the tools is parsed by its own parser; none is run."""
    for name in COMMANDS:
        module = importlib.import_module(f"pika_emotion.commands.{name.replace('-', '_')}")
        monkeypatch.setattr(module, "run", lambda options: 0)
    for line in command_lines(page):
        arguments = tool_arguments(line)
        if arguments is not None:
            assert main(arguments) == 0, line
            pairs = itertools.pairwise(arguments)
            given = {value.split("=")[0] for option, value in pairs if option == "--set"}
            assert given <= set(PARAMETERS), line


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_programs_arguments_and_targets_exist(page):
    for line in command_lines(page):
        if line[:3] == ["ros2", "run", "pika_emotion"]:
            assert line[3] in PROGRAMS, line
            for name in re.findall(r"-p (\S+?):=", " ".join(line)):
                assert name in KNOWN, line
        if line[:3] == ["ros2", "launch", "pika_emotion"]:
            given = {word.split(":=")[0] for word in line[4:]}
            assert given <= LAUNCH_ARGUMENTS, line
        if line[:3] == ["ros2", "param", "set"]:
            assert PARAMETERS[line[4]].live, line
    code = [*_CODE.findall(text_of(page)), *blocks(page, "sh", "bash", "")]
    for target in re.findall(r"^make ([a-z][a-z-]*)", "\n".join(code), re.MULTILINE):
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), target


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_parameters_exist_and_their_values_work(page):
    named = {name for name in names_in(page) if not name.endswith((".npz", ".json"))}
    assert named <= set(PARAMETERS)
    for text in blocks(page, "yaml"):
        if text.startswith("/**:"):
            content = yaml.safe_load(text)
            content["/**"]["ros__parameters"].pop("qos_overrides", None)  # rclpy's own
            check_file(yaml.safe_dump(content))


def test_libraries_that_are_named_are_those_of_the_extras():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = setup["options.extras_require"]
    for row, extra in (
        ("tagger: encoder", "encoder"),
        ("tagger: http", "http"),
        ("the monitor", "serve"),
    ):
        needs = {cells[0].strip("`"): cells[1] for cells in rows(DOCS / "robot.md", "for")}[row]
        named = re.findall(r"`(\w+)`", needs)
        assert named
        assert set(named) <= set(re.findall(r"^\w+", extras[extra], re.MULTILINE)), row


def test_the_robots_own_files_fit_the_package():
    robot = ROOT / "examples/robot"
    check_file(text_of(robot / "emotion.yaml"))
    passed = re.findall(r'^ +"(\w+)": "', text_of(robot / "robot.launch.py"), re.MULTILINE)
    assert len(passed) > 2
    assert set(passed) <= LAUNCH_ARGUMENTS
    assert "lib/pika_emotion/emotion_node" in text_of(robot / "pika-emotion.service")


def test_what_to_watch_is_what_diagnostics_have(labels, reflex):
    health = Health()
    health.answered(Source.REFLEX, 1.0)
    health.waited(1.0)
    shown = health.report("active", DeadlineTagger(labels, reflex), {}, 0).values
    counted = "".join(text_of(ROOT / "pika_emotion" / name) for name in ("topics.py", "serving.py"))
    table = [row[0].strip("`") for row in rows(DOCS / "robot.md", "value")]
    assert len(table) > 8
    for name in table:
        tagger, _, key = name.partition(": ")
        if key:
            code = text_of(ROOT / "pika_emotion/taggers" / f"{tagger}.py")
            assert f'"{key}"' in code, name
        else:
            assert name in shown or f'"{name}"' in counted, name


def test_every_source_is_explained():
    told = [row[0].strip("`") for row in rows(DOCS / "robot.md", "source")]
    assert told == [source.name for source in Source if source]


@pytest.mark.parametrize("page", VIETNAMESE, ids=by_name)
def test_a_vietnamese_page_has_what_the_english_one_has(page):
    """The same sections, and the same commands and files, comments aside."""
    english = DOCS / page.name

    def parts(of):
        code = [re.sub(r"\s+#.*", "", text) for _, text in _FENCE.findall(text_of(of))]
        return len(re.findall(r"^## ", text_of(of), re.MULTILINE)), code

    assert parts(page) == parts(english)
    assert parts(page)[0] > 3


def test_what_a_site_loads_from_elsewhere_is_found(tmp_path):
    (tmp_path / "good.html").write_text(
        '<a href="https://example.org">x</a><img src="picture.png"><link rel="canonical" '
        'href="https://example.org/"><svg xmlns="http://www.w3.org/2000/svg"></svg>',
        encoding="utf-8",
    )
    assert loaded_from_elsewhere(tmp_path) == []
    bad = {
        "script.html": '<script src="https://example.org/a"></script>',
        "link.html": '<link rel="stylesheet" href="//example.org/a">',
        "style.css": "@import 'https://example.org/a';",
        "font.svg": '<svg><style>@font-face { src: url("https://example.org/a") }</style></svg>',
        "inline.html": '<p style="background: url(https://example.org/a)">x</p>',
    }
    for name, text in bad.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert {file.name for file, _ in loaded_from_elsewhere(tmp_path)} == set(bad)
