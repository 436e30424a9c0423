#!/usr/bin/env bash
# Line coverage of pika_emotion by all tests, in every process that they start (the node, workers,
# commands), mapped from install/ to the source; prints a table by file. Fails where a test fails or
# under the share that setup.cfg names. TESTS chooses among the tests; ARGS go to each pytest.
cd "$(dirname "$0")/.."
packages=$PWD/.venv-coverage
data=$PWD/build/coverage

wanted=$(sha256sum <requirements/coverage.txt)
if [ "$(cat "$packages/stamp" 2>/dev/null)" != "$wanted" ]; then
  rm -rf "$packages"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check \
    --target "$packages" --requirement requirements/coverage.txt || exit 1
  # Every Python that has this folder on its path measures itself.
  echo 'import coverage; coverage.process_startup()' >"$packages/sitecustomize.py"
  echo "$wanted" >"$packages/stamp"
fi

rm -rf "$data"
mkdir -p "$data"
export COVERAGE_FILE=$data/data PYTHONPATH=$packages${PYTHONPATH:+:$PYTHONPATH}
result=0
for tests in ${TESTS:-test test-vllm test-encoder test-web}; do
  case $tests in
    test) command=(scripts/in_env.sh pytest) ;;
    *) command=("scripts/${tests//-/_}.sh") ;;
  esac
  COVERAGE_PROCESS_START=$PWD/setup.cfg "${command[@]}" "$@" || result=1
done
coverage() {
  .venv/bin/python -m coverage "$@" --rcfile=setup.cfg
}
coverage combine --quiet && coverage report || result=1
exit $result
