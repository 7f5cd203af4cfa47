"""A server for the browser of this machine: on 127.0.0.1 alone, with a token.

The server refuses a request unless three things hold. The Host header names this machine; that
stops DNS rebinding, where a foreign name points to 127.0.0.1. The request comes from our own page.
And it has the token. An open page keeps one request open, ``/alive``. When the last of these ends,
the server ends, too.
"""

from __future__ import annotations

import hmac
import http.server
import json
import math
import secrets
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ..arguments import Unusable

HOST = "127.0.0.1"
LARGEST = 256 << 20  # bytes of a request, which may be a checkpoint
_GRACE = 4.0  # seconds to load the page again before the server ends

#: ``answer(content)`` returns a mapping for JSON; content is parsed JSON, or bytes for a file.
Answer = Callable[[Any], Mapping[str, Any]]


class Server(http.server.ThreadingHTTPServer):
    """Serves one page and answers its requests.

    Args:
        page: returns the HTML of the page.
        answers: for each path the function that answers it.
        port: the port; 0 for any free one.

    Attributes:
        url: the address of the page, with the token.
    """

    daemon_threads = True
    allow_reuse_address = False

    def __init__(self, page: Callable[[str], bytes], answers: Mapping[str, Answer], port: int = 0):
        self.page, self.answers = page, dict(answers)
        self.token = secrets.token_urlsafe(24)
        self._lock = threading.Lock()
        self._open = 0
        self._ended = False
        super().__init__((HOST, port), Handler)
        self.names = {f"{name}:{self.server_port}" for name in (HOST, "localhost")}

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_port}/?token={self.token}"

    def opened(self, change: int) -> None:
        """Count the open pages: +1 or -1. The server ends soon after the last page."""
        with self._lock:
            self._open += change
            if self._open == 0:
                threading.Thread(target=self._end_if_closed, daemon=True).start()

    def _end_if_closed(self) -> None:
        time.sleep(_GRACE)
        with self._lock:
            if self._open or self._ended:
                return
            self._ended = True
        self.shutdown()

    def end(self) -> None:
        """End the ``/alive`` requests, so that open pages know that the server has ended."""
        with self._lock:
            self._ended = True

    @property
    def ended(self) -> bool:
        return self._ended

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore the error: the page was closed during a request."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    timeout = 60
    server_version, sys_version = "tinygrad_rnn", ""

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""

    # ── requests ─────────────────────────────────────────────────────────────────────────

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        given = parse_qs(parts.query).get("token", [""])[0]
        if not self._is_ours(given):
            return
        if parts.path == "/":
            nonce = secrets.token_urlsafe(16)
            policy = (
                f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; "
                "img-src blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
                "frame-ancestors 'none'"
            )
            self._send(HTTPStatus.OK, "text/html; charset=utf-8", self.server.page(nonce), policy)
        elif parts.path == "/alive":
            self._stay()
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")

    def do_POST(self) -> None:
        if not self._is_ours(self.headers.get("X-Token", "")):
            return
        answer = self.server.answers.get(urlsplit(self.path).path)
        if answer is None:
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing that answers this")
            return
        try:
            content = self._content()
        except ValueError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
            return
        try:
            result = answer(content)
        except (Unusable, OSError) as error:
            self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        except Exception as error:  # the page shows it, and goes on
            traceback.print_exc()
            words = f"{type(error).__name__}: {error}"
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, words)
        else:
            text = json.dumps(_finite(result), ensure_ascii=False, allow_nan=False)
            self._send(HTTPStatus.OK, "application/json; charset=utf-8", text.encode())

    def _content(self) -> Any:
        """Read the content of the request.

        Raises:
            ValueError: it is too large, has no length, or is not JSON.
        """
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            self.close_connection = True
            raise ValueError("expected a Content-Length") from None
        if not 0 <= length <= LARGEST:
            self.close_connection = True
            raise ValueError(f"expected at most {LARGEST} bytes, got {length}")
        content = self.rfile.read(length)
        if self.headers.get_content_type() == "application/octet-stream":
            return content
        parsed = json.loads(content)
        if not isinstance(parsed, dict):
            raise ValueError("expected a JSON object")
        return parsed

    def _is_ours(self, token: str) -> bool:
        """Return whether a request comes from our own page, and refuse it otherwise."""
        names = self.server.names
        origin = self.headers.get("Origin")
        if self.headers.get("Host", "") not in names:
            why = "this server is for the browser of its own machine only"
        elif (
            origin is not None and origin.removeprefix("http://") not in names
        ) or self.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            why = "another page may not ask this server"
        elif not hmac.compare_digest(token.encode(), self.server.token.encode()):
            why = "open the address that was printed when the program started: it has the token"
        else:
            return True
        self.close_connection = True  # the content stays unread, so the connection cannot go on
        self._refuse(HTTPStatus.FORBIDDEN, why)
        return False

    # ── answers ──────────────────────────────────────────────────────────────────────────

    def _send(self, status: HTTPStatus, kind: str, content: bytes, policy: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", policy or "default-src 'none'")
        for name, value in (
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
        ):
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self._send(status, "application/json; charset=utf-8", json.dumps({"error": why}).encode())

    def _stay(self) -> None:
        """Send a line every half second while the page is open and the server runs."""
        self.close_connection = True
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        self.server.opened(+1)
        try:
            while not self.server.ended:
                self.wfile.write(b"\n")
                self.wfile.flush()
                self.connection.settimeout(0.5)
                try:
                    if not self.connection.recv(1):
                        break
                except TimeoutError:
                    pass
        except OSError:
            pass
        finally:
            self.server.opened(-1)


def _finite(value: Any) -> Any:
    """Replace NaN and infinity by None, because JSON does not have them."""
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
