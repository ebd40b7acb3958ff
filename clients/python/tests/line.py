"""A line to a gateway that can be cut, mended, led elsewhere, and that can swallow answers."""

import socket
import threading
from urllib.parse import urlsplit


class Line:
    def __init__(self, url: str):
        self._lock = threading.Lock()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._is_cut = False
        self._swallow = 0
        self._target = self._address(url)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    @staticmethod
    def _address(url: str) -> tuple[str, int]:
        parts = urlsplit(url)
        return parts.hostname or "", parts.port or 0

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            with self._lock:
                is_cut, target = self._is_cut, self._target
            if is_cut:
                client.close()
                continue
            try:
                gateway = socket.create_connection(target)
            except OSError:
                client.close()
                continue
            pair = (client, gateway)
            with self._lock:
                self._pairs.add(pair)
            threading.Thread(target=self._pump, args=(client, gateway, pair, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(gateway, client, pair, True), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, pair: tuple[socket.socket, socket.socket], is_answer: bool) -> None:
        try:
            while data := source.recv(65536):
                with self._lock:
                    swallowed = is_answer and self._swallow > 0
                    self._swallow -= swallowed
                if swallowed:
                    break
                sink.sendall(data)
        except OSError:
            pass
        self._drop(pair)

    def _drop(self, pair: tuple[socket.socket, socket.socket]) -> None:
        with self._lock:
            self._pairs.discard(pair)
        for end in pair:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()

    def swallow(self, count: int) -> None:
        """The next answers of the gateway are lost, with the connections they came on."""
        with self._lock:
            self._swallow = count

    def cut(self) -> None:
        """Drops every connection and takes no new ones."""
        with self._lock:
            self._is_cut = True
            pairs = list(self._pairs)
        for pair in pairs:
            self._drop(pair)

    def mend(self, url: str | None = None) -> None:
        """Takes connections again, to another gateway if one is named."""
        with self._lock:
            self._target = self._address(url) if url else self._target
            self._is_cut = False

    def stop(self) -> None:
        self._server.close()
        self.cut()
