#!/usr/bin/python3
"""Compares fanoutd with the same service as Python people write it: FastAPI with httpx or aiohttp.

    /usr/bin/python3 tests/bench/compare.py [--seconds S] [--rounds R] [--callers C]

Needs the packages nginx-light and wrk, and for the peers python3-fastapi, uvicorn, python3-httpx,
python3-aiohttp, python3-uvloop, python3-httptools; a peer that is not installed is left out.
FANOUTD=/path/to/fanoutd measures another binary than build/fanoutd.

Everything runs on loopback and is ended at the end. Takes about two minutes; --seconds is the
length of one measurement.
"""

import argparse
import contextlib
import os
import pathlib
import resource
import signal
import sys
import tempfile

from measure import FetchCounter, Ground, failed_fetches, get, measure
from programs import CONTESTANTS, find_tool, start_nginx
from report import Row, print_report

UPSTREAM_COUNTS = (1, 10, 50)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="of one measurement (1)")
    parser.add_argument("--rounds", type=int, default=3, help="of all services in turn (3)")
    parser.add_argument("--callers", type=int, default=64, help="connections at once (64)")
    return parser.parse_args()


def choose_contestants():
    chosen = []
    for contestant in CONTESTANTS:
        missing = contestant.missing()
        if missing:
            print(f"{contestant.name} is left out: {missing}")
        else:
            chosen.append(contestant)
    return chosen


def check_tools():
    absent = [
        f"{tool} (package {package})"
        for tool, package in (("nginx", "nginx-light"), ("wrk", "wrk"))
        if find_tool(tool) is None
    ]
    if absent:
        sys.exit(f"needs {' and '.join(absent)}")


def share_cores():
    """One core for the service, one for everything else. None, None: there are not two."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        print("only one core here: services, upstream and load share it")
        return None, None
    os.sched_setaffinity(0, {cores[1]})  # wrk inherits it
    return cores[0], cores[1]


def content(service):
    """What of an answer must be the same for all."""
    status, headers, document = get(f"{service.url}/fetch-multiple")
    results = [(one["id"], one["ok"], one["status"], one["body"]) for one in document["results"]]
    return {
        "http status": status,
        "X-Fanout-Complete": headers["X-Fanout-Complete"],
        "status": document["status"],
        "errors": document["errors"],
        "results": results,
    }


def check_content(contestant, service, upstreams):
    expected = {
        "http status": 200,
        "X-Fanout-Complete": "true",
        "status": "ok",
        "errors": [],
        "results": [(name, True, 200, get(url)[2]) for name, url in upstreams.items()],
    }
    seen = content(service)
    for part, value in expected.items():
        if seen[part] != value:
            sys.exit(f"{contestant.name}: {part} should be\n  {value}\nbut is\n  {seen[part]}")


def run_rounds(options, ground, rows, services):
    for number in range(options.rounds):
        for row, service in zip(rows, services):
            progress = f"{row.upstreams} upstreams, round {number + 1}: {row.name}"
            print(f"\r{progress:<60}", end="", file=sys.stderr, flush=True)
            one = (ground, service, row.upstreams)
            row.loaded.append(measure(*one, options.callers, options.seconds))
            row.lone.append(measure(*one, 1, options.seconds / 2))


def compare(options, ground, contestants, upstreams):
    """All services with these upstreams: a row for each."""
    rows = [Row(contestant.name, len(upstreams)) for contestant in contestants]
    with contextlib.ExitStack() as stack:
        services = [
            stack.enter_context(contestant.start(ground.directory, upstreams, ground.core))
            for contestant in contestants
        ]
        for contestant, service in zip(contestants, services):
            check_content(contestant, service, upstreams)
        run_rounds(options, ground, rows, services)
        for contestant, row, service in zip(contestants, rows, services):
            check_content(contestant, service, upstreams)
            row.memory_mib = service.memory_mib()
            row.failed_fetches = failed_fetches(service)
    return rows


def compare_all(options, contestants, core, other_core):
    rows = []
    with tempfile.TemporaryDirectory(prefix="fanoutd-bench-") as name:
        directory = pathlib.Path(name)
        with start_nginx(directory, other_core) as nginx:
            ground = Ground(directory, FetchCounter(nginx), core)
            for count in UPSTREAM_COUNTS:
                names = [f"upstream{number:02}" for number in range(1, count + 1)]
                upstreams = {name: f"{nginx.url}/{name}" for name in names}
                rows += compare(options, ground, contestants, upstreams)
    print(f"\r{'':<60}\r", end="", file=sys.stderr)
    return rows


def main():
    options = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    check_tools()
    contestants = choose_contestants()
    if not contestants:
        sys.exit("nothing to compare")
    core, other_core = share_cores()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    rows = compare_all(options, contestants, core, other_core)
    print_report(rows, options, core is not None)
    sys.exit(1 if any(row.failures() for row in rows) else 0)


if __name__ == "__main__":
    main()
