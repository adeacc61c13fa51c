"""The scripted upstream over TLS, which notes every handshake."""

import socket
import ssl

from http_wire import WAIT_SECONDS
from scripted_upstream import Upstream


def server_context(certificate, chain=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain or certificate.chain, certificate.key)
    return context


class Handshake:
    def __init__(self, sock, server_name):
        self.version = sock.version()
        self.is_resumed = sock.session_reused
        self.server_name = server_name
        self.client = sock.getpeercert()


class TlsUpstream(Upstream):
    def __init__(self, context, behaviour=None, **settings):
        self.context = context
        self.handshakes = []
        self.refused = []  # handshakes that failed, as texts
        self.names = {}
        context.sni_callback = self._on_name
        super().__init__(behaviour, **settings)

    @property
    def url(self):
        return f"https://{self.authority}"

    def _on_name(self, sock, name, _context):
        sock.server_name = name

    def _serve(self, sock, number):
        sock.settimeout(WAIT_SECONDS)
        tls = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        try:
            tls.do_handshake()
        except OSError as error:
            self._close_after_alert(tls)
            with self.changed:
                self.refused.append(str(error))
                self.open_connections -= 1
                self.changed.notify_all()
            return
        tls.settimeout(None)
        with self.changed:
            self.handshakes.append(Handshake(tls, getattr(tls, "server_name", None)))
        super()._serve(tls, number)

    @staticmethod
    def _close_after_alert(tls):
        """What is unread at a close makes it a reset, which may overtake the alert."""
        sock = socket.socket(fileno=tls.detach())
        try:
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass
        except OSError:
            pass
        sock.close()

    def _wait_for_bytes(self, sock):
        if not sock.pending():
            super()._wait_for_bytes(sock)


class SilentListener:
    """Takes connections and never says a word on them."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(WAIT_SECONDS)
        self.url = f"https://127.0.0.1:{self.listener.getsockname()[1]}"

    def accept(self):
        sock, _ = self.listener.accept()
        sock.settimeout(WAIT_SECONDS)
        return sock

    def close(self):
        self.listener.close()
