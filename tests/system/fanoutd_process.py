"""Runs the real fanoutd, talks to it, and checks at the end that it left nothing behind."""

import collections
import functools
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

from http_wire import WAIT_SECONDS, Connection, post_bytes, wait_until

TOP = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("FANOUTD", str(TOP / "build" / "fanoutd"))

SANITIZER_REPORT = re.compile(r"(Address|Leak|Thread|Memory)Sanitizer|runtime error:")
LOG_LINE = re.compile(
    r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d) "
    r"(?P<level>error|warn|info|debug) (request=(?P<request>[A-Za-z0-9._-]+) )?"
    r"event=(?P<event>\w+)(?P<rest>( \w+=(\"([^\"\\]|\\.)*\"|[^\s\"]*))*)$"
)
LOG_FIELD = re.compile(r" (\w+)=(\"(?:[^\"\\]|\\.)*\"|[^\s\"]*)")

TCP_ESTABLISHED, TCP_CLOSE_WAIT, TCP_LISTEN = "01", "08", "0A"


class LogLine:
    def __init__(self, text):
        self.text = text
        match = LOG_LINE.match(text)
        self.is_well_formed = match is not None
        self.level = match["level"] if match else None
        self.request = match["request"] if match else None
        self.event = match["event"] if match else None
        self.fields = dict(LOG_FIELD.findall(match["rest"])) if match else {}

    def __repr__(self):
        return self.text


