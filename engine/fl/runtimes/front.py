"""What of a SuperLink faces a network: the fleet's interface, over TLS, and nothing else.

In Flower 1.41 one port serves the fleet, the control of runs and their execution, and whoever
reaches it may submit code. So the SuperLink listens on this machine alone, and this proxy lets
SuperNodes through to it, which then show who they are (``--enable-supernode-auth``)::

    python -m engine.fl.runtimes.front --host 0.0.0.0 --port 9092 --superlink 127.0.0.1:8000 \
        --certificates FOLDER
"""

from __future__ import annotations

import argparse
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

_FLEET = re.compile(r"/v1/fleet/[a-z-]+")
_SECONDS = 120.0
# Of one connection, and not of what it carries.
_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "host"}


def proxy(superlink: str, authority: Path) -> Starlette:
    """Return the app that passes the fleet's calls on; ``authority`` vouches for the SuperLink."""
    trusted = ssl.create_default_context(cafile=str(authority))

    @asynccontextmanager
    async def connected(app: Starlette) -> AsyncIterator[None]:
        url = f"https://{superlink}"
        async with httpx.AsyncClient(base_url=url, verify=trusted, timeout=_SECONDS) as client:
            app.state.superlink = client
            yield

    return Starlette(routes=[Route("/{path:path}", _pass_on, methods=["POST"])], lifespan=connected)


async def _pass_on(request: Request) -> Response:
    path = request.scope["path"]
    if not _FLEET.fullmatch(path) or request.url.query:
        return PlainTextResponse("this port is for SuperNodes", status_code=404)
    client: httpx.AsyncClient = request.app.state.superlink
    headers = [pair for pair in request.headers.items() if pair[0] not in _HOP]
    call = client.build_request("POST", path, headers=headers, content=request.stream())
    try:
        reply = await client.send(call, stream=True)
    except httpx.HTTPError:
        return PlainTextResponse("the SuperLink does not answer", status_code=502)

    async def body() -> AsyncIterator[bytes]:
        try:
            async for piece in reply.aiter_raw():
                yield piece
        finally:
            await reply.aclose()

    kept = {name: value for name, value in reply.headers.items() if name not in _HOP}
    return StreamingResponse(body(), status_code=reply.status_code, headers=kept)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="The fleet's interface of a SuperLink.")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--superlink", required=True, help="HOST:PORT, on this machine")
    parser.add_argument("--certificates", required=True, type=Path)
    given = parser.parse_args()
    uvicorn.run(
        proxy(given.superlink, given.certificates / "ca.crt"),
        host=given.host,
        port=given.port,
        ssl_certfile=given.certificates / "server.crt",
        ssl_keyfile=given.certificates / "server.key",
        access_log=False,
    )


if __name__ == "__main__":
    main()
