"""Who may ask? Everything that reaches the server passes here, before a body is read and before any route is looked up.

    request ──► Host ──► Origin ──► what the route asks for ──► session ──► method ──► routes
                 403       403     secret, cookie or key: 401     403        405

The machine's other users reach the port as well, and so does any page that the person's browser has open. So an address
alone opens nothing: a browser shows the cookie and knows the token of its session, a verb shows the bearer key.
"""

import hmac
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.client import responses
from typing import Literal, NamedTuple
from weakref import WeakSet

from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerRequest,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.routing import Router
from tornado.web import Application, OutputTransform, RequestHandler

from ..store.writer import BODY_BYTES
from .notice import POLICY, REFUSALS, notice

Proof = Literal["secret", "cookie", "key"]

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
SMALL_BODY = 1 << 20
DRAINED = 1 << 16
"""Bytes of a refused body that are read, so that the answer is not lost with the connection."""
FAILURES, FAILURE_SECONDS, ADDRESSES = 60, 60.0, 1000
NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
SAFE = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": NOTHING,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""What every answer says, unless its route says something else."""
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]]+)(?::[0-9]{1,5})?")


class Rule(NamedTuple):
    """What a route asks for; a pattern's group is the session's token, or the link's secret."""

    path: re.Pattern[str]
    proof: Proof
    methods: tuple[str, ...]
    body: int = SMALL_BODY
    origin: bool = False
    """Whether the browser must say where it comes from; POST and websockets always do."""


_TOKEN = "([A-Za-z0-9_-]{1,64})"
RULES = (
    Rule(re.compile(r"/open/([^/]+)"), "secret", ("GET",)),
    Rule(re.compile(rf"/v/{_TOKEN}/[^/]*"), "cookie", ("GET",)),
    Rule(re.compile(r"/client/[^/]+"), "cookie", ("GET",)),
    Rule(re.compile(rf"/s/{_TOKEN}(?=/data/.*)"), "cookie", ("GET", "HEAD")),
    Rule(re.compile(rf"/events/{_TOKEN}"), "cookie", ("GET",)),
    Rule(re.compile(rf"/state/{_TOKEN}"), "cookie", ("POST",), origin=True),
    Rule(re.compile(rf"/action/{_TOKEN}"), "cookie", ("POST",), origin=True),
    Rule(re.compile(rf"/ws/{_TOKEN}"), "cookie", ("GET",), origin=True),
    Rule(re.compile(r"/write"), "key", ("POST",), BODY_BYTES),
    Rule(re.compile(r"/show"), "key", ("POST",)),
    Rule(re.compile(r"/status"), "key", ("GET",)),
)
"""All that is served. What Neuroglancer's own server has besides is not."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What opens the server."""

    key: str = field(repr=False)
    secret: str = field(repr=False)
    cookie: str
    """Name of the cookie."""

    @property
    def cookie_value(self) -> str:
        return cookie_value(self.key)


def cookie_value(key: str) -> str:
    """Return what the cookie holds: the same after a restart, and of no use as the key."""
    return hmac.digest(key.encode(), b"cookie", "sha256").hex()


class Guard(Router):
    """The door in front of all routes."""

    def __init__(
        self, app: Application, credentials: Credentials, hosts: Iterable[str], known: Callable[[str], object]
    ) -> None:
        """`known` returns the session of a token, or None."""
        self.app, self.credentials, self.known = app, credentials, known
        self.hosts = {*LOOPBACK, *(host.lower() for host in hosts)}
        self.failures = Failures()
        self.closing = False
        """Nothing is begun any more."""
        self.begun: WeakSet[HTTPServerRequest] = WeakSet()
        """What verbs asked for and was not answered yet."""

    def find_handler(self, request: HTTPServerRequest, **kwargs) -> HTTPMessageDelegate:
        status, rule = self.judge(request)
        if status == 401 and self.failures.too_many(request.remote_ip or ""):
            status = 429
        elif status == 200 and self.closing:  # as if nobody listened any more: whoever asks tries again
            request.connection.close()  # type: ignore[union-attr]
            return HTTPMessageDelegate()
        if status != 200 or rule is None:
            request.connection.set_max_body_size(DRAINED)  # type: ignore[union-attr]
            return _refused(request, status)
        request.connection.set_max_body_size(rule.body)  # type: ignore[union-attr]
        if rule.proof == "key":
            self.begun.add(request)
        if request.path.startswith("/s/"):
            request.path = request.path[request.path.index("/data/") :]
        return self.app.find_handler(request, **kwargs) or _refused(request, 404)

    def answered(self, handler: RequestHandler) -> None:
        """Hear that a route has answered: the `log_function` of an application, which writes down nothing."""
        self.begun.discard(handler.request)

    def judge(self, request: HTTPServerRequest) -> tuple[int, Rule | None]:
        """Return 200 and the rule that lets a request through, or the status that refuses it."""
        host = request.headers.get("Host", "").lower()
        name = _HOST.fullmatch(host)
        if not name or name[1] not in self.hosts:
            return 403, None
        origin = request.headers.get("Origin")
        if origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}"):
            return 403, None
        rule, group = find_rule(request.path)
        if rule is None:
            return (404 if self._proven(request, "cookie") or self._proven(request, "key") else 401), None
        if rule.proof != "secret" and request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
            return 403, None  # another page of this host, or of another project: cookies ignore ports
        if rule.origin and origin is None:
            return 403, None
        if not self._proven(request, rule.proof, group):
            return 401, None
        if rule.proof == "cookie" and group is not None and self.known(group) is None:
            return 403, None
        return (200, rule) if request.method in rule.methods else (405, None)

    def _proven(self, request: HTTPServerRequest, proof: Proof, group: str | None = None) -> bool:
        """Tell whether a request shows what a route asks for, in a time that tells nothing else."""
        if proof == "secret":
            return _same(group or "", self.credentials.secret)
        if proof == "key":
            scheme, _, given = request.headers.get("Authorization", "").partition(" ")
            return scheme.lower() == "bearer" and _same(given, self.credentials.key)
        shown = _cookies(request.headers, self.credentials.cookie)
        return any([_same(value, self.credentials.cookie_value) for value in shown])


