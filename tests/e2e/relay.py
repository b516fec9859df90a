"""Connections carried on, from a listener in one network to a target in another."""

from __future__ import annotations

import contextlib
import socket
import threading

CONNECT_SECONDS = 5
CHUNK = 65536

Address = tuple[str, int]


def relay(listener: socket.socket, target: Address) -> None:
    """Carry every connection of ``listener`` on to ``target``, in threads that end with this process."""
    threading.Thread(target=_accept, args=(listener, target), daemon=True).start()


def _accept(listener: socket.socket, target: Address) -> None:
    # A listener that is closed ends this.
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_carry, args=(client, target), daemon=True).start()


def _carry(client: socket.socket, target: Address) -> None:
    # Whatever fails, both sides see that the connection is closed.
    with client, contextlib.suppress(OSError), socket.create_connection(target, CONNECT_SECONDS) as server:
        server.settimeout(None)
        back = threading.Thread(target=_pump, args=(server, client), daemon=True)
        back.start()
        _pump(client, server)
        back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(CHUNK):
            sink.sendall(chunk)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
