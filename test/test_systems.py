"""docs/systems.md, docs/http.md and docs/servers say what the code does: checked against it."""

import ast
import re

import pytest
import yaml
from conftest import ROOT

from pika_emotion import taggers
from pika_emotion.parameters import CORE, check_together
from pika_emotion.taggers.http_ways import Chat, Completions, Prompts, candidates

DOCS = ROOT / "docs"
SYSTEMS = DOCS / "systems.md"
SERVERS = sorted((DOCS / "servers").glob("*.md"))
PAGES = [SYSTEMS, DOCS / "http.md", *SERVERS]
STATES = ("measured", "runs, not measured", "recipe, NOT RUN", "absent")
PARAMETERS = {p.name: p for p in (*CORE, *taggers.all_parameters("reflex"))}
PARAMETER_FILES = sorted(
    file
    for file in (ROOT / "config").glob("*.yaml")
    if "ros__parameters" in file.read_text(encoding="utf-8")
)

# A name such as http.url, but no file's, and no part of a path, a host's name or a module's.
_PARAMETER = re.compile(
    r"(?<![\w/.-])((?:http|encoder|vllm|reflex)\.(?!md\b|py\b)[a-z]\w*)\b(?!\.\w)"
)
_ADDRESS = re.compile(r"https?://[^\s)`]+")


def text_of(page):
    return page.read_text(encoding="utf-8")


def rows(page, first_heading):
    """Return the rows of the table whose first column has this heading, as lists of cells."""
    lines = iter(text_of(page).splitlines())
    for line in lines:
        if line.startswith(f"| {first_heading} |"):
            break
    next(lines)
    table = []
    for line in lines:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split("|")])
    return table


def names_in(page):
    return set(_PARAMETER.findall(_ADDRESS.sub("", text_of(page))))


def check_file(text):
    """Check every value of a parameter file; return the values, the others' defaults with them."""
    set_here = yaml.safe_load(text)["/**"]["ros__parameters"]
    for name, value in set_here.items():
        assert name in PARAMETERS, name
        parameter = PARAMETERS[name]
        assert type(value) is type(parameter.default), name  # as rclpy wants it
        parameter.check(value)
    values = {name: parameter.default for name, parameter in PARAMETERS.items()} | set_here
    check_together(values)
    return values


SYSTEM_ROWS = rows(SYSTEMS, "system")


def test_every_tagger_has_a_system():
    assert len(SYSTEM_ROWS) > 10
    assert {f"`{name}`" for name in taggers.NAMES} <= {row[1] for row in SYSTEM_ROWS}


@pytest.mark.parametrize("row", SYSTEM_ROWS, ids=[row[0] for row in SYSTEM_ROWS])
def test_a_systems_state_is_that_of_the_code(row):
    _, tagger, state, where, measured = row
    assert state.strip("`") in STATES
    paths = re.findall(r"`([^`]+)`", where)
    for path in paths:
        assert (ROOT / path).is_file(), path
    absent = state == "`absent`"
    if tagger:
        assert (tagger.strip("`") in taggers.NAMES) is not absent
    assert bool(paths) is not absent
    if state == "`measured`":
        assert re.search(r"\d", measured)
    if state == "`recipe, NOT RUN`":
        assert measured.startswith("nothing")


def test_figures_are_those_of_the_pages_that_say_how_they_were_measured():
    said = " ".join(text_of(page) for page in (ROOT / "README.md", *DOCS.glob("*.md"))
                    if page != SYSTEMS)  # fmt: skip
    for name, _, _, _, measured in SYSTEM_ROWS:
        for figure in re.findall(r"\d+\.\d+", measured):
            assert re.search(rf"(?<![\d.]){re.escape(figure)}(?!\d)", said), f"{name}: {figure}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text_of(page)):
        assert (page.parent / target).is_file(), target


def test_every_servers_page_is_linked_and_says_what_did_not_run():
    assert len(SERVERS) >= 5
    for page in SERVERS:
        for index in (SYSTEMS, DOCS / "http.md"):
            assert f"(servers/{page.name})" in text_of(index)
        assert "NOT RUN" in text_of(page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_parameter_that_is_named_exists(page):
    assert names_in(page) - set(PARAMETERS) == set()


@pytest.mark.parametrize("page", [DOCS / "http.md", *SERVERS], ids=lambda page: page.stem)
def test_parameter_files_of_the_pages_work(page):
    files = re.findall(r"^```yaml\n(/\*\*:\n.*?)^```", text_of(page), re.MULTILINE | re.DOTALL)
    assert files
    for text in files:
        assert check_file(text)["tagger"] == "http"


def test_names_are_found_where_they_stand():
    found = _PARAMETER.findall(
        "--set http.url=x `vllm.no_such`, vllm.md a/http.py docs.vllm.ai vllm.entrypoints.openai."
    )
    assert found == ["http.url", "vllm.no_such"]


def test_the_http_page_tells_of_every_parameter():
    own = {name for name in PARAMETERS if name.startswith("http.")}
    assert own
    assert own <= names_in(DOCS / "http.md")


def test_every_way_of_asking_is_in_the_table():
    """Each way's name, as diagnostics have it, from the code that builds them."""
    told = " ".join(row[0] for row in rows(DOCS / "http.md", "way"))
    ways = list(candidates(Prompts(object(), str, None, None, ""), "model"))
    assert {Chat, Completions} == {type(way) for way in ways}
    for way in ways:
        for part in way.name.replace(", one head a request", "").rsplit(", ", 1):
            assert part in told


def test_messages_of_the_troubleshooting_table_are_the_codes():
    files = [ROOT / "pika_emotion/errors.py"]
    files += (ROOT / "pika_emotion/taggers").glob("http*.py")
    said = [
        node.value
        for file in files
        for node in ast.walk(ast.parse(text_of(file)))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    table = rows(DOCS / "http.md", "the message has")
    assert len(table) > 10
    for message, _ in table:
        assert any(message.strip("`") in text for text in said), message


@pytest.mark.parametrize("file", PARAMETER_FILES, ids=lambda file: file.name)
def test_parameter_files_in_config_work(file, labels):
    values = check_file(text_of(file))
    module = taggers.find_module(values["tagger"])
    tagger = module.create(labels, {p.name: values[p.name] for p in module.PARAMETERS})
    assert tagger.name == values["tagger"]
    tagger.close()


def test_the_plans_baseline_has_a_parameter_file():
    file = ROOT / "config" / "qwen1.5-0.5b.yaml"
    assert file in PARAMETER_FILES
    values = check_file(text_of(file))
    assert (values["tagger"], values["vllm.model"]) == ("vllm", "Qwen/Qwen1.5-0.5B-Chat")
