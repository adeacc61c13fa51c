#!/usr/bin/python3
"""Everything at once, for minutes: callers of every kind against upstreams of every kind.

    tests/soak/soak.py [--seconds 120]      FANOUTD=/path names another binary

Half of the upstreams are asked by the one way of the transport, half by the
other. Each answer is checked, and that each body answers the request it stands
at; resident memory and descriptors are looked at every second. It fails on a
wrong answer, on gauges that don't return to zero, on descriptors that grow, on a
sanitizer's report, on an exit code other than 0, and, for a binary without
sanitizers, on memory that grows faster than MOST_GROWTH.
"""

import argparse
import pathlib
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))

from callers import CALLERS, FEW, Tally
from fanoutd_process import Fanoutd, endpoint, options, sanitizer, section
from upstreams import Upstreams

# KiB/min over the second half, beyond what chance may explain (two standard errors): memory
# swings by some MiB with what is under way. In steady state 75 KiB/min were measured over four
# minutes; a leak of 1 KiB in each call would be some 4000.
MOST_GROWTH = 1024
# Of descriptors in a minute; a leak at each leaving caller would be hundreds.
MOST_DESCRIPTORS = 20
# The allocator keeps what is free for ten seconds: memory would go up and down without a leak.
GIVES_BACK = {"MALLOC_CONF": "dirty_decay_ms:500"}
# Shorter runs show the arenas settle and nothing else.
LEAST_SECONDS_FOR_GROWTH = 60


def write_configuration(folder, upstreams):
    every = {"allow_path": True, "allow_query": True, "timeout": "400ms"}
    parts = [
        section(name, one, **every, **upstreams.settings[name])
        for name, one in upstreams.by_name.items()
    ]
    parts.append(endpoint("/fetch-multiple", upstreams=[]))
    parts.append(endpoint("/few", upstreams=FEW, shape="map"))
    path = pathlib.Path(folder) / "soak.conf"
    top = {"listen": '"127.0.0.1:0"', "workers": 2, "deadline": "800ms"}
    path.write_text(options({**top, "max_in_flight": 64, "max_queue": 400}) + "\n" + "".join(parts))
    return path


class Samples:
    """Memory and descriptors by time."""

    def __init__(self):
        self.times, self.memory, self.descriptors = [], [], []

    def take(self, server, started):
        self.times.append(time.monotonic() - started)
        self.memory.append(server.memory_kib("VmRSS"))
        self.descriptors.append(server.fd_count())

    def slope(self, values):
        """Per minute, by least squares over the second half, and its standard error."""
        times, values = self.times[len(values) // 2 :], values[len(values) // 2 :]
        if len(values) < 4:
            return 0.0, 0.0
        line = statistics.linear_regression(times, values)
        rest = [y - line.intercept - line.slope * x for x, y in zip(times, values)]
        spread = sum((x - statistics.fmean(times)) ** 2 for x in times)
        variance = sum(one * one for one in rest) / (len(rest) - 2)
        return 60 * line.slope, 60 * (variance / spread) ** 0.5


def sample_until(end, server, callers):
    samples, started = Samples(), time.monotonic()
    while time.monotonic() < end and server.is_running():
        samples.take(server, started)
        if any(caller.failure for caller in callers):
            break
        time.sleep(1)
    return samples


class WithoutCalls(list):
    """A log without the lines that each call leaves, so that it stays small for hours."""

    def append(self, line):
        if not (line.is_well_formed and line.event in ("answer", "caller_gone", "refused")):
            super().append(line)


def thin_out_log(server):
    with server.log_changed:
        server.log = WithoutCalls(server.log)


def run(seconds):
    """Returns what was seen, and a list of all that was wrong."""
    wrong = []
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        upstreams = Upstreams(folder)
        server = Fanoutd(write_configuration(folder, upstreams), GIVES_BACK)
        try:
            server.wait_until_ready()
            thin_out_log(server)
            end = time.monotonic() + seconds
            callers = [kind(server, tally, seed, end) for seed, kind in enumerate(CALLERS)]
            for caller in callers:
                caller.start()
            samples = sample_until(end, server, callers)
            wrong += end_callers(callers)
            check_at_rest(server, wrong, upstreams)
        finally:
            server.kill()
        wrong += upstreams.close()
    return samples, tally, wrong


def end_callers(callers):
    for caller in callers:
        caller.end = 0
    for caller in callers:
        caller.join(60)
    wrong = [f"{caller.name} hangs" for caller in callers if caller.is_alive()]
    wrong += [f"{caller.name}: {caller.failure!r}" for caller in callers if caller.failure]
    return wrong + [f"{caller.name} did nothing" for caller in callers if caller.visits == 0]


def check_at_rest(server, wrong, upstreams):
    """As after every system test: gauges zero, descriptors as at the start, an orderly end."""
    try:
        server.check_end(upstreams.scripted)
    except (AssertionError, OSError) as error:
        wrong.append(f"at the end: {error!r}"[:2000])


def judge(samples, wrong, seconds):
    """Adds what is wrong with the growth of things; a short run is too noisy to tell."""
    if seconds < LEAST_SECONDS_FOR_GROWTH:
        return
    growth, error = samples.slope(samples.memory)
    if sanitizer() != "asan" and growth - 2 * error > MOST_GROWTH:
        wrong.append(f"memory grows by {growth:.0f} KiB/min, more than {MOST_GROWTH}")
    growth, error = samples.slope(samples.descriptors)
    if growth - 2 * error > MOST_DESCRIPTORS:
        wrong.append(f"descriptors grow by {growth:.1f}/min, more than {MOST_DESCRIPTORS}")


def report(samples, tally):
    memory, descriptors = samples.slope(samples.memory), samples.slope(samples.descriptors)
    half = len(samples.memory) // 2
    rows = [
        ("calls answered and checked", tally.counts["answers"]),
        ("results in them", tally.counts["results"]),
        ("problem documents", tally.counts["problems"]),
        ("callers that left midway", tally.counts["left"]),
        ("memory, KiB: start, half, end", tuple(samples.memory[at] for at in (0, half, -1))),
        ("memory grows by, KiB/min", f"{memory[0]:.0f} ± {memory[1]:.0f}"),
        ("descriptors: start, half, end", tuple(samples.descriptors[at] for at in (0, half, -1))),
        ("descriptors grow by, /min", f"{descriptors[0]:.1f} ± {descriptors[1]:.1f}"),
        ("outcomes", " ".join(f"{name}={n}" for name, n in tally.outcomes.most_common())),
    ]
    for name, value in rows:
        print(f"{name:32} {value}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=120)
    seconds = parser.parse_args().seconds
    samples, tally, wrong = run(seconds)
    judge(samples, wrong, seconds)
    report(samples, tally)
    for line in wrong:
        print(f"WRONG: {line}")
    print("failed" if wrong else "passed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
