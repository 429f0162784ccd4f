"""A local web page to type to a model, read its text as it comes, and listen.

The page holds the conversation and sends the earlier turns with each question; the server holds
only the model. An answer is streamed as lines of JSON: `{"text": "…"}` for each piece of text,
`{"seconds": s}` while speech is made, at last `{"done": true, "audio": data URL or null, …}`, or
`{"error": "…"}`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from voxtwist.codec.audio import embed_waveform
from voxtwist.errors import VoxtwistError
from voxtwist.inference.speaker import Speaker
from voxtwist.pages.page import render_page
from voxtwist.params import Generate
from voxtwist.web import LocalServer


class DemoQuestion(BaseModel):
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

    def answer(self, asked: DemoQuestion, tell: Callable[[dict[str, Any]], None]) -> None:
        """Answer one question; `tell` is given each event."""
        speaker, codec = self.speaker, self.speaker.codec
        answer = speaker.answer(
            asked.earlier,
            asked.question,
            self.settings.model_copy(update={"temperature": asked.temperature}),
            asked.seed,
            lambda text: tell({"text": text}),
            lambda codes: tell({"seconds": codes / codec.frame_rate_hz}),
        )
        waveform = speaker.speak(answer)
        tell(
            {
                "done": True,
                "text": answer.text.strip(),
                "audio": embed_waveform(waveform, codec.sample_rate) if len(waveform) else None,
                "seconds": len(waveform) / codec.sample_rate,
                "codes": answer.codes.tolist(),
                "problem": answer.problem,
            }
        )


def demo_server(demo: Demo, host: str, port: int) -> LocalServer:
    """Serves the page, and one answer at a time; the next question waits.

    Args:
        port: 0 for any that is free.

    Raises:
        VoxtwistError: see `LocalServer`.
    """
    app, one_at_a_time = FastAPI(openapi_url=None), Lock()
    page = render_page("demo.html.jinja")

    @app.get("/")
    def show() -> Response:
        return HTMLResponse(page)

    @app.get("/about")
    def about() -> dict[str, Any]:
        return demo.about()

    @app.post("/ask")
    async def ask(asked: DemoQuestion) -> Response:
        lines = _events(demo, asked, one_at_a_time)
        headers = {"Cache-Control": "no-store"}
        return StreamingResponse(lines, media_type="application/x-ndjson", headers=headers)

    return LocalServer(app, host, port)


class _PageClosedError(Exception):
    """Nobody reads the answer any more: it ends there."""


async def _events(demo: Demo, asked: DemoQuestion, one_at_a_time: Lock) -> AsyncIterator[bytes]:
    """The lines of an answer, which is generated in a thread; closing this ends the generation."""
    events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
    loop, closed = asyncio.get_running_loop(), Event()

    def tell(event: dict[str, Any] | None) -> None:
        if closed.is_set():
            raise _PageClosedError
        loop.call_soon_threadsafe(events.put_nowait, event)

    def work() -> None:
        try:
            with one_at_a_time:
                try:
                    demo.answer(asked, tell)
                except VoxtwistError as error:
                    tell({"error": str(error)})
            tell(None)
        except _PageClosedError:
            pass

    Thread(target=work, daemon=True, name="Demo answer").start()
    try:
        while (event := await events.get()) is not None:
            yield json.dumps(event).encode() + b"\n"
    finally:
        closed.set()
