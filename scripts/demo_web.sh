#!/usr/bin/env bash
# Starts a node with the reflex and the monitor, and replays the demo's conversation in a loop until
# it is interrupted; run by 'make demo-web'. PORT is the page's port, RATE the speed.
set -euo pipefail
programs="$(dirname "$0")/../install/pika_emotion/lib/pika_emotion"
conversation="$(dirname "$0")/../install/pika_emotion/share/pika_emotion/resource/demo/conversation"
# A domain of its own, so that a robot on the same network is not spoken to.
export ROS_DOMAIN_ID="${ROS_DOMAIN_ID:-$((RANDOM % 90 + 10))}"
started=()
trap 'kill -INT "${started[@]}" 2>/dev/null; wait' EXIT
"$programs/emotion_node" --ros-args --log-level warn -p tagger:=reflex &
started+=($!)
"$programs/monitor" --ros-args -p monitor.show_text:=true -p "monitor.port:=${PORT:-7863}" &
started+=($!)
monitor=$!
while kill -0 "$monitor" 2>/dev/null; do
  "$programs/replay" "$conversation" --rate "${RATE:-1}" >/dev/null
done
