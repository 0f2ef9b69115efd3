"""The guard as a browser meets it: policy, cookie, other sites, and a camera that outlives the server."""

import http.server
import json
import threading
from collections.abc import Iterator

import pytest
from rondel.store import serving

from .browser import SIZE, Screen, Server

ATTACKS = """async ([target, token, serial]) => {
  const tried = {};
  const read = async (name, url, options) => {
    try { const r = await fetch(url, options); tried[name] = r.type === "opaque" ? "unseen" : `read ${r.status}`; }
    catch { tried[name] = "refused"; }
  };
  const own = { credentials: "include" };
  await read("data", `${target}/s/${token}/data/box/${serial}/zarr.json`, own);
  await read("page", `${target}/v/${token}/`, { ...own, mode: "no-cors" });
  await read("state", `${target}/state/${token}`, { ...own, method: "POST", mode: "no-cors", body: "{}" });
  await read("status", `${target}/status`, own);
  tried.socket = await new Promise((done) => {
    const socket = new WebSocket(`${target.replace("http", "ws")}/ws/${token}`);
    socket.onopen = () => done("open");
    socket.onerror = () => done("refused");
  });
  tried.script = await new Promise((done) => {
    const script = document.createElement("script");
    script.onload = () => done("ran");
    script.onerror = () => done("refused");
    script.src = `${target}/v/${token}/paint.js`;
    document.head.append(script);
  });
  tried.frame = await new Promise((done) => {
    const frame = document.createElement("iframe");
    frame.onload = () => { try { done(frame.contentDocument ? "same" : "foreign"); } catch { done("foreign"); } };
    frame.src = `${target}/v/${token}/`;
    document.body.append(frame);
  });
  return tried;
}"""


@pytest.fixture
def screen(chromium, server: Server) -> Screen:
    return Screen(chromium, server, box=server.painted.ids[0]).ready()


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """A page of another program on this host."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>elsewhere</title>")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{found.server_address[1]}/"
        found.shutdown()
        thread.join()


def test_the_policy_lets_the_page_work_and_nothing_leaks(chromium, server: Server):
    screen = Screen(chromium, server, box=server.painted.ids[0])
    referers = []
    screen.page.on("request", lambda request: referers.append(request.all_headers().get("referer")))
    screen.page.reload()
    screen.wait("window.rondel?.sync.head")
    screen.ready()
    assert screen.faults == []
    assert referers and not any(referers)
    found = serving.load(server.folder)
    assert found
    assert screen.ask("document.cookie") == ""
    for told in (screen.page.title(), screen.ask("document.referrer"), screen.page.url):
        assert found.secret not in told and found.key not in told
    assert screen.page.url.split("/v/")[1].strip("/") not in screen.page.title()


def test_what_a_script_of_another_place_is_refused_by_the_policy(screen: Screen):
    tried = screen.ask(
        """() => Promise.all([
          fetch("http://127.0.0.1:9/").then(() => "sent", () => "refused"),
          new Promise((done) => {
            const script = document.createElement("script");
            script.onload = () => done("ran"); script.onerror = () => done("refused");
            script.src = "http://127.0.0.1:9/x.js"; document.head.append(script);
          }),
          new Promise((done) => {
            document.addEventListener("securitypolicyviolation", () => done("refused"), { once: true });
            const inline = document.createElement("script");
            inline.textContent = "window.injected = true"; document.head.append(inline);
            setTimeout(() => done(window.injected ? "ran" : "refused"), 500);
          }),
        ])"""
    )
    assert tried == ["refused", "refused", "refused"]
    assert any("Content Security Policy" in fault for fault in screen.faults)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_page_from_elsewhere_gets_nothing_though_the_browser_has_the_cookie(
    screen: Screen, elsewhere: str, host: str
):
    found = serving.load(screen.server.folder)
    assert found
    token = screen.page.url.split("/v/")[1].strip("/")
    serial = next(session.serial for session in found.sessions if session.token == token)
    other = screen.page.context.new_page()
    other.goto(elsewhere.replace("127.0.0.1", host))
    tried = other.evaluate(ATTACKS, [f"http://127.0.0.1:{found.port}", token, serial])
    assert tried["data"] == tried["status"] == tried["socket"] == tried["script"] == "refused", json.dumps(tried)
    assert tried["page"] in ("refused", "unseen") and tried["state"] in ("refused", "unseen")
    assert tried["frame"] == "foreign"
    other.close()


def test_the_link_works_from_another_site(chromium, server: Server, elsewhere: str):
    """A SameSite=Strict cookie is not sent along a redirect that began elsewhere: so the link is a page."""
    context = chromium.new_context(viewport=SIZE)
    page = context.new_page()
    page.goto(elsewhere.replace("127.0.0.1", "localhost"))
    page.evaluate("(link) => { location.href = link; }", server.link(box=server.painted.ids[0]))
    page.wait_for_function("window.rondel?.sync.head")
    context.close()


def test_a_camera_outlives_the_server(screen: Screen):
    center = "[...window.viewer.navigationState.position.value]"
    screen.go((3, 4, 5))
    before = screen.ask(center)
    with screen.page.expect_console_message(lambda told: "event source connected" in told.text):
        screen.server.stop()
        screen.server.start()
    screen.wait("rondel.sync.connected && rondel.sync.mirror.ready")
    assert screen.ask(center) == before
    with screen.page.expect_response(lambda answer: "/state/" in answer.url) as told:
        screen.go((6, 7, 8))
    assert told.value.status == 200  # page and server are of one mind on what came before
    moved = screen.ask(center)
    assert moved != before
    screen.page.reload()
    screen.wait("window.rondel?.sync.head")
    screen.ready()
    assert screen.ask(center) == moved
