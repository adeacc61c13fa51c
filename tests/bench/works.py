"""What is asked of the contestants: how many upstreams, of what kind, by how many callers."""

import dataclasses

SLOW_ONE = 4  # of the upstreams, in slow work


@dataclasses.dataclass(frozen=True)
class Work:
    name: str
    title: str
    upstreams: int = 10
    path: str = "/small/"  # of the upstreams
    is_delayed: bool = False  # the upstream is delayed.c, and the path begins with milliseconds
    callers: int = 64
    kind: str = "load"  # or "slow", "idle": see measure.py
    lone: bool = False  # with one caller, too
    warm_up_seconds: float = 0.3
    least_seconds: float = 0.0  # of one measurement
    timeout_ms: int = 10_000  # of a fetch, and of the whole
    omitted_by: tuple = ()  # contestants that can't do it, or not in a time that anyone would wait

    @property
    def fetches_in_flight(self):
        return self.callers * self.upstreams


WORKS = (
    Work("n1", "1 small answer", upstreams=1),
    Work("n10", "10 small answers", lone=True),
    Work("n50", "50 small answers", upstreams=50, omitted_by=("httpx",)),
    Work("n200", "200 small answers", upstreams=200, callers=16, omitted_by=("httpx",)),
    Work("20k", "10 answers of 20 KiB", path="/20k/"),
    Work("1m", "10 answers of 1 MiB", path="/1m/", callers=4, omitted_by=("httpx",)),
    Work(
        "20ms",
        "10 answers after 20 ms",
        path="/20/",
        is_delayed=True,
        callers=1000,
        # Who ends the fetches of callers that leave has thousands of connections to open again.
        warm_up_seconds=1.5,
        least_seconds=1.0,
        omitted_by=("httpx",),
    ),
    Work(
        "slow",
        "one of 10 answers after 5 s, each may take 300 ms",
        callers=8,
        kind="slow",
        timeout_ms=300,
        omitted_by=("floor",),
    ),
    Work("idle", "10,000 idle callers", upstreams=1, callers=10_000, kind="idle"),
)


def urls(work, small, delayed):
    """{name: url} of the upstreams."""
    names = [f"upstream{number:03}" for number in range(1, work.upstreams + 1)]
    base = delayed if work.is_delayed else small
    found = {name: f"{base.url}{work.path}{name}" for name in names}
    if work.kind == "slow":
        found[names[SLOW_ONE]] = f"{delayed.url}/5000/slow"
    return found
