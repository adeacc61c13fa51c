#!/usr/bin/python3
"""Compares fanoutd with a hand-written floor and with the same service as others write it.

    /usr/bin/python3 tests/bench/compare.py [--full] [--only n1,n10] [--against floor,go]

"make bench" runs it. --only chooses works, --against contestants (fanoutd always takes part;
NAME=PATH is another fanoutd, FANOUTD=PATH the one instead of build/fanoutd). Those that are not
installed are left out; "make bench-deps" installs what can be had (KrakenD takes part where
krakend or krakend-ce is in PATH).

Everything runs on loopback, in one run, in turn, and is ended at the end: the service on one
core, load and upstreams on another.
"""

import argparse
import contextlib
import dataclasses
import http.client
import math
import os
import pathlib
import resource
import signal
import sys
import tempfile

import contestants
from goals import print_goals
from measure import FetchCounter, Ground, get, idle_callers, measure, measure_slow
from programs import BUILD, Unfit, find_tool, start_delayed, start_nginx
from report import Row, print_report, save
from works import SLOW_ONE, WORKS, urls

FIRST_WARM_UP_SECONDS = 1.0
PEERS_EVERY = 3  # rounds, but with --full
SLOW_SECONDS = 2.0  # of measuring how long answers with a slow upstream take


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="longer, and everybody each round")
    parser.add_argument("--only", metavar="WORKS", help=",".join(work.name for work in WORKS))
    parser.add_argument(
        "--against",
        metavar="WHOM",
        help=",".join(one.key for one in contestants.EVERYBODY) + ", NAME=PATH",
    )
    parser.add_argument("--seconds", type=float, help="of one measurement (0.5; full: 2)")
    parser.add_argument("--rounds", type=int, help="of all in turn (5; full: 7)")
    parser.add_argument("--plot", metavar="FILE", help="draw CPU for each answer, as SVG")
    options = parser.parse_args()
    options.seconds = options.seconds or (2.0 if options.full else 0.5)
    options.rounds = options.rounds or (7 if options.full else 5)
    return options


def split(words):
    return words.split(",") if words else None


def choose_works(names):
    unknown = set(names or ()) - {work.name for work in WORKS}
    if unknown:
        sys.exit(f"no work {unknown.pop()}; there are {', '.join(work.name for work in WORKS)}")
    return [work for work in WORKS if names is None or work.name in names]


def choose_contestants(wanted):
    chosen = []
    for contestant in contestants.choose(wanted):
        missing = contestant.missing()
        if missing:
            print(f"{contestant.title} is left out: {missing}", flush=True)
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


# Whether all do the same


def outcomes(contestant, service):
    """HTTP status, and {name: body} of the fetches that went well, in order."""
    status, _, document = get(f"{service.url}/fetch-multiple")
    if contestant.merges:
        return status, contestant.bodies(document)
    failed = [one["id"] for one in document["results"] if not one["ok"]]
    if contestant.names_errors and [one["id"] for one in document["errors"]] != failed:
        raise Unfit(f"errors are {document['errors']}, but {failed} failed")
    for one in document["results"]:
        missing = {"id", "ok", "status", "elapsed_ms", "body"} - set(one)
        if missing:
            raise Unfit(f"a result has no {missing.pop()}")
    return status, {one["id"]: one["body"] for one in document["results"] if one["ok"]}


def is_same(seen, wanted, keeps_numbers):
    """Numbers may have lost what a double, or 14 digits, does not hold, where that is allowed."""
    if isinstance(wanted, dict) and isinstance(seen, dict):
        return seen.keys() == wanted.keys() and all(
            is_same(seen[name], wanted[name], keeps_numbers) for name in wanted
        )
    if isinstance(wanted, list) and isinstance(seen, list):
        return len(seen) == len(wanted) and all(
            is_same(one, other, keeps_numbers) for one, other in zip(seen, wanted)
        )
    if isinstance(wanted, (int, float)) and not isinstance(wanted, bool) and not keeps_numbers:
        return math.isclose(seen, wanted, rel_tol=1e-12)
    return seen == wanted and isinstance(seen, type(wanted))


def check_content(contestant, service, upstreams, slow):
    status, bodies = outcomes(contestant, service)
    expected = {name: get(url)[2] for name, url in upstreams.items() if name != slow}
    in_order = status == 200 and list(bodies) == list(expected)
    if not in_order or not is_same(bodies, expected, contestant.keeps_numbers):
        raise Unfit(f"answers {status}, {str(bodies)[:900]}\ninstead of {str(expected)[:900]}")


