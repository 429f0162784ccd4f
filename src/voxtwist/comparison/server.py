"""A small server on this machine that shows a blind page and stores each vote as it is given."""

import json
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock

from voxtwist.comparison.votes import check_vote
from voxtwist.errors import VoxtwistError
from voxtwist.pages.blind import Key

LONGEST = 10_000  # bytes of a vote


class VoteServer(ThreadingHTTPServer):
    """GET / is the page, POST /votes appends a vote to `votes` (JSON lines).

    Only for this machine: it listens on 127.0.0.1, and answers no page of another origin.
    """

    def __init__(self, page: Path, key: Key, votes: Path, port: int) -> None:
        """Args: port: 0 for any that is free; `server_port` tells."""
        self.page = page
        self.key = key
        self.votes = votes
        self.guard = Lock()
        super().__init__(("127.0.0.1", port), _Exchange)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def store(self, body: bytes) -> None:
        """Raises VoxtwistError: it is no vote on this page."""
        try:
            value = json.loads(body)
        except ValueError:
            raise VoxtwistError("the vote is not JSON") from None
        vote = check_vote(value, self.key, "the vote")
        with self.guard, self.votes.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(vote)) + "\n")


class _Exchange(BaseHTTPRequestHandler):
    server: VoteServer

    def do_GET(self) -> None:
        if not self._from_here():
            return
        if self.path != "/":
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        body = self.server.page.read_bytes()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        if not self._from_here():
            return
        length = int(self.headers.get("Content-Length") or 0)
        # A page of another origin cannot send this type without asking first, and is not answered.
        is_json = self.headers.get_content_type() == "application/json"
        if self.path != "/votes" or not is_json or not 0 < length <= LONGEST:
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        try:
            self.server.store(self.rfile.read(length))
        except VoxtwistError as error:
            self.send_error(HTTPStatus.BAD_REQUEST, explain=str(error))
            return
        self.send_response(HTTPStatus.NO_CONTENT)
        self.end_headers()

    def _from_here(self) -> bool:
        """Names that an attacker's DNS points at this machine are refused."""
        port = self.server.server_port
        if self.headers.get("Host") in (f"127.0.0.1:{port}", f"localhost:{port}"):
            return True
        self.send_error(HTTPStatus.FORBIDDEN)
        return False

    def log_message(self, *_: object) -> None:
        pass
