"""Who gets in? Every route, host, origin, proof and method, against the server as it runs."""

import http.client
import itertools
import re
from collections.abc import Iterator

import pytest
from rondel.viewer import guard
from rondel.viewer.guard import FAILURES, Credentials, Failures, cookie_value, find_rule

from .served import Served, exchange, make_project, running

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")
HOSTS = ("127.0.0.1:{port}", "localhost:1", "[::1]", "evil.example", "127.0.0.1.evil.example:{port}", "")
ORIGINS = (None, "http://{host}", "https://{host}", "http://evil.example", "http://127.0.0.1:1", "null")
PROOFS = ("none", "cookie", "key", "both", "wrong", "of another project")
ROUTES = {
    "/v/{token}/": "cookie",
    "/v/{token}/paint.js": "cookie",
    "/v/unknown/": "nothing",
    "/client/main.8608d1fc21b22785.css": "cookie",
    "/s/{token}/data/box/{serial}/zarr.json": "cookie",
    "/s/unknown/data/box/{serial}/zarr.json": "nothing",
    "/events/{token}": "cookie",  # without what it must be asked with: the answer would have no end
    "/state/{token}": "cookie",
    "/action/{token}": "cookie",
    "/ws/{token}": "cookie",
    "/write": "key",
    "/show": "key",
    "/status": "key",
    "/data/box/{serial}/zarr.json": "nothing",
    "/credentials/{token}": "nothing",
    "/neuroglancer/info/{token}.x": "nothing",
    "/volume_response/{token}/1/info": "nothing",
    "/": "nothing",
    "/open/wrong": "nothing",
    "/open/{secret}": "secret",  # last: only so many sessions are kept
}
"""What opens each address."""
OWN_METHODS = {
    "/s": ("GET", "HEAD"),
    "/state": ("POST",),
    "/action": ("POST",),
    "/write": ("POST",),
    "/show": ("POST",),
}
MUST_SAY_ORIGIN = ("/state", "/action", "/ws")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with make_project(tmp_path_factory.mktemp("guarded")) as project, running(project.folder) as found:
        yield found


def may(route: str, method: str, host: str, origin: str | None, proof: str) -> bool:
    """Say whether a request is right, by the words of the design and not by the guard's code."""
    opened_by = ROUTES[route]
    first = "/" + route.split("/")[1]
    own_host = re.sub(r":\d+$", "", host) in ("127.0.0.1", "localhost", "[::1]")
    own_origin = origin in (None, f"http://{host}", f"https://{host}")
    said = origin is not None or first not in MUST_SAY_ORIGIN
    shown = {"secret": True, "cookie": proof in ("cookie", "both"), "key": proof in ("key", "both"), "nothing": False}
    return own_host and own_origin and said and shown[opened_by] and method in OWN_METHODS.get(first, ("GET",))


def test_only_what_is_right_gets_through(served):
    token = served.open()
    found = served.serving
    names = {"token": token, "secret": found.secret, "serial": found.sessions[0].serial, "port": found.port}
    wrong = {"cookie": f"{found.cookie}=x", "key": "Bearer x"}
    other = {"cookie": f"rondel-0={cookie_value(found.key)}", "key": f"Basic {found.key}"}
    right = {"cookie": served.cookie, "key": f"Bearer {found.key}"}
    shown = {
        "none": {},
        "cookie": {"Cookie": right["cookie"]},
        "key": {"Authorization": right["key"]},
        "both": {"Cookie": right["cookie"], "Authorization": right["key"]},
        "wrong": {"Cookie": wrong["cookie"], "Authorization": wrong["key"]},
        "of another project": {"Cookie": other["cookie"], "Authorization": other["key"]},
    }
    connection = http.client.HTTPConnection("127.0.0.1", found.port, timeout=30)
    passed, failed = set(), []
    for route, method, host, origin, proof in itertools.product(ROUTES, METHODS, HOSTS, ORIGINS, PROOFS):
        host = host.format(**names)
        origin = origin.format(host=host) if origin else None
        upgrade = UPGRADE if route.startswith("/ws") else {}
        headers = {"Host": host, "Origin": origin} | shown[proof] | upgrade
        body = b"{" if method in ("POST", "PUT") else None  # so that even what gets through does nothing
        heard = exchange(connection, method, route.format(**names), body, headers)
        through = heard.status in (101, 200, 400)
        if through:
            passed.add((route, method))
        elif heard.status not in (401, 403, 404, 405, 429):
            failed.append((heard.status, route, method, host, origin, proof))
        if through != may(route, method, host, origin, proof):
            failed.append((heard.status, route, method, host, origin, proof))
    connection.close()
    assert failed == []
    assert {route for route, _ in passed} == {route for route, opened_by in ROUTES.items() if opened_by != "nothing"}


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_program_on_this_host_gets_nothing(served, site):
    token = served.open(Sec_Fetch_Site=site)  # the link itself may stand anywhere
    for path in (f"/v/{token}/", f"/s/{token}/data/box/0/zarr.json", "/client/main.8608d1fc21b22785.css"):
        assert served.browse("GET", path, Sec_Fetch_Site=site).status == 403
    assert served.browse("GET", f"/v/{token}/", Sec_Fetch_Site="same-origin").status == 200
    assert served.browse("GET", f"/v/{token}/", Sec_Fetch_Site="none").status == 200


