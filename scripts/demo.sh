#!/usr/bin/env bash
# Starts a node and replays the demo's recorded conversation to it; run by 'make demo'.
# ARGS go to replay, TAGGER and PARAMS choose the node's tagger and parameter file, MODEL a
# language model: with one the node is waited for until the model is loaded.
set -euo pipefail
share="$(dirname "$0")/../install/pika_emotion/share/pika_emotion"
# A domain of its own, so that a robot on the same network is not spoken to.
export ROS_DOMAIN_ID="${ROS_DOMAIN_ID:-$((RANDOM % 90 + 10))}"
node=("$(dirname "$0")/../install/pika_emotion/lib/pika_emotion/emotion_node" --ros-args
  --log-level warn -p "tagger:=${TAGGER:-reflex}")
wait_s=10
if [ -n "${MODEL:-}" ]; then
  worker="$(cd "$(dirname "$0")/.." && pwd)/.venv-vllm/bin/python"
  [ -x "$worker" ] || { echo "make demo: no .venv-vllm; run 'make setup-vllm' first" >&2; exit 1; }
  node+=(-p "vllm.model:=$MODEL" -p "vllm.python:=$worker")
  node+=(-p require_primary:=true -p primary_load_timeout_s:=900.0)
  wait_s=900
fi
[ -z "${PARAMS:-}" ] || node+=(--params-file "$PARAMS")
started=()
trap 'kill -TERM "${started[@]}" 2>/dev/null; wait' EXIT
trap 'exit 130' INT
"${node[@]}" &
started+=($!)
"$(dirname "$0")/../install/pika_emotion/lib/pika_emotion/replay" "$share/resource/demo/conversation" --rate 40 --wait $wait_s "$@" &
started+=($!)
wait -n # whichever ends first: a node that cannot start is not waited for
