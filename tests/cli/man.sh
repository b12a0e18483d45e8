# The manual page names every command and every option that --help names.
. tests/cli/common.inc
sed 's/\\-/-/g' docs/caseload.1 > "$work/page"
commands=$("$CASELOAD" --help | sed -n 's/^  \([a-z]*\)  .*/\1/p' | grep -v '^caseload$')
[ "$(echo "$commands" | wc -w)" -ge 8 ] || fail "--help lists too few commands: $commands"
for c in $commands; do
    grep -qw "$c" "$work/page" || fail "the manual page does not name the command $c"
    for o in $("$CASELOAD" "$c" --help | sed -n 's/^  \(--[a-z]*\).*/\1/p'); do
        grep -q -- "$o" "$work/page" || fail "the manual page does not name $o of $c"
    done
done
