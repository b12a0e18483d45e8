# Options without a positive class: S5 sets accuracies against each other and S6 tests preference for places; both
# are worked out here again from scores.csv.
. tests/cli/common.inc
"$BUILD/tests/t_golden" write smollm2 "$work/model" || fail "no tiny model"
sed -i 's/"max_position_embeddings": 256/"max_position_embeddings": 2048/' "$work/model/config.json"
awk 'BEGIN {print "id,stem,a,b,c,key"
    for (i = 1; i <= 60; i++) printf "q%d,Which number is largest of case %d?,%d,%d,%d,%s\n", i, i * 7 % 31, i, i * i % 40, i + 3,
        substr("ABC", 1 + i * i % 3 % 2 + (i % 7 == 0), 1)}' > "$work/questions.csv"
cat > "$work/study.yaml" <<'END'
study: places
model: model
data: {file: questions.csv, id: id, text: stem, options: [a, b, c], label: key, label_is: letter}
framing: options
question: "{text}\n{options}"
matrix: {position: [as-is, cyclic], method: [[], [role]]}
END
run_study out || { cat "$work/stderr"; fail "the run"; }
csv=$work/out/paper/tables
accuracy() { # ARM: share right, from the probabilities
    tr -d '\r' < "$work/out/scores.csv" | awk -F, -v arm="$1" '$1 == arm {n++
        best = 8; if ($9 > $8) best = 9; if ($10 > $best) best = 10
        if (substr("ABC", best - 7, 1) == $3) x++} END {printf "%.10f", x / n}'
}
head -n 1 "$work/out/scores.csv" | tr -d '\r' | grep -q 'probability_A,probability_B,probability_C' || fail "columns of scores.csv"
[ "$(head -n 1 "$work/out/scores.csv" | tr -d '\r' | tr , '\n' | grep -n '^probability_A$' | cut -d: -f1)" = 8 ] || fail "probability_A is no longer column 8"
change=$(awk -v a="$(accuracy as-is_role)" -v b="$(accuracy as-is_plain)" 'BEGIN {d = a - b; printf "%s%.3f", d < 0 ? "−" : "+", d < 0 ? -d : d}')
tr -d '\r' < "$csv/S5.csv" | grep 'as-is_role against as-is_plain' | grep -qF -- "$change" ||
    { cat "$csv/S5.csv"; fail "S5 has not the difference $change"; }
for words in "difference in accuracy" "mean of 2 pairs" "option places"; do
    grep -q "$words" "$csv/S5.csv" || fail "S5 lacks '$words'"
done
# Stuart's chi-square of three places by hand, for options that kept theirs: gaps of A and B alone, 2 x 2.
chi=$(tr -d '\r' < "$work/out/scores.csv" | awk -F, '$1 == "as-is_plain" {
        best = 8; if ($9 > $8) best = 9; if ($10 > $best) best = 10
        a = (best == 8) - ($3 == "A"); b = (best == 9) - ($3 == "B")
        s += a; t += b; aa += a * a; bb += b * b; ab += a * b}
    END {d = aa * bb - ab * ab; printf "%.2f", (s * s * bb - 2 * s * t * ab + t * t * aa) / d}')
tr -d '\r' < "$csv/S6.csv" | grep '"as-is_plain","all, test"' | grep -qF "χ² $chi, 2 df" || { cat "$csv/S6.csv"; fail "S6 has not χ² $chi"; }
tr -d '\r' < "$csv/S6.csv" | grep -q '"cyclic_plain","all, test"' || fail "S6 has no test of the turned options"
for part in "What each part changes" "McNemar" "Preference for places" "Stuart, Biometrika" "Within the arms" "tokens computed for prompts"; do
    grep -q "$part" "$work/out/report.html" || fail "the report lacks '$part'"
done
