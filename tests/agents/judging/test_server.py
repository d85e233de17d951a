"""The page of ``seqgan judge``: blind, and for this machine alone."""

from __future__ import annotations

import http.client
import json
import socket
import struct
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest

from agents.cli import main
from agents.judging import Ballot, Pair, draw_pairs, serve
from tests.support.browser import Browser, browser, too_wide

PAIRS = [Pair("<b>one</b>", "eins", True), Pair("two", "zwei", False), Pair("three", "drei", True)]
JSON = {"Content-Type": "application/json"}
KEYS = {"Backspace": 8, "Enter": 13, "ArrowLeft": 37, "ArrowRight": 39, "ArrowDown": 40}


class Page:
    """A page that is served until its test ends."""

    def __init__(self, ballot: Ballot) -> None:
        addresses: Queue[str] = Queue()
        self.ballot, self.ended = ballot, False
        self.thread = Thread(target=serve, args=(ballot,), kwargs={"port": 0, "opened": addresses.put}, daemon=True)
        self.thread.start()
        self.url = addresses.get(timeout=10)

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        text = body if body is None or isinstance(body, str) else json.dumps(body)
        with closing(http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=10)) as connection:
            connection.request(method, path, text, headers if headers is not None else JSON)
            response = connection.getresponse()
            content = response.read()
        told = json.loads(content) if path != "/" else content
        self.ended |= path != "/" and "verdict" in told
        return response.status, told


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    page = Page(Ballot(tmp_path / "ballot.json", ("first", "second"), PAIRS))
    yield page
    if not page.ended and page.ballot.next is not None:
        page.ask("POST", "/end", {})
    page.thread.join(10)
    assert not page.thread.is_alive()


def test_answers_reach_the_ballot_until_the_last_one(page: Page) -> None:
    _, told = page.ask("GET", "/pair")
    assert (told["left"], told["right"], told["index"], told["n"]) == ("<b>one</b>", "eins", 0, 3)
    assert "person" in told["question"]
    told = page.ask("POST", "/answer", {"index": 0, "place": "left"})[1]
    assert (told["left"], told["right"]) == ("zwei", "two")
    assert page.ask("POST", "/answer", {"index": 1, "place": "left"})[1]["index"] == 2
    assert page.ask("POST", "/back", {"index": 2})[1]["index"] == 1
    page.ask("POST", "/answer", {"index": 1, "place": "right"})
    told = page.ask("POST", "/answer", {"index": 2, "place": "neither"})[1]
    assert told == {"verdict": page.ballot.verdict}
    assert page.ballot.answers == ["a", "a", "tie"]
    page.thread.join(10)
    assert not page.thread.is_alive()


def test_nothing_tells_whose_a_text_is_before_the_end(page: Page) -> None:
    told = [page.ask("GET", "/")[1].decode(), *(json.dumps(page.ask("GET", "/pair")[1]) for _ in range(2))]
    told.append(json.dumps(page.ask("POST", "/answer", {"index": 0, "place": "right"})[1]))
    assert not any(name in text for text in told for name in ("first", "second"))
    assert "first" in page.ask("POST", "/end", {})[1]["verdict"]


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("/answer", {"index": 1, "place": "left"}, JSON),
        ("/answer", {"index": 99, "place": "left"}, JSON),
        ("/answer", {"index": False, "place": "left"}, JSON),
        ("/answer", {"index": 0, "place": "a"}, JSON),
        ("/answer", {"place": "left"}, JSON),
        ("/answer", [0], JSON),
        ("/back", {}, JSON),
        ("/back", {"index": 1}, JSON),  # of a window that is behind
        ("/answer", "[" * 900, JSON),
        ("/answer", "", JSON),
        ("/answer", {"index": 0, "place": "left" * 1000}, JSON),
        ("/answer", {"index": 0, "place": "left"}, {"Content-Type": "text/plain"}),  # a form of another site
        ("/answer", {"index": 0, "place": "left"}, {**JSON, "Content-Length": "many"}),
        ("/answer", {"index": 0, "place": "left"}, {**JSON, "Host": "rebound.example"}),
        ("/elsewhere", {"index": 0}, JSON),
    ],
)
def test_what_is_no_answer_changes_nothing(page: Page, path: str, body: Any, headers: dict[str, str]) -> None:
    status, told = page.ask("POST", path, body, headers)
    assert status in (400, 403)
    assert list(told) == ["error"]
    assert page.ballot.answers == []


