#!/bin/sh
# ./test.sh: installs what the tests need, builds, runs every test and the style checks.
# The last line counts them; the exit status is the verdict.
set -eu
cd "$(dirname "$0")"
sh tools/deps.sh build test
make -s -j"$(nproc)" all tests
make -s tidy
make -s test
