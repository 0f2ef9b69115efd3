"""Servers that images lie on: buckets, a web server that can be told to misbehave, and one that is silent."""

import functools
import http.server
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

SECRET = "wJalrXUtnFEMI-K7MDENG"


@dataclass
class Web:
    """A web server of a folder's files."""

    address: str = ""
    asked: list[str] = field(default_factory=list)
    """Paths of chunks that were asked for."""
    trouble: str = ""
    """What chunks are answered with: "", "hang", "cut" or a status."""
    delay: float = 0.0
    """Seconds before a chunk is answered."""
    left: threading.Event = field(default_factory=threading.Event)


class _Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *arguments, web: Web, directory: str) -> None:
        self.web = web
        super().__init__(*arguments, directory=directory)

    def do_GET(self) -> None:
        if "/c/" not in self.path:
            return super().do_GET()
        self.web.asked.append(self.path)
        self.web.left.wait(self.web.delay)
        if self.web.trouble == "hang":
            self.web.left.wait()
        elif self.web.trouble == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"x" * 10)
        elif self.web.trouble:
            self.send_error(int(self.web.trouble))
        else:
            super().do_GET()
        return None

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def web_server(folder: Path) -> Iterator[Web]:
    web = Web()
    handler = functools.partial(_Handler, web=web, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    web.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield web
    finally:
        web.left.set()
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def silent_server() -> Iterator[str]:
    """Accept connections and never answer."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@dataclass(frozen=True)
class Buckets:
    """An S3 server with the buckets "open", which anybody may read, and "closed"."""

    endpoint: str

    def put(self, folder: Path) -> None:
        """Copy an image into both buckets, below data/."""
        who = {"aws_access_key_id": "me", "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
        client = boto3.client("s3", endpoint_url=self.endpoint, **who)
        for bucket, access in (("open", "public-read"), ("closed", "private")):
            client.create_bucket(Bucket=bucket, ACL=access)
            for file in folder.rglob("*"):
                if file.is_file():
                    key = f"data/{file.relative_to(folder.parent).as_posix()}"
                    client.put_object(Bucket=bucket, Key=key, Body=file.read_bytes(), ACL=access)


@contextmanager
def bucket_server() -> Iterator[Buckets]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        yield Buckets("http://{}:{}".format(*server.get_host_and_port()))
    finally:
        server.stop()


def forget_credentials(patch: pytest.MonkeyPatch, home: Path) -> None:
    """Let the tests find none of the credentials, settings and chunks of whoever runs them."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE", "DEFAULT_PROFILE", "REGION"):
        patch.delenv(f"AWS_{name}", raising=False)
    patch.setenv("AWS_CONFIG_FILE", str(home / "aws" / "config"))
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(home / "aws" / "credentials"))
    patch.setenv("XDG_CACHE_HOME", str(home / "cache"))
