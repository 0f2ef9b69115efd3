"""How is a store on another web server passed on? Streamed through this one, so that the page needs only one port.

Connections to the other server are kept, proxies of the environment are used, and no more is read from there than the
page has taken: a body's size does not matter.
"""

from typing import TYPE_CHECKING

import tornado.web
from tornado.iostream import StreamClosedError

if TYPE_CHECKING:
    import aiohttp

PIECE = 256 << 10
ASKED = ("Range", "If-Range", "If-None-Match")
TOLD = ("Content-Length", "Content-Range", "Content-Encoding", "Accept-Ranges", "Etag", "Last-Modified")
PASSED = {200: 200, 206: 206, 304: 304, 403: 404, 404: 404, 405: 405, 410: 404, 416: 416}
"""Answers that mean something to the page; public buckets answer 403 for what does not exist."""
BAD_GATEWAY, GATEWAY_TIMEOUT = 502, 504
"""Neuroglancer asks again after a 504, with growing pauses."""


class Remote:
    """Connections to other web servers; close it on the loop that used it."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def relay(self, handler: tornado.web.RequestHandler, url: str) -> None:
        """Answer a request with what another server says."""
        import aiohttp
        import yarl

        failed = (aiohttp.ClientError, TimeoutError, OSError)

        asked = {name: handler.request.headers[name] for name in ASKED if name in handler.request.headers}
        method = handler.request.method or "GET"
        try:
            where = yarl.URL(url.replace(" ", "%20"), encoded=True)
            async with self._opened().request(method, where, headers=asked, max_redirects=5) as answer:
                if _begin(handler, answer):
                    await _pass_on(handler, answer, failed)
        except StreamClosedError:
            return  # the page left; leaving the block above cut the other connection too
        except failed:
            raise tornado.web.HTTPError(GATEWAY_TIMEOUT) from None

    def _opened(self) -> "aiohttp.ClientSession":
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit_per_host=16),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=20, sock_read=60),
                headers={"Accept-Encoding": "identity"},
                auto_decompress=False,
                trust_env=True,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


def _begin(handler: tornado.web.RequestHandler, answer: "aiohttp.ClientResponse") -> bool:
    """Say what the other server's answer is; returns whether a body follows."""
    status = PASSED.get(answer.status, BAD_GATEWAY)
    if status >= 400 and status != 416:
        raise tornado.web.HTTPError(status)
    handler.set_status(status)
    for name in TOLD:
        if name in answer.headers:
            handler.set_header(name, answer.headers[name])
    if status == 416:
        handler.set_header("Content-Length", "0")
    return status in (200, 206) and handler.request.method == "GET"


async def _pass_on(
    handler: tornado.web.RequestHandler, answer: "aiohttp.ClientResponse", failed: tuple[type[Exception], ...]
) -> None:
    try:
        async for piece in answer.content.iter_chunked(PIECE):
            handler.write(piece)
            await handler.flush()
    except StreamClosedError:
        raise
    except failed:
        handler.detach().close()  # part of it is out: only a cut connection tells the page that the rest is missing
