"""How did a person set the layers? What they chose stays when another scene comes, which is otherwise set whole.

Contrast belongs to a volume's channels; how labels and predictions look goes along to other volumes too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .scene import LABELLED

CHOSEN = ("visible", "opacity", "blend", "selectedAlpha", "notSelectedAlpha")
"""What the client leaves out of a layer where it is as Neuroglancer has it by default."""
CONTROLS = "shaderControls"


@dataclass(frozen=True, slots=True)
class Looks:
    """What a person chose, by layer, while they looked at a volume."""

    volume: str = ""
    layers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def seen(before: Looks, state: Any, volume: str) -> Looks:
    """Add what a page reports of its layers to what was chosen before; `volume` is shown next.

    What a page reports may be anything.
    """
    listed = state.get("layers") if isinstance(state, Mapping) else None
    layers = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
    found = {one["name"]: _chosen(one) for one in layers if isinstance(one.get("name"), str)}
    kept = {**before.layers, **found}
    if volume != before.volume:
        kept = {name: look for name, look in kept.items() if name in LABELLED}
    return Looks(volume, kept)


def _chosen(layer: Mapping[str, Any]) -> dict[str, Any]:
    controls = layer.get(CONTROLS)
    return {name: layer.get(name) for name in CHOSEN} | ({CONTROLS: controls} if controls else {})


def dress(state: dict[str, Any], looks: Looks) -> dict[str, Any]:
    """Return a scene, as JSON, with its layers as they were chosen to look."""
    return {**state, "layers": [_dressed(layer, looks.layers.get(layer["name"], {})) for layer in state["layers"]]}


def _dressed(layer: dict[str, Any], look: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**layer, **look}.items() if value is not None}
