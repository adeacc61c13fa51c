#!/bin/bash
# Checks that dependencies point down only: the service knows the engine, never the other way
# round, and each outside library is known where it belongs and nowhere else.
set -u
cd "$(dirname "$0")/.." || exit 1
wrong=0

# only HEADER PLACES...: no file outside PLACES (globs) includes HEADER (a pattern).
only() {
    local header=$1 file place
    shift
    for file in $(grep -lE "#include [<\"]$header" -r fanout service --include='*.[ch]'); do
        for place in "$@"; do
            # shellcheck disable=SC2053  # the place is a pattern
            [[ $file == $place ]] && continue 2
        done
        echo "$file must not include $header (only: $*)"
        wrong=1
    done
}

only 'service/' 'service/*'
only 'curl/' 'fanout/transport*'
only 'ares' 'fanout/resolver*'
only 'event2/(http|buffer|bufferevent|listener)' 'service/*'
only 'cjson/' 'service/*'
only 'zlib' 'fanout/content_decoder*'
only 'confuse' 'service/config*'
only 'jemalloc/' 'service/allocator*'
only 'fanout/(engine|transport_loop|transport_lean)\.h' 'fanout/*'

# shown DIR: the longest file and whether it is too long.
while read -r lines file; do
    [ "$file" = total ] && continue
    if [ "$lines" -gt 500 ]; then
        echo "$file has $lines lines; 500 are the most"
        wrong=1
    fi
done < <(wc -l fanout/*.[ch] service/*.[ch])
[ "$(wc -l <service/main.c)" -le 120 ] || { echo "service/main.c is over 120 lines"; wrong=1; }

[ $wrong -eq 0 ] && echo "layers: dependencies point down only"
exit $wrong
