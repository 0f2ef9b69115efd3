"""Can the page decode chunks as they are stored, and how is that said in zarr v3?

Neuroglancer 2.41.2 decodes what is let through here (src/datasource/zarr/codec). zarr v2 arrays are described in the
words of v3, so that there is one kind of store to serve. Anything else is decoded by the server.
"""

from collections.abc import Sequence
from typing import Any

Codec = dict[str, Any]

COMPRESSORS = ("blosc", "gzip", "zstd", "crc32c")
BLOSC_NAMES = ("blosclz", "lz4", "lz4hc", "zlib", "zstd")
SHUFFLES = {0: "noshuffle", 1: "shuffle", 2: "bitshuffle"}


class Undecodable(Exception):
    """The page cannot decode these chunks."""


def of_v3(codecs: Sequence[Codec], *, added: bool) -> list[Codec]:
    """Return the codecs of a v3 array for the page; `added` puts an axis of length 1 before its own.

    An axis of length 1 changes no byte of a chunk, only how its shape is written. Raises Undecodable.
    """
    served = [_v3(codec, added) for codec in codecs]
    _check_order([codec["name"] for codec in served])
    return served


def _v3(codec: Codec, added: bool) -> Codec:
    name, settings = codec["name"], codec.get("configuration") or {}
    if name == "transpose":
        order = settings.get("order")
        if not isinstance(order, list):
            raise Undecodable(f"transpose {order}")
        return {"name": name, "configuration": {"order": [0, *(a + 1 for a in order)] if added else order}}
    if name == "sharding_indexed":
        return {"name": name, "configuration": _sharding(settings, added)}
    if name == "blosc" and settings.get("cname") not in BLOSC_NAMES:
        raise Undecodable(f"blosc {settings.get('cname')}")
    if name not in ("bytes", *COMPRESSORS):
        raise Undecodable(name)
    return {"name": name} | ({"configuration": settings} if settings else {})


def _sharding(settings: dict[str, Any], added: bool) -> dict[str, Any]:
    inner = of_v3(settings["codecs"], added=added)
    index = of_v3(settings["index_codecs"], added=False)
    if any(codec["name"] == "sharding_indexed" for codec in inner) or index[0]["name"] != "bytes":
        raise Undecodable("shards in shards")
    shape = [1, *settings["chunk_shape"]] if added else settings["chunk_shape"]
    return settings | {"chunk_shape": shape, "codecs": inner, "index_codecs": index}


def _check_order(names: list[str]) -> None:
    """Refuse chains that Neuroglancer refuses: one codec makes bytes, and nothing comes after shards."""
    whole = [n for n in names if n in ("bytes", "sharding_indexed")]
    after = names[names.index(whole[0]) + 1 :] if whole else []
    if len(whole) != 1 or "transpose" in after or (whole == ["sharding_indexed"] and after):
        raise Undecodable(", ".join(names))
    if any(n != "transpose" for n in names[: names.index(whole[0])]):
        raise Undecodable(", ".join(names))


def of_v2(stored: dict[str, Any], item_bytes: int, *, added: bool) -> list[Codec]:
    """Return the codecs by which v3 says what a .zarray says; `added` as above. Raises Undecodable."""
    if stored.get("filters"):
        raise Undecodable("filters")
    rank = len(stored["shape"]) + added
    endian = "big" if str(stored["dtype"]).startswith(">") else "little"
    codecs: list[Codec] = [{"name": "bytes", "configuration": {"endian": endian}}]
    if stored.get("order") == "F":
        # an added axis comes first and has length 1, so that it may as well stay first
        turned = [*range(added), *reversed(range(int(added), rank))]
        codecs.insert(0, {"name": "transpose", "configuration": {"order": turned}})
    compressor = stored.get("compressor")
    return [*codecs, _v2_compressor(compressor, item_bytes)] if compressor else codecs


def _v2_compressor(compressor: dict[str, Any], item_bytes: int) -> Codec:
    name = compressor["id"]
    if name == "gzip":
        return {"name": name, "configuration": {"level": compressor["level"]}}
    if name == "zstd":
        return {"name": name, "configuration": {"level": compressor.get("level", 0), "checksum": False}}
    if name != "blosc" or compressor["cname"] not in BLOSC_NAMES:
        raise Undecodable(name)  # zlib among them: v3 has no word for it
    shuffle = compressor.get("shuffle", 1)
    if shuffle == -1:  # numcodecs: bits of bytes, bytes of anything longer
        shuffle = 2 if item_bytes == 1 else 1
    settings = {"typesize": item_bytes, "cname": compressor["cname"], "clevel": compressor["clevel"]}
    return {
        "name": name,
        "configuration": settings | {"shuffle": SHUFFLES[shuffle], "blocksize": compressor.get("blocksize", 0)},
    }
