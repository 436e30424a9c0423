#!/usr/bin/env bash
# Makes .venv-encoder, the environment that trains and serves the encoder tagger, for the CPU.
# Quick when there is nothing to do.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/worker_env.sh encoder

begin cpu requirements/encoder.txt
step "installing requirements/encoder.txt" $own -m pip install -r requirements/encoder.txt
step "importing what it needs" $own -c 'import onnxruntime, onnxscript, torch, transformers'
finish
