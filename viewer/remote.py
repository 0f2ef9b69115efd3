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

        asked = {name: handler.request.headers[name] for name in ASKED if name in handler.request.headers}
        method = handler.request.method or "GET"
        try:
            where = yarl.URL(url.replace(" ", "%20"), encoded=True)
            async with self._opened().request(method, where, headers=asked, max_redirects=5) as answer:
                await _pass_on(handler, answer)
        except StreamClosedError:
            return  # the page left; leaving the block above cut the other connection too
        except (aiohttp.ClientError, TimeoutError, OSError):
            if handler.request.connection is not None and handler._headers_written:
                handler.detach().close()
                return
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


async def _pass_on(handler: tornado.web.RequestHandler, answer: "aiohttp.ClientResponse") -> None:
    status = PASSED.get(answer.status, BAD_GATEWAY)
    if status >= 400 and status != 416:
        raise tornado.web.HTTPError(status)
    handler.set_status(status)
    for name in TOLD:
        if name in answer.headers:
            handler.set_header(name, answer.headers[name])
    if status in (200, 206) and handler.request.method == "GET":
        async for piece in answer.content.iter_chunked(PIECE):
            handler.write(piece)
            await handler.flush()
    elif status == 416:
        handler.set_header("Content-Length", "0")
