#!/usr/bin/env bash
# Starts a node and replays the demo's recorded conversation to it; run by 'make demo'.
# ARGS go to replay, TAGGER and PARAMS choose the node's tagger and parameter file.
set -euo pipefail
share="$(dirname "$0")/../install/pika_emotion/share/pika_emotion"
# A domain of its own, so that a robot on the same network is not spoken to.
export ROS_DOMAIN_ID="${ROS_DOMAIN_ID:-$((RANDOM % 90 + 10))}"
node=("$(dirname "$0")/../install/pika_emotion/lib/pika_emotion/emotion_node" --ros-args
  --log-level warn -p "tagger:=${TAGGER:-reflex}")
[ -z "${PARAMS:-}" ] || node+=(--params-file "$PARAMS")
"${node[@]}" &
pid=$!
trap 'kill -INT $pid 2>/dev/null; wait $pid' EXIT
"$(dirname "$0")/../install/pika_emotion/lib/pika_emotion/replay" "$share/resource/demo/conversation" --rate 40 "$@"
