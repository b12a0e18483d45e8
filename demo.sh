#!/bin/sh
# ./demo.sh: from a fresh Debian 12 to a report. Installs what is missing, builds, fetches a small language model
# (98 MB, once), writes 300 synthetic clinical notes and runs a study on them with two arms. No patient data.
set -eu
cd "$(dirname "$0")"
step() { printf '\n== %s\n' "$1"; }

step "Packages"
sh tools/deps.sh build model
step "Building"
make -s -j"$(nproc)"
step "Model"
sh tools/get_model.sh models
step "Synthetic notes"
build/caseload notes --out examples/demo/notes.csv --rows 300 --seed 7 --language en --hard 0.2
step "Study: zero-shot and three-shot"
start=$(date +%s)
build/caseload run examples/demo/study.yaml --out out/demo
echo
echo "The study took $(($(date +%s) - start)) s. Run it again and nothing is computed twice."
echo "Report: $(pwd)/out/demo/report.html"
