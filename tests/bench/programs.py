"""The programs of a comparison: the upstream (nginx), fanoutd, and its FastAPI peers.

Each is started on a free port of 127.0.0.1, bound to one core where there are two, and ended
by its process id.
"""

import contextlib
import importlib.util
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
BINARY = pathlib.Path(os.environ.get("FANOUTD", HERE.parents[1] / "build" / "fanoutd"))
START_SECONDS = 15
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


class Program:
    def __init__(self, *command, port, core, log):
        self.url = f"http://127.0.0.1:{port}"
        with open(log, "ab") as output:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                env=ENVIRONMENT,
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
                sys.exit(
                    f"{self.process.args[:2]} does not serve:\n{pathlib.Path(log).read_text()}"
                )
            time.sleep(0.02)

    def cpu_seconds(self):
        """User and system time of all its threads; none of the programs has children that work."""
        return time.clock_gettime((~self.process.pid << 3) | PROCESS_CPU_CLOCK)

    def is_asleep(self):
        """Every thread of it waits for something to happen."""
        threads = pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/stat")
        return all(stat.read_text().rpartition(")")[2].split()[0] == "S" for stat in threads)

    def memory_mib(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0

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


# The upstream

NGINX_CONFIG = """
{user}
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    default_type application/json;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /status {{ stub_status; }}
        location / {{ return 200 '{body}'; }}
    }}
}}
"""

UPSTREAM_BODY = (
    '{"path":"$uri","user":{"id":9007199254740993,"name":"Ada Lovelace","active":true},'
    '"scores":[12.5,7,300],"tags":["first","second"],'
    '"note":"about as long as a small answer of a service is"}'
)


def start_nginx(directory, core):
    port = free_port()
    config = directory / "nginx.conf"
    config.write_text(
        NGINX_CONFIG.format(
            user="user root;" if os.geteuid() == 0 else "",
            directory=directory,
            port=port,
            body=UPSTREAM_BODY,
        )
    )
    return Program(
        *[find_tool("nginx"), "-p", directory, "-c", config],
        port=port,
        core=core,
        log=directory / "nginx.log",
    )


# What is compared


class Fanoutd:
    def __init__(self, log_level):
        self.name = "fanoutd" if log_level == "warn" else f"fanoutd, log_level = {log_level}"
        self.log_level = log_level

    def missing(self):
        return None if BINARY.exists() else f"{BINARY} is not there; run make, or set FANOUTD"

    def start(self, directory, upstreams, core):
        port = free_port()
        config = directory / f"{self.log_level}.conf"
        config.write_text(
            f'listen = "127.0.0.1:{port}"\nworkers = 1\nlog_level = {self.log_level}\n'
            + "".join(f'upstream {name} {{ url = "{url}" }}\n' for name, url in upstreams.items())
        )
        log = directory / f"fanoutd-{self.log_level}.log"
        return Program(BINARY, "-c", config, port=port, core=core, log=log)


class Peer:
    def __init__(self, client):
        self.name = f"FastAPI + {client}"
        self.client = client

    def missing(self):
        modules = ("fastapi", "uvicorn", self.client)
        absent = [name for name in modules if importlib.util.find_spec(name) is None]
        packages = [name if name == "uvicorn" else f"python3-{name}" for name in absent]
        return f"install {' '.join(packages)}" if absent else None

    def start(self, directory, upstreams, core):
        port = free_port()
        settings = directory / "upstreams.json"
        settings.write_text(json.dumps(upstreams))
        return Program(
            *[sys.executable, HERE / "peers" / f"fastapi_{self.client}.py", port, settings],
            port=port,
            core=core,
            log=directory / f"{self.client}.log",
        )


CONTESTANTS = (Fanoutd("warn"), Peer("httpx"), Peer("aiohttp"), Fanoutd("info"))
