"""A proxy before an S3 server: it loses, delays and refuses requests, and its server can be killed and replaced."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Proxy"]

# Headers that belong to one connection, and so are not passed on.
_OF_CONNECTION = {"connection", "expect", "keep-alive", "transfer-encoding", "content-length"}

#: What is done with a request, by its number: "pass", "refuse" (503), "lose" (its connection), "keep"
#: (no answer), or seconds to wait.
Mood = Callable[[int], str | float]


class Proxy:
    """Passes requests on to a server, and remembers those that change something, to tell them to the next server."""

    def __init__(self, endpoint: str) -> None:
        self.target = endpoint
        self.mood: Mood = lambda number: "pass"
        self.n_requests = 0
        self.on_request: Callable[[int], None] = lambda number: None
        self._changes: list[tuple[str, str, dict[str, str], bytes]] = []
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def replace(self, endpoint: str) -> None:
        """Pass requests on to another server, which has been told all that the first one knew."""
        for change in self._changes:
            _send(endpoint, *change)
        self.target = endpoint

    def close(self) -> None:
        self._is_over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Any, bytes] | None:
        """Answer of the server; None if the connection is lost."""
        with self._lock:
            number = self.n_requests
            self.n_requests += 1
        self.on_request(number)
        mood = self.mood(number)
        if mood == "keep":
            self._is_over.wait()
        if mood in ("lose", "keep"):
            return None
        if mood == "refuse":
            return (
                503,
                {"Content-Type": "application/xml"},
                b"<Error><Code>SlowDown</Code><Message>no</Message></Error>",
            )
        if isinstance(mood, float):
            time.sleep(mood)
        try:
            answer = _send(self.target, method, path, headers, body)
        except OSError:  # the server was killed
            return None
        if method not in ("GET", "HEAD") and answer[0] < 300:
            with self._lock:
                self._changes.append((method, path, headers, body))
        return answer

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # which knows Expect: 100-continue

            def _pass(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                answer = proxy._answer(self.command, self.path, dict(self.headers.items()), body)
                self.close_connection = True
                if answer is None:
                    return
                status, headers, content = answer
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in _OF_CONNECTION:
                        self.send_header(name, value)
                length = headers.get("Content-Length") if self.command == "HEAD" else None
                self.send_header("Connection", "close")
                self.send_header("Content-Length", length or str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _send(endpoint: str, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Any, bytes]:
    connection = http.client.HTTPConnection(endpoint.removeprefix("http://"), timeout=60)
    try:
        kept = {name: value for name, value in headers.items() if name.lower() not in _OF_CONNECTION}
        connection.request(method, path, body=body, headers=kept)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()
