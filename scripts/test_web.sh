#!/usr/bin/env bash
# Runs the monitor page's tests in headless Chromium; ARGS go to pytest. Playwright and axe-core go to
# .venv-web, made anew where requirements/web.txt changed.
set -euo pipefail
cd "$(dirname "$0")/.."
web="$PWD/.venv-web"
axe=axe-core@4.14.1
wanted="$(.venv/bin/python --version) $axe $(sha256sum <requirements/web.txt)"
if [ "$(cat "$web/stamp" 2>/dev/null)" != "$wanted" ]; then
  rm -rf "$web"
  mkdir -p "$web/axe"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check \
    --target "$web/packages" --requirement requirements/web.txt
  if command -v npm >/dev/null; then
    (cd "$web/axe" && npm pack --silent "$axe" >/dev/null && tar -xzf axe-core-*.tgz)
  else
    echo "make test-web: npm not found, so the test of accessibility is skipped" >&2
  fi
  echo "$wanted" >"$web/stamp"
fi
export AXE="$web/axe/package/axe.min.js"
PYTHONPATH="$web/packages${PYTHONPATH:+:$PYTHONPATH}" exec scripts/in_env.sh pytest test/web "$@"
