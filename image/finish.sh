#!/bin/sh
# finish.sh [keep-setuptools]: make the commands, the compiled modules and the bill of materials; take pip away.
set -eu

/opt/venv/bin/pip --disable-pip-version-check install --quiet --no-deps --no-index --no-build-isolation -e /app
rm -rf /app/*.egg-info
case ${1:-} in
keep-setuptools) tools=pip ;; # torch imports it
*) tools="pip setuptools" ;;
esac
# shellcheck disable=SC2086  # several names
/opt/venv/bin/pip --disable-pip-version-check uninstall --quiet --yes $tools

# Not by the files' times, which an image may lose; nothing in a read-only image changes behind its compiled form.
# A library may hold modules that only a later Python can read, as torch does; what is ours must be right.
compile="/opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash"
$compile /app
$compile /opt/venv/lib || true
/opt/venv/bin/python -m image.bill /mnt/dpkg /app/sbom.cdx.json

# What `ttsctl doctor` holds the packages against, without the one that was there for the build alone.
awk '/^[a-z]/ { is_kept = !/^setuptools==/ } is_kept' requirements/run.txt > /tmp/run.txt
rm -rf /app/image /app/requirements/*
mv /tmp/run.txt /app/requirements/
