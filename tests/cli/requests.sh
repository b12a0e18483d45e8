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
