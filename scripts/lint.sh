#!/usr/bin/env bash
# Every check of style and types; all of them run, then the worst result counts.
cd "$(dirname "$0")/.."
result=0
ruff check . || result=1
ruff format --check . || result=1
mypy || result=1
if command -v xmllint >/dev/null; then
  xmllint --noout package.xml || result=1
else
  echo "xmllint not found; install libxml2-utils (Debian, Ubuntu: apt install libxml2-utils)" >&2
  result=1
fi
exit $result
