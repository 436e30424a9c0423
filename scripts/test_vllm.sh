#!/usr/bin/env bash
# Runs the vLLM tests: the engine's side with the worker's Python, the node's side with the tree's.
# ARGS go to both.
cd "$(dirname "$0")/.."
result=0
PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} .venv-vllm/bin/python -m pytest -p no:cacheprovider test/vllm/engine "$@" || result=1
scripts/in_env.sh pytest test/vllm/node "$@" || result=1
exit $result
