#!/bin/bash
# Runs the fuzzers, each for some seconds, and prints what came of it.
#   tests/fuzz/run.sh BUILD SECONDS
# BUILD is the folder that make has built them in; what a run finds worth keeping goes to
# BUILD/corpus, inputs that break something to BUILD/findings.
set -u
build=$(realpath "$1")
seconds=$2
here=$(dirname "$0")
status=0
[ "$seconds" -gt 0 ] || exit 2 # for libFuzzer, 0 is for ever

# stat NAME LOG: one figure of libFuzzer's closing statistics.
stat() {
    sed -n "s/^stat::$1: *//p" "$2"
}

run() {
    local name=$1 log=$build/$1.log corpus=$build/corpus/$1 options=() found
    mkdir -p "$corpus" "$build/findings"
    [ -f "$here/$name.dict" ] && options+=("-dict=$here/$name.dict")
    "$build/tests/fuzz/fuzz_$name" -max_total_time="$seconds" -timeout=20 -print_final_stats=1 \
        -artifact_prefix="$build/findings/$name-" "${options[@]}" \
        "$corpus" "$here/corpus/$name" >"$log" 2>&1
    local code=$?
    found=$(grep -oE 'Test unit written to .*' "$log" | sed 's/.* to //')
    printf '%-10s %12s %8s  %s\n' "$name" "$(stat number_of_executed_units "$log")" \
        "$(stat average_exec_per_sec "$log")" "${found:-none}"
    [ $code -eq 0 ] && return
    status=1
    echo "exit code $code; the end of $log:"
    grep -vE '^#[0-9]+|^stat::' "$log" | tail -40
}

printf '%-10s %12s %8s  %s\n' fuzzer executions per_s finding
for source in "$here"/fuzz_*.c; do
    name=${source##*/fuzz_}
    run "${name%.c}"
done
exit $status
