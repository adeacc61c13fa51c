"""Who takes part in a tail comparison: fanoutd with and without what it has against failing and
slow upstreams, FastAPI + aiohttp with one gather, and nginx + Lua.
"""

import contextlib
import dataclasses
import functools
import subprocess
import tempfile

import contestants
import works
from programs import free_port
from tail_ground import urls


@dataclasses.dataclass
class Setting(contestants.Setting):
    """What every service of a part is told."""

    in_flight: int = 256  # fetches at once
    deadline_ms: int = 2000  # of an answer

    def connections(self, _):
        return self.in_flight


def setting(ground, upstreams, timeout_ms=1000, may_fail=False, **more):
    kind = "slow" if may_fail else "load"
    work = works.Work("tail", "", upstreams=len(upstreams), kind=kind, timeout_ms=timeout_ms)
    return Setting(ground.directory, ground.service_core, work, upstreams, **more)


@contextlib.contextmanager
def begun(ground, service, paths, **more):
    """The service, and the upstream that it asks for each of the paths."""
    with ground.upstream() as upstream:
        told = setting(ground, urls(upstream, paths), **more)
        with service.start(told) as program:
            yield program, upstream


class Fanoutd(contestants.Fanoutd):
    """`options` of its own, `fetching` of each upstream."""

    def __init__(self, title, options="", fetching=""):
        key = "".join(letter if letter.isalnum() else "-" for letter in title)
        super().__init__(key, title, options)
        self.fetching = fetching

    def missing(self):
        if not self.binary.exists():
            return super().missing()
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
            file.write(self.text({"probe": "http://127.0.0.1:1/"}))
            file.flush()
            done = subprocess.run([self.binary, "-t", file.name], capture_output=True, text=True)
        complaint = done.stderr.partition("\n")[0].partition(": ")[2]
        return f"this fanoutd says {complaint!r}" if done.returncode else None

    def text(self, upstreams, timeout_ms=1000):
        return self.options + "".join(
            f'\nupstream {name} {{ url = "{url}" timeout = {timeout_ms}ms {self.fetching} }}'
            for name, url in upstreams.items()
        )

    def config(self, setting, port):
        require = "any" if setting.may_fail else "all"
        return (
            f'listen = "127.0.0.1:{port}"\nworkers = 1\nlog_level = error\n'
            f"max_in_flight = {setting.in_flight}\ndeadline = {setting.deadline_ms}ms\n"
            f"{self.text(setting.upstreams, setting.timeout_ms)}\n"
            f'endpoint "/fetch-multiple" {{ require = {require} }}\n'
        )


class RetryingPython(contestants.Python):
    """Asks up to three times, as people write it."""

    def __init__(self):
        super().__init__("aiohttp")
        self.title += ", two retries"

    def start(self, setting):
        port = free_port()
        settings = setting.json_file("retrying", max_in_flight=setting.in_flight)
        script = contestants.PEERS / "fastapi_retrying.py"
        return setting.program("retrying", self.python, script, port, settings, port=port)


GATHER = contestants.Python("aiohttp")
RETRYING_GATHER = RetryingPython()
NGINX = contestants.NginxLua("nginx-spliced", "nginx + Lua", "nginx_spliced", keeps_numbers=True)


@functools.cache
def is_present(service):
    missing = service.missing()
    if missing is not None:
        print(f"{service.title} is left out: {missing}", flush=True)
    return missing is None


def present(*services):
    """Those that are there; tells once who is missing."""
    return [one for one in services if is_present(one)]
