#!/usr/bin/env bash
# Builds the package into install/ with the environment that scripts/setup.sh has made.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
arguments=(
  -DPython3_EXECUTABLE="$PWD/.venv/bin/python"
  -DCMAKE_PROJECT_INCLUDE="$PWD/cmake/development.cmake"
)
if .venv/bin/python -c 'import ros_wheels_bootstrapper' 2>/dev/null; then
  export CMAKE_PREFIX_PATH="$PWD/.venv" AMENT_PREFIX_PATH="$PWD/.venv"
fi
colcon --log-base log build --base-paths . --cmake-args "${arguments[@]}"
