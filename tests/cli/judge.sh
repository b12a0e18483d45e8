# caseload judge: T24's known answers through the command line, and tables without an answer.
. tests/cli/common.inc

t24=tests/golden/t24.csv
"$CASELOAD" judge $t24 --label y --positive 1 --score pA --score pB --probability --patient patient \
    --group site --json > "$work/t24.json" || fail "judge t24"

# number ARM-OR-PLACE KEY: the first KEY after the first "PLACE":
number() { sed "s/.*\"$1\"://" "$work/t24.json" | grep -o "\"$2\":[-0-9.e]*" | head -n 1 | cut -d: -f2; }
near() { # PLACE KEY WANTED TOLERANCE
    got=$(number "$1" "$2")
    awk -v a="$got" -v b="$3" -v t="$4" 'BEGIN { d = a - b; exit !(a != "" && d <= t && -d <= t) }' ||
        fail "$1 $2 is '$got', not $3"
}
cp "$work/t24.json" "$work/all.json"
# sed is greedy: what follows "groups" would hide the arms before it.
sed 's/"groups":.*//; s/.*"arms":{"pA":/"pA":/' "$work/all.json" > "$work/t24.json"
near pA auroc 0.810714285714 1e-12
near pA auroc_var 0.00815345368917 1e-13
near pA auroc_low 0.574780 5e-7
near pA auroc_high 0.931370 5e-7
near pA auroc_wald_low 0.633736 5e-7
near pA auroc_wald_high 0.987692 5e-7
near pA auroc_cluster_var 0.0148262686843 1e-13
near pA auprc 0.775476190476 1e-12
near pA brier 0.179375 1e-12
near pA citl -0.38063409 1e-7
near pA slope 0.912623264 5e-10
near pA ece10 0.120833333 5e-10
near pA sens 0.7 1e-12
near pA spec 0.714286 5e-7
near pA ppv 0.636364 5e-7
near pA npv 0.769231 5e-7
near pA f1 0.666667 5e-7
near pA mcc 0.409917025789 1e-12
near pA kappa 0.408450704225 1e-12
near pB auroc 0.807142857143 1e-12
near pB auroc_cluster_var 0.0109867582952 1e-13
near pairs z 0.0452781834 5e-11
near pairs p 0.963885576697 1e-12
near pairs low -0.151025572506 1e-12
near pairs high 0.158168429649 1e-12
sed 's/.*"groups"://' "$work/all.json" > "$work/t24.json"
near X auroc 0.90625 1e-12
near Y auroc 0.902777777778 1e-12
near group_tests z 0.02516182566 5e-11
near group_tests df 21.84491073 5e-9
near group_tests p 0.980154328 5e-10

# Rows in another order, another number of threads: the same numbers.
{ head -n 1 $t24; tail -n +2 $t24 | sort -r; } > "$work/turned.csv"
for threads in 1 3; do
    OMP_NUM_THREADS=$threads "$CASELOAD" judge "$t24" --label y --positive 1 --score pA --score pB --probability \
        --patient patient --group site --json > "$work/threads$threads.json"
    same "$work/all.json" "$work/threads$threads.json"
done
"$CASELOAD" judge "$work/turned.csv" --label y --positive 1 --score pA --json --draws 1 | grep -q '"auroc":0.8107142857142857' ||
    fail "rows in another order"

# What has no answer: a status and a sentence, exit 0, never nan, never [1, 1].
answer() { # NAME "csv" "status" "words" OPTIONS...
    name=$1; printf "$2" > "$work/$name.csv"; status=$3 words=$4
    shift 4
    "$CASELOAD" judge "$work/$name.csv" --label y --positive 1 --score p "$@" > "$work/out.txt" || fail "$name: exit"
    grep -qF -- "$words" "$work/out.txt" || { cat "$work/out.txt"; fail "$name: no sentence"; }
    "$CASELOAD" judge "$work/$name.csv" --label y --positive 1 --score p "$@" --json > "$work/out.json" || fail "$name: exit"
    grep -q "\"status\":\"$status\"" "$work/out.json" || { cat "$work/out.json"; fail "$name: status"; }
    ! grep -qiE 'nan|inf[,}]' "$work/out.txt" "$work/out.json" || fail "$name: nan"
    ! grep -qE '_low":1,"[a-z_]*_high":1[,}]' "$work/out.json" || fail "$name: an interval of [1, 1]"
}
answer one 'y,p\n1,0.2\n1,0.4\n1,0.9\n' one_class "only positives" --probability
answer nopositive 'y,p\n0,0.2\n0,0.4\n0,0.9\n' one_class "no positive" --probability
answer tied 'y,p\n0,0.5\n1,0.5\n0,0.5\n1,0.5\n' zero_variance "tied" --probability
answer three 'y,p\n0,0.2\n1,0.5\n1,0.9\n' few "single row" --probability
answer onepatient 'y,p,w\n0,0.2,a\n1,0.5,a\n1,0.9,a\n0,0.6,a\n' few "one patient" --probability --patient w
answer missing 'y,p\n,0.2\nNA,0.5\n1,0.9\n0,0.6\n0,\n' few "lack a score" --probability
answer outside 'y,p\n0,-0.2\n1,0.5\n1,1.9\n0,0.6\n' few "outside 0 to 1" --probability
grep -q '"probability_status":"out_of_range"' "$work/out.json" || fail "outside: status"
answer ends 'y,p\n0,0\n1,1\n0,0\n1,1\n' zero_variance "perfectly apart" --probability
answer infinite 'y,p\n0,-inf\n1,inf\n0,1\n1,2\n' zero_variance "perfectly apart"
answer nothing 'y,p\n,0.5\n1,\n' no_cases "nothing can be computed" --probability

want 3 "not a number" "$CASELOAD" judge $t24 --label y --positive 1 --score site
want 2 "did you mean 'patient'" "$CASELOAD" judge $t24 --label y --positive 1 --score pA --patient patients
want 2 "--score is missing" "$CASELOAD" judge $t24 --label y --positive 1
want 2 "twice" "$CASELOAD" judge $t24 --label y --positive 1 --score pA --score pA
want 2 "needs a number" "$CASELOAD" judge $t24 --label y --positive 1 --score pA --threshold half
want 3 "No such file" "$CASELOAD" judge "$work/none.csv" --label y --positive 1 --score pA