def test_controls_are_seen(tmp_path: Path) -> None:
    page = Page(Ballot(tmp_path / "ballot.json", ("A", "B"), [Pair("x\x1b[2J", "\u202ey\tz", True)]))
    told = page.ask("GET", "/pair")[1]
    assert (told["left"], told["right"]) == ("x\\x1b[2J", "\\u202ey\tz")
    page.ask("POST", "/end", {})
    page.thread.join(10)


def test_an_answer_that_cannot_be_kept_is_none(page: Page, tmp_path: Path) -> None:
    page.ask("POST", "/answer", {"index": 0, "place": "left"})
    (tmp_path / "ballot.json").write_text("{}")  # as a second command with the same file leaves another one
    for path, index in (("/answer", 1), ("/back", 1)):
        status, told = page.ask("POST", path, {"index": index, "place": "left"})
        assert (status, page.ballot.answers) == (400, ["a"])
        assert "changed by another program" in told["error"]


def test_a_window_that_does_not_read_stops_no_other(page: Page) -> None:
    page.ballot.pairs[1] = Pair("x" * 5_000_000, "y", True)  # more than the operating system takes for it
    body = json.dumps({"index": 0, "place": "left"})
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", urlsplit(page.url).port))
        slow.sendall(
            f"POST /answer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        assert slow.recv(1)
        assert page.ask("POST", "/answer", {"index": 1, "place": "left"})[1]["index"] == 2


def test_a_broken_connection_is_not_told(page: Page, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_connection(("127.0.0.1", urlsplit(page.url).port or 0)) as broken:
        broken.sendall(
            b"POST /answer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
        )
        broken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
    assert page.ask("GET", "/pair")[1]["index"] == 0
    time.sleep(0.1)
    assert capfd.readouterr().err == ""


def test_another_address_is_not_there(page: Page) -> None:
    assert page.ask("GET", "/page.html")[0] == 404
    assert page.ask("GET", "/pair", headers={"Host": "rebound.example"})[0] == 403


def test_the_command_prints_the_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text("".join(f"{name} {i}\n" for i in range(5)))
    sides, out = [str(tmp_path / name) for name in ("a", "b")], str(tmp_path / "judge.json")

    def answered(url: str) -> None:  # by a browser that ends when it is closed
        for index in range(5):
            body = json.dumps({"index": index, "place": "neither"}).encode()
            urllib.request.urlopen(urllib.request.Request(f"{url}answer", body, JSON), timeout=10).close()

    monkeypatch.setattr("webbrowser.open", answered)
    assert main(["judge", *sides, "-n", "5", "--port", "0", "--out", out]) == 0
    assert "neither in 5. Nothing was decided" in " ".join(capsys.readouterr().out.split())
    assert main(["judge", *sides, "-n", "4", "--port", "0", "--out", out]) == 2
    assert "other pairs" in capsys.readouterr().err


def test_what_cannot_be_served_is_refused_before_a_question(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(f"{name}\n")
    words = ["judge", str(tmp_path / "a"), str(tmp_path / "b"), "-n", "1", "--no-browser"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for more, reason in (
            (["--port", port, "--out", str(tmp_path / "own.json")], f"port {port} can't be used"),
            (["--port", "-1", "--out", str(tmp_path / "own.json")], "port must be from 0 to 65535, got -1"),
            (["--out", str(tmp_path / "a" / "own.json")], "can't be written"),
            (["--out", "/proc/own.json"], "can't be written"),
            (["--seed", "-1"], "seed must be a whole number of at least 0, got -1"),
        ):
            assert main([*words, *more]) == 2
            told = capsys.readouterr()
            assert reason in told.err
            assert told.out == ""


def test_a_ballot_that_is_full_needs_no_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(f"{name}\n")
    sides, out = (str(tmp_path / "a"), str(tmp_path / "b")), tmp_path / "judge.json"
    Ballot(out, sides, draw_pairs(*sides, 1)).answer(0, "a")
    assert main(["judge", *sides, "-n", "1", "--out", str(out)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "1 pair: " in told
    assert "the pairs are at" not in told


@pytest.fixture
def click(page: Page, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Headless Chromium: clicks on an element of the page, or presses a key, and waits until a text is shown."""

    def press(window: Browser, key: str, times: int) -> None:
        """Hold a key down until it has repeated itself so many times."""
        event = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
        for n in range(times):
            down = {"type": "keyDown", "autoRepeat": n > 0} | ({"text": "\r"} if key == "Enter" else {})
            window.devtools("Input.dispatchKeyEvent", **event, **down)
        window.devtools("Input.dispatchKeyEvent", **event, type="keyUp")

    def clicked(name: str | None, shown: str, n: int = 1, key: str | None = None) -> None:
        if key is not None:
            press(window, key, n)
        elif name is not None:  # the n-th click of a multiple one
            event = f"dispatchEvent(new MouseEvent('click', {{detail: {n}}}))"
            name, act = (name[6:], "focus()") if name.startswith("focus:") else (name, event)
            window.run(f"document.getElementById('{name}').{act}")
        deadline = time.monotonic() + 20
        while shown not in (text := window.run("return document.body.innerText")):
            assert time.monotonic() < deadline, text
            time.sleep(0.05)

    with browser(tmp_path) as window:
        window.open(page.url)
        yield clicked


@pytest.mark.slow
def test_a_person_answers_by_mouse_and_keyboard(page: Page, click: Callable[..., None]) -> None:
    click(None, "<b>one</b>")  # as text
    click("left", "Pair 2 of 3")
    click("left", "Pair 2 of 3", n=2)
    assert page.ballot.answers == ["a"]
    click("back", "Pair 1 of 3")
    click("right", "Pair 2 of 3")
    click("neither", "Pair 3 of 3")
    assert page.ballot.answers == ["b", "tie"]
    click("back", "Pair 2 of 3")
    click("back", "Pair 1 of 3")
    click(None, "Pair 1 of 3", key="Backspace")  # there is none to take back
    click(None, "Pair 2 of 3", key="ArrowLeft")
    click(None, "Pair 3 of 3", key="ArrowDown")
    assert page.ballot.answers == ["a", "tie"]
    click(None, "Pair 2 of 3", key="Backspace")
    click(None, "Pair 1 of 3", key="Backspace")
    click(None, "Pair 2 of 3", key="ArrowRight", n=5)  # a key that is held answers one pair
    click("back", "Pair 1 of 3")
    click("focus:right", "Pair 1 of 3")
    click(None, "Pair 2 of 3", key="Enter", n=5)  # on the button that has the focus too
    assert page.ballot.answers == ["b"]
    click("neither", "Pair 3 of 3")
    click("left", page.ballot.sides[0])
    assert page.ballot.answers == ["b", "tie", "a"]
    click(None, page.ballot.verdict)


def test_the_page_fits_a_phone(tmp_path: Path) -> None:
    page = Page(Ballot(tmp_path / "ballot.json", ("A", "B"), [Pair("word " * 50, "x" * 500, True)]))
    assert too_wide(tmp_path, page.url) == {}
    page.ask("POST", "/end", {})
    page.thread.join(10)
