"""Runs fanoutd under callgrind, and has it give answers.

Instructions for one answer are the difference of two runs that differ in the number of answers
alone, so what it costs to start and to end drops out.
"""

import contextlib
import dataclasses
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import instructions_lockstep as lockstep
import instructions_profile as profiles

HERE = pathlib.Path(__file__).resolve().parent
BINARY = pathlib.Path(os.environ.get("FANOUTD", HERE.parents[1] / "build" / "fanoutd")).resolve()
WARM_UP_ANSWERS = 50  # every connection that there will be is open by then
COUNTED_ANSWERS = 200
START_SECONDS = 60
START_TRIES = 5

# Neither variables of the caller's nor what the machine's memcpy is may change the figures.
ENVIRONMENT = {
    "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
    "LC_ALL": "C",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM",
}

CONFIG = """
listen       = "127.0.0.1:0"
workers      = {workers}
confine      = false # callgrind writes its file at the end
deadline     = 10m   # nothing is to be late, however slow callgrind is
idle_timeout = 10m
{transport}
"""
UPSTREAM = """
upstream service{number} {{
  url = "http://127.0.0.1:{port}/profile"
  timeout = 10m connect_timeout = 10m idle_timeout = 10m
}}
"""


@dataclasses.dataclass(frozen=True)
class Case:
    """What is asked of which fanoutd."""

    transport: str = None  # None: it has no such option
    workers: int = 1
    upstreams: int = 1

    def config(self, ports):
        transport = f"transport = {self.transport}" if self.transport else ""
        return CONFIG.format(workers=self.workers, transport=transport) + "".join(
            UPSTREAM.format(number=number, port=port) for number, port in enumerate(ports)
        )


def knows_transport(name):
    """Whether this fanoutd takes the option."""
    with tempfile.TemporaryDirectory() as directory:
        file = pathlib.Path(directory) / "upstreams.conf"
        file.write_text(Case(transport=name).config([9]))
        return subprocess.run([BINARY, "-t", file], capture_output=True).returncode == 0


class NotServing(Exception):
    """Why fanoutd is not there."""


def wait_for_port(process, log):
    """The port that it chose, once it serves."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        said = log.read_text()
        if "event=ready" in said:
            return int(re.search(r"event=listening address=127\.0\.0\.1:(\d+)", said)[1])
        time.sleep(0.02)
    raise NotServing(log.read_text())


def end(process, log):
    """In order, so that callgrind writes its file."""
    process.terminate()
    if process.wait(timeout=START_SECONDS) != 0:
        sys.exit(f"{BINARY} ended with {process.returncode}:\n{log.read_text()[-2000:]}")


@contextlib.contextmanager
def callgrind(config, profile, directory):
    """fanoutd as it runs within the `with`; it has ended after it."""
    file, log = directory / "upstreams.conf", directory / "log"
    file.write_text(config)
    command = ["valgrind", "--quiet", "--vgdb=no", "--tool=callgrind"]
    command += [f"--callgrind-out-file={profile}", str(BINARY), "-c", str(file)]
    options = {"env": ENVIRONMENT, "cwd": directory, "stdin": subprocess.DEVNULL}
    with open(log, "wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, **options)
    try:
        yield process, wait_for_port(process, log)
        end(process, log)
    finally:
        process.kill()
        process.wait()


def try_run(case, answers, profile):
    with contextlib.closing(lockstep.Upstreams(case.upstreams)) as upstreams:
        config = case.config(upstreams.ports)
        with callgrind(config, profile, profile.parent) as (process, port):
            lockstep.ask(process, port, upstreams, case.workers, answers)


def run(case, answers, directory):
    """The file that callgrind wrote."""
    profile = directory / f"{case.transport}-{case.workers}-{case.upstreams}-{answers}.callgrind"
    for _ in range(START_TRIES):
        try:
            try_run(case, answers, profile)
            return profile
        except NotServing as failure:  # another program may have taken the port first
            reason = failure
    sys.exit(f"{BINARY} does not serve under callgrind:\n{reason}")


def measure(case, directory, with_functions=False):
    """The Profile of one answer of one worker."""
    few = run(case, WARM_UP_ANSWERS, directory)
    many = run(case, WARM_UP_ANSWERS + COUNTED_ANSWERS, directory)
    read = profiles.read if with_functions else profiles.read_total
    return (read(many) - read(few)) / (COUNTED_ANSWERS * case.workers)
