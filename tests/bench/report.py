"""The tables of a comparison, what they were measured on, and what they do not show."""

import dataclasses
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess

from programs import find_tool

FOREIGN_SHARE_OF_NOTE = 0.05

NOT_SHOWN = """\
What these figures do not show:
- How it is over a real network, with TLS, or with names to resolve.
- More than one core: each service is one process that has one.
- How many answers a second a whole machine gives: load and upstreams share one core, and where
  "core used" is well below 100 %, they (or other programs) were the limit, and not the service.
- Latency at a given rate. All callers ask again at once, so the latency of many callers is mostly
  their wait for each other.
- The same features. fanoutd also validates each body, limits and accounts for each upstream, and
  ends what its caller no longer waits for; FastAPI also gives routing and OpenAPI; the floor and
  "unchecked" do not even look at the bodies, and one that is broken breaks the whole answer.
- Those who are missing in a table: httpx takes too long there, the floor has no timeouts. httpx has
  8 callers and 10 connections, for with more it costs more.
- What an answer tells beside the bodies. KrakenD merges them into one object, without the status
  and time of each fetch; one that failed is only missing, and the answer a 200 while any went well.
- That Node, nginx with cjson and Go (where it parses) spoil numbers that a double does not hold.
- The kernel's part apart: CPU is user and system time, as the kernel accounts it to the process.
- A machine of its own kind: ratios carry over better than microseconds, and neither exactly."""


@dataclasses.dataclass
class Row:
    """One contestant at one work."""

    work: object
    key: str
    title: str
    loaded: list = dataclasses.field(default_factory=list)  # measurements, one for each round
    lone: list = dataclasses.field(default_factory=list)  # with one caller
    start_kib: int = 0  # memory after the first answer
    peak_mib: float = 0.0
    idle_mib: float = 0.0  # with idle callers

    def median(self, figure, kind="loaded"):
        return statistics.median(getattr(one, figure) for one in getattr(self, kind))

    def spread(self):
        cpu = [one.cpu_us for one in self.loaded]
        return (max(cpu) - min(cpu)) / statistics.median(cpu)

    def failures(self):
        return sum(one.failed for one in self.loaded + self.lone)


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def print_table(headings, rows):
    """In Markdown, with columns that line up."""
    cells = [headings] + rows
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    line_up = [str.ljust if column == 0 else str.rjust for column in range(len(headings))]
    rule = [
        "-" * width if column == 0 else "-" * (width - 1) + ":"
        for column, width in enumerate(widths)
    ]
    for row in [headings, rule] + rows:
        padded = [line_up[column](cell, widths[column]) for column, cell in enumerate(row)]
        print(f"| {' | '.join(padded)} |")
    print()


def times(row, rows, key):
    """Its CPU time as a multiple of another's."""
    other = next((one for one in rows if one.key == key), None)
    return f"{row.median('cpu_us') / other.median('cpu_us'):.2f}" if other else "?"


def print_load(rows):
    work = rows[0].work
    print(f"{work.name}: {work.title}, {work.callers} callers at once (medians)\n")
    headings = ["service", "us per answer", "us per fetch", "times fanoutd", "times floor"]
    headings += ["spread", "answers/s", "core used", "p50 ms", "p99 ms", "peak MiB"]
    headings += ["KiB per fetch in flight"] if work.is_delayed else []
    headings += ["one caller: p50 ms", "one caller: us per answer"] if work.lone else []
    print_table(headings, [load_cells(row, rows) for row in rows])


def load_cells(row, rows):
    cpu = row.median("cpu_us")
    cells = [
        row.title,
        number(cpu),
        number(cpu / row.work.upstreams),
        times(row, rows, "fanoutd"),
        times(row, rows, "floor"),
        f"{row.spread():.0%}",
        number(row.median("answers_per_second")),
        f"{row.median('busy'):.0%}",
        number(row.median("p50_ms")),
        number(row.median("p99_ms")),
        number(row.peak_mib),
    ]
    if row.work.is_delayed:
        cells.append(number(kib_in_flight(row)))
    if row.work.lone:
        cells += [number(row.median("p50_ms", "lone")), number(row.median("cpu_us", "lone"))]
    return cells


