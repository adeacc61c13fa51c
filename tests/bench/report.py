"""The tables of a comparison, what they were measured on, and what they do not show."""

import dataclasses
import importlib.metadata
import os
import pathlib
import platform
import re
import statistics
import subprocess

from programs import BINARY, find_tool

REFERENCE = "fanoutd"  # the row that the others are compared with
FOREIGN_SHARE_OF_NOTE = 0.05

NOT_SHOWN = """\
What these figures do not show:
- How it is over a real network, with TLS, with names to resolve, with large answers, or with
  upstreams that are slow or fail. Each upstream here answers about 190 bytes, at once.
- More than one core. fanoutd ran with one worker, each peer with one process.
- How many answers a second a whole machine gives: wrk and the upstream share one core, and where
  "core used" is well below 100 %, they (or other programs) were the limit, and not the service.
- Latency at a given rate. All callers ask again at once, so the latency of many callers is mostly
  their wait for each other. wrk also counts the first answers after its start, for which the
  slowest services have not got their full queue yet.
- httpx with many connections at once. It has 10 here, for the fewer it has, the cheaper it is;
  fanoutd and aiohttp may have 256. See HTTPX_CONNECTIONS in peers/fastapi_httpx.py.
- The best that Python can do. The peers are as a careful user writes them (one client, kept
  connections, no access log, uvloop and httptools where installed, and JSONResponse instead of
  FastAPI's slower default), in the versions of this distribution; they do not pass bodies through
  unparsed, and use no other JSON library.
- The same features. fanoutd also validates, limits and accounts for each upstream, and ends what
  its caller no longer waits for; the peers also give FastAPI's routing and OpenAPI.
- The kernel's part apart: CPU is user and system time, as the kernel accounts it to the process.
- A machine of its own kind: ratios carry over better than microseconds, and neither exactly."""


@dataclasses.dataclass
class Row:
    """One service with one number of upstreams."""

    name: str
    upstreams: int
    loaded: list = dataclasses.field(default_factory=list)  # measurements, one for each round
    lone: list = dataclasses.field(default_factory=list)  # with one caller
    memory_mib: float = 0.0
    failed_fetches: int = 0

    def median(self, figure, kind="loaded"):
        return statistics.median(getattr(one, figure) for one in getattr(self, kind))

    def spread(self):
        cpu = [one.cpu_us for one in self.loaded]
        return (max(cpu) - min(cpu)) / statistics.median(cpu)

    def failures(self):
        return self.failed_fetches + sum(one.failed for one in self.loaded + self.lone)


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def print_table(headings, rows):
    """In Markdown, with columns that line up."""
    cells = [headings] + rows
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    line_up = [str.ljust if column == 1 else str.rjust for column in range(len(headings))]
    rule = [
        "-" * width if column == 1 else "-" * (width - 1) + ":"
        for column, width in enumerate(widths)
    ]
    for row in [headings, rule] + rows:
        padded = [line_up[column](cell, widths[column]) for column, cell in enumerate(row)]
        print(f"| {' | '.join(padded)} |")
    print()


def reference_for(row, rows):
    return next(
        (one for one in rows if one.name == REFERENCE and one.upstreams == row.upstreams), None
    )


def ratio(row, rows, kind="loaded"):
    reference = reference_for(row, rows)
    if reference is None:
        return "?"
    return f"{row.median('cpu_us', kind) / reference.median('cpu_us', kind):.2f}"


def print_cpu_table(rows, callers):
    print(f"CPU time of the service, {callers} callers at once (medians)\n")
    headings = [
        "upstreams",
        "service",
        "us per answer",
        "us per fetch",
        "times fanoutd",
        "spread",
        "answers/s",
        "core used",
        "memory MiB",
        "failures",
    ]
    print_table(
        headings,
        [
            [
                str(row.upstreams),
                row.name,
                number(row.median("cpu_us")),
                number(row.median("cpu_us") / row.upstreams),
                ratio(row, rows),
                f"{row.spread():.0%}",
                number(row.median("answers_per_second")),
                f"{row.median('busy'):.0%}",
                number(row.memory_mib),
                str(row.failures()),
            ]
            for row in rows
        ],
    )


