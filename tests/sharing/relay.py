"""A connection that comes to a halt after a given number of bytes."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

BLOCK = 1 << 14
Change = Callable[[bytes], bytes]


class Relay:
    """Passes on what clients send to a local port until so many bytes have gone there; the rest it swallows.

    The client notices nothing and waits for its answer; when it dies, the server sees the connection end. The limit is
    for connections that begin while there is one: others, such as those that DVC keeps in this process, stay whole.

    Attributes:
        port: that clients connect to.
        sent: bytes that have reached the server since the last :meth:`allow`.
        spent: set once a byte was swallowed.
    """

    def __init__(self, server: int) -> None:
        self.server = server
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        self.lock = threading.Lock()
        self.allow(None)
        threading.Thread(target=self._accept, daemon=True).start()

    def allow(self, count: int | None) -> None:
        """Let so many bytes pass from now on, or all."""
        with self.lock:
            self.left, self.sent, self.spent = count, 0, threading.Event()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                client = self.listener.accept()[0]
                server = socket.create_connection(("127.0.0.1", self.server))
                for end in (client, server):  # pass on at once, not when there is more
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                change = self._count if self.left is None else self._cut
                for ends in ((client, server, change), (server, client, bytes)):
                    threading.Thread(target=_pass, args=ends, daemon=True).start()

    def _count(self, data: bytes) -> bytes:
        with self.lock:
            self.sent += len(data)
        return data

    def _cut(self, data: bytes) -> bytes:
        with self.lock:
            part = data if self.left is None else data[: self.left]
            if self.left is not None:
                self.left -= len(part)
            self.sent += len(part)
            if len(part) < len(data):
                self.spent.set()
            return part


def _pass(source: socket.socket, target: socket.socket, change: Change) -> None:
    with suppress(OSError):
        while data := source.recv(BLOCK):
            target.sendall(change(data))
    for connection in (source, target):
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def relay(server: int) -> Iterator[Relay]:
    """A relay to a local port."""
    between = Relay(server)
    try:
        yield between
    finally:
        between.listener.close()
