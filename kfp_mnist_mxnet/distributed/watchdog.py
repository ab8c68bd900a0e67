"""The end of a node whose peers are gone: MXNet's own processes would wait for them for ever."""

import contextlib
import logging
import os
import socket
import threading
import time
from typing import Self

PEER_LOST = 75  # exit status of a process that ends because another one did; EX_TEMPFAIL
INTERVAL = 5.0  # seconds between two signs of life
SILENCE = 60.0  # seconds without one after which a peer counts as lost
ALIVE, DONE = b"+", b"."


def end_with_parent() -> None:
    """Have this process end within a second of its parent, even one that was killed."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(PEER_LOST)

    threading.Thread(target=watch, daemon=True).start()


class Watchdog:
    """Connections between the first node and the others, which end the process of a lost peer.

    Use it as a context manager: it waits until all nodes are there, for as long as that takes, and
    a block that ends without an error tells the peers so. It knows nothing of MXNet.

    rank, count: of this node, of all; first: host:port of the first one; attempt: what nodes that
    belong together say first.
    """

    def __init__(self, rank: int, count: int, first: str, attempt: str) -> None:
        self.rank, self.count, self.attempt = rank, count, attempt.encode()
        host, _, port = first.rpartition(":")
        self.host, self.port = host, int(port)
        self.peers: dict[int, socket.socket] = {}
        self.done = threading.Event()

    def __enter__(self) -> Self:
        # Before all are there: the first of them would take silence for a loss.
        threading.Thread(target=self.say_alive, daemon=True).start()
        if self.rank:
            self.peers[0] = self.reach_first()
        elif self.count > 1:
            self.accept_others()
        for rank, connection in self.peers.items():
            connection.settimeout(SILENCE)
            threading.Thread(target=self.listen, args=(rank, connection), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.done.set()
            self.send(DONE)

    @property
    def addresses(self) -> tuple[str, str]:
        """The IP addresses of this node and of the first one, as the nodes reach each other."""
        if not self.peers:
            return "127.0.0.1", "127.0.0.1"
        connection = next(iter(self.peers.values()))
        own = connection.getsockname()[0]
        return own, connection.getpeername()[0] if self.rank else own

    def reach_first(self) -> socket.socket:
        """Return a connection to the first node, which may not be there yet."""
        tries = 0
        while True:
            try:
                # MXNet's processes speak IPv4.
                address = socket.gethostbyname(self.host)
                connection = socket.create_connection((address, self.port), timeout=SILENCE)
                connection.sendall(b"%s %d\n" % (self.attempt, self.rank))
                if connection.recv(1) == ALIVE:
                    return connection
                connection.close()
            except OSError as error:
                tries += 1
                if tries % 60 == 0:
                    logging.info("The first node can't be reached yet: %s", error)
            time.sleep(1)

    def accept_others(self) -> None:
        """Wait until every other node has connected."""
        with socket.create_server(("", self.port)) as server:
            while len(self.peers) < self.count - 1:
                connection, _ = server.accept()
                connection.settimeout(SILENCE)
                with contextlib.suppress(OSError, ValueError):
                    attempt, _, rank = connection.makefile("rb").readline(200).partition(b" ")
                    if attempt == self.attempt and 0 < int(rank) < self.count:
                        connection.sendall(ALIVE)
                        self.peers[int(rank)] = connection
                        logging.info("Node %d of %d is there", int(rank) + 1, self.count)
                        continue
                connection.close()

    def listen(self, rank: int, connection: socket.socket) -> None:
        """Read signs of life of a peer; end this process where there are none any more."""
        reason = "its connection was closed"
        try:
            while said := connection.recv(64):
                if DONE in said:
                    return
        except TimeoutError:
            reason = f"it said nothing for {SILENCE:g} seconds"
        except OSError as error:
            reason = str(error)
        if not self.done.is_set():
            logging.error("Node %d of %d is lost: %s", rank + 1, self.count, reason)
            os._exit(PEER_LOST)

    def say_alive(self) -> None:
        """Send signs of life until this node is done."""
        while not self.done.wait(INTERVAL):
            self.send(ALIVE)

    def send(self, word: bytes) -> None:
        """Send a word to every peer; what becomes of it, listen sees."""
        for connection in list(self.peers.values()):
            with contextlib.suppress(OSError):
                connection.sendall(word)
