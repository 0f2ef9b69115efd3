"""Which credentials, region and endpoint reach a bucket? What AWS's own tools would take; none where there are none.

Looked up in the environment and then in a profile of ~/.aws, in the order of
https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html. A secret is never read into anything
that is kept or told: tensorstore is told where they lie.
"""

import configparser
import os
from dataclasses import dataclass
from pathlib import Path

from .errors import VolumeError

LENT = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_WEB_IDENTITY_TOKEN_FILE")
"""Set where a machine is lent credentials."""
ASKED_FOR = ("role_arn", "sso_session", "sso_start_url", "credential_process", "web_identity_token_file")
"""Keys of a profile that says whom to ask for credentials."""


@dataclass(frozen=True, slots=True)
class Access:
    """How a bucket is reached."""

    credentials: dict[str, str]
    """The `aws_credentials` of a tensorstore spec."""
    source: str
    """Where the credentials come from, in words; empty where there are none."""
    endpoint: str
    """URL of another S3 server than Amazon's; empty for Amazon's."""
    region: str
    """Region that signatures name to another server; Amazon's is found by asking the bucket."""

    def spec(self, bucket: str) -> dict[str, object]:
        """Return the part of a tensorstore spec that names the bucket."""
        spec: dict[str, object] = {"driver": "s3", "bucket": bucket, "aws_credentials": self.credentials}
        if self.endpoint:
            spec |= {"endpoint": self.endpoint} | ({"aws_region": self.region} if self.region else {})
        return spec


def access() -> Access:
    """Look up how buckets are reached; raises VolumeError when AWS_PROFILE names a profile that there is not."""
    name = _variable("AWS_PROFILE", "AWS_DEFAULT_PROFILE")
    config = _file("AWS_CONFIG_FILE", "config")
    secrets = _file("AWS_SHARED_CREDENTIALS_FILE", "credentials")
    profile = _profile(name or "default", config, secrets)
    if name and profile is None and not _variable("AWS_ACCESS_KEY_ID"):
        raise VolumeError(f"AWS_PROFILE names '{name}', which is not in {config} or {secrets}", "name one that is")
    profile = profile or {}
    credentials, source = _credentials(name or "default", profile, config, secrets)
    endpoint = _variable("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL") or profile.get("endpoint_url", "")
    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise VolumeError(f"AWS_ENDPOINT_URL is '{endpoint}'", "it begins with http:// or https://")
    return Access(
        credentials,
        source,
        endpoint.rstrip("/"),
        _variable("AWS_REGION", "AWS_DEFAULT_REGION") or profile.get("region", ""),
    )


def _credentials(name: str, profile: dict[str, str], config: Path, secrets: Path) -> tuple[dict[str, str], str]:
    if _variable("AWS_ACCESS_KEY_ID"):
        return {"type": "environment"}, "AWS_ACCESS_KEY_ID"
    if "aws_access_key_id" in profile:
        # tensorstore finds neither file by itself, and complains of one that does not exist
        files = {"config_file": config, "credentials_file": secrets}
        there = {key: str(path if path.is_file() else os.devnull) for key, path in files.items()}
        return {"type": "profile", "profile": name, **there}, f"the profile '{name}'"
    if any(key in profile for key in ASKED_FOR) or _variable(*LENT):
        return {"type": "default", "profile": name}, f"the profile '{name}' or this machine"
    return {"type": "anonymous"}, ""


def _variable(*names: str) -> str:
    return next((os.environ[name] for name in names if os.environ.get(name)), "")


def _file(variable: str, name: str) -> Path:
    return Path(_variable(variable) or f"~/.aws/{name}").expanduser()


def _profile(name: str, config: Path, secrets: Path) -> dict[str, str] | None:
    """Return what both files say of a profile; None where neither knows it."""
    in_config = name if name == "default" else f"profile {name}"
    found = [_section(config, in_config), _section(secrets, name)]
    return None if found == [None, None] else (found[0] or {}) | (found[1] or {})


def _section(path: Path, name: str) -> dict[str, str] | None:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read(path)
    except (configparser.Error, OSError, UnicodeDecodeError):
        raise VolumeError(
            f"{path} cannot be read", "mend it, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from None
    return dict(parser.items(name)) if parser.has_section(name) else None
