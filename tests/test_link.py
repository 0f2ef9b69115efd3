import os
import socket
from dataclasses import replace

import pytest
from rondel.store.serving import Serving
from rondel.store.settings import Settings
from rondel.viewer.link import has_screen, link, over_ssh, tunnel

SERVING = Serving(os.getpid(), socket.gethostname(), "127.0.0.1", 9321, "the-key", "s3cret", "rondel-1", 1.5)


def test_the_link_names_what_is_to_be_seen():
    assert link(SERVING) == "http://127.0.0.1:9321/open/s3cret"
    assert link(SERVING, box=3) == "http://127.0.0.1:9321/open/s3cret?box=3"
    assert link(SERVING, volume="scan", model=2) == "http://127.0.0.1:9321/open/s3cret?volume=scan&model=2"
    assert link(SERVING, volume="scan", model=None).endswith("?volume=scan")


@pytest.mark.parametrize(
    ("bind", "host"),
    [("0.0.0.0", "127.0.0.1"), ("10.0.0.5", "10.0.0.5"), ("::", "[::1]"), ("fe80::1", "[fe80::1]")],
)
def test_link_and_tunnel_lead_to_where_the_server_listens(bind, host):
    there = replace(SERVING, bind=bind)
    assert link(there).startswith(f"http://{host}:9321/")
    assert tunnel(there, Settings()).startswith(f"ssh -N -L 9321:{host}:9321 ")


def test_the_tunnel_goes_to_this_machine_unless_told_otherwise(monkeypatch):
    monkeypatch.setenv("LOGNAME", "ann")
    assert tunnel(SERVING, Settings()) == f"ssh -N -L 9321:127.0.0.1:9321 ann@{socket.gethostname()}"
    told = Settings.model_validate({"serve": {"ssh": "me@gpu1"}})
    assert tunnel(SERVING, told) == "ssh -N -L 9321:127.0.0.1:9321 me@gpu1"


def test_the_key_is_in_no_link_or_tunnel():
    assert "the-key" not in link(SERVING) + tunnel(SERVING, Settings())
    assert "s3cret" not in tunnel(SERVING, Settings())


@pytest.mark.parametrize("variable", ["SSH_CONNECTION", "SSH_TTY"])
def test_a_terminal_over_ssh_has_no_screen(variable):
    shown = {"DISPLAY": ":0", "WAYLAND_DISPLAY": "wayland-0"}
    assert has_screen(shown) and not over_ssh(shown)
    assert over_ssh(shown | {variable: "x"}) and not has_screen(shown | {variable: "x"})


def test_a_machine_without_a_display_has_no_screen(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    assert not has_screen({})
    monkeypatch.setattr("sys.platform", "darwin")
    assert has_screen({}) and not has_screen({"SSH_TTY": "/dev/pts/1"})
