"""A link that opens nothing says so on a page in our style, with the right status, and repeats nothing it was sent."""

import http.client

import pytest
from rondel.store import serving
from rondel.viewer import notice

from .browser import Server

WRONG = {
    "/open/wrong": (401, "This link opens nothing."),
    "/open/{secret}?box=999": (404, "There is no box 999."),
    "/open/{secret}?volume=nowhere": (404, "There is no volume 'nowhere'."),
    "/open/{secret}?box=%3Cscript%3E": (404, "The link asks for a box that cannot be."),
    "/v/expired/": (403, "This page is not open here."),
    "/nothing": (404, "There is nothing at this address."),
}


def test_words_are_shown_as_text():
    shown = notice.notice("<script>alert(1)</script>", '"><img src=x>')
    assert "<script>" not in shown and "<img" not in shown and "&lt;script&gt;" in shown


@pytest.mark.parametrize("path", WRONG)
def test_a_wrong_link_opens_a_page_that_says_what_to_do(chromium, server: Server, path: str):
    status, sentence = WRONG[path]
    found = serving.load(server.folder)
    assert found
    with chromium.new_context() as context:
        page, complaints = context.new_page(), []
        page.on("console", lambda told: "Content Security" in told.text and complaints.append(told.text))
        context.request.get(server.link(box=server.painted.ids[0]))  # this browser has the cookie
        answer = page.goto(f"http://127.0.0.1:{found.port}{path.format(secret=found.secret)}")
        assert (answer.status, page.locator("h1").inner_text()) == (status, sentence)
        assert len(page.locator("p").inner_text()) > 10
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 28)"
        assert complaints == [] and answer.headers["cache-control"] == "no-store"


def test_a_program_is_told_in_plain_text(server: Server):
    found = serving.load(server.folder)
    assert found
    connection = http.client.HTTPConnection("127.0.0.1", found.port)
    connection.request("GET", "/open/wrong")
    answer = connection.getresponse()
    assert answer.status == 401 and answer.headers["Content-Type"].startswith("text/plain")
    assert answer.read().decode().splitlines()[0] == "401 Unauthorized"
    connection.close()
