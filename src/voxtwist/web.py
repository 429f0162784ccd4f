"""Local web pages: one guard in front of them, and a server that says at once if its port is taken.

The pages have no login. A server on localhost is protected from other sites: it answers only
requests that name this machine (a hostile DNS server can point its own name here), and takes only
JSON (another site's page cannot send it without asking first, and is then refused).
"""

import socket
from typing import TYPE_CHECKING, Any

from voxtwist.errors import VoxtwistError

if TYPE_CHECKING:
    from fastapi import FastAPI

LOCAL = ("localhost", "127.0.0.1", "[::1]")
LONGEST = 1_000_000  # bytes of a request


class Refused(Exception):
    """A request that is answered with an HTTP status and a reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def check(method: str, headers: Any, local_only: bool) -> None:
    """The guard.

    Raises:
        Refused: another name than this machine's (403), no JSON (415), or too long (413).
    """
    host = headers.get("host", "")
    if local_only and (host.rpartition(":")[0] or host) not in LOCAL and host not in LOCAL:
        raise Refused(403, "this page is for this machine only")
    if method == "POST":
        if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise Refused(415, "send application/json")
        if not 0 < int(headers.get("content-length") or 0) <= LONGEST:
            raise Refused(413, f"send at most {LONGEST} bytes, and say how many")


class LocalServer:
    """Serves a FastAPI application behind the guard.

    Attributes:
        address: where a browser finds it.
    """

    def __init__(self, app: "FastAPI", host: str, port: int) -> None:
        """`port` 0 takes a free one.

        Raises:
            VoxtwistError: the address is taken, or not this machine's.
        """
        import uvicorn

        self._guard(app, host in LOCAL)
        try:
            self._socket = socket.create_server((host, port))
        except OSError as error:
            raise VoxtwistError(
                f"{host}:{port} cannot be served: {error.strerror}; give another --port"
            ) from None
        self.host, self.port = host, int(self._socket.getsockname()[1])
        self.address = f"http://{host}:{self.port}/"
        config = uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)

    def serve_forever(self) -> None:
        """Until Ctrl-C, or `shutdown` from another thread."""
        self._server.run(sockets=[self._socket])

    def shutdown(self) -> None:
        self._server.should_exit = True

    @staticmethod
    def _guard(app: "FastAPI", local_only: bool) -> None:
        from fastapi import Request, Response
        from fastapi.exceptions import RequestValidationError
        from fastapi.responses import PlainTextResponse

        @app.middleware("http")
        async def guard(request: Request, answer: Any) -> Response:
            try:
                check(request.method, request.headers, local_only)
            except Refused as refused:
                return PlainTextResponse(str(refused), refused.status)
            response: Response = await answer(request)
            return response

        @app.exception_handler(RequestValidationError)
        async def invalid(_: Request, error: RequestValidationError) -> Response:
            return PlainTextResponse(str(error), 400)

        @app.exception_handler(VoxtwistError)
        async def refused(_: Request, error: VoxtwistError) -> Response:
            return PlainTextResponse(str(error), 400)
