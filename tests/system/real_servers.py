"""Real programs beside fanoutd: nginx and httpbin as upstreams, dnsmasq for names."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest

from fanoutd_process import free_port, wait_for_listener
from http_wire import WAIT_SECONDS


def find_program(name, package):
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if path is None:
        pytest.skip(f"no {name} here (package {package})")
    return path


class Program:
    def __init__(self, *command, port, **settings):
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **settings)
        try:
            wait_for_listener(port, self.process)
        except BaseException:
            self.stop()
            raise

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(WAIT_SECONDS)


NGINX_CONFIG = """
{user}
daemon off;
worker_processes 1;
pid {prefix}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    default_type application/octet-stream;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {prefix}/www;
        {server_text}
    }}
}}
"""


def start_nginx(prefix, server_text):
    program = find_program("nginx", "nginx-light")
    port = free_port()
    prefix = pathlib.Path(prefix)
    (prefix / "www").mkdir(parents=True)
    config = prefix / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(
        NGINX_CONFIG.format(prefix=prefix, port=port, server_text=server_text, user=user)
    )
    server = Program(program, "-p", str(prefix), "-c", str(config), "-e", "stderr", port=port)
    server.root = prefix / "www"
    return server


def start_httpbin():
    python = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable
    probe = subprocess.run([python, "-c", "import httpbin, gunicorn"], capture_output=True)
    if probe.returncode != 0:
        pytest.skip("no httpbin here (packages python3-httpbin, python3-gunicorn)")
    port = free_port()
    return Program(
        *[python, "-m", "gunicorn", "--worker-class", "gthread", "--threads", "8"],
        *["--keep-alive", "30", "--log-level", "warning"],
        *["--bind", f"127.0.0.1:{port}", "httpbin:app"],
        port=port,
    )


class Dnsmasq:
    """Serves the names in its hosts file, each for `ttl` seconds; other names do not exist."""

    TTL = 1

    def __init__(self, directory):
        self.program = find_program("dnsmasq", "dnsmasq-base")
        self.hosts = pathlib.Path(directory) / "dnsmasq-hosts"
        self.hosts.write_text("")
        self.services = []
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.process = None
        self.start()

    def start(self):
        self.process = Program(
            *[self.program, "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file="],
            *[f"--port={self.port}", "--listen-address=127.0.0.1", "--bind-interfaces"],
            *["--no-resolv", "--no-hosts", f"--addn-hosts={self.hosts}", "--local=/test/"],
            *[f"--local-ttl={self.TTL}", f"--user={user_name()}", "--log-facility=-"],
            *[f"--srv-host={service}" for service in self.services],
            port=self.port,
        )

    def set_hosts(self, **names):
        """set_hosts(users=["127.0.0.1"]) makes users.test have exactly these addresses."""
        self.hosts.write_text(
            "".join(f"{address} {name}.test\n" for name, all in names.items() for address in all)
        )
        if self.process is not None:
            self.process.process.send_signal(signal.SIGHUP)

    def set_services(self, *services):
        """Each "name,host,port,priority,weight", or the name alone: there is no such service.
        It starts anew."""
        self.services = services
        self.stop()
        self.start()

    def stop(self):
        if self.process is not None:
            self.process.stop()
        self.process = None


def user_name():
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_name