def value_text(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "{ " + ", ".join(json.dumps(one) for one in value) + " }"
    return str(value)


def options(values):
    return "".join(f" {name} = {value_text(value)}" for name, value in values.items())


def section(name, where, /, **settings):
    """An upstream section of upstreams.conf; `where` is a URL or has one."""
    url = where if isinstance(where, str) else where.url
    return f'upstream {name} {{ url = "{url}"{options(settings)} }}\n'


def endpoint(path, /, **settings):
    return f'endpoint "{path}" {{{options(settings)} }}\n'


def resolver(**settings):
    return f"resolver {{{options(settings)} }}\n"


def run_fanoutd(*arguments, environment=None, seconds=WAIT_SECONDS):
    """Runs it to its end, as from a shell."""
    done = subprocess.run(
        [BINARY, *map(str, arguments)],
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert not SANITIZER_REPORT.search(done.stderr), done.stderr
    return done


@functools.cache
def sanitizer():
    """What the binary is built with: asan, which keeps freed memory, tsan, or None."""
    found = re.search(rb"__([at]san)_init", pathlib.Path(BINARY).read_bytes())
    return found and found[1].decode()


class Fanoutd:
    def __init__(self, config_file, environment=None):
        self.addresses = []
        self.connections = []
        self.log = []
        self.log_changed = threading.Condition()
        self.process = subprocess.Popen(
            [BINARY, "-c", str(config_file)],
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.pid = self.process.pid
        self.reader = threading.Thread(target=self._read_log, daemon=True)
        self.reader.start()
        self.exit_expected = False  # the test ended it by itself

    def _read_log(self):
        for line in self.process.stderr:
            text = line.decode("utf-8", "replace").rstrip("\n")
            with self.log_changed:
                self.log.append(LogLine(text))
                self.log_changed.notify_all()
        with self.log_changed:
            self.log_changed.notify_all()

    def wait_for_log(self, predicate, seconds=WAIT_SECONDS):
        """The first line, past or future, for which predicate(line) holds."""

        def find():
            return next((line for line in self.log if predicate(line)), None)

        with self.log_changed:
            self.log_changed.wait_for(lambda: find() or not self.reader.is_alive(), seconds)
            line = find()
        assert line, f"waited in vain for a log line; exit code {self.process.poll()}: {self.log}"
        return line

    def wait_for_event(self, name, **fields):
        return self.wait_for_log(
            lambda line: (
                line.event == name
                and all(line.fields.get(key) == value for key, value in fields.items())
            )
        )

    def wait_until_ready(self):
        self.wait_for_event("ready")
        self.addresses = [
            parse_address(line.fields["address"]) for line in self.log if line.event == "listening"
        ]
        self.at_start = self.descriptors()

    # Asking

    @property
    def port(self):
        return self.addresses[0][1]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def connect(self, address=None):
        connection = Connection(address or self.addresses[0])
        self.connections.append(connection)
        return connection

    def ask(self, method, target, headers=(), body=None):
        """One request on a connection of its own."""
        connection = Connection(self.addresses[0])
        try:
            return connection.ask(method, target, headers, body)
        finally:
            connection.close()

    def get(self, target="/fetch-multiple", headers=()):
        return self.ask("GET", target, headers)

    def start_get(self, target="/fetch-multiple", headers=()):
        """Asks and returns the connection to read the answer from."""
        connection = self.connect()
        connection.request("GET", target, headers)
        return connection

    def post(self, document, target="/fetch-multiple", headers=()):
        connection = Connection(self.addresses[0])
        try:
            connection.send(post_bytes(document, target, headers))
            return connection.read_answer()
        finally:
            connection.close()

    def start_post(self, document, target="/fetch-multiple", headers=()):
        connection = self.connect()
        connection.send(post_bytes(document, target, headers))
        return connection

    # Looking

    def upstreams(self):
        answer = self.get("/upstreams")
        assert answer.status == 200, answer
        return answer.json()

    def upstream(self, name):
        return next(one for one in self.upstreams()["upstreams"] if one["name"] == name)

    def wait_for_state(self, **wanted):
        """Waits until /upstreams shows these numbers at its top."""
        seen = {}

        def shows():
            seen.update(self.upstreams())
            return all(seen[name] == value for name, value in wanted.items())

        wait_until(shows, lambda: f"/upstreams shows {wanted}: {seen}")

    def wait_for_outcomes(self, **wanted):
        """Waits until /upstreams shows that one fetch of each of these has ended like this."""
        seen = {}

        def shows():
            seen.update((one["name"], one["outcomes"]) for one in self.upstreams()["upstreams"])
            return all(seen[name] == {outcome: 1} for name, outcome in wanted.items())

        wait_until(shows, lambda: f"/upstreams shows {wanted}: {seen}")

    def descriptors(self):
        """What is open, by kind. A caller's connection and one to an upstream have own kinds."""
        sockets = self._sockets()
        kinds = collections.Counter()
        for fd in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                target = os.readlink(f"/proc/{self.pid}/fd/{fd}")
            except FileNotFoundError:
                continue
            inode = re.fullmatch(r"socket:\[(\d+)\]", target)
            if inode:
                target = sockets.get(inode[1], "socket of unknown kind")
            kinds[re.sub(r"^pipe:.*", "pipe", target)] += 1
        return kinds

    def fd_count(self):
        return sum(self.descriptors().values())

    def memory_kib(self, what):
        """VmRSS, what is used now, or VmHWM, the most that ever was (proc_pid_status(5))."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split(f"{what}:")[1].split()[0])

    def _sockets(self):
        ports = {port for _, port in self.addresses}
        sockets = {}
        for table in ("tcp", "tcp6", "udp", "udp6"):
            for line in pathlib.Path(f"/proc/{self.pid}/net/{table}").read_text().splitlines()[1:]:
                _, local, remote, state, *_, inode = line.split()[:10]
                kind = table
                if table.startswith("tcp"):
                    port = int(local.split(":")[1], 16)
                    kind = (
                        "listener"
                        if state == TCP_LISTEN
                        else "connection of a caller"
                        if port in ports
                        else "kept connection to an upstream"
                        if state in (TCP_ESTABLISHED, TCP_CLOSE_WAIT)
                        else f"tcp in state {state}"
                    )
                sockets[inode] = kind
        for line in pathlib.Path(f"/proc/{self.pid}/net/unix").read_text().splitlines()[1:]:
            sockets[line.split()[6]] = "unix"
        return sockets

    # Ending

    def is_running(self):
        return self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def wait_for_exit(self, seconds=WAIT_SECONDS):
        """The exit code."""
        self.process.wait(seconds)
        self.reader.join(seconds)
        self.exit_expected = True
        return self.process.returncode

    def stop(self):
        self.signal(signal.SIGTERM)
        return self.wait_for_exit()

    def kill(self):
        if self.is_running():
            self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()
        self.process.stderr.close()

    def check_end(self, upstreams):
        """What must be true after every test: nothing in flight, no orphan at an upstream, no
        descriptor more than at the start but the kept connections, an orderly end, no report."""
        if not self.exit_expected:
            assert self.is_running(), f"it ended by itself, exit code {self.process.returncode}"
            for connection in self.connections:
                connection.close()
            self.wait_for_state(in_flight=0, queued=0, memory_bytes=0)
            for one in upstreams:
                one.wait_for_in_flight(0)
            self._check_descriptors()
            assert self.stop() == 0
        assert self.process.stdout.read() == b"", "logs belong on stderr"
        malformed = [line for line in self.log if not line.is_well_formed]
        assert not any(SANITIZER_REPORT.search(line.text) for line in self.log), self.log
        assert not malformed, f"log lines not of the agreed form: {malformed}"

    def _check_descriptors(self):
        kept = "kept connection to an upstream"
        seen = {}

        def as_at_the_start():
            seen["now"] = self.descriptors()
            # Shut down already, and no longer in the kernel's tables; libcurl closes it later.
            seen["now"][kept] += seen["now"].pop("socket of unknown kind", 0)
            return {**seen["now"], kept: 0} == {**self.at_start, kept: 0}

        wait_until(
            as_at_the_start,
            lambda: f"the open descriptors are those of the start: {self.at_start} now {seen}",
        )
        # A worker keeps for each upstream at most as many connections as it had fetches at once.
        state = self.upstreams()
        workers = int(self.wait_for_event("ready").fields["workers"])
        most = sum(
            state["max_in_flight"] if "baseline_ms" in one else one["max_in_flight"]
            for one in state["upstreams"]  # an adaptive limit may have been higher
        )
        assert seen["now"][kept] <= most * workers, seen


def parse_address(text):
    host, port = text.rsplit(":", 1)
    return host.strip("[]"), int(port)


def free_port(host="127.0.0.1"):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as sock:
        sock.bind((host, 0))
        return sock.getsockname()[1]


def wait_for_listener(port, process=None, host="127.0.0.1"):
    """Until somebody accepts connections there."""

    def accepts():
        assert process is None or process.poll() is None, "it ended at once"
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
            return sock.connect_ex((host, port)) == 0

    wait_until(accepts, f"port {port} is served")


def seconds_since(start):
    return time.monotonic() - start
