# size, agree, overlap, audit: known answers, and refusals in words.
. tests/cli/common.inc
cat > "$work/r.csv" <<'T'
id,r1,r2,r3
1,0,0,0
2,0,0,1
3,0,0,0
4,0,1,0
5,0,0,0
6,0,0,0
7,0,0,0
8,0,0,0
9,1,0,1
10,0,0,0
11,0,0,0
12,0,1,
13,0,0,0
14,1,1,1
15,1,0,1
16,1,1,1
17,1,1,1
18,1,1,1
19,1,1,1
20,1,1,1
21,0,1,1
22,1,1,1
23,1,1,1
24,1,1,1
T
out=$("$CASELOAD" agree "$work/r.csv" --rater r1 --rater r2 --json) || fail "agree"
for want in '"cohen_s_kappa":{"value":0.58333' '"se":0.16521965' '"raw_agreement":{"value":0.791666' \
    '"gwet_s_ac1":{"value":0.58405545' '"krippendorff_s_alpha":{"value":0.5913043'; do
    case $out in *"$want"*) ;; *) fail "agree says not $want: $out" ;; esac
done
out=$("$CASELOAD" agree "$work/r.csv" --rater r1 --rater r2 --rater r3) || fail "agree of three"
case $out in *"Fleiss' kappa"*"not estimable"*) ;; *) fail "Fleiss with a missing rating: $out" ;; esac
out=$("$CASELOAD" size --auroc 0.75 --prevalence 0.1 --width 0.05 --json) || fail "size"
case $out in *'"rows_for_that_width":4026'*) ;; *) fail "rows of width 0.05: $out" ;; esac
out=$("$CASELOAD" size --auroc 0.75 --prevalence 0.2 --rows 2500) || fail "size of rows"
case $out in *"half-width of the 95 % interval"*0.026*) ;; *) fail "half-width: $out" ;; esac
out=$("$CASELOAD" audit --right 800,800,40 --wrong 200,200,150) || fail "audit"
case $out in *"errors allowed for"*0.9100*) ;; *) fail "audit of all: $out" ;; esac
"$CASELOAD" audit --right 770,0,0 --wrong 230,150,33 > /dev/null 2> "$work/e" && fail "wrong-only is refused"
grep -q "can only raise its accuracy" "$work/e" || fail "wrong-only: $(cat "$work/e")"
printf 'a,b\n"the cat sat","the cat sat on"\nsame,Same\n,lost\n' > "$work/t.csv"
out=$("$CASELOAD" overlap "$work/t.csv" --reference a --generated b --json) || fail "overlap"
case $out in *'"rows_with_a_reference":2'*'"exact_match":{"value":0.5'*) ;; *) fail "overlap: $out" ;; esac
for bad in "agree $work/r.csv --rater r1" "agree $work/r.csv --rater r1 --rater none" "size --auroc 0.4 --prevalence 0.1" \
    "size --auroc 0.8 --prevalence 0" "audit --right 1,2 --wrong 1,1,1" "audit --right 1,2,3 --wrong 1,1,1" "overlap $work/t.csv"; do
    # shellcheck disable=SC2086
    "$CASELOAD" $bad > /dev/null 2> "$work/e" && fail "$bad is not refused"
    [ "$(wc -l < "$work/e")" = 1 ] || fail "$bad: $(cat "$work/e")"
done
