#!/usr/bin/env bash
# Runs a command with this tree's environment and build: scripts/in_env.sh COMMAND [ARGUMENT…]
# ROS logs stay in the tree, and DDS stays on this machine.
set -eo pipefail
tree=$(cd "$(dirname "$0")/.." && pwd)
export PATH="$tree/.venv/bin:$PATH"
source "$tree/install/setup.bash"
if "$tree/.venv/bin/python" -c 'import ros_wheels_bootstrapper' 2>/dev/null; then
  export AMENT_PREFIX_PATH="$AMENT_PREFIX_PATH:$tree/.venv"
fi
export ROS_LOG_DIR="${ROS_LOG_DIR:-$tree/log/ros}"
if [ "${ROS_DISTRO:-}" = humble ]; then
  export ROS_LOCALHOST_ONLY="${ROS_LOCALHOST_ONLY:-1}"
else
  export ROS_AUTOMATIC_DISCOVERY_RANGE="${ROS_AUTOMATIC_DISCOVERY_RANGE:-LOCALHOST}"
fi
exec "$@"
