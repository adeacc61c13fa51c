"""How a program of a comparison is started, watched and ended; and the upstreams.

Each is started on a free port of 127.0.0.1, bound to one core where there are two, and ended
by its process id.
"""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build" / "bench"  # whatever is compiled or installed for a comparison
START_SECONDS = 20
STOP_SECONDS = 10
PROCESS_CPU_CLOCK = 2  # clock_getcpuclockid(3): the process id inverted, and these low bits

# Nothing here is to go through a proxy, nor to leave compiled files behind.
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
    "PYTHONDONTWRITEBYTECODE": "1",
}


def find_tool(name):
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def compile_program(name):
    """NAME.c, and NAME_*.c with it, where they are newer than what was made of them."""
    sources = sorted(HERE.glob(f"{name}.c")) + sorted(HERE.glob(f"{name}_*.c"))
    program = BUILD / name
    newest = max(path.stat().st_mtime for path in [*sources, *HERE.glob(f"{name}*.h")])
    if not program.exists() or program.stat().st_mtime < newest:
        BUILD.mkdir(parents=True, exist_ok=True)
        compiler = os.environ.get("CC", "cc")
        flags = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-g", "-Wall", "-Wextra"]
        subprocess.run([compiler, *flags, "-o", program, *sources, "-lm"], check=True)
    return program


class Unfit(Exception):
    """A contestant does not do this work as it should."""


class Program:
    def __init__(self, *command, port, core, log, environment=None):
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        with open(log, "ab") as output:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                env={**ENVIRONMENT, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=lambda: core is not None and os.sched_setaffinity(0, {core}),
            )
        try:
            self._wait_for_port(port, log)
        except BaseException:
            self.stop()
            raise

    def _wait_for_port(self, port, log):
        end = time.monotonic() + START_SECONDS
        while True:
            with socket.socket() as sock:
                if sock.connect_ex(("127.0.0.1", port)) == 0:
                    return
            if self.process.poll() is not None or time.monotonic() > end:
                said = pathlib.Path(log).read_text()[-2000:]
                raise Unfit(f"{self.process.args[0]} does not serve: {said}")
            time.sleep(0.02)

    def cpu_seconds(self):
        """User and system time of all its threads; none of the programs has children that work."""
        return time.clock_gettime((~self.process.pid << 3) | PROCESS_CPU_CLOCK)

    def is_asleep(self):
        """Every thread of it waits for something to happen."""
        threads = pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/stat")
        return all(stat.read_text().rpartition(")")[2].split()[0] == "S" for stat in threads)

    def _memory_kib(self, field):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1])
        return 0

    def memory_kib(self):
        return self._memory_kib("VmRSS:")

    def peak_memory_kib(self):
        return self._memory_kib("VmHWM:")

    def stop(self):
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


# The upstreams

NGINX_CONFIG = """
{user}
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    keepalive_timeout 300s;
    sendfile on;
    open_file_cache max=100;
    default_type application/json;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {directory};
        location = /status {{ stub_status; }}
        location /small/ {{ return 200 '{body}'; }}
        location /20k/ {{ try_files /20k.json =404; }}
        location /1m/ {{ try_files /1m.json =404; }}
    }}
}}
"""

SMALL_BODY = (
    '{"path":"$uri","user":{"id":9007199254740993,"name":"Ada Lovelace","active":true},'
    '"scores":[12.5,7,300],"tags":["first","second"],'
    '"note":"about as long as a small answer of a service is"}'
)


def write_list(path, least_bytes):
    """A JSON document as services have them: a list of records."""
    records, length = [], 2
    while length < least_bytes:
        number = len(records)
        record = {
            "id": 9007199254740993 + number,
            "name": f"Thing number {number}",
            "price": number * 1.25,
            "tags": ["first", "second", "naïve"],
            "note": 'with a "quoted" word, and\nmore than one line',
            "active": number % 3 == 0,
            "parent": None,
        }
        records.append(json.dumps(record, ensure_ascii=False))
        length += len(records[-1].encode()) + 1
    path.write_text(f"[{','.join(records)}]", encoding="utf-8")


def start_nginx(directory, core):
    port = free_port()
    config = directory / "nginx.conf"
    config.write_text(
        NGINX_CONFIG.format(
            user="user root;" if os.geteuid() == 0 else "",
            directory=directory,
            port=port,
            body=SMALL_BODY,
        )
    )
    write_list(directory / "20k.json", 20 << 10)
    write_list(directory / "1m.json", 1 << 20)
    return Program(
        *[find_tool("nginx"), "-p", directory, "-c", config],
        port=port,
        core=core,
        log=directory / "nginx.log",
    )


def start_delayed(directory, core):
    port = free_port()
    return Program(
        *[compile_program("delayed"), port], port=port, core=core, log=directory / "delayed.log"
    )
