"""One measurement: wrk asks a service for a while, and what that cost is read before and after.

Fetches are counted by the upstream itself within a stretch in which every caller is busy; so
answers that are half done at its ends cost nothing that is not counted.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

from programs import ENVIRONMENT, Unfit, find_tool

MOST_SECONDS = 30  # for a warm-up, a measurement, or work that callers left behind
POLL_SECONDS = 0.05
WRK_TIMEOUT = "30s"

WRK_REPORT = """
done = function(summary, latency)
    local errors = summary.errors
    io.write(string.format('\\nREPORT {"p50_us":%d,"p99_us":%d,"answers":%d,"failed":%d}\\n',
        latency:percentile(50), latency:percentile(99), summary.requests,
        errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
"""

opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclasses.dataclass
class Ground:
    """What all measurements share."""

    directory: pathlib.Path
    counter: "FetchCounter"
    core: int  # of the service; None: any


@dataclasses.dataclass
class Measurement:
    cpu_us: float  # of the service, for one answer
    answers_per_second: float
    busy: float  # share of one core that the service took
    foreign: float  # share of its core that other programs took
    p50_ms: float
    p99_ms: float
    memory_kib: int  # while it works
    failed: int  # answers not 2xx, and connections that broke


def get(url):
    """Status, headers and parsed body."""
    try:
        with opener.open(url, timeout=MOST_SECONDS) as answer:
            return answer.status, answer.headers, json.load(answer)
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers, json.load(answer)


class FetchCounter:
    """The requests that the upstreams have got, but these questions for their number."""

    def __init__(self, *upstreams):
        self.urls = [f"{upstream.url}/status" for upstream in upstreams]
        self.own = 0

    def read(self):
        total = 0
        for url in self.urls:
            self.own += 1
            with opener.open(url, timeout=MOST_SECONDS) as answer:
                total += int(re.findall(rb"^ \d+ \d+ (\d+)", answer.read(), re.MULTILINE)[0])
        return total - self.own


def core_busy_seconds(core):
    """Time that the core was not idle; what the hypervisor took from it too."""
    for line in pathlib.Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{core} "):
            user, nice, system, _, _, irq, softirq, steal = map(int, line.split()[1:9])
            return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return 0.0


class Sample:
    def __init__(self, ground, service):
        self.fetches = ground.counter.read()
        self.cpu = service.cpu_seconds()
        self.core_busy = core_busy_seconds(ground.core)
        self.time = time.monotonic()


def wait_for_fetches(counter, wanted, seconds):
    """For at least `seconds`, and until the upstream has got `wanted` fetches in all."""
    start = time.monotonic()
    time.sleep(seconds)
    while counter.read() < wanted and time.monotonic() < start + MOST_SECONDS:
        time.sleep(POLL_SECONDS)


def wait_until_idle(service, counter):
    """Work for callers that have left must not be counted for the next."""
    end = time.monotonic() + MOST_SECONDS
    seen = None
    while time.monotonic() < end:
        # A service that gets no processor time is not idle: it is ready to run.
        now = (service.is_asleep(), counter.read())
        if now[0] and now == seen:
            return
        seen = now
        time.sleep(POLL_SECONDS)
    raise Unfit(f"{service.url} is still busy {MOST_SECONDS} s after its callers left")


@contextlib.contextmanager
def load(url, callers, directory):
    """Runs wrk within the `with`; the list then has its report."""
    script = directory / "report.lua"
    script.write_text(WRK_REPORT)
    process = subprocess.Popen(
        [find_tool("wrk"), "-t1", f"-c{callers}", "-d600s", f"--timeout={WRK_TIMEOUT}"]
        + ["--latency", f"--script={script}", url],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
    )
    report = []
    try:
        yield report
        process.send_signal(signal.SIGINT)  # wrk then ends in order, and reports
        output, _ = process.communicate(timeout=MOST_SECONDS)
        report.append(json.loads(re.search("^REPORT (.*)$", output, re.MULTILINE)[1]))
    finally:
        process.kill()
        process.wait()


def check_fetches(service, fetches, answers, work, callers):
    """Each answer must have cost its fetches; callers that wrk took away had begun one more."""
    least = answers * work.upstreams
    most = least * 1.01 + callers * work.upstreams  # a fetch is sent again here and there
    if not least <= fetches <= most:
        raise Unfit(f"{service.url}: {answers} answers, but {fetches} fetches, not {least} or so")


def measure(ground, service, work, callers, seconds, warm_up_seconds):
    counter = ground.counter
    # Whoever is slow gets time for some answers to each caller.
    round_fetches = work.upstreams * callers
    start = counter.read()
    with load(f"{service.url}/fetch-multiple", callers, ground.directory) as report:
        wait_for_fetches(counter, start + round_fetches, warm_up_seconds)
        before = Sample(ground, service)
        wait_for_fetches(counter, before.fetches + round_fetches, seconds)
        after = Sample(ground, service)
        memory_kib = service.memory_kib()
    wait_until_idle(service, counter)
    check_fetches(service, counter.read() - start, report[0]["answers"], work, callers)
    return measurement(before, after, work.upstreams, report[0], memory_kib)


def measurement(before, after, fetches_per_answer, report, memory_kib):
    elapsed = after.time - before.time
    cpu = after.cpu - before.cpu
    answers = (after.fetches - before.fetches) / fetches_per_answer
    if answers == 0:
        raise Unfit(f"the upstream was asked nothing in {elapsed:.0f} s")
    return Measurement(
        cpu_us=cpu / answers * 1e6,
        answers_per_second=answers / elapsed,
        busy=cpu / elapsed,
        foreign=max(0.0, after.core_busy - before.core_busy - cpu) / elapsed,
        p50_ms=report["p50_us"] / 1000,
        p99_ms=report["p99_us"] / 1000,
        memory_kib=memory_kib,
        failed=report["failed"],
    )


def measure_slow(ground, service, work, seconds):
    """How long answers take where one upstream does not answer. No figure but these is any good."""
    before = Sample(ground, service)
    with load(f"{service.url}/fetch-multiple", work.callers, ground.directory) as report:
        time.sleep(seconds)
        after = Sample(ground, service)
        memory_kib = service.memory_kib()
    return measurement(before, after, work.upstreams, report[0], memory_kib)


@contextlib.contextmanager
def idle_callers(service, count):
    """So many that have asked once, and stay connected."""
    request = b"GET /fetch-multiple HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            caller = socket.create_connection(("127.0.0.1", service.port), MOST_SECONDS)
            stack.enter_context(caller)
            caller.sendall(request)
            if not caller.recv(4096).startswith(b"HTTP/1.1 200"):
                raise Unfit(f"{service.url} does not answer callers who stay")
        yield
