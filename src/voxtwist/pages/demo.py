"""A local web page to type to a model, read its text as it comes, and listen.

The page holds the conversation and sends the earlier turns with each question; the server holds
only the model. An answer is streamed as lines of JSON: `{"text": "…"}` for each piece of text,
`{"seconds": s}` while speech is made, at last `{"done": true, "audio": data URL or null, …}`, or
`{"error": "…"}`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from voxtwist.codec.audio import embed_waveform
from voxtwist.errors import VoxtwistError
from voxtwist.inference.speaker import Speaker
from voxtwist.params import Generate

PAGE = Path(__file__).parent / "templates" / "demo.html"
LONGEST_REQUEST = 1_000_000  # bytes
LOCAL = ("localhost", "127.0.0.1", "[::1]")


class Question(BaseModel):
    """What the page sends."""

    model_config = ConfigDict(extra="forbid")

    question: str = Field(min_length=1)
    earlier: list[tuple[str, str]]
    temperature: float = Field(ge=0, allow_inf_nan=False)
    seed: int = Field(ge=0, lt=2**63)


@dataclass(frozen=True)
class Demo:
    """What the page talks to: a model, its name, and the settings to start from."""

    name: str
    speaker: Speaker
    settings: Generate
    seed: int

    def about(self) -> dict[str, Any]:
        return {"name": self.name, "temperature": self.settings.temperature, "seed": self.seed}


class DemoServer(ThreadingHTTPServer):
    """Serves the page, and one answer at a time; the next question waits.

    A server on localhost answers only requests that name it so: a page from elsewhere, which a
    hostile DNS server has pointed at it, is refused.
    """

    daemon_threads = True

    def __init__(self, demo: Demo, host: str, port: int) -> None:
        """`port` 0 takes a free one, see `server_port`.

        Raises:
            VoxtwistError: the address is taken, or not this machine's.
        """
        self.demo, self.lock = demo, Lock()
        self.local_only = host in LOCAL
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise VoxtwistError(
                f"{host}:{port} cannot be served: {error.strerror}; give another --port"
            ) from None


class _Handler(BaseHTTPRequestHandler):
    server: DemoServer

    def do_GET(self) -> None:
        if not self._allowed():
            return
        if self.path == "/":
            self._send("text/html; charset=utf-8", PAGE.read_bytes())
        elif self.path == "/about":
            self._send("application/json", json.dumps(self.server.demo.about()).encode())
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        if not self._allowed():
            return
        # Other sites' pages cannot send this type without asking first, and are then refused.
        if self.headers.get_content_type() != "application/json":
            self.send_error(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
            return
        length = int(self.headers.get("Content-Length") or 0)
        if self.path != "/ask" or not 0 < length <= LONGEST_REQUEST:
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        try:
            asked = Question.model_validate_json(self.rfile.read(length))
        except ValidationError as error:
            self.send_error(HTTPStatus.BAD_REQUEST, explain=str(error))
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        try:
            with self.server.lock:
                self._answer(asked)
        except VoxtwistError as error:
            self._line({"error": str(error)})
        except (BrokenPipeError, ConnectionResetError):
            pass  # the page was closed, or its reader pressed stop: the answer ends there

    def _answer(self, asked: Question) -> None:
        demo = self.server.demo
        speaker, codec = demo.speaker, demo.speaker.codec
        settings = demo.settings.model_copy(update={"temperature": asked.temperature})
        answer = speaker.answer(
            asked.earlier,
            asked.question,
            settings,
            asked.seed,
            lambda text: self._line({"text": text}),
            lambda codes: self._line({"seconds": codes / codec.frame_rate_hz}),
        )
        waveform = speaker.speak(answer)
        self._line(
            {
                "done": True,
                "text": answer.text.strip(),
                "audio": embed_waveform(waveform, codec.sample_rate) if len(waveform) else None,
                "seconds": len(waveform) / codec.sample_rate,
                "codes": answer.codes.tolist(),
                "problem": answer.problem,
            }
        )

    def _line(self, event: Mapping[str, Any]) -> None:
        self.wfile.write(json.dumps(event).encode() + b"\n")

    def _send(self, kind: str, body: bytes) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _allowed(self) -> bool:
        host = (self.headers.get("Host") or "").rpartition(":")[0] or self.headers.get("Host")
        if self.server.local_only and host not in LOCAL:
            self.send_error(HTTPStatus.FORBIDDEN)
            return False
        return True

    def log_message(self, *_: object) -> None:
        pass
