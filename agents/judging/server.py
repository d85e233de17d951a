"""A page on this machine that shows the pairs of a ballot and takes the answers.

The page learns the texts of one pair at a time and their places, never whose they are.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from threading import Lock, Thread
from typing import Any

from agents.judging.ballot import Ballot
from seqgan_env.checks import check_choice, check_type
from seqgan_env.files import printable

QUESTION = "Which of the two reads more as if a person had written it?"
"""The question that is asked where there is no other."""
PORT = 8765
"""The port where none is named."""

_ADDRESS = "127.0.0.1"  # nobody else's machine reaches it
_HOSTS = ("127.0.0.1", "localhost")  # a page of another name that resolves to this machine is not ours
_LONGEST_BODY = 1000  # bytes
_PLACES = ("left", "right", "neither")
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; script-src "
    "'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


def serve(
    ballot: Ballot,
    *,
    question: str | None = None,
    port: int = PORT,
    opened: Callable[[str], object] = lambda url: None,
) -> None:
    """Show the page until every pair is answered, or the person ends it there.

    Args:
        ballot: what is asked, and where the answers go.
        question: shown above each pair; None is ``QUESTION``.
        port: on this machine alone; 0 takes any that is free.
        opened: is called with the address, once the page is there.

    Raises:
        ValueError: it is no port, or one that can't be used, as it is taken.
    """
    if not 0 <= port < 1 << 16:
        raise ValueError(f"port must be from 0 to 65535, got {port}")
    try:
        server = _Server((_ADDRESS, port), partial(_Handler, ballot, question or QUESTION, Lock()))
    except OSError as error:
        reason = f"port {port} can't be used: {error.strerror or error}; --port 0 takes any that is free"
        raise ValueError(reason) from error
    with server:
        opened(f"http://{_ADDRESS}:{server.server_address[1]}/")
        server.serve_forever(poll_interval=0.05)


class _Server(ThreadingHTTPServer):
    """Threads that do not outlive the program, each for a connection that may be slow, half open or broken."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a window that has gone before its answer came: the terminal is for the result."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    timeout = 60  # seconds without a byte

    def __init__(self, ballot: Ballot, question: str, lock: Lock, *request: Any) -> None:
        self._ballot, self._question, self._lock = ballot, question, lock
        super().__init__(*request)

    def do_GET(self) -> None:
        """The page, or the pair that is next."""
        if self._is_ours():
            if self.path == "/":
                self._reply(files("agents.judging").joinpath("page.html").read_bytes(), "text/html; charset=utf-8")
            elif self.path == "/pair":
                self._tell()
            else:
                self._refuse(HTTPStatus.NOT_FOUND, "there is / and /pair")

    def do_POST(self) -> None:
        """An answer, its withdrawal, or the end."""
        if not self._is_ours():
            return
        try:
            # a page of another site can't send this type without asking first
            check_choice("the type of the request", self.headers.get("Content-Type"), ("application/json",))
            length = int(self.headers.get("Content-Length", 0))
            if not 0 < length <= _LONGEST_BODY:
                raise ValueError(f"a request must have from 1 to {_LONGEST_BODY} bytes, got {length}")
            asked = check_type("a request", json.loads(self.rfile.read(length)), dict[str, Any])
            with self._lock:
                self._do(asked)
            self._tell(ended=self.path == "/end")
        except (ValueError, RecursionError) as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))

    def _do(self, asked: dict[str, Any]) -> None:
        check_choice("the path", self.path, ("/answer", "/back", "/end"))
        if self.path == "/end":
            return
        index = check_type("index", asked.get("index"), int)
        if self.path == "/back":
            if index != self._ballot.next:
                raise ValueError(f"the pair that is shown must be {self._ballot.next}, got {index}")
            self._ballot.take_back()
        else:
            place = asked.get("place")
            check_choice("place", place, _PLACES)
            a_is_left = self._ballot.pairs[index].a_is_left if 0 <= index < len(self._ballot.pairs) else True
            self._ballot.answer(index, "tie" if place == "neither" else "a" if (place == "left") == a_is_left else "b")

    def _tell(self, ended: bool = False) -> None:
        """Tell the pair that is next or, in the end, the verdict, after which the server stops."""
        ballot = self._ballot
        with self._lock:  # not while something is sent, which another window would wait for
            index = ballot.next
        if index is None or ended:
            self._reply_json({"verdict": ballot.verdict})
            Thread(target=self.server.shutdown).start()
            return
        pair = ballot.pairs[index]
        left, right = map(printable, (pair.a, pair.b) if pair.a_is_left else (pair.b, pair.a))
        self._reply_json(
            {"index": index, "n": len(ballot.pairs), "left": left, "right": right, "question": self._question}
        )

    def _is_ours(self) -> bool:
        if self.headers.get("Host", "").rsplit(":", 1)[0] in _HOSTS:
            return True
        self._refuse(HTTPStatus.FORBIDDEN, "this page is for the machine it runs on")
        return False

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        self._reply_json({"error": reason}, status)

    def _reply_json(self, value: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> None:
        self._reply(json.dumps(value).encode(), "application/json", status)

    def _reply(self, body: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the terminal is for the result."""
