# Losses of 30 updates on real models, beside PEFT's; skipped where no model is.
. tests/cli/common.inc
case $BUILD in *san) skip "a real model's training under a sanitizer takes too long; tune.sh runs";; esac
set -- models/SmolLM2-135M-Instruct.Q4_1.gguf models/qwen2.5-coder-0.5b-instruct.Q4_K_M.gguf
found=0
for m in "$@"; do [ -r "$m" ] && found=1; done
[ $found = 1 ] || skip "no model in models/"
"$BUILD/tests/t_tune" models >"$work/stdout" 2>&1 || { tail -20 "$work/stdout"; fail "losses differ from PEFT's"; }
