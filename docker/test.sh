#!/bin/bash
# Builds the image and checks what it promises, then the example of compose.yaml. Where no docker
# daemon answers it says so and ends well.
#
#   docker/test.sh                        DEBIAN=trixie-slim docker/test.sh
#   docker/test.sh --network host …       options for docker build
set -euo pipefail
cd "$(dirname "$0")/.."
export DEBIAN=${DEBIAN:-bookworm-slim}
image=fanoutd-test:$DEBIAN
base=http://127.0.0.1:8080
container=
compose=()

docker info >/dev/null 2>&1 || { echo "skipped: no docker daemon here"; exit 0; }

scratch=$(mktemp -d)
trap clean_up EXIT

clean_up() {
    [ -z "$container" ] || docker rm -f "$container" >/dev/null
    [ ${#compose[@]} -eq 0 ] || "${compose[@]}" down >/dev/null 2>&1
    rm -rf "$scratch"
}

fail() {
    echo "FAILED: $1" >&2
    [ -z "$container" ] || docker logs "$container" >&2
    exit 1
}

ok() {
    echo "ok: $1"
}

# same WHAT EXPECTED FOUND
same() {
    [ "$2" = "$3" ] || fail "$1: expected '$2', found '$3'"
}

# has WHAT PATTERN TEXT
has() {
    grep -qE -- "$2" <<<"$3" || fail "$1: no '$2' in: $3"
}

# await WHAT COMMAND...: until it succeeds, for a minute at most.
await() {
    local what=$1 tries=300
    shift
    until "$@" >/dev/null 2>&1; do
        [ $((tries -= 1)) -gt 0 ] || fail "$what"
        sleep 0.2
    done
}

inspect() {
    docker inspect --format "$1" "${2:-$image}"
}

is_health() {
    [ "$(inspect '{{.State.Health.Status}}' "$container")" = "$1" ]
}

# A daemon without bridges has the host's network only.
has_bridge() {
    docker network inspect bridge >/dev/null 2>&1
}

# run OPTION... IMAGE ARGUMENT...: to its end, or to a failure if it has none.
run() {
    timeout -k 5 60 docker run --rm --network none "$@"
}

confinement=(--read-only --cap-drop ALL --security-opt no-new-privileges)

# start OPTION...: a confined container, its port 8080 at $base.
start() {
    local network=(--network host)
    has_bridge && network=(-p 127.0.0.1::8080)
    container=$(docker run -d "${confinement[@]}" "${network[@]}" --health-interval 1s "$@" "$image")
    has_bridge && base=http://$(docker port "$container" 8080/tcp)
    await "no answer at $base" curl -fsS "$base/readyz"
}

# Ends by SIGTERM, with 137 if it had to be killed.
stop() {
    docker stop -t 10 "$container" >/dev/null
    same "exit code after docker stop" 0 "$(inspect '{{.State.ExitCode}}' "$container")"
    docker rm "$container" >/dev/null
    container=
}

the_image_builds() {
    docker build -q --build-arg DEBIAN="$DEBIAN" -f docker/Dockerfile -t "$image" "$@" . >/dev/null
    ok "the image builds: $(($(inspect '{{.Size}}') / 1000000)) MB"
}

the_image_describes_itself() {
    has "user" '^[1-9][0-9]*:[1-9][0-9]*$' "$(inspect '{{.Config.User}}')"
    has "port" '8080/tcp' "$(inspect '{{.Config.ExposedPorts}}')"
    has "health check" 'fanoutd --health -c /etc' "$(inspect '{{.Config.Healthcheck}}')"
    has "label" 'title:fanoutd' "$(inspect '{{.Config.Labels}}')"
    has "label" 'licenses:MIT' "$(inspect '{{.Config.Labels}}')"
    ok "the image describes itself"
}

no_compiler_and_no_source_is_left_in_it() {
    local left
    left=$(run --entrypoint sh "$image" -c \
        'ls -d /usr/bin/gcc* /usr/bin/make /src /usr/include/curl /var/lib/apt/lists/*_* /tmp/* \
            /var/cache/apt/archives/*.deb 2>/dev/null || true')
    same "left of the build" "" "$left"
    ok "no compiler and no source is left in it"
}

it_runs_other_commands_of_fanoutd() {
    has "--version" '^fanoutd [0-9]' "$(run "$image" --version)"
    has "-t" '^upstream ' "$(run "$image" -t)"
    ok "it runs other commands of fanoutd"
}

it_trusts_the_usual_authorities() {
    run --entrypoint test "$image" \
        -s /etc/ssl/certs/ca-certificates.crt || fail "no certificates of authorities"
    ok "it trusts the usual authorities"
}

it_names_the_mistake_in_a_configuration() {
    local output code=0
    echo 'upstream users { url = "http://users" timeot = 1s }' >"$scratch/wrong.conf"
    output=$(run -v "$scratch/wrong.conf:/etc/fanoutd/upstreams.conf:ro" "$image" 2>&1) || code=$?
    same "exit code" 1 "$code"
    has "message" 'upstreams.conf:1: .*timeot' "$output"
    ok "it names the mistake in a configuration"
}

it_is_unhealthy_where_nothing_serves() {
    ! run "$image" --health >/dev/null 2>&1 ||
        fail "healthy without a server"
    ok "it is unhealthy where nothing serves"
}

it_serves_confined_and_out_of_the_box() {
    start
    local answer
    answer=$(curl -fsS "$base/fetch-multiple")
    has "answer" '^\{"status":"partial"' "$answer"
    has "answer" '"id":"users","ok":true,"status":200' "$answer"
    same "user" "$(inspect '{{.Config.User}}')" \
        "$(docker exec "$container" sh -c 'echo $(id -u):$(id -g)')"
    same "capabilities" 0000000000000000 \
        "$(docker exec "$container" sed -n 's/^CapEff:\t//p' /proc/1/status)"
    ! docker exec "$container" touch /tmp/file 2>/dev/null || fail "the root is writable"
    await "not healthy" is_health healthy
    has "log" 'event=ready' "$(docker logs "$container" 2>&1 >/dev/null)"
    stop
    ok "it serves, confined and out of the box, is healthy, and ends with 0 on SIGTERM"
}

it_finishes_what_is_in_flight_when_stopped() {
    cat >"$scratch/slow.conf" <<'CONF'
demo_listen = "127.0.0.1:8081"
upstream slow { url = "http://127.0.0.1:8081/slow" timeout = 5s }
endpoint "/fetch-multiple" { upstreams = { slow } deadline = 5s }
CONF
    start -v "$scratch/slow.conf:/etc/fanoutd/upstreams.conf:ro"
    curl -sS "$base/fetch-multiple" >"$scratch/answer" &
    local caller=$!
    await "nothing in flight" sh -c "curl -fsS $base/upstreams | grep -q '\"in_flight\": *1'"
    stop
    wait "$caller" || fail "the caller was left without an answer"
    has "answer" '"id":"slow","ok":true' "$(cat "$scratch/answer")"
    ok "it finishes what is in flight when stopped"
}

it_takes_a_mounted_configuration() {
    cat >"$scratch/own.conf" <<'CONF'
listen = "0.0.0.0:8080"
demo_listen = "127.0.0.1:8081"
upstream mine { url = "http://127.0.0.1:8081/users" header = { "X-Key: ${KEY}" } }
CONF
    start -e KEY=secret -v "$scratch/own.conf:/etc/fanoutd/upstreams.conf:ro"
    has "answer" '"status":"ok".*"id":"mine"' "$(curl -fsS "$base/fetch-multiple" | tr -d '\n')"
    await "not healthy" is_health healthy
    stop
    ok "it takes a mounted configuration, with its variables"
}

find_compose() {
    if docker compose version >/dev/null 2>&1; then
        compose=(docker compose)
    elif command -v docker-compose >/dev/null; then
        compose=(docker-compose)
    else
        return 1
    fi
    compose+=(-p fanoutd-test -f docker/compose.yaml)
}

the_compose_example_works() {
    has_bridge || { echo "skipped: no bridge network for compose.yaml"; return; }
    find_compose || { echo "skipped: no docker compose"; return; }
    local target answer
    for target in nginx httpbin; do
        docker build -q --build-arg DEBIAN="$DEBIAN" -f docker/upstreams.Dockerfile \
            --target $target -t fanoutd-example-$target "$@" docker >/dev/null
    done
    export FANOUTD_IMAGE=$image
    "${compose[@]}" up -d --no-build >/dev/null 2>&1 || fail "compose up: $("${compose[@]}" logs)"
    base=http://127.0.0.1:8080
    await "no answer at $base" curl -fsS "$base/readyz"
    answer=$(curl -fsS "$base/fetch-multiple" | tr -d '\n')
    has "answer" '"id":"products","ok":true,"status":200' "$answer"
    has "answer" '9007199254740993' "$answer"
    has "answer" '"id":"echo","ok":true,"status":200' "$answer"
    has "answer" '"id":"slow","ok":false,"status":null[^}]*"error":\{"code":"timeout"' "$answer"
    has "answer" '"id":"failing","ok":false,"status":503' "$answer"
    container=$("${compose[@]}" ps -q fanoutd)
    await "not healthy" is_health healthy
    container=
    ok "the example of compose.yaml works"
}

the_image_builds "$@"
the_image_describes_itself
no_compiler_and_no_source_is_left_in_it
it_runs_other_commands_of_fanoutd
it_trusts_the_usual_authorities
it_names_the_mistake_in_a_configuration
it_is_unhealthy_where_nothing_serves
it_serves_confined_and_out_of_the_box
it_finishes_what_is_in_flight_when_stopped
it_takes_a_mounted_configuration
the_compose_example_works "$@"