# The rounds


def progress(text):
    if sys.stderr.isatty():
        print(f"\r{text:<70}\r", end="", file=sys.stderr, flush=True)


@dataclasses.dataclass
class Player:
    """A contestant at one work."""

    contestant: contestants.Contestant
    ground: Ground
    service: object
    row: Row


def play(options, work, player):
    one = (player.ground, player.service, work)
    callers = min(work.callers, player.contestant.callers)
    if work.kind == "slow":
        player.row.loaded.append(measure_slow(*one, SLOW_SECONDS))
        return
    is_cold = not (player.row.loaded or player.contestant.is_ours)  # what compiles as it runs
    seconds = max(options.seconds, work.least_seconds)
    warm_up = max(FIRST_WARM_UP_SECONDS if is_cold else 0, work.warm_up_seconds)
    player.row.loaded.append(measure(*one, callers, seconds, warm_up))
    if work.lone:
        player.row.lone.append(measure(*one, 1, seconds, work.warm_up_seconds))


def play_idle(work, player):
    progress(f"{work.name}: {player.contestant.title}")
    with idle_callers(player.service, work.callers):
        player.row.idle_mib = player.service.memory_kib() / 1024


@contextlib.contextmanager
def or_left_out(work, contestant):
    """A peer that fails is left out of this work; what is ours must not fail."""
    try:
        yield
    except (Unfit, OSError, ValueError, LookupError, http.client.HTTPException) as problem:
        if contestant.is_ours:
            sys.exit(f"\n{work.name}: {contestant.title}: {problem}")
        print(f"{work.name}: {contestant.title} is left out: {problem}", flush=True)


def play_round(options, work, players, number):
    """Gives those who are still in."""
    fit = []
    for player in players:
        with or_left_out(work, player.contestant):
            if work.kind == "idle":
                play_idle(work, player)
            elif options.full or player.contestant.is_ours or number % PEERS_EVERY == 0:
                progress(f"{work.name}, round {number + 1}: {player.contestant.title}")
                play(options, work, player)
            fit.append(player)
    return fit


def begin(stack, place, work, contestant):
    """Its service; with a delayed upstream of its own, whose descriptors would not do for all."""
    directory, cores, small = place
    progress(f"{work.name}: starting {contestant.title}")
    delayed = stack.enter_context(start_delayed(directory, cores[1]))
    upstreams = urls(work, small, delayed)
    slow = list(upstreams)[SLOW_ONE] if work.kind == "slow" else None
    ground = Ground(directory, FetchCounter(delayed if work.is_delayed else small), cores[0])
    setting = contestants.Setting(directory, cores[0], work, upstreams)
    service = stack.enter_context(contestant.start(setting))
    check_content(contestant, service, upstreams, slow)
    row = Row(work, contestant.key, contestant.title, start_kib=service.memory_kib())
    return Player(contestant, ground, service, row)


def compare(options, place, chosen, work):
    """All of them at this work: a row for each."""
    players = []
    with contextlib.ExitStack() as stack:
        for contestant in chosen:
            if contestant.key not in work.omitted_by:
                with or_left_out(work, contestant):
                    players.append(begin(stack, place, work, contestant))
        for number in range(options.rounds if work.kind == "load" else 1):
            players = play_round(options, work, players, number)
        for player in players:
            player.row.peak_mib = player.service.peak_memory_kib() / 1024
    return [player.row for player in players]


def compare_all(options, works, chosen):
    cores = share_cores()
    rows = []
    with tempfile.TemporaryDirectory(prefix="fanoutd-bench-") as name:
        directory = pathlib.Path(name)
        with start_nginx(directory, cores[1]) as small:
            for work in works:
                rows += compare(options, (directory, cores, small), chosen, work)
    progress("")
    return rows


def main():
    options = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    check_tools()
    works = choose_works(split(options.only))
    chosen = choose_contestants(split(options.against))
    if not chosen:
        sys.exit("nothing to compare")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    rows = compare_all(options, works, chosen)
    print_report(rows, options, chosen)
    print_goals(rows)
    save(rows, chosen, BUILD / "results.json")
    if options.plot:
        from plot import draw  # only this needs matplotlib

        draw(rows, options.plot)
    sys.exit(1 if any(row.failures() for row in rows) else 0)


if __name__ == "__main__":
    main()
