"""What does the browser load? The stock client as it was installed, with the files of our page added to it.

/v/TOKEN/         its index.html, which also loads paint.css and paint.js
/v/TOKEN/NAME     our files; never kept by the browser
/client/NAME      its files; their names hold a digest, so each is fetched once and kept for ever
"""

import gzip
import re
from functools import cache
from importlib.resources import files
from pathlib import Path

import neuroglancer.static
from tornado.web import HTTPError, RequestHandler

from ..store.errors import RondelError, VolumeError
from .notice import LINK, POLICY, notice

OURS = {path.name: path for path in sorted(Path(__file__).parent.iterdir()) if path.suffix in (".js", ".css")}
"""All files of our page, by name."""
HEAD = (
    '<link rel="icon" href="data:,"><link rel="stylesheet" href="paint.css">'
    '<script type="module" src="paint.js"></script></head>'
)
KINDS = {".js": "text/javascript", ".css": "text/css", ".wasm": "application/wasm"}
HASHED = re.compile(r"(?:[a-z0-9]+\.)?[0-9a-f]{16}\.(?:js|css|wasm)")
AGAIN_SECONDS = 5
FOREVER = "private, max-age=31536000, immutable"
BEGIN = '<!doctype html><html lang="en"><meta charset="utf-8"><title>rondel</title>'
CLIENT_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self' 'unsafe-eval'",
        "worker-src 'self'",
        "connect-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
"""What the client needs: it makes functions from text (annotations, compressed segmentations), decodes in WebAssembly,
sets style attributes, and has icons in data addresses. No script comes from anywhere but here, and none is inline."""


def index() -> bytes:
    """Return the client's page with ours in it; raises RondelError when it is not the page that we know."""
    text = (files(neuroglancer.static) / "client" / "index.html").read_text("utf-8")
    text, count = re.subn(r'(src|href)="([^"/]+)"', r'\1="/client/\2"', text)
    if text.count("</head>") != 1 or count < 2 or not all(n in stock() for n in re.findall('"/client/([^"]+)"', text)):
        raise RondelError(
            "the installed neuroglancer has another page than the one that is known",
            "pip install 'neuroglancer>=2.41.2,<2.42'",
        )
    return text.replace("<title>neuroglancer</title>", "<title>rondel</title>").replace("</head>", HEAD).encode()


@cache
def stock() -> dict[str, Path]:
    """Return the client's files, by name."""
    with_maps = Path(str(files(neuroglancer.static))) / "client"
    return {path.name: path for path in with_maps.iterdir() if HASHED.fullmatch(path.name)}


def refuse(handler: RequestHandler, error: RondelError) -> None:
    """Say that what was asked for cannot be shown, and why; where an image is out of reach the browser asks again."""
    waits = isinstance(error, VolumeError)
    handler.set_status(503 if waits else 404)
    handler.set_header("Content-Security-Policy", POLICY)
    if waits:
        handler.set_header("Refresh", str(AGAIN_SECONDS))
    hint = f"{error.hint}; this page tries again by itself" if waits else error.hint or LINK
    handler.finish(notice(f"{error.message[:1].upper()}{error.message[1:]}.", hint))


class Index(RequestHandler):
    """The page of a session."""

    def initialize(self, sessions) -> None:
        self.sessions = sessions

    async def get(self, token: str) -> None:
        try:
            await self.sessions.come(token, origin_of(self.request))
        except RondelError as error:  # its image is out of reach
            refuse(self, error)
            return
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Content-Security-Policy", policy(self.request.host))
        self.finish(index())


class Files(RequestHandler):
    """A file of the client, or of our page."""

    def initialize(self, known: dict[str, Path], keep: str) -> None:
        self.known, self.keep = known, keep

    def get(self, name: str) -> None:
        path = self.known.get(name)
        if path is None:
            raise HTTPError(404)
        small = "gzip" in self.request.headers.get("Accept-Encoding", "")
        content = _packed(path, path.stat().st_mtime_ns) if small else path.read_bytes()
        if small:
            self.set_header("Content-Encoding", "gzip")
        self.set_header("Vary", "Accept-Encoding")
        self.set_header("Content-Type", KINDS[path.suffix])
        self.set_header("Content-Security-Policy", policy(self.request.host))  # a worker obeys that of its own script
        self.set_header("Cache-Control", self.keep)
        self.finish(content)

    def compute_etag(self) -> None:
        return None


def routes(sessions) -> list[tuple]:
    return [
        (r"/v/([^/]+)/", Index, {"sessions": sessions}),
        (r"/v/[^/]+/([^/]+)", Files, {"known": OURS, "keep": "no-store"}),
        (r"/client/([^/]+)", Files, {"known": stock(), "keep": FOREVER}),
    ]


def policy(host: str) -> str:
    """Name the websocket's address too: not every browser counts it among 'self'."""
    return CLIENT_POLICY.replace("connect-src 'self'", f"connect-src 'self' ws://{host} wss://{host}")


def origin_of(request) -> str:
    """Return scheme, host and port as the browser sees them: the tunnel's end, not ours."""
    return f"{request.protocol}://{request.host}"


@cache
def _packed(path: Path, changed: int) -> bytes:
    return gzip.compress(path.read_bytes(), 6, mtime=0)
