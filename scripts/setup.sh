#!/usr/bin/env bash
# Makes this tree ready to test and run: an environment in .venv and a colcon build in install/.
# With a sourced ROS 2 it uses that; without one it installs ROS 2 Jazzy's wheels into .venv.
# Touches nothing outside the tree and needs no root. Quick when there is nothing to do.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1

die() {
  echo "make setup: $*" >&2
  exit 1
}

# Run a step quietly; show its output only where it fails.
step() {
  local title=$1
  shift
  echo "$title"
  if ! "$@" >log/setup.log 2>&1; then
    tail -n 40 log/setup.log >&2
    die "'$*' failed; the whole output is in log/setup.log"
  fi
}

have_ros() {
  [ -n "${ROS_DISTRO:-}" ] && "$python" -c 'import rclpy' 2>/dev/null
}

check_tools() {
  "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' ||
    die "$("$python" --version) is not supported; use Python 3.10 to 3.14 (make setup PYTHON=python3.12)"
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    die "Python's venv module is missing; install python3-venv (Debian, Ubuntu: apt install python3-venv)"
  command -v "${CC:-cc}" >/dev/null && command -v "${CXX:-c++}" >/dev/null ||
    die "no C and C++ compiler; install build-essential (Debian, Ubuntu: apt install build-essential)"
  local header
  header=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h
  [ -f "$header" ] || die "'$header' not found; install python3-dev (Debian, Ubuntu: apt install python3-dev)"
  have_ros || [ "$(uname -sm)" = "Linux x86_64" ] ||
    die "ROS 2 wheels exist for x86-64 Linux only; install ROS 2 and source its setup.bash first"
}

# The environment: made again only when what it is made from changed.
environment() {
  local kind=wheels requirements=(requirements/ros-jazzy.txt requirements/dev.txt) options=()
  if have_ros; then
    kind="ROS $ROS_DISTRO"
    requirements=(requirements/dev.txt requirements/ros-installed.txt)
    options=(--system-site-packages)
  fi
  local wanted
  wanted="$kind $("$python" -c 'import sys; print(sys.version, sys.prefix)' | tr '\n' ' ') $(cat "${requirements[@]}" | sha256sum)"
  [ "$(cat .venv/stamp 2>/dev/null)" = "$wanted" ] && return
  check_tools
  rm -rf .venv build/pika_emotion install  # build/ has measurements, too
  step "environment: $kind, $("$python" --version) (some minutes the first time)" \
    "$python" -m venv "${options[@]}" .venv
  step "installing ${requirements[*]}" \
    .venv/bin/python -m pip install --no-warn-script-location "${requirements[@]/#/--requirement=}"
  if have_ros && ! command -v colcon >/dev/null; then
    step "installing colcon" .venv/bin/python -m pip install colcon-common-extensions
  fi
  echo "$wanted" >.venv/stamp
}

# The build: done again only when a file that goes into it changed.
build() {
  local rooms=(CMakeLists.txt package.xml cmake msg pika_emotion launch config resource scripts/program.py.in)
  local names contents
  names=$(find "${rooms[@]}" -type f ! -path '*/__pycache__/*' | LC_ALL=C sort)
  contents=$(echo "$names" | tr '\n' '\0' | xargs -0 sha256sum | sha256sum)
  names=$(echo "$names" | sha256sum)
  [ "$(cat install/stamp 2>/dev/null)" = "$names $contents" ] && return
  case "$(cat install/stamp 2>/dev/null)" in
    "$names "*) ;;
    # An installed file may have lost its source. Only what colcon made: build/ has measurements, too.
    *) rm -rf build/pika_emotion install ;;
  esac
  step "building with colcon" scripts/build.sh
  echo "$names $contents" >install/stamp
}

command -v "$python" >/dev/null ||
  die "'$python' not found; install python3 (Debian, Ubuntu: apt install python3 python3-venv)"
mkdir -p log
environment
build
