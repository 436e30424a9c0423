#!/usr/bin/env bash
# Runs the tests' properties with ever new cases, round after round, until MINUTES (15) have passed
# or one fails. ARGS go to pytest: scripts/fuzz.sh test/properties/test_tags.py
cd "$(dirname "$0")/.."
export HYPOTHESIS_PROFILE=fuzz
rounds=0
while ((SECONDS < 60 * ${MINUTES:-15})); do
  scripts/in_env.sh pytest -q -m hypothesis "$@" || exit 1
  rounds=$((rounds + 1))
done
echo "$rounds rounds in $((SECONDS / 60)) minutes, nothing found"
