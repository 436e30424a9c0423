"""The example consumers: the C++ one is built against the installed package and run."""

import os
import subprocess
import sys
import threading
import time

from conftest import ROOT
from ros import NodeProcess, Robot, until


def test_the_cpp_consumer_builds_against_the_installed_package(tmp_path):
    configure = [
        *("cmake", "-S", str(ROOT / "examples/cpp_consumer"), "-B", str(tmp_path)),
        f"-DPython3_EXECUTABLE={sys.executable}",
        f"-DCMAKE_PROJECT_INCLUDE={ROOT / 'cmake/development.cmake'}",
        f"-DCMAKE_PREFIX_PATH={os.environ['AMENT_PREFIX_PATH'].replace(os.pathsep, ';')}",
    ]
    for command in (configure, ["cmake", "--build", str(tmp_path)]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    shown = subprocess.run(
        [str(tmp_path / "show_commands")], capture_output=True, text=True, check=True
    ).stdout
    assert shown == "face ._. () arms 0 deg\nface ^o^ (thats_right) arms 30 deg confetti\n"


def test_the_python_consumer_shows_a_live_tag(tmp_path):
    node = NodeProcess(tmp_path, params={"tagger": "scripted.tagger", "deadline_ms": 3000.0})
    program = ROOT / "examples/python_consumer/face.py"
    face = subprocess.Popen(
        [sys.executable, str(program), "--ros-args", "-r", f"__ns:={node.namespace}"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(face.stdout), daemon=True)
    reader.start()
    try:
        with Robot(node) as robot:
            robot.wait_for_node(20.0)
            robot.status(lambda values, status: "loading" not in status.message)

            def shown():  # the face may not be matched yet; a tag before that is not for it
                robot.say(("pika", "Hello!"))
                time.sleep(0.1)
                return lines

            until(shown)
            assert lines[0] == "face ò_ó (angry) arms 51 deg confetti\n"
    finally:
        face.kill()
        face.wait()
        reader.join()
        face.stdout.close()
        node.close()
