#!/usr/bin/env bash
# Measures the vLLM tagger on a machine with an NVIDIA GPU, at Phi-3-mini's real size with random
# weights (nothing is downloaded): every way of asking, the tagger, the node end to end, GPU memory
# and start-up; 4-bit AWQ and bfloat16; alone, and while another process keeps the GPU busy.
#   scripts/gpu_bench.sh [FOLDER FOR THE RESULTS]
# needs 'make setup' and 'make setup-vllm' before, 12 GB of disk and about 10 GB of GPU memory.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(mkdir -p "${1:-build/gpu_bench}" && cd "${1:-build/gpu_bench}" && pwd)
python=$PWD/.venv-vllm/bin/python
tool=install/pika_emotion/lib/pika_emotion/pika-emotion
rounds=${ROUNDS:-20}
load=

die() {
  echo "gpu_bench: $*" >&2
  exit 1
}

command -v nvidia-smi >/dev/null || die "nvidia-smi not found; run this on a machine with an NVIDIA GPU"
[ -x "$python" ] || die "'$python' not found; run 'make setup-vllm' first"
[ -x "$tool" ] || die "'$tool' not found; run 'make setup' first"

# The GPU's used memory in MB, every 0.2 s, until killed.
watch_memory() {
  nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits --loop-ms=200 >"$1"
}

stop() {
  [ -z "$1" ] || { kill "$1" 2>/dev/null && wait "$1" 2>/dev/null; } || true
}
trap 'stop "$load"; stop "${watcher:-}"' EXIT

measure() {
  local name=$1 model=$2
  shift 2
  local settings=(--tagger vllm --set "vllm.model=$model" --set "vllm.python=$python" "$@")
  echo "$name: ways of asking, and the tagger"
  watch_memory "$out/$name.memory" &
  watcher=$!
  scripts/in_env.sh "$tool" bench "${settings[@]}" --rounds "$rounds" --json >"$out/$name.json"
  stop "$watcher"
  echo "$name: the node, from publisher to tag"
  # A tag that is late is counted by the bench; a lost one makes it fail.
  scripts/in_env.sh "$tool" bench --ros "${settings[@]}" --rate 5 --seconds 60 --warm-up 100 \
    --load-timeout 900 --json >"$out/$name.ros.json"
}

nvidia-smi --query-gpu=name,driver_version,memory.total,power.limit --format=csv >"$out/gpu.csv"
memory=$(nvidia-smi --query-gpu=memory.total --format=csv,noheader,nounits | head -1)
for kind in awq bf16; do
  # 7.6 GB of weights in bfloat16, 2.1 GB in AWQ; the KV cache and the load come on top.
  if [ "$kind" = bf16 ] && [ "$memory" -lt 12000 ]; then
    echo "bf16: not measured, $memory MB of GPU memory are too few"
    continue
  fi
  model=$out/phi3-mini-$kind
  [ -f "$model/config.json" ] || "$python" scripts/make_random_checkpoint.py "$kind" "$model"
  share=(--set vllm.gpu_memory_utilization=0.4)
  measure "$kind.idle" "$model" "${share[@]}"
  "$python" scripts/gpu_load.py &
  load=$!
  sleep 15
  kill -0 "$load" || die "scripts/gpu_load.py ended; see above"
  measure "$kind.busy" "$model" "${share[@]}"
  stop "$load"
  load=
done
"$python" scripts/gpu_summary.py "$out"
