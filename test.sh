#!/bin/sh
# ./test.sh: installs what the tests need, builds, checks the style and runs every test.
# The last line counts them; the exit status is the verdict of all of it.
set -eu
cd "$(dirname "$0")"
sh tools/deps.sh build test
make -s -j"$(nproc)" all tests
status=0
make -s tidy || status=1
tools/run_tests build || status=1
exit $status