def test_the_stream_of_changes_asks_for_cookie_and_session(served):
    token = served.open()
    query = "?c=1&gc=&gs="
    assert served.ask("GET", f"/events/{token}{query}").status in (401, 429)
    assert served.browse("GET", f"/events/unknown{query}").status == 403
    assert served.browse("GET", f"/events/{token}{query}", Origin="http://evil.example").status == 403
    assert served.browse("GET", f"/events/{token}?c=1").status == 400


def test_a_cookie_of_the_same_name_from_another_port_is_no_obstacle(served):
    token, name = served.open(), served.serving.cookie
    assert served.ask("GET", f"/v/{token}/", Cookie=f"{name}=planted; {served.cookie}").status == 200
    assert served.ask("GET", f"/v/{token}/", Cookie=f"{served.cookie}; {name}=planted").status == 200


def test_who_guesses_is_slowed_down_and_who_knows_is_not(served):
    token = served.open()
    answers = [served.ask("GET", "/open/guess").status for _ in range(FAILURES + 5)]
    assert answers[-1] == 429 and set(answers) <= {401, 429}
    assert served.ask("GET", "/open/guess").headers["Retry-After"]
    assert served.browse("GET", f"/v/{token}/").status == 200 and served.verb("GET", "/status").status == 200


def test_failures_are_forgotten_and_addresses_do_not_pile_up():
    now = [0.0]
    failures = Failures(lambda: now[0])
    assert [failures.too_many("a") for _ in range(FAILURES + 1)] == [False] * FAILURES + [True]
    assert not failures.too_many("b")
    now[0] = guard.FAILURE_SECONDS + 1
    assert not failures.too_many("a")
    for k in range(3 * guard.ADDRESSES):
        failures.too_many(str(k))
    assert len(failures.counts) <= guard.ADDRESSES


@pytest.mark.parametrize("path", ["/write", "/show", "/state/{token}", "/status", "/nothing"])
def test_a_body_that_is_too_large_is_not_waited_for(served, path):
    announced = str(900 << 20)
    token = served.open()
    for headers in ({"Authorization": f"Bearer {served.serving.key}"}, {"Cookie": served.cookie}, {}):
        heard = served.ask(
            "POST", path.format(token=token), b"x", Content_Length=announced, Origin=f"http://{served.host}", **headers
        )
        assert heard.status in (400, 401, 403, 404, 405, 429)


def test_a_verb_may_send_more_than_a_page(served):
    large = b" " * (2 << 20)
    refused = served.verb("POST", "/write", large)
    assert refused.status == 400 and b"no operation" in refused.body
    page = served.browse("POST", f"/state/{served.open()}", large)
    assert page.status == 400 and b"no operation" not in page.body


def test_a_compressed_body_is_not_unpacked(served):
    import gzip

    bomb = gzip.compress(b"{" + b" " * (64 << 20))
    assert served.browse("POST", f"/state/{served.open()}", bomb, Content_Encoding="gzip").status == 400


def test_every_answer_has_the_safe_headers(served):
    token = served.open()
    answers = [
        served.ask("GET", f"/open/{served.serving.secret}"),
        served.browse("GET", f"/v/{token}/"),
        served.browse("GET", f"/v/{token}/paint.js"),
        served.browse("GET", "/client/main.8608d1fc21b22785.css"),
        served.browse("GET", f"/s/{token}/data/box/{served.serving.sessions[-1].serial}/zarr.json"),
        served.browse("GET", "/nothing"),
        served.browse("POST", f"/state/{token}", b"{"),
        served.verb("GET", "/status"),
        served.ask("GET", "/"),
        served.ask("GET", "/", Host="evil.example"),
    ]
    for heard in answers:
        assert heard.headers["Referrer-Policy"] == "no-referrer"
        assert heard.headers["X-Content-Type-Options"] == "nosniff"
        assert heard.headers["X-Frame-Options"] == "DENY"
        assert heard.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "frame-ancestors 'none'" in heard.headers["Content-Security-Policy"]
        assert "Server" not in heard.headers and "Access-Control-Allow-Origin" not in heard.headers
    kept = [heard.headers["Cache-Control"] for heard in answers]
    assert "immutable" in kept[3] and all("no-store" in k for i, k in enumerate(kept) if i not in (3, 4))


def test_the_cookie_is_for_this_browser_this_site_and_no_script(served):
    heard = served.ask("GET", f"/open/{served.serving.secret}")
    cookie = heard.headers["Set-Cookie"]
    assert cookie.startswith(f"{served.serving.cookie}=") and "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert served.serving.key not in cookie and served.serving.secret not in heard.body.decode()


def test_credentials_are_not_printed():
    assert "k3y" not in repr(Credentials("k3y", "s3cret", "rondel-1")) and "s3cret" not in repr(
        Credentials("k3y", "s3cret", "rondel-1")
    )


@pytest.mark.parametrize(
    "path",
    [
        "//v/a/",
        "/v/a/../b",
        "/v/a/b/c",
        "/V/a/",
        "/v/a b/",
        "/s/a/data",
        "/s/a/write",
        "/s/a//data/x",
        "/write/",
        "/status?",
        "http://127.0.0.1/write",
        "*",
        "",
    ],
)
def test_addresses_that_only_look_alike_have_no_rule(path):
    assert find_rule(path) == (None, None)
