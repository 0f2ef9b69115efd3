"""At which address does the page find each array? Built by the scene, understood by the routes.

    /data/image/VOLUME/TAG/KEY                           the image
    /data/map/VOLUME/TAG/MODEL/TILES/WHAT/KEY            WHAT: classes, uncertainty
    /data/saved/VOLUME/TAG/EDIT/BOX/KEY                  labels on disk without those in label box BOX; 0: all
    /data/box/SERIAL/KEY                                 the box being painted
    /data/names/DIGEST/info                              names of the classes

The client keeps what it read for as long as the address stays the same. So an address holds what makes its content
another one: TAG says how the volume is read, TILES how far the map is, EDIT how far the labels are. TILES and EDIT
are only there to differ; the others are looked up. An address never becomes a path.
"""

import hashlib
from typing import Literal, NamedTuple

from ..store.project import NAME
from ..store.records import VolumeRecord

What = Literal["classes", "uncertainty"]

_NUMBER = "(?:0|[1-9][0-9]{0,9})"
_VOLUME, _TAG = rf"({NAME.pattern})", "([0-9a-f]{16})"
_LEVEL = "s(?:0|[1-9][0-9]?)"
_KEY = rf"((?:{_LEVEL}/)?zarr\.json|{_LEVEL}/c(?:/{_NUMBER}){{2,5}})"
IMAGE = rf"/data/image/{_VOLUME}/{_TAG}/{_KEY}"
MAP = rf"/data/map/{_VOLUME}/{_TAG}/({_NUMBER})/{_NUMBER}/(classes|uncertainty)/{_KEY}"
SAVED = rf"/data/saved/{_VOLUME}/{_TAG}/{_NUMBER}/({_NUMBER})/{_KEY}"
BOX = rf"/data/box/([0-9A-Za-z_-]{{1,64}})/{_KEY}"
NAMES = rf"/data/names/{_TAG}/info"


class Key(NamedTuple):
    """Which file of a virtual store is meant."""

    level: int | None
    """None: the group."""
    chunk: tuple[int, ...] | None
    """None: metadata."""


def parse_key(text: str) -> Key:
    """Understand a key that one of the patterns above let through."""
    level, *rest = text.split("/")
    if not rest:
        return Key(None, None)
    return Key(int(level[1:]), None if rest == ["zarr.json"] else tuple(int(part) for part in rest[1:]))


def tag(record: VolumeRecord) -> str:
    """Return what changes when a volume is read in another way: relinked, or taken back and added anew."""
    parts = (record.url, record.level, record.time, record.axes, record.shape, record.spacing_nm, record.created)
    return digest(repr(parts).encode())


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def image(origin: str, record: VolumeRecord) -> str:
    return f"{origin}/data/image/{record.name}/{tag(record)}/"


def map(origin: str, record: VolumeRecord, model: int, tiles: int, what: What) -> str:
    return f"{origin}/data/map/{record.name}/{tag(record)}/{model}/{tiles}/{what}/"


def saved(origin: str, record: VolumeRecord, edit: int, box: int = 0) -> str:
    return f"{origin}/data/saved/{record.name}/{tag(record)}/{edit}/{box}/"


def box(origin: str, serial: str) -> str:
    return f"{origin}/data/box/{serial}/"


def names(origin: str, names_digest: str) -> str:
    return f"{origin}/data/names/{names_digest}/"
