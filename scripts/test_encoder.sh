#!/usr/bin/env bash
# Runs the encoder tagger's tests: the engine's side with the worker's Python, the node's side with
# the tree's. ARGS go to both.
cd "$(dirname "$0")/.."
result=0
PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} .venv-encoder/bin/python -m pytest -p no:cacheprovider test/encoder/engine "$@" || result=1
scripts/in_env.sh pytest test/encoder/node "$@" || result=1
exit $result
