"""The ROS-free half of the package for pip; colcon reads package.xml and CMakeLists.txt instead."""

from collections import defaultdict
from pathlib import Path

from setuptools import setup

folders = defaultdict(list)
for room in ("config", "launch", "msg", "resource"):
    for file in sorted(Path(room).rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            folders[f"share/pika_emotion/{file.parent}"].append(str(file))

setup(data_files=sorted(folders.items()))
