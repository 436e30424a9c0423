#!/usr/bin/env bash
# Makes the documentation's site in build/site, and looks that it loads nothing from another one;
# 'serve' shows it instead, and again after each change. MkDocs goes to .venv-docs, made anew where
# requirements/docs.txt changed. Needs neither ROS nor the build.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
venv=.venv-docs
export PIP_DISABLE_PIP_VERSION_CHECK=1 NO_MKDOCS_2_WARNING=1
"$python" -c 'import ensurepip, venv' 2>/dev/null || {
  echo "make docs: Python's venv module is missing; install python3-venv (Debian, Ubuntu: apt install python3-venv)" >&2
  exit 1
}
wanted="$("$python" --version) $(sha256sum <requirements/docs.txt)"
if [ "$(cat $venv/stamp 2>/dev/null)" != "$wanted" ]; then
  rm -rf $venv
  "$python" -m venv $venv
  $venv/bin/python -m pip install --quiet --requirement requirements/docs.txt
  echo "$wanted" >$venv/stamp
fi
if [ "${1:-build}" = serve ]; then
  exec $venv/bin/python -m mkdocs serve --strict --dev-addr "127.0.0.1:${PORT:-7864}"
fi
# Not --quiet: what it does not print, --strict does not count.
$venv/bin/python -m mkdocs build --strict --clean
$venv/bin/python scripts/check_site.py build/site
