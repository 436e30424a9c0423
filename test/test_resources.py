"""Data files are found in a workspace, in a wheel installed anywhere, and in the source tree."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from pika_emotion import resources
from pika_emotion.errors import ResourceError

FILES = ("config/labels.yaml", "resource/reflex.npz", "msg/Utterance.msg", "launch")
SHOW = (
    "import sys; from pika_emotion import resources; "
    "print(*[resources.find(name) for name in sys.argv[1:]], sep='\\n')"
)
# Where the tools that need no ROS find what they need: numpy and PyYAML, and nothing else.
LIBRARIES = ("numpy", "numpy.libs", "yaml", "_yaml")


def workspace(prefix, marker=True):
    """Make an installed workspace with a label file."""
    index = prefix / "share/ament_index/resource_index/packages"
    index.mkdir(parents=True)
    if marker:
        (index / "pika_emotion").touch()
    file = prefix / "share/pika_emotion/config/labels.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("labels: []")
    return file


def test_the_installed_files_are_found():
    for name in FILES:
        assert resources.find(name).exists()


def test_the_first_workspace_wins(tmp_path, monkeypatch):
    first, second = workspace(tmp_path / "a"), workspace(tmp_path / "b")
    prefixes = [str(tmp_path / name) for name in ("none", "a", "b")]
    monkeypatch.setenv("AMENT_PREFIX_PATH", os.pathsep.join(prefixes))
    assert resources.find("config/labels.yaml") == first
    first.unlink()
    assert resources.find("config/labels.yaml") == second


def test_a_prefix_without_this_package_is_not_looked_in(tmp_path, monkeypatch):
    workspace(tmp_path / "a", marker=False)
    second = workspace(tmp_path / "b")
    prefixes = ["", str(tmp_path / "a"), str(tmp_path / "b"), ""]
    monkeypatch.setenv("AMENT_PREFIX_PATH", os.pathsep.join(prefixes))
    assert resources.find("config/labels.yaml") == second


def test_a_missing_file_is_told_with_where_it_was_looked_for(tmp_path, monkeypatch):
    workspace(tmp_path)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    message = "data file 'config/none.yaml' of pika_emotion not found .*; install the package again"
    with pytest.raises(ResourceError, match=message) as error:
        resources.find("config/none.yaml")
    assert str(tmp_path / "share/pika_emotion/config/none.yaml") in str(error.value)


def run(where, code_at, *command, **environment):
    """Run Python in another folder, with the package at one place and no installed libraries."""
    libraries = where / "libraries"
    if not libraries.exists():
        libraries.mkdir()
        for name in LIBRARIES:
            for folder in (Path(p) for p in sys.path):
                if (folder / name).is_dir() and not (libraries / name).exists():
                    (libraries / name).symlink_to(folder / name)
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG")}
    path = os.pathsep.join([str(code_at), str(libraries)])
    done = subprocess.run(
        [sys.executable, "-S", *map(str, command)],
        cwd=where,
        env={**kept, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_the_source_tree_is_enough(tmp_path):
    found = run(tmp_path, ROOT, "-c", SHOW, *FILES)
    assert found.stdout.split() == [str(ROOT / name) for name in FILES]


def test_a_package_without_its_data_says_so(tmp_path):
    shutil.copytree(ROOT / "pika_emotion", tmp_path / "code/pika_emotion")
    done = run(
        tmp_path, tmp_path / "code", "-m", "pika_emotion.cli", "tag", "--reply", "Hi", "--json"
    )
    assert done.returncode == 1
    assert "looked for nowhere: no installation of it was found" in done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel out of a copy, so that the tree stays as it is."""
    build = tmp_path_factory.mktemp("wheel")
    for name in ("config", "launch", "msg", "resource", "pika_emotion"):
        shutil.copytree(
            ROOT / name, build / "src" / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("setup.py", "setup.cfg", "LICENSE", "README.md"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, build / "src")
    pip("wheel", "--no-build-isolation", "--use-pep517", "-w", build, build / "src")
    (built,) = build.glob("*.whl")
    return built


def pip(*arguments):
    # -I: the workspace on PYTHONPATH would count as an installation of the package.
    command = [
        sys.executable,
        "-I",
        "-m",
        "pip",
        *arguments[:1],
        "--quiet",
        "--no-deps",
        "--no-index",
    ]
    done = subprocess.run(
        [*command, *map(str, arguments[1:])], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module", params=["--prefix", "--target"])
def installed(request, wheel, tmp_path_factory):
    """Install the wheel; return the folder of the installation and that of the package in it."""
    folder = tmp_path_factory.mktemp("installed")
    pip("install", request.param, folder, wheel)
    (package,) = folder.glob("**/pika_emotion/resources.py")
    return folder, package.parent.parent


def test_a_wheel_finds_its_files_from_another_folder(installed, tmp_path):
    folder, package_at = installed
    found = run(tmp_path, package_at, "-c", SHOW, *FILES)
    assert found.stdout.split() == [str(folder / "share/pika_emotion" / name) for name in FILES]


def test_a_sourced_workspace_comes_before_the_wheel(installed, tmp_path):
    _, package_at = installed
    file = workspace(tmp_path / "workspace")
    prefix = str(tmp_path / "workspace")
    names = ("config/labels.yaml", "resource/reflex.npz")
    found = run(tmp_path, package_at, "-c", SHOW, *names, AMENT_PREFIX_PATH=prefix)
    first, second = found.stdout.split()
    assert first == str(file)
    assert "share/pika_emotion/resource" in second
    assert not second.startswith(prefix)


def test_the_wheels_program_tags_with_numpy_and_yaml_alone(installed, tmp_path):
    folder, package_at = installed
    program = folder / "bin/pika-emotion"
    command = ("tag", "--question", "2+2?", "--child", "bốn", "--reply", "Đúng rồi!", "--json")
    done = run(tmp_path, package_at, program, *command)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tagger"] == "reflex"


def test_what_the_wheel_lacks_is_named_with_the_remedy(installed, tmp_path):
    folder, package_at = installed
    program = folder / "bin/pika-emotion"
    bag = folder / "share/pika_emotion/resource/demo/conversation"
    done = run(tmp_path, package_at, program, "replay", bag)
    assert done.returncode == 1
    assert "this speaks with a running node and needs ROS 2" in done.stderr
    code = f"from pika_emotion.bags import read_bag\ntry: read_bag({str(bag)!r})\n"
    code += "except Exception as error: print(type(error).__name__, error)"
    done = run(tmp_path, package_at, "-c", code)
    assert done.stdout.startswith("BagError reading bags needs rosbags, which is not installed; ")
