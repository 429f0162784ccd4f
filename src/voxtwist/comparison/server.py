"""A blind page that stores each vote as it is given."""

import json
from dataclasses import asdict
from pathlib import Path
from threading import Lock

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, Response

from voxtwist.comparison.votes import check_vote
from voxtwist.errors import VoxtwistError
from voxtwist.pages.blind import Key
from voxtwist.web import LocalServer


def vote_server(page: Path, key: Key, votes: Path, port: int) -> LocalServer:
    """GET / is the page, POST /votes appends a vote to `votes` (JSON lines); for this machine only.

    Args:
        port: 0 for any that is free.
    """
    app, writing = FastAPI(openapi_url=None), Lock()

    @app.get("/")
    def show() -> Response:
        return FileResponse(page, media_type="text/html; charset=utf-8")

    @app.post("/votes", status_code=204)
    async def store(request: Request) -> None:
        try:
            value = json.loads(await request.body())
        except ValueError:
            raise VoxtwistError("the vote is not JSON") from None
        vote = check_vote(value, key, "the vote")
        with writing, votes.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(vote)) + "\n")

    return LocalServer(app, "127.0.0.1", port)
