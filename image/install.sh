#!/bin/sh
# install.sh LOCK|torch==VERSION: install exactly what a lock names, held against its hashes, or torch by itself.
#
# The build's secrets `pip` (a configuration of pip's) and `ca` (certificates) are read where somebody gives them:
# neither gets into a layer. docs/operate/install.md says how.
set -eu

if [ -s /run/secrets/pip ]; then export PIP_CONFIG_FILE=/run/secrets/pip; fi
if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi
pip="/opt/venv/bin/pip --disable-pip-version-check install --quiet --no-cache-dir --no-compile --no-deps"

case $1 in
torch==*)
  # Outside of the lock, since its build for the CPU is in an index of its own: docs/decisions/0011-dependencies.md.
  $pip "$1" 2>/dev/null || $pip "$1" --index-url https://download.pytorch.org/whl/cpu
  ;;
*)
  # Nothing is fetched to build with that the lock doesn't name: docopt has no wheel.
  $pip --require-hashes --no-build-isolation --use-pep517 -r "$1"
  ;;
esac