def find_rule(path: str) -> tuple[Rule | None, str | None]:
    """Return the rule of a path, and the session's token or the secret in it."""
    for rule in RULES:
        found = rule.path.match(path)
        if found and (found.end() == len(path) or path.startswith("/s/")):
            return rule, found[1] if rule.path.groups else None
    return None, None


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())


def _cookies(headers: HTTPHeaders, name: str) -> list[str]:
    """List all values of a cookie: programs on other ports may have set one of the same name."""
    pairs = [part.strip().partition("=") for line in headers.get_list("Cookie") for part in line.split(";")]
    return [value for found, _, value in pairs[:100] if found == name]


class Failures:
    """Counts wrong answers of each address; right ones still pass, or users of a host could lock each other out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.counts: dict[str, tuple[float, int]] = {}

    def too_many(self, address: str) -> bool:
        """Count one more, and tell whether that was one too many."""
        now = self.clock()
        since, count = self.counts.get(address, (now, 0))
        if now - since > FAILURE_SECONDS:
            since, count = now, 0
        if address not in self.counts and len(self.counts) >= ADDRESSES:
            self.counts.pop(next(iter(self.counts)))
        self.counts[address] = (since, count + 1)
        return count >= FAILURES


class Refusal(HTTPMessageDelegate):
    """Answers without any route; a large body is not waited for."""

    def __init__(self, connection: HTTPConnection, method: str, status: int, *, page: bool) -> None:
        """`page` says it in a page, for a person."""
        self.connection, self.method, self.status, self.page = connection, method, status, page
        self.answered = False

    def headers_received(self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders) -> None:
        length = headers.get("Content-Length", "0")
        if "Transfer-Encoding" in headers or not (length.isdecimal() and int(length[:9]) <= DRAINED):
            self._answer()

    def finish(self) -> None:
        self._answer()

    def _answer(self) -> None:
        if self.answered:
            return
        self.answered = True
        reason = responses.get(self.status, "Refused")
        sentence, hint = REFUSALS[self.status]
        text = notice(sentence, hint) if self.page else f"{self.status} {reason}\n{hint}\n"
        body = text.encode() if self.method != "HEAD" else b""
        kind = {"Content-Type": f"text/{'html' if self.page else 'plain'}; charset=utf-8"}
        policy = {"Content-Security-Policy": POLICY} if self.page else {}
        headers = HTTPHeaders(SAFE | kind | policy | {"Content-Length": str(len(body))})
        if self.status == 429:
            headers["Retry-After"] = str(int(FAILURE_SECONDS))
        self.connection.write_headers(ResponseStartLine("HTTP/1.1", self.status, reason), headers, body)
        self.connection.finish()


def _refused(request: HTTPServerRequest, status: int) -> Refusal:
    page = "text/html" in request.headers.get("Accept", "")
    return Refusal(request.connection, request.method or "", status, page=page)  # type: ignore[arg-type]


class SafeHeaders(OutputTransform):
    """Puts the safe headers on whatever a route answers."""

    def transform_first_chunk(self, status_code, headers, chunk, finishing):
        headers.pop("Server", None)
        for name, value in SAFE.items():
            if name not in headers:
                headers[name] = value
        return status_code, headers, chunk
