# README.md shows examples/demo/study.yaml as it is, the commands it names exist, and the demo's notes are those of demo.sh.
. tests/cli/common.inc
while IFS= read -r line; do
    [ -z "$line" ] || grep -qxF -- "    $line" README.md || fail "README.md does not show this line of the study: $line"
done < examples/demo/study.yaml
for c in $(grep -o '`caseload [a-z]*' README.md | cut -d' ' -f2 | sort -u); do
    "$CASELOAD" "$c" --help >/dev/null 2>&1 || fail "README.md names a command that is not there: $c"
done
made=$(grep -o 'caseload notes .*' demo.sh)
grep -qF -- "$made" examples/demo/README.md || fail "examples/demo/README.md and demo.sh make other notes: $made"
# The studies of the examples are read (their models may be absent: that is what --plan then says).
for e in demo korean own-table tune questions; do
    case $e in
        demo) "$CASELOAD" notes --out examples/demo/notes.csv --rows 300 --seed 7 --language en --hard 0.2 >/dev/null;;
        korean) "$CASELOAD" notes --out examples/korean/notes.csv --rows 200 --seed 2 --language ko >/dev/null;;
        tune) "$CASELOAD" notes --out examples/tune/notes.csv --rows 500 --seed 7 --language en --hard 0.2 >/dev/null
            [ -e examples/tune/splits.csv ] || "$CASELOAD" split examples/tune/study.yaml >/dev/null;;
    esac
    "$BUILD/tests/t_golden" write smollm2 "$work/$e" || fail "no tiny model"
    sed -i 's/"max_position_embeddings": 256/"max_position_embeddings": 4096/' "$work/$e/config.json"
    want 0 "" "$CASELOAD" run "examples/$e/study.yaml" --model "$work/$e" --out "$work/out-$e" --quiet --limit 30
done