def print_latency_table(rows, callers):
    print("Latency in ms, by wrk, and the CPU time with one caller (medians)\n")
    headings = [
        "upstreams",
        "service",
        f"p50, {callers} callers",
        f"p99, {callers} callers",
        "p50, one caller",
        "p99, one caller",
        "us per answer",
        "times fanoutd",
    ]
    print_table(
        headings,
        [
            [
                str(row.upstreams),
                row.name,
                number(row.median("p50_ms")),
                number(row.median("p99_ms")),
                number(row.median("p50_ms", "lone")),
                number(row.median("p99_ms", "lone")),
                number(row.median("cpu_us", "lone")),
                ratio(row, rows, "lone"),
            ]
            for row in rows
        ],
    )


def print_marginal(rows):
    """What one more fetch costs, without the caller's own request and answer."""
    least, most = (edge(row.upstreams for row in rows) for edge in (min, max))
    print(f"CPU time of one more fetch (from {least} to {most} upstreams):")
    for few in (row for row in rows if row.upstreams == least):
        many = next(row for row in rows if row.upstreams == most and row.name == few.name)
        slope = (many.median("cpu_us") - few.median("cpu_us")) / (most - least)
        print(f"- {few.name}: {number(slope)} us")
    print()


def print_disturbance(rows):
    shares = [one.foreign for row in rows for one in row.loaded]
    disturbed = [row for row in rows if row.median("foreign") > FOREIGN_SHARE_OF_NOTE]
    print(
        f"Other programs took {statistics.median(shares):.0%} of the service's core (median; at "
        f"most {max(shares):.0%})."
    )
    if disturbed:
        print(
            f"In {len(disturbed)} of {len(rows)} rows it was more than {FOREIGN_SHARE_OF_NOTE:.0%}."
            " There answers/s and latency are NOT to be relied on, and\nCPU times may be too high "
            "(shared caches) or too low (more work in one go): use an idle machine."
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


def module_version(name):
    try:
        return f"{name} {importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        return f"no {name}"


def print_machine(is_pinned):
    processor = first_match(r"^model name\s*: (.*)$", text_of("/proc/cpuinfo"))
    system = first_match(r'^PRETTY_NAME="?([^"\n]*)', text_of("/etc/os-release"))
    modules = (
        "fastapi",
        "starlette",
        "uvicorn",
        "uvloop",
        "httptools",
        "httpx",
        "httpcore",
        "aiohttp",
    )
    fanoutd = output_of(BINARY, "-V") if BINARY.exists() else "no fanoutd"
    print(f"- {processor}, {os.cpu_count()} cores; {system}, kernel {platform.release()}")
    print(f"- {', '.join(fanoutd.splitlines())}")
    print(f"- Python {platform.python_version()}, {', '.join(map(module_version, modules))}")
    print(
        f"- {output_of(find_tool('nginx'), '-v')}, "
        f"{first_match('^(wrk [^ ]*)', output_of(find_tool('wrk'), '-v'))}"
    )
    print(
        "- the service on a core of its own, upstream and load on another"
        if is_pinned
        else "- everything on one core"
    )


def print_report(rows, options, is_pinned):
    print_cpu_table(rows, options.callers)
    print_latency_table(rows, options.callers)
    print_marginal(rows)
    print(
        f"{options.rounds} rounds in turn, {options.seconds} s or more for each measurement; "
        "spread is (largest - smallest) / median\nof the CPU time. fanoutd ran with workers = 1, "
        "log_level = warn, else its defaults. Failures are answers\nthat were no 2xx, broken "
        "connections, and fetches that were not ok.\n"
    )
    print_disturbance(rows)
    print_machine(is_pinned)
    print()
    print(NOT_SHOWN)
