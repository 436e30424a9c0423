#!/usr/bin/env bash
# Starts a node with the reflex and the monitor, and replays the demo's conversation in a loop until
# it is interrupted; run by 'make demo-web'. PORT is the page's port, RATE the speed.
set -euo pipefail
programs="$(dirname "$0")/../install/pika_emotion/lib/pika_emotion"
conversation="$(dirname "$0")/../install/pika_emotion/share/pika_emotion/resource/demo/conversation"
# A domain of its own, so that a robot on the same network is not spoken to.
export ROS_DOMAIN_ID="${ROS_DOMAIN_ID:-$((RANDOM % 90 + 10))}"
started=()
# After Ctrl-C, which they get as well, a second SIGINT would cut the monitor off: a traceback.
trap 'kill -TERM "${started[@]}" 2>/dev/null; wait' EXIT
trap 'exit 130' INT
"$programs/emotion_node" --ros-args --log-level warn -p tagger:=reflex &
started+=($!)
node=$!
"$programs/monitor" --ros-args -p monitor.show_text:=true -p "monitor.port:=${PORT:-7863}" &
started+=($!)
monitor=$!
# A visitor who tries a turn gets a tag that is none of the conversation's: replay then ends with 1.
while kill -0 "$node" 2>/dev/null && kill -0 "$monitor" 2>/dev/null; do
  "$programs/replay" "$conversation" --rate "${RATE:-1}" >/dev/null || true
done
