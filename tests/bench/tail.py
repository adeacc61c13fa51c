#!/usr/bin/python3
"""Shows fanoutd under upstreams that are late, fail or hang, and under more load than it can serve.

    /usr/bin/python3 tests/bench/tail.py [--only late,overload] [--speed 2]

"make bench-tail" runs it. Beside it, in the same run, are the same service of FastAPI and
aiohttp with one gather, and nginx + Lua where that says anything; those that are not installed
are left out ("make bench-deps" installs them). FANOUTD=PATH is another fanoutd.

Everything runs on loopback: the service on one core, callers and upstreams on another.
"""

import argparse
import pathlib
import resource
import signal
import statistics
import sys
import tempfile
import time

import contestants
import tail_load
import tail_slow
from compare import progress, share_cores
from programs import Unfit
from report import FOREIGN_SHARE_OF_NOTE, print_table
from tail_ground import Ground
from tail_services import GATHER, NGINX

PARTS = {
    "late": tail_slow.late,
    "failing": tail_load.failing,
    "overload": tail_load.overload,
    "greedy": tail_load.greedy,
    "hanging": tail_slow.hanging,
}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="PARTS", help=",".join(PARTS))
    parser.add_argument("--speed", type=float, default=1.0, help="2: half as long, and less exact")
    options = parser.parse_args()
    options.parts = options.only.split(",") if options.only else list(PARTS)
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        sys.exit(f"no part {unknown.pop()}; there are {', '.join(PARTS)}")
    return options


def print_goals(goals):
    print("Goals\n")
    print_table(
        ["goal", "wanted", "reached", ""],
        [[one.what, one.wanted, one.reached, "met" if one.is_met else "NOT met"] for one in goals],
    )


def print_disturbance(shares):
    median = statistics.median(shares)
    print(
        f"Other programs took {median:.0%} of the service's core (median; at most "
        f"{max(shares):.0%})."
    )
    if median > FOREIGN_SHARE_OF_NOTE or max(shares) > 4 * FOREIGN_SHARE_OF_NOTE:
        print("High percentiles are NOT to be relied on then: use an idle machine.")


def play(part, ground, goals):
    try:
        goals += PARTS[part](ground)
    except Unfit as problem:
        progress("")
        print(f"{part} ends early: {problem}\n", flush=True)


def main():
    options = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    if not contestants.BINARY.exists():
        sys.exit(f"{contestants.BINARY} is not there; run make, or set FANOUTD")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    goals, start = [], time.monotonic()
    cores = share_cores()
    with tempfile.TemporaryDirectory(prefix="fanoutd-bench-") as name:
        ground = Ground(pathlib.Path(name), *cores, options.speed)
        for part in options.parts:
            play(part, ground, goals)
    progress("")
    print_goals(goals)
    print_disturbance(ground.foreign)
    for one in (contestants.EVERYBODY[0], GATHER, NGINX):
        if one.missing() is None:
            print(f"- {one.title}: {one.version()}")
    print(f"- {time.monotonic() - start:.0f} s in all")


if __name__ == "__main__":
    main()
