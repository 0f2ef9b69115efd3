"""What are the classes called in the client? Its segment properties, inline, as one small document.

https://github.com/google/neuroglancer/blob/master/src/datasource/precomputed/segment_properties.md
"""

import json
from collections.abc import Sequence

from ..store.settings import LabelClass
from .addresses import digest


def document(classes: Sequence[LabelClass]) -> bytes:
    """Return the names of the classes as the client reads them."""
    label = {"id": "label", "type": "label", "values": [c.name for c in classes]}
    inline = {"ids": [str(c.value) for c in classes], "properties": [label]}
    return json.dumps({"@type": "neuroglancer_segment_properties", "inline": inline}).encode()


def digest_of(classes: Sequence[LabelClass]) -> str:
    return digest(document(classes))
