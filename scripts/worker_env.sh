# For scripts that make the environment of a tagger's worker: source it with the tagger's name.
# Its own environment, so that ROS's Python need not share one with the worker's libraries.
# WORKER_PYTHON chooses the interpreter. Touches nothing outside the tree.
tagger=$1
python=${WORKER_PYTHON:-${PYTHON:-python3}}
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
venv=.venv-$tagger
own=$venv/bin/python

die() {
  echo "make setup-$tagger: $*" >&2
  exit 1
}

# Run a step quietly; show its output only where it fails.
step() {
  local title=$1
  shift
  echo "$title"
  if ! "$@" >"log/setup-$tagger.log" 2>&1; then
    tail -n 40 "log/setup-$tagger.log" >&2
    die "'$*' failed; the whole output is in log/setup-$tagger.log"
  fi
}

have_gpu() {
  command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU
}

# begin KIND FILE: make an empty environment; end here where one of this kind, interpreter and
# requirements file is there already.
begin() {
  mkdir -p log
  wanted="$1 $("$python" -c 'import sys; print(sys.version, sys.prefix)' | tr '\n' ' ') $(sha256sum <"$2")"
  [ "$(cat "$venv/stamp" 2>/dev/null)" = "$wanted" ] && exit 0
  "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' ||
    die "$("$python" --version) is not supported by its libraries; use Python 3.10 to 3.13 (make setup-$tagger WORKER_PYTHON=python3.12)"
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    die "Python's venv module is missing; install python3-venv (Debian, Ubuntu: apt install python3-venv)"
  rm -rf "$venv"
  step "environment of the $tagger worker: $1, $("$python" --version) (many minutes the first time)" \
    "$python" -m venv "$venv"
}

# The environment is complete.
finish() {
  echo "$wanted" >"$venv/stamp"
  echo "$tagger.python: $PWD/$own"
}
