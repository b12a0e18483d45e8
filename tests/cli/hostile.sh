# A hostile, careless or unlucky user: odd texts, changed studies, closed streams, half-made folders.
. tests/cli/common.inc
make_study 40
change() { sed "$1" "$work/study.yaml" > "$work/bad.yaml"; }

# Another positive class after a run: no score is computed anew, and every one is against the new class.
run_study first || { cat "$work/stderr"; fail "the study did not run"; }
change 's/positive: serious/positive: not-serious/'
want 0 "" "$CASELOAD" run "$work/bad.yaml" --out "$work/first" --quiet
want 0 "" "$CASELOAD" run "$work/bad.yaml" --out "$work/fresh" --quiet
same "$work/first/scores.csv" "$work/fresh/scores.csv"

# A template that strips messages, and texts that end in white space of every kind, were cut, or hold marks
# of our own and special tokens: each is asked, none stops the study.
cp -r "$work/model" "$work/strips"
sed -i "s/message\['content'\]/(message['content'] | trim)/" "$work/strips/tokenizer_config.json"
grep -q "| trim" "$work/strips/tokenizer_config.json" || fail "the template was not changed"
ideographic=$(printf '\343\200\200') no_break=$(printf '\302\240') separator=$(printf '\034') mark=$(printf '\356\200\200')
mark_end=$(printf '\356\200\201')
{
    echo 'id,text,label,patient,site,split'
    n=0
    for split in train test; do
        for text in "${ideographic}one${ideographic}" "${no_break}two${no_break}" "three${separator}" "four${mark}0${mark_end} ${mark}" \
            "five <|im_end|>" "$(printf 'six %.0s' $(seq 400))" "$(printf '열%.0s' $(seq 900))"; do
            for label in serious not-serious; do
                n=$((n + 1))
                echo "r$n,$text,$label,p$n,a,$split"
            done
        done
    done
    echo "empty,$ideographic$no_break,serious,p,a,test"
} > "$work/odd.csv"
for cut in head tail head+tail; do
    for question in "Bad?" "{text} Bad?"; do
        sed "s/notes.csv/odd.csv/; s/^model: model/model: strips/; s/^question:.*/question: \"$question\"/
            s/\[Yes, \" Yes\"\]/[\" Yes\"]/; s/cut: head+tail/cut: $cut/; s/max_tokens: 1500/max_tokens: 900/" \
            "$work/study.yaml" > "$work/bad.yaml"
        rm -rf "$work/odd"
        want 0 "" "$CASELOAD" run "$work/bad.yaml" --out "$work/odd" --quiet
        [ "$(grep -cE "^(zero|two)-shot,.*,scored" "$work/odd/scores.csv")" = 28 ] || fail "not every odd text has a score ($cut, $question)"
        grep -q '"excluded: empty text' "$work/odd/results.json" || fail "a text of blanks is not counted as empty"
    done
done

# A column of texts taken for something that is stored, or the answer shown to the model.
change 's/id: id/id: text/'
want 2 "'text' and 'id'" "$CASELOAD" run "$work/bad.yaml" --out "$work/o" --quiet
change 's/label: label/label: text/'
want 2 "'text' and 'label'" "$CASELOAD" run "$work/bad.yaml" --out "$work/o" --quiet
change 's/group: .site./group: [text]/'
want 2 "'text' and 'group'" "$CASELOAD" run "$work/bad.yaml" --out "$work/o" --quiet
change 's/^question:.*/question: "{text} and {text}"/'
want 2 "line 6: the question" "$CASELOAD" run "$work/bad.yaml" --out "$work/o" --quiet

# Answers of two classes that become the same tokens: here by the blank that plain prompts put before them.
change 's/^classes:.*/classes: {serious: [Yes], not-serious: [" Yes"]}\ntemplate: plain/'
want 2 "are the same tokens" "$CASELOAD" run "$work/bad.yaml" --out "$work/o" --quiet

# A run that ended before its first prompt leaves a folder without a study.
change 's/max_tokens: 1500/max_tokens: 16/'
want 2 "" "$CASELOAD" run "$work/bad.yaml" --out "$work/none" --quiet
[ ! -e "$work/none/study.db" ] || want 2 "no study yet" "$CASELOAD" report "$work/none"

# Another study and another table in the folder of results: they stay as they were.
cp -r "$work/first" "$work/held"
sed 's/study: tiny/study: other/; s/notes.csv/odd.csv/' "$work/study.yaml" > "$work/bad.yaml"
want 2 "first holds the results of the study 'tiny'" "$CASELOAD" run "$work/bad.yaml" --out "$work/first" --quiet
diff -r "$work/held" "$work/first" >/dev/null || fail "a refused study changed the folder"

# A folder where a file should be written, and what may not be looked into.
want 5 "it is a folder" "$CASELOAD" notes --out "$work/held" --rows 5
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    chmod 755 "$work"
    chmod 700 "$work/held" "$work/model"
    nobody="setpriv --reuid=65534 --regid=65534 --clear-groups"
    if $nobody test -x "$CASELOAD"; then
        want 4 "config.json: Permission denied" $nobody "$CASELOAD" inspect "$work/model"
        $nobody "$CASELOAD" report "$work/held" >/dev/null 2>"$work/stderr"
        [ $? -eq 5 ] || { cat "$work/stderr"; fail "a folder that may not be read does not end with 5"; }
    fi
fi

# scores.csv of several arms is no table of a study's rows: it is said.
want 0 "" "$CASELOAD" judge "$work/first/scores.csv" --label label --positive serious --score score
grep -q "Column 'arm' has 5 values" "$work/stdout" || fail "rows of several arms are judged together without a word"

# What `size` cannot compute is refused, and what needs too many rows said.
want 2 "below 0.999" "$CASELOAD" size --auroc 0.9999 --prevalence 0.1
want 2 "at least 0.000001" "$CASELOAD" size --auroc 0.75 --prevalence 1e-300
want 0 "" "$CASELOAD" size --auroc 0.75 --prevalence 0.1 --width 1e-9
grep -q "rows for that width  *more than 1,000,000,000" "$work/stdout" || fail "rows beyond measure are not said"
want 2 "from 1 to 100000000, not '1e9'" "$CASELOAD" run "$work/study.yaml" --out "$work/o" --batch 1e9

# Pipes in the place of files do not keep us waiting.
mkfifo "$work/pipe"
want 2 "pipe is not a regular file" timeout 10 "$CASELOAD" run "$work/pipe" --out "$work/o"
want 4 "pipe is not a regular file" timeout 10 "$CASELOAD" inspect "$work/pipe"
want 3 "pipe is not a regular file" timeout 10 "$CASELOAD" init "$work/pipe"
mkdir "$work/odd-folder"
mkfifo "$work/odd-folder/study.db"
want 5 "study.db is not a regular file" timeout 10 "$CASELOAD" report "$work/odd-folder"
want 5 "study.db is not a regular file" timeout 10 "$CASELOAD" run "$work/study.yaml" --out "$work/odd-folder" --quiet

# A table without a line of names: its first row, a patient's, is not shown in their place.
printf 'a1,"a rash, three days after warfarin",mild\na2,"no complaint",mild\n' > "$work/headless.csv"
change 's/notes.csv/headless.csv/'
want 2 "looks like a row" "$CASELOAD" run "$work/bad.yaml" --out "$work/o" --quiet
want 2 "looks like a row" "$CASELOAD" judge "$work/headless.csv" --label label --positive 1 --score p
! grep -q "warfarin" "$work/stderr" || fail "the message shows the text of a row"

printf 'a1,warfarin,warfarin,mild\na2,b,c,mild\n' > "$work/headless.csv"
want 3 "columns 2 and 3 have the same name" "$CASELOAD" init "$work/headless.csv"
! grep -q "warfarin" "$work/stderr" || fail "the message shows the text of a row"
{ echo id,text,split,report; for i in $(seq 40); do echo "r$i,a text,test,took warfarin $i"; done; } > "$work/reports.csv"
sed 's/notes.csv/reports.csv/; s/label: label, patient: patient, group: .site./label: report/' "$work/study.yaml" > "$work/bad.yaml"
want 3 "is it the column of labels?" "$CASELOAD" run "$work/bad.yaml" --out "$work/o" --quiet
! grep -q "warfarin" "$work/stderr" || fail "the message shows the text of a row"

# Nor are texts printed that were taken for the names of subgroups.
want 3 "names of subgroups are printed" "$CASELOAD" judge "$work/notes.csv" --label label --positive serious --score age --group text
sed 's/,site,/,room,/; s/,text,/,site,/; s/,room,/,text,/' "$work/notes.csv" > "$work/swapped.csv"
change 's/notes.csv/swapped.csv/'
want 3 "names of subgroups are printed" "$CASELOAD" run "$work/bad.yaml" --out "$work/o" --quiet
want 2 "an argument is empty" "$CASELOAD" report ""
want 2 "--out is empty" "$CASELOAD" run "$work/study.yaml" --out ""
want 2 "'label' twice" "$CASELOAD" agree "$work/notes.csv" --rater label --rater label
want 2 "'label' twice" "$CASELOAD" agree "$work/notes.csv" --rater label --rater id --rater label

# Output that cannot be written, and streams that are closed: nothing printed ends up in a file of ours.
[ ! -w /dev/full ] || want 5 "cannot write the output" sh -c '"$0" --help >/dev/full' "$CASELOAD"
want 5 "cannot write the output" sh -c '"$0" run "$1/study.yaml" --out "$1/closed" --quiet >&-' "$CASELOAD" "$work"
sh -c '"$0" run "$1/study.yaml" --out "$1/closed" --batch 1 2>&- >/dev/null <&-' "$CASELOAD" "$work" || fail "does not run without streams"
[ ! -s "$work/closed/study.db-lock" ] || fail "something was printed into the lock"
