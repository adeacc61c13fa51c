#!/bin/bash
# Runs the unit tests and the system tests, and ends in one line: N passed, N failed.
#   tests/run.sh BUILD [unit] [system]
# BUILD is the folder that make has built in; both kinds run where none is named.
set -u
build=$1
shift
kinds=${*:-unit system}
passed=0 failed=0 skipped=0

# count WORD TEXT: the number before WORD in a runner's closing line; 0 where there is none.
count() {
    grep -oE "[0-9]+ $1" <<<"$2" | tail -1 | grep -oE '^[0-9]+' || echo 0
}

# sum PATTERN TEXT: of the numbers in what matches, as one program may run several groups of tests.
sum() {
    grep -oE "$1" <<<"$2" | grep -oE '[0-9]+' | awk '{ sum += $1 } END { print sum + 0 }'
}

run_unit() {
    local test output good bad
    for test in "$build"/tests/unit/test_*[!.][!do]; do
        [ -x "$test" ] && [ ! -d "$test" ] || continue
        output=$("$test" 2>&1)
        local code=$?
        good=$(sum '\[  PASSED  \] [0-9]+' "$output")
        bad=$(sum '\[  FAILED  \] [0-9]+ test' "$output")
        [ $code -ne 0 ] && [ "$bad" -eq 0 ] && bad=1
        [ $code -ne 0 ] && printf '%s\n' "$output"
        printf '%-50s %4d passed, %d failed\n' "${test##*/}" "$good" "$bad"
        passed=$((passed + good)) failed=$((failed + bad))
    done
}

run_system() {
    local log last code
    log=$(mktemp)
    FANOUTD=$(realpath "$build/fanoutd") /usr/bin/python3 -m pytest -q -p no:cacheprovider \
        tests/system 2>&1 | tee "$log"
    code=${PIPESTATUS[0]}
    last=$(tail -1 "$log")
    rm -f "$log"
    passed=$((passed + $(count passed "$last")))
    skipped=$((skipped + $(count skipped "$last")))
    local bad=$(($(count failed "$last") + $(count error "$last")))
    [ "$code" -ne 0 ] && [ "$bad" -eq 0 ] && bad=1
    failed=$((failed + bad))
}

for kind in $kinds; do
    "run_$kind"
done
[ $((passed + failed)) -gt 0 ] || failed=1
if [ $skipped -gt 0 ]; then
    echo "$passed passed, $failed failed, $skipped skipped"
else
    echo "$passed passed, $failed failed"
fi
[ $failed -eq 0 ]
