# `caseload try`: one row under every arm, its prompts, tokens, answers, generated texts; colour on a terminal alone.
. tests/cli/common.inc
make_study 60
sed -i 's/^  - {name: two-shot.*/  - {name: letters, framing: options, position: cyclic}\
  - {name: meta, method: [role, meta]}\
  - {name: reasons, method: [self-consistency], think: {samples: 2, max_tokens: 5, temperature: 1}}\
  - {name: korean, language: ko, question: {ko: "중대한가? {labels}로 답하라.", en: "Serious? {labels}"}}/' "$work/study.yaml"
esc=$(printf '\033')
"$CASELOAD" try "$work/study.yaml" >"$work/plain" 2>"$work/stderr" || { cat "$work/stderr"; fail "try"; }
! grep -q "$esc" "$work/plain" || fail "colour into a pipe"
for words in '^arm zero-shot' '^arm letters' '^way 2 of 2' '^A. Yes' '^A. No' '^OUTPUT ∈ {Yes, No}' '중대한가? Yes 또는 No로 답하라' \
    'head, [0-9]* tokens' '--- answers ---' '-> serious ' 'label mass' '^  text 2, [0-9]* tokens' 'label behind it' '^mean over texts'; do
    grep -qe "$words" "$work/plain" || fail "try does not show '$words'"
done
sed -n '/^side by side/,$p' "$work/plain" > "$work/side"
for arm in zero-shot letters meta reasons korean; do
    grep -q "^$arm  *0\.[0-9]* *[01]\.[0-9]* *-*[0-9.]* *0\.[0-9]*$" "$work/side" || { cat "$work/side"; fail "$arm is not side by side"; }
done
if command -v script >/dev/null; then
    script -qec "$CASELOAD try $work/study.yaml --arm zero-shot" /dev/null </dev/null >"$work/terminal" 2>&1 || fail "try on a terminal"
    grep -q "$esc\[" "$work/terminal" || fail "no colour on a terminal"
    NO_COLOR=1 script -qec "$CASELOAD try $work/study.yaml --arm zero-shot" /dev/null </dev/null >"$work/terminal" 2>&1
    ! grep -q "$esc\[[0-9]*m" "$work/terminal" || fail "colour in spite of NO_COLOR"
fi
want 3 "no row to be scored with the id" "$CASELOAD" try "$work/study.yaml" --row nobody
want 2 "has no arm 'nobody'" "$CASELOAD" try "$work/study.yaml" --arm nobody
