# Hostile requests: each bad line is a sentence with its number and exit code 3, before anything is computed.
. tests/cli/common.inc
make_study 20

refused() { # "words" LINE
    printf '%s' "$2" > "$work/line.jsonl"
    want 3 "$1" sh -c '"$0" score "$1" < "$2"' "$CASELOAD" "$work/model" "$work/line.jsonl"
    [ ! -s "$work/stdout" ] || fail "something was answered to a bad line"
    ! grep -q XQZW "$work/stderr" || fail "the message shows a text"
}
refused "line 1: not a JSON object" "$(printf '[%.0s' $(seq 5000))"
refused "line 2: not a JSON object" '{"id": 1, "prompt": "x"}
{"id": 1, "prompt": "XQZW" oops}'
refused "line 1: unknown key 'answer'; did you mean 'answers'" '{"id": 1, "prompt": "x", "answer": ["a"]}'
refused "line 1: unknown key 'mesages'" '{"mesages": [], "answers": ["a"]}'
refused "line 1: answer 3 is there twice" '{"prompt": "x", "answers": ["a", "b", "a"]}'
refused "line 1: answer 2 is empty" '{"prompt": "x", "answers": ["a", ""]}'
refused "line 1: answer 1 is not a text" '{"prompt": "x", "answers": [1]}'
refused "\`id\` must be a text or a number" '{"id": {"a": 1}, "prompt": "x"}'
refused "no requests" ''
refused "line 1: \`messages\` has 0 entries" '{"messages": []}'
refused "line 1: message 1 needs" '{"messages": [{"role": "user"}]}'
refused "line 2: the prompt and its longest answer have" "{\"prompt\": \"x\"}
{\"prompt\": \"$(printf 'hello %.0s' $(seq 3000))\"}"
refused "line 1: the prompt has no tokens" '{"prompt": ""}'

# What is fine: a byte-order mark, Windows line ends, empty lines, keys of the sender's own, the same id twice,
# special tokens in prompts and answers.
printf '\357\273\277{"id": 1, "prompt": "x", "note": 5, "answers": ["a"]}\r\n\r\n{"id": 1, "prompt": "<|im_start|>x", "answers": ["<|im_end|>"]}' > "$work/fine.jsonl"
want 0 "" sh -c '"$0" score "$1" < "$2"' "$CASELOAD" "$work/model" "$work/fine.jsonl"
[ "$(grep -c '"boundary": "clean"' "$work/stdout")" = 2 ] || fail "two lines do not give two answers"

# Forms of generated texts: a choice, a pattern, a schema; what is wrong with one is said before anything is computed.
refused "\`constrain\` has no key 'choise'; did you mean 'choice'" '{"prompt": "x", "generate": {"constrain": {"choise": ["XQZW"]}}}'
refused "\`constrain\` must be an object with one of" '{"prompt": "x", "generate": {"constrain": {"choice": ["a"], "pattern": "XQZW"}}}'
refused "\`constrain\` must be an object with one of" '{"prompt": "x", "generate": {"constrain": "XQZW"}}'
refused "\`constrain: choice\` must be a list of 1 to 1000 texts" '{"prompt": "x", "generate": {"constrain": {"choice": []}}}'
refused "\`constrain: choice\` needs texts that are not empty" '{"prompt": "x", "generate": {"constrain": {"choice": ["a", 5]}}}'
refused "\`constrain: pattern\` must be a text" '{"prompt": "x", "generate": {"constrain": {"pattern": 5}}}'
refused "line 1" '{"prompt": "x", "generate": {"constrain": {"pattern": "(a"}}}'
refused "\`constrain: schema\` must be an object" '{"prompt": "x", "generate": {"constrain": {"schema": []}}}'
refused "line 2: the schema of a constraint" '{"prompt": "x"}
{"prompt": "x", "generate": {"constrain": {"schema": {"type": "poem"}}}}'
refused "\`generate\` has no key 'constrian'; did you mean 'constrain'" '{"prompt": "x", "generate": {"constrian": {"choice": ["a"]}}}'

how='"max_tokens": 60, "samples": 3, "temperature": 1.5, "seed": 3'
for id in 1 2; do
    echo "{\"id\": \"c$id\", \"prompt\": \"note $id\", \"generate\": {$how, \"constrain\": {\"choice\": [\"mild\", \"severe\"]}}}"
    echo "{\"id\": \"p$id\", \"prompt\": \"note $id\", \"generate\": {$how, \"constrain\": {\"pattern\": \"T[1-4][ab]?\"}}}"
    echo "{\"id\": \"s$id\", \"prompt\": \"note $id\", \"generate\": {$how, \"constrain\": {\"schema\": {\"type\": \"object\", \"properties\": {\"grade\": {\"type\": \"integer\", \"minimum\": 1, \"maximum\": 5}}}}}}"
done > "$work/forms.jsonl"
want 0 "" sh -c '"$0" score "$1" < "$2"' "$CASELOAD" "$work/model" "$work/forms.jsonl"
texts() { grep "\"id\": \"$1" "$work/stdout" | grep -o '"text": "[^}]*, "ids"' | sed 's/^"text": "//; s/", "ids"$//'; }
[ "$(texts c | grep -cE '^ ?(mild|severe)$')" = 6 ] || fail "a choice was not kept to"
[ "$(texts p | grep -cE '^ ?T[1-4][ab]?$')" = 6 ] || fail "a pattern was not kept to"
[ "$(grep '"id": "s' "$work/stdout" | grep -oE '\{(\\n| )*\\"grade\\"(\\n| )*:(\\n| )*[1-5](\\n| )*\}", "ids"' | wc -l)" = 6 ] || fail "a schema was not kept to"
cp "$work/stdout" "$work/together"
grep '"p2"' "$work/forms.jsonl" > "$work/one.jsonl"
want 0 "" sh -c '"$0" score "$1" < "$2"' "$CASELOAD" "$work/model" "$work/one.jsonl"
grep '"p2"' "$work/together" | grep -o '"samples".*' > "$work/a"
grep -o '"samples".*' "$work/stdout" | cmp -s - "$work/a" || fail "a form's texts depend on their company"

# A text that ends inside a character is UTF-8 all the same.
for n in 1 2 3 5; do
    echo "{\"id\": $n, \"prompt\": \"x\", \"generate\": {\"max_tokens\": $n, \"samples\": 40, \"temperature\": 50, \"seed\": 1}}"
done > "$work/cut.jsonl"
want 0 "" sh -c '"$0" score "$1" < "$2"' "$CASELOAD" "$work/model" "$work/cut.jsonl"
iconv -f UTF-8 -t UTF-8 "$work/stdout" > /dev/null || fail "texts that are not UTF-8"
grep -q "$(printf '\357\277\275')" "$work/stdout" || fail "no text ended inside a character: the test shows nothing"
