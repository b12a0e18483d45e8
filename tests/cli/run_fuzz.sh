# tools/run_fuzz says which target crashed and exits with 1; a target without a corpus is a failure.
root=$(mktemp -d); trap 'rm -rf "$root"' EXIT
mkdir -p "$root/good/fuzz" "$root/bad/fuzz" "$root/none/fuzz" "$root/empty/fuzz"
printf '#!/bin/sh\nexit 0\n' > "$root/good/fuzz/f_chat"
printf '#!/bin/sh\nexit 1\n' > "$root/bad/fuzz/f_chat"
printf '#!/bin/sh\nexit 0\n' > "$root/none/fuzz/f_absent"
chmod +x "$root"/*/fuzz/f_*
failed=0
tools/run_fuzz "$root/good" 0 > "$root/out" || { echo "a good target failed"; cat "$root/out"; failed=1; }
grep -q 'f_chat .*files replayed' "$root/out" || { cat "$root/out"; failed=1; }
tools/run_fuzz "$root/bad" 0 > "$root/out" && { echo "a crash passed"; failed=1; }
grep -q 'f_chat .*CRASHED' "$root/out" || { cat "$root/out"; failed=1; }
tools/run_fuzz "$root/none" 0 > "$root/out" && { echo "a target without a corpus passed"; failed=1; }
tools/run_fuzz "$root/empty" 0 > "$root/out" && { echo "no target at all passed"; failed=1; }
exit $failed
