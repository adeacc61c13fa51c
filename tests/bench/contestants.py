"""Who is compared: fanoutd, the floor, and the same service as others write it.

A contestant says what it misses, and starts as one process on a port. Each is given the same
settings: the upstreams, what a fetch may take, how many may be under way, and whether an answer
is still a 200 where one of them failed.
"""

import dataclasses
import json
import math
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse

import works
from programs import BUILD, ENVIRONMENT, HERE, ROOT, Program, compile_program, find_tool, free_port

BINARY = pathlib.Path(os.environ.get("FANOUTD", ROOT / "build" / "fanoutd")).resolve()
PEERS = HERE / "peers"
VENV = BUILD / "venv" / "bin" / "python3"
NO_LIMIT = 16384  # of fetches in flight: more than any work has


@dataclasses.dataclass
class Setting:
    """A work, as a contestant is told it."""

    directory: pathlib.Path
    core: int
    work: works.Work
    upstreams: dict

    @property
    def may_fail(self):
        return self.work.kind == "slow"

    @property
    def timeout_ms(self):
        return self.work.timeout_ms

    def connections(self, usual):
        """As many as people give it; and where answers take their time, as many as that needs."""
        return max(usual, self.work.fetches_in_flight) if self.work.is_delayed else usual

    def file(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return path

    def json_file(self, name, **more):
        document = {
            "upstreams": self.upstreams,
            "timeout_ms": self.timeout_ms,
            "may_fail": self.may_fail,
            **more,
        }
        return self.file(f"{name}.json", json.dumps(document))

    def program(self, name, *command, port, environment=None):
        return Program(
            *command,
            port=port,
            core=self.core,
            log=self.directory / f"{name}.log",
            environment=environment,
        )


class Contestant:
    callers = 1000  # more than these it can't serve in a time that anyone would wait
    is_ours = False  # measured in each round
    keeps_numbers = True  # that a double does not hold, in the bodies
    names_errors = True
    merges = False  # the answer is an object of bodies; nothing tells how each fetch went

    def missing(self):
        return None

    def version(self):
        return ""


class Fanoutd(Contestant):
    is_ours = True

    def __init__(self, key, title, options="", binary=BINARY):
        self.key, self.title, self.options, self.binary = key, title, options, binary

    def missing(self):
        if not self.binary.exists():
            return f"{self.binary} is not there; run make, or set FANOUTD"
        probe = f'{self.options}\nupstream a {{ url = "http://127.0.0.1:1/" }}\n'
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
            file.write(probe)
            file.flush()
            done = subprocess.run([self.binary, "-t", file.name], capture_output=True)
        return f"this fanoutd does not have {self.options}" if done.returncode else None

    def config(self, setting, port):
        timeout = f"{setting.timeout_ms}ms"
        require = "any" if setting.may_fail else "all"
        return (
            f'listen = "127.0.0.1:{port}"\nworkers = 1\nmax_in_flight = {NO_LIMIT}\n'
            f"deadline = {setting.timeout_ms + 1000}ms\n{self.options}\n"
            + ("" if "log_level" in self.options else "log_level = warn\n")
            + "".join(
                f'upstream {name} {{ url = "{url}" timeout = {timeout} max_in_flight = '
                f"{NO_LIMIT} }}\n"
                for name, url in setting.upstreams.items()
            )
            + f'endpoint "/fetch-multiple" {{ require = {require} }}\n'
        )

    def start(self, setting):
        port = free_port()
        config = setting.file(f"{self.key}.conf", self.config(setting, port))
        return setting.program(self.key, self.binary, "-c", config, port=port)

    def version(self):
        done = subprocess.run([self.binary, "-V"], capture_output=True, text=True)
        return " ".join(re.findall(r"^fanoutd \S+|lib(?:curl|event)/\S+|c-ares/\S+", done.stdout))


class Floor(Contestant):
    key, title, is_ours = "floor", "floor: bare epoll, unchecked", True
    names_errors = False

    def start(self, setting):
        port = free_port()
        upstreams = [f"{name}={url}" for name, url in setting.upstreams.items()]
        return setting.program("floor", compile_program("floor"), port, *upstreams, port=port)


class Python(Contestant):
    """From build/bench/venv where peers/install.sh made it, else Debian's; or PEER_PYTHON's."""

    def __init__(self, key, callers=1000, in_flight=256):
        self.key, self.title = key, f"FastAPI + {key}"
        self.callers, self.in_flight = callers, in_flight

    @property
    def python(self):
        installed = VENV if VENV.exists() else sys.executable
        return os.environ.get("PEER_PYTHON", installed)

    def ask(self, expression):
        program = f"import importlib.metadata as m, fastapi, uvicorn, {self.key}; {expression}"
        done = subprocess.run(
            [self.python, "-c", program], env=ENVIRONMENT, capture_output=True, text=True
        )
        return done.stdout.strip() if done.returncode == 0 else None

    def missing(self):
        return "run make bench-deps" if self.ask("") is None else None

    def start(self, setting):
        port = free_port()
        settings = setting.json_file(self.key, max_in_flight=setting.connections(self.in_flight))
        script = PEERS / f"fastapi_{self.key}.py"
        return setting.program(self.key, self.python, script, port, settings, port=port)

    def version(self):
        modules = ["fastapi", "uvicorn", self.key]
        return self.ask(
            "import platform; print('Python', platform.python_version() + ',',"
            f" ', '.join(n + ' ' + m.version(n) for n in {modules}))"
        )


class Go(Contestant):
    program = BUILD / "go" / "fanout"

    def __init__(self, key, title, parses):
        self.key, self.title, self.parses = key, title, parses
        self.keeps_numbers = not parses

    def missing(self):
        return None if self.program.exists() else "run make bench-deps, with a Go toolchain"

    def start(self, setting):
        port = free_port()
        settings = setting.json_file(self.key, parse=self.parses)
        one_core = {"GOMAXPROCS": "1"}
        command = [self.program, port, settings]
        return setting.program(self.key, *command, port=port, environment=one_core)

    def version(self):
        tool = find_tool("go")
        done = subprocess.run([tool, "version", self.program], capture_output=True, text=True)
        return done.stdout.split()[-1] if tool else ""


class Node(Contestant):
    key, title, keeps_numbers = "node", "Node, fastify + undici", False
    modules = BUILD / "node" / "node_modules"
    program = modules / ".bin" / "node"

    def missing(self):
        return None if self.program.exists() else "run make bench-deps, with npm"

    def start(self, setting):
        port = free_port()
        settings = setting.json_file("node", max_in_flight=setting.connections(256))
        # Modules are looked for beside the program's own file.
        script = shutil.copy(PEERS / "node" / "fanout.mjs", self.modules.parent)
        return setting.program("node", self.program, script, port, settings, port=port)

    def version(self):
        names = ("node", "fastify", "undici")
        files = [self.modules / name / "package.json" for name in names]
        versions = [json.loads(file.read_text())["version"] for file in files]
        return ", ".join(f"{name} {version}" for name, version in zip(names, versions))


class NginxLua(Contestant):
    modules = pathlib.Path("/usr/lib/nginx/modules")

    def __init__(self, key, title, script, keeps_numbers):
        self.key, self.title, self.script = key, title, script
        self.keeps_numbers = keeps_numbers

    def missing(self):
        lua = (self.modules / "ngx_http_lua_module.so").exists()
        cjson = list(pathlib.Path("/usr/lib").glob("*/lua/5.1/cjson.so"))
        return None if lua and cjson and find_tool("nginx") else "run make bench-deps"

    def config(self, setting, port):
        urls = {name: urllib.parse.urlsplit(url) for name, url in setting.upstreams.items()}
        hosts = {url.netloc: f"upstream_{url.port}" for url in urls.values()}
        words = {
            "modules": self.modules,
            "user": "user root;" if os.geteuid() == 0 else "",
            "directory": setting.directory,
            "peers": PEERS,
            "name": self.key,
            "port": port,
            "timeout": f"{setting.timeout_ms}ms",
            "settings": setting.json_file(self.key, names=list(urls)),
            "script": self.script,
            "upstreams": "\n".join(
                f"upstream {name} {{ server {host}; keepalive 16384; }}"
                for host, name in hosts.items()
            ),
            "locations": "\n".join(
                f"location = /upstream/{name} {{ internal; "
                f"proxy_pass http://{hosts[url.netloc]}{url.path}; }}"
                for name, url in urls.items()
            ),
        }
        template = (PEERS / "nginx.conf").read_text()
        return re.sub(r"@([a-z]+)@", lambda word: str(words[word[1]]), template)

    def start(self, setting):
        port = free_port()
        config = setting.file(f"{self.key}.conf", self.config(setting, port))
        command = [find_tool("nginx"), "-p", setting.directory, "-c", config]
        return setting.program(self.key, *command, port=port)

    def version(self):
        done = subprocess.run([find_tool("nginx"), "-v"], capture_output=True, text=True)
        return done.stderr.strip().removeprefix("nginx version: ")


class Krakend(Contestant):
    """One endpoint that merges all backends, each in a group of its own."""

    key, title, merges = "krakend", "KrakenD CE, merged", True
    names = ("krakend", "krakend-ce")  # its packages', its source's
    merge_share = 0.85  # of an endpoint's timeout, that it gives the fetches
    quiet = {
        "router": {"disable_access_log": True},
        "telemetry/logging": {"level": "ERROR", "stdout": True},
    }

    @property
    def program(self):
        return next(filter(None, map(find_tool, self.names)), None)

    def missing(self):
        return None if self.program else "there is no krakend, or krakend-ce, in PATH"

    def backend(self, name, url):
        parts = urllib.parse.urlsplit(url)
        return {
            "host": [f"{parts.scheme}://{parts.netloc}"],
            "url_pattern": parts.path,
            "group": name,
            "encoding": "safejson",  # takes lists, too
        }

    def config(self, setting, port):
        endpoint = {
            "endpoint": "/fetch-multiple",
            "output_encoding": "json",
            "timeout": f"{math.ceil(setting.timeout_ms / self.merge_share)}ms",
            "backend": [self.backend(*upstream) for upstream in setting.upstreams.items()],
        }
        return {
            "version": 3,
            "listen_ip": "127.0.0.1",
            "port": port,
            "dialer_timeout": f"{setting.timeout_ms}ms",
            "max_idle_connections": 0,  # no limit
            "max_idle_connections_per_host": NO_LIMIT,
            "disable_compression": True,
            "extra_config": self.quiet,
            "endpoints": [endpoint],
        }

    def start(self, setting):
        port = free_port()
        config = setting.file("krakend.json", json.dumps(self.config(setting, port)))
        command = [self.program, "run", "-c", config]
        environment = {"GOMAXPROCS": "1", "USAGE_DISABLE": "1"}
        return setting.program("krakend", *command, port=port, environment=environment)

    def bodies(self, document):
        """Each as the upstream sent it: a list comes as the one member of an object."""
        return {
            name: body["collection"] if body.keys() == {"collection"} else body
            for name, body in document.items()
        }

    def version(self):
        done = subprocess.run([self.program, "version"], capture_output=True, text=True)
        said = re.search("^KrakenD Version: (.*)$", done.stdout + done.stderr, re.MULTILINE)
        return f"KrakenD {said[1]}" if said else ""


EVERYBODY = (
    Fanoutd("fanoutd", "fanoutd"),
    Fanoutd("curl", "fanoutd, transport = curl", "transport = curl"),
    Floor(),
    NginxLua("nginx-spliced", "nginx + Lua, unchecked", "nginx_spliced", keeps_numbers=True),
    NginxLua("nginx-cjson", "nginx + Lua, cjson", "nginx_cjson", keeps_numbers=False),
    Go("go", "Go net/http, spliced", parses=False),
    Go("go-parsed", "Go net/http, parsed", parses=True),
    Krakend(),
    Node(),
    Python("aiohttp"),
    # Each request walks through its whole pool: the fewer connections, the cheaper.
    Python("httpx", callers=8, in_flight=10),
    Fanoutd("info", "fanoutd, log_level = info", "log_level = info"),
)


def choose(wanted):
    """`wanted`: keys, or KEY=PATH for another fanoutd; with fanoutd first. None: everybody."""
    if wanted is None:
        return [one for one in EVERYBODY if one.key != "info"]
    chosen = []
    for key in dict.fromkeys(["fanoutd", *wanted]):
        name, _, path = key.partition("=")
        known = next((one for one in EVERYBODY if one.key == name), None)
        if path:
            chosen.append(Fanoutd(name, f"fanoutd, {name}", binary=pathlib.Path(path).resolve()))
        elif known is None:
            sys.exit(f"no contestant {name}; there are {', '.join(one.key for one in EVERYBODY)}")
        else:
            chosen.append(known)
    return chosen
