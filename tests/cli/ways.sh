# Ways of asking, all in one study, and each arm alone: the same scores. Calibration by constants leaves the AUROC.
. tests/cli/common.inc
make_study 60
sed -i '/^arms:/,$d; s/^question:.*/question: "Was the event serious? Answer {labels}."\nbaselines: none/' "$work/study.yaml"
arms='zero|{}
contextual|{calibrate: contextual}
domain|{calibrate: domain}
batch|{calibrate: batch}
letters|{framing: options, position: cyclic}
prior|{framing: options, position: prior}
both|{framing: options, score: both}
draws|{examples: {n: 2, draws: 2, orders: 2}}
nearest|{examples: {n: 1, pick: nearest}}
wordings|{wordings: {questions: ["Serious? {labels}", "Bad? {labels}"], label_order: both}}
parts|{method: [role, definitions, meta], parts: {definitions: {serious: died or admitted, not-serious: all else}}}
reasons|{method: self-consistency, think: {samples: 2, max_tokens: 6}}'
{
    cat "$work/study.yaml"
    echo 'limits: {max_tokens: 900, cut: chunks, chunk_tokens: 120, combine: noisy-or}'
    echo 'arms:'
    echo "$arms" | while IFS='|' read -r name keys; do echo "  - {name: $name, ${keys#\{}"; done | sed 's/, }$/}/'
} > "$work/all.yaml"
"$CASELOAD" run "$work/all.yaml" --out "$work/all" --quiet --no-paper >"$work/table" 2>"$work/stderr" || { cat "$work/stderr"; fail "all ways"; }
# With one text a row: combined chunks are no constant apart.
{ sed '/^limits:/,$d' "$work/all.yaml"; echo 'limits: {max_tokens: 900, cut: head+tail}'; echo 'arms:'
    grep -E 'name: (zero|contextual|domain|batch),' "$work/all.yaml" | sed 's/zero, }/zero}/'; } > "$work/shift.yaml"
grep -q 'name: zero' "$work/shift.yaml" || echo '  - {name: zero}' >> "$work/shift.yaml"
"$CASELOAD" run "$work/shift.yaml" --out "$work/shift" --quiet --no-paper >"$work/table" 2>"$work/stderr" || { cat "$work/stderr"; fail "calibrations"; }
for name in contextual domain batch; do
    a=$(sed -n 's/^zero  *//p' "$work/table" | awk '{print $3, $4, $6}') b=$(sed -n "s/^$name  *//p" "$work/table" | awk '{print $3, $4, $6}')
    [ -n "$a" ] && [ "$a" = "$b" ] || fail "$name moves the AUROC: $a, then $b"
done
for name in domain letters both draws nearest wordings reasons; do
    { sed '/^arms:/,$d' "$work/all.yaml"; echo 'arms:'; grep "name: $name," "$work/all.yaml"; } > "$work/one.yaml"
    "$CASELOAD" run "$work/one.yaml" --out "$work/$name" --quiet --no-paper --batch 3 >/dev/null 2>"$work/stderr" || { cat "$work/stderr"; fail "$name alone"; }
    grep "^$name," "$work/all/scores.csv" > "$work/a"
    grep "^$name," "$work/$name/scores.csv" > "$work/b"
    [ -s "$work/a" ] || fail "$name has no scores"
    same "$work/a" "$work/b"
done
