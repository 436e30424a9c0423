"""No file of this package runs what it reads: no pickles, no evaluated text, no shell, no code of
a model's own. Looks at the syntax trees, so that words in comments do not count.
"""

import ast

import pytest
from conftest import ROOT

FILES = sorted(
    file for room in ("pika_emotion", "scripts", "launch", "examples")
    for file in (ROOT / room).rglob("*.py")
)  # fmt: skip
# Modules that run code while they read, or that are made of such files.
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
BUILTINS = {"eval", "exec", "compile"}
CALLS = {
    ("yaml", "load"), ("yaml", "load_all"), ("yaml", "full_load"), ("yaml", "full_load_all"),
    ("yaml", "unsafe_load"), ("yaml", "unsafe_load_all"), ("os", "system"), ("os", "popen"),
    ("tempfile", "mktemp"), ("jinja2", "Template"), ("jinja2", "Environment"),
}  # fmt: skip
# A call of that name must, or must not, have an argument with that value.
MUST = {"load": {"np": ("allow_pickle", False), "numpy": ("allow_pickle", False),
                 "torch": ("weights_only", True)}}  # fmt: skip
MUST_NOT = {("trust_remote_code", True), ("shell", True), ("allow_pickle", True)}


def faults(source):
    """Return the lines that could run what is read, with what is wrong."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = {alias.name.partition(".")[0] for alias in node.names}
            found += [(node.lineno, f"imports {name}") for name in sorted(names & MODULES)]
        elif isinstance(node, ast.ImportFrom):
            place = (node.module or "").partition(".")[0]
            if place in MODULES:
                found.append((node.lineno, f"imports {place}"))
            names = {(place, alias.name) for alias in node.names}
            found += [(node.lineno, f"imports {'.'.join(name)}") for name in sorted(names & CALLS)]
        elif isinstance(node, ast.Call):
            found += [(node.lineno, fault) for fault in call_faults(node)]
    return found


def call_faults(node):
    given = {
        word.arg: word.value.value for word in node.keywords if isinstance(word.value, ast.Constant)
    }
    for fault in sorted(MUST_NOT & set(given.items())):
        yield f"{fault[0]}={fault[1]}"
    if isinstance(node.func, ast.Name) and node.func.id in BUILTINS:
        yield f"calls {node.func.id}"
    if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
        place, name = node.func.value.id, node.func.attr
        if (place, name) in CALLS:
            yield f"calls {place}.{name}"
        word, value = MUST.get(name, {}).get(place, (None, None))
        if word is not None and given.get(word) is not value:
            yield f"calls {place}.{name} without {word}={value}"


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("import pickle", "imports pickle"),
        ("def f():\n    from joblib import load", "imports joblib"),
        ("from yaml import unsafe_load", "imports yaml.unsafe_load"),
        ("eval('1')", "calls eval"),
        ("exec(text)", "calls exec"),
        ("np.load(file)", "calls np.load without allow_pickle=False"),
        ("np.load(file, allow_pickle=True)", "allow_pickle=True"),
        ("torch.load(file)", "calls torch.load without weights_only=True"),
        ("yaml.load(text, Loader=yaml.Loader)", "calls yaml.load"),
        ("from_pretrained(name, trust_remote_code=True)", "trust_remote_code=True"),
        ("subprocess.run(text, shell=True)", "shell=True"),
        ("os.system(text)", "calls os.system"),
    ],
)
def test_what_is_looked_for_is_found(source, fault):
    assert fault in [told for _, told in faults(source)]


@pytest.mark.parametrize(
    "source",
    [
        "np.load(file, allow_pickle=False)",
        "torch.load(file, weights_only=True)",
        "yaml.safe_load(text)",
        "network.eval()",
        "re.compile(text)",
        "json.load(file)  # not pickle.load",
        "from_pretrained(name, trust_remote_code=False)",
    ],
)
def test_what_is_harmless_is_not(source):
    assert faults(source) == []


def test_no_file_runs_what_it_reads():
    assert len(FILES) > 100
    found = {
        str(file.relative_to(ROOT)): told
        for file in FILES
        if (told := faults(file.read_text(encoding="utf-8")))
    }
    assert found == {}
