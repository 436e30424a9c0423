#!/usr/bin/env bash
# Changes deadline, dialogue, labels and tag in many small ways and sees whether a test fails each
# time; setup.cfg names the files and the tests. Then compares the changes that no test noticed with
# docs/testing.md, which must explain each. JOBS mutants at a time; ARGS (names, with *) choose some.
set -euo pipefail
cd "$(dirname "$0")/.."
packages=$PWD/.venv-mutation
python=$PWD/.venv/bin/python
tree=build/mutation # a copy, because the mutants lie beside what is mutated

wanted=$(sha256sum <requirements/mutation.txt)
if [ "$(cat "$packages/stamp" 2>/dev/null)" != "$wanted" ]; then
  rm -rf "$packages"
  "$python" -m pip install --quiet --disable-pip-version-check \
    --target "$packages" --requirement requirements/mutation.txt
  echo "$wanted" >"$packages/stamp"
fi

rm -rf "$tree"
mkdir -p "$tree"
cp -r config package.xml pika_emotion setup.cfg test "$tree"
# mutmut passes over what is decorated; so in the copy a property is a method with a lambda before it.
sed -z -E -i 's/    @property\n    def (\w+)/    \1 = property(lambda self: self._get_\1())\n\n    def _get_\1/g' \
  "$tree"/pika_emotion/{deadline,dialogue,labels,tag}.py
# From the source alone: an installed package would not be the mutated one.
export PYTHONPATH=$packages
unset AMENT_PREFIX_PATH
(cd "$tree" && "$python" -m mutmut run --max-children "${JOBS:-$(nproc)}" "$@") | tr '\r' '\n' | tail -n 3
exec "$python" scripts/mutation_survivors.py "$tree"