def kib_in_flight(row):
    """Memory that the load took, for each fetch under way."""
    growth = max(one.memory_kib for one in row.loaded) - row.start_kib
    return growth / row.work.fetches_in_flight


def print_slow(rows):
    work = rows[0].work
    print(f"{work.name}: {work.title}; how long the whole answer takes, {work.callers} callers\n")
    cells = [[r.title, number(r.median("p50_ms")), number(r.median("p99_ms"))] for r in rows]
    print_table(["service", "p50 ms", "p99 ms"], cells)


def print_idle(rows):
    print(f"{rows[0].work.name}: {rows[0].work.title} who asked once, and stay connected\n")
    print_table(["service", "memory MiB"], [[row.title, number(row.idle_mib)] for row in rows])


def print_disturbance(rows):
    measured = [row for row in rows if row.loaded]
    if not measured:
        return
    shares = [one.foreign for row in measured for one in row.loaded]
    disturbed = [row for row in measured if row.median("foreign") > FOREIGN_SHARE_OF_NOTE]
    print(
        f"Other programs took {statistics.median(shares):.0%} of the service's core (median; at "
        f"most {max(shares):.0%})."
    )
    if disturbed:
        print(
            f"In {len(disturbed)} of {len(measured)} rows it was more than "
            f"{FOREIGN_SHARE_OF_NOTE:.0%}. There answers/s and latency are NOT to be relied on, "
            "and\nCPU times may be too high (shared caches) or too low (more work in one go): use "
            "an idle machine."
        )
    print()


# Machine and versions


def first_match(pattern, text, otherwise="unknown"):
    match = re.search(pattern, text, re.MULTILINE)
    return match[1] if match else otherwise


def text_of(path):
    return pathlib.Path(path).read_text() if os.path.exists(path) else ""


def output_of(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout.strip()


def machine():
    processor = first_match(r"^model name\s*: (.*)$", text_of("/proc/cpuinfo"))
    system = first_match(r'^PRETTY_NAME="?([^"\n]*)', text_of("/etc/os-release"))
    wrk = first_match("^(wrk [^ ]*)", output_of(find_tool("wrk"), "-v"))
    nginx = output_of(find_tool("nginx"), "-v").removeprefix("nginx version: ")
    return (
        f"{processor}, {os.cpu_count()} cores; {system}, kernel {platform.release()}; "
        f"load by {wrk}, upstream {nginx}"
    )


def print_machine(chosen):
    print(f"- {machine()}")
    for one in chosen:
        version = one.version()
        if version:
            print(f"- {one.title}: {version}")
    print()


def print_report(rows, options, chosen):
    prints = {"load": print_load, "slow": print_slow, "idle": print_idle}
    for work in dict.fromkeys(row.work for row in rows):
        prints[work.kind]([row for row in rows if row.work == work])
    print(
        f"{options.rounds} rounds in turn, {options.seconds} s or more for each measurement; "
        "spread is (largest - smallest) / median\nof the CPU time.\n"
    )
    print_disturbance(rows)
    print_machine(chosen)
    print(NOT_SHOWN)
    failures = {row.title: row.failures() for row in rows if row.failures()}
    if failures:
        print(f"\nFailures (answers that were no 2xx, connections that broke): {failures}")


def save(rows, chosen, path):
    """The figures for programs; medians, and each measurement."""
    document = {
        "machine": machine(),
        "versions": {one.key: one.version() for one in chosen},
        "rows": [
            {
                "work": row.work.name,
                "contestant": row.key,
                "cpu_us": row.median("cpu_us") if row.loaded else None,
                "peak_mib": row.peak_mib,
                "idle_mib": row.idle_mib,
                "start_kib": row.start_kib,
                "loaded": [dataclasses.asdict(one) for one in row.loaded],
                "lone": [dataclasses.asdict(one) for one in row.lone],
            }
            for row in rows
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1))
