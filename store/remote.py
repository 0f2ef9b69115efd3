"""How is an image on a web server or in a bucket reached, and in which words does that fail?"""

import os
import re
import urllib.parse
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from . import aws
from .errors import ForbiddenError, VolumeError

if TYPE_CHECKING:
    import tensorstore

Answer = TypeVar("Answer")
WEB, BUCKET = ("http://", "https://"), "s3://"
TIMEOUT_S = 20
"""How long a server may take over metadata, and for how long it may be silent within anything else."""
CURL = {
    "TENSORSTORE_CURL_CONNECT_TIMEOUT_SECONDS": TIMEOUT_S,
    "TENSORSTORE_CURL_LOW_SPEED_TIME_SECONDS": TIMEOUT_S,
    "TENSORSTORE_CURL_LOW_SPEED_LIMIT_BYTES": 1,
}
"""tensorstore would wait for a silent server for ever (https://github.com/google/tensorstore/issues/291)."""
RETRIES = {"max_retries": 2, "initial_delay": "500ms", "max_delay": "4s"}

NETWORK = {
    "6": ("its host is not known", "check the address, and the network"),
    "7": ("nothing answers there", "check the address, and whether the server runs"),
    "18": ("it broke off in the middle", "try again; when it stays so, the file there is damaged"),
    "28": ("it stayed silent for too long", "try again later, or copy the image here"),
    "35": ("no secure connection could be made", "check whether it is http:// rather than https://"),
    "52": ("it hung up without an answer", "try again later, or copy the image here"),
    "56": ("it broke off in the middle", "try again later, or copy the image here"),
    "60": ("its certificate is not trusted", "set TENSORSTORE_CA_BUNDLE to a file with the certificates to trust"),
}
"""What an error of curl means, and what to do."""


def is_url(place: str | Path) -> bool:
    return str(place).startswith((*WEB, BUCKET))


def is_bucket(place: str | Path) -> bool:
    """Tell whether this lies in a bucket, where the page cannot go by itself."""
    return str(place).startswith(BUCKET)


def join(place: str, inner: str) -> str:
    """Return where `inner` lies in a remote store; in a web address it is quoted."""
    return f"{place.rstrip('/')}/{inner if is_bucket(place) else urllib.parse.quote(inner)}"


def context() -> dict[str, Any]:
    """Return the part of a tensorstore context that limits what is asked of servers."""
    for name, value in CURL.items():
        os.environ.setdefault(name, str(value))
    return {
        "http_request_concurrency": {"limit": 16},
        "http_request_retries": RETRIES,
        "s3_request_concurrency": {"limit": 16},
        "s3_request_retries": RETRIES,
    }


def spec(place: str, key: str = "") -> dict[str, Any]:
    """Return the tensorstore kvstore of what lies at a URL; raises VolumeError when it cannot be one."""
    parts = urllib.parse.urlsplit(place)
    if "@" in parts.netloc:
        raise VolumeError(f"the {parts.scheme}:// address holds a password", "leave it out: addresses are written down")
    if not is_bucket(place):
        return {"driver": "http", "base_url": place.rstrip("/").replace(" ", "%20") + "/", "path": key}
    bucket, _, path = place.removeprefix(BUCKET).partition("/")
    path = path.strip("/")
    if not bucket:
        raise VolumeError(f"{place} names no bucket", "it is s3://bucket/path/image.ome.zarr")
    return aws.access().spec(bucket) | {"path": f"{path}/{key}" if path else key}


def wait(ask: Callable[[], "tensorstore.Future[Answer]"], place: str, seconds: float | None = None) -> Answer:
    """Return what is asked of a server; raises VolumeError in words of ours."""
    try:
        return ask().result(timeout=seconds)
    except TimeoutError:
        raise VolumeError(f"{place} did not answer within {seconds:g} s", NETWORK["28"][1]) from None
    except ValueError as error:
        raise explain(error, place) from None


def fetch(place: str, key: str, context: "tensorstore.Context") -> bytes | None:
    """Return what is stored under a key, None where there is nothing; raises VolumeError."""
    opened = _opened(place, "", context)
    found = wait(lambda: opened.read(key), place, TIMEOUT_S)
    return bytes(found.value) if found.state == "value" else None


def check_bucket(place: str, context: "tensorstore.Context") -> None:
    """Raise VolumeError when the bucket itself does not exist; one that may not be listed exists."""
    opened = _opened(place, "zarr.json", context)
    with suppress(ForbiddenError):
        wait(opened.list, place, TIMEOUT_S)


def _opened(place: str, key: str, context: "tensorstore.Context") -> "tensorstore.KvStore":
    import tensorstore

    kvstore = spec(place, key)
    return wait(lambda: tensorstore.KvStore.open(kvstore, context=context), place, TIMEOUT_S)


def explain(error: Exception, place: str) -> VolumeError:
    """Say what an error of tensorstore means for a remote image."""
    text = str(error)
    network = re.search(r"curl_code='(\d+)'", text)
    if network and network[1] in NETWORK:
        what, hint = NETWORK[network[1]]
        return VolumeError(f"{place} is out of reach: {what}", hint)
    if is_bucket(place):
        found = _of_bucket(text, place)
        if found:
            return found
    status = re.search(r"(?:HTTP code |http_response_code=')(\d+)", text)
    if status:
        return _of_status(int(status[1]), place)
    return VolumeError(f"{place} cannot be read: {reason(error)}", "the store is damaged, or out of reach")


def _of_bucket(text: str, place: str) -> VolumeError | None:
    bucket, access = place.removeprefix(BUCKET).partition("/")[0], aws.access()
    at = access.endpoint or "Amazon S3"
    if "NoSuchBucket" in text or "Failed to resolve aws_region" in text:
        return VolumeError(f"there is no bucket '{bucket}' at {at}", "check its name, and AWS_ENDPOINT_URL")
    if "Invalid S3 bucket name" in text:
        return VolumeError(f"'{bucket}' cannot be the name of a bucket", "it is s3://bucket/path/image.ome.zarr")
    if "get credentials" in text or "credentials provider" in text:
        hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or mend the profile"
        return VolumeError(f"the AWS credentials of {access.source} cannot be used", hint)
    if "PERMISSION_DENIED" not in text:
        return None
    if access.source:
        return ForbiddenError(
            f"{place} may not be read with the credentials of {access.source} at {at}",
            "check the path, and whether they are still valid and may read it",
        )
    return ForbiddenError(
        f"{place} may not be read without credentials, and none were found",
        "check the path, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    )


def _of_status(status: int, place: str) -> VolumeError:
    if status in (401, 403):
        return ForbiddenError(
            f"{place} is forbidden: the server answered {status}",
            "check the address; a login of a web server cannot be given",
        )
    if status in (301, 302, 307, 308):
        hint = "check AWS_REGION" if is_bucket(place) else "give the address that this one leads to"
        return VolumeError(f"{place} lies elsewhere: the server answered {status}", hint)
    return VolumeError(f"{place} cannot be read: the server answered {status}", "try again later, or copy it here")


def reason(error: Exception) -> str:
    """Return the part of a tensorstore message that a person can use."""
    return str(error).split(" [")[0].splitlines()[0][:300]
