"""What does a box or a volume look like in Neuroglancer? A pure function from what there is to see to viewer state.

The scene's dimensions are z, y, x in voxels of the working level, and voxel i is centred at i: all arrays are served
with metadata that say so (virtual.py). A box therefore begins half a voxel before its first voxel's index.

    layers of a box       image · prediction · uncertainty · saved · labels · box
    layers of a volume    image · prediction · uncertainty · saved · proposed · open · done · skipped · test
"""

from collections.abc import Iterable, Sequence

import neuroglancer as ng

from ..store.box import Box
from ..store.records import LabelBox, Purpose
from ..store.settings import LabelClass
from . import addresses, names
from .addresses import What
from .views import BoxView, Contrast, View, VolumeView

BOX_COLOUR = "#ffff00"
STATE_COLOURS = {
    "proposed": "#ffd23c",
    "open": "#3ca0ff",
    "done": "#50d25a",
    "skipped": "#a0a0a0",
    "test": "#ff78d2",
}
LABELLED = ("prediction", "uncertainty", "saved", "labels", "box")
"""Names of the layers that are there whatever the volume."""
CHANNEL_COLOURS = ("#ffffff", "#ff00ff", "#00ffff", "#ffff00", "#00ff00", "#ff0000", "#0000ff")
DARK, BRIGHT = 0.08, 0.92
"""Grey of the low and the high percentile: what lies beyond can still be told apart."""
PANEL, WHOLE = 330, 640
"""Pixels of the smaller side of one of four panels, and of a single one, in a window of 1280 x 720."""
FILLED = 0.8
"""Share of it that a box fills at first: a quarter of the box's size is left around it."""

HEAT = """#uicontrol invlerp normalized(range=[0, 255])
void main() {
  float v = normalized();
  emitRGBA(vec4(colormapJet(v), v));
}
"""
STRIPED = """void main() {{
  vec3 colour;
  switch (int(toRaw(getDataValue()))) {{
{cases}    default: emitTransparent(); return;
  }}
  emitRGBA(vec4(colour, mod(gl_FragCoord.x + gl_FragCoord.y, {period}) < {width} ? 1.0 : {between}));
}}
"""
"""Diagonal stripes in the colours of the classes: what a model says is never taken for what was painted."""
STRIPES = {"period": 7.0, "width": 3.0, "between": 0.15}
"""Pixels from stripe to stripe, a stripe's width, and how opaque it is between them."""
STRIPES_OPACITY = 0.75
OUTLINE = """void main() {
  setColor(defaultColor());
  setBoundingBoxBorderWidth(2.0);
  setBoundingBoxFillColor(vec4(defaultColor(), 0.08));
}
"""


def box_scene(view: BoxView) -> ng.ViewerState:
    """Return the viewer state in which a label box is painted."""
    region = view.box.box
    flat = region.shape[0] == 1
    state = _state(view, region, flat=flat)
    _add_saved(state, view, view.box.id)
    source = _named(view, addresses.box(view.origin, view.serial))
    state.layers["labels"] = _segments(view, source, alpha=0.5)
    state.layers["box"] = _outlines([(str(view.box.id), region, "")], state.dimensions, BOX_COLOUR, pick=False)
    state.selected_layer.layer = "labels"
    state.selected_layer.visible = False
    return state


def volume_scene(view: VolumeView) -> ng.ViewerState:
    """Return the viewer state in which a whole volume is looked at; a box's outline has the box's id."""
    state = _state(view, view.record.box, flat=view.record.shape[0] == 1)
    _add_saved(state, view, 0)
    for name, colour in STATE_COLOURS.items():
        outlines = [(str(box.id), box.box, words_of(box)) for box in view.boxes if layer_of(box) == name]
        state.layers[name] = _outlines(outlines, state.dimensions, colour, pick=True)
    return state


def layer_of(box: LabelBox) -> str:
    """Return the layer in which a box is outlined in the view of a volume."""
    return "test" if box.purpose == Purpose.TEST else str(box.state)


def words_of(box: LabelBox) -> str:
    """Say what a box is, where its outline is pointed at."""
    return f"box {box.id}, {box.state}: {box.why or box.reason}"


def _state(view: View, region: Box, *, flat: bool) -> ng.ViewerState:
    """Return a scene that looks at a region, with the image and what the model says of it."""
    spacing = view.record.spacing_nm
    state = ng.ViewerState()
    state.dimensions = ng.CoordinateSpace(names=["z", "y", "x"], units="nm", scales=spacing)
    state.display_dimensions = ["x", "y", "z"]
    # a voxel's centre, so that no cross section lies between two voxels
    state.position = [(a + b - 1) // 2 for a, b in zip(region.start, region.stop)]
    extents = [n * s / min(spacing) for n, s in zip(region.shape, spacing)]
    shown = extents[1:] if flat else extents  # all of it, in every cross section
    state.cross_section_scale = max(shown) / (FILLED * (WHOLE if flat else PANEL))
    state.projection_scale = 2 * max(extents)
    state.layout = "xy" if flat else "4panel"
    state.show_default_annotations = False
    state.cross_section_background_color = "#000000"
    for name, layer in _images(view):
        state.layers[name] = layer
    if view.model is not None:
        _add_prediction(state, view, view.model)
    return state


def _images(view: View) -> Iterable[tuple[str, ng.ImageLayer]]:
    """Yield a layer for each channel; more than one are coloured and added up."""
    several = len(view.channels) > 1
    colours = [c.colour for c in view.channels]
    if len(set(colours)) < len(colours):
        colours = [CHANNEL_COLOURS[k % len(CHANNEL_COLOURS)] for k in range(len(colours))]
    source = f"{addresses.image(view.origin, view.record)}|zarr3:"
    taken: set[str] = set()
    for k, contrast in enumerate(view.contrasts):
        name = _unused(view.channels[k].name if several else "image", taken)
        layer = ng.ImageLayer(source=source, opacity=1.0, shader=_shader(contrast, coloured=several))
        window = {"normalized": {"range": [contrast.low, contrast.high]}}
        layer.shader_controls = window | ({"color": colours[k]} if several else {})
        if several:
            layer.blend = "additive"
        _place_locally(layer, view, k)
        yield name, layer


def _unused(name: str, taken: set[str]) -> str:
    """Return a layer's name that is neither taken nor one of ours."""
    reserved = {*LABELLED, *STATE_COLOURS}
    found, count = name.strip() or "image", 1
    while found in taken | reserved:
        count += 1
        found = f"{name} {count}".strip()
    taken.add(found)
    return found


def _shader(contrast: Contrast, *, coloured: bool) -> str:
    clamped, value = ("true", "normalized()") if contrast.exact else ("false", f"mix({DARK}, {BRIGHT}, normalized())")
    control = f"#uicontrol invlerp normalized(clamp={clamped})\n"
    if not coloured:
        return f"{control}void main() {{\n  emitGrayscale({value});\n}}\n"
    return f"{control}#uicontrol vec3 color color\nvoid main() {{\n  emitRGB(color * max(0.0, {value}));\n}}\n"


def _place_locally(layer: ng.ImageLayer, view: View, channel: int) -> None:
    """Set a layer to the record's time point and to one of its channels, dimensions that the scene does not have."""
    at = {"t": view.record.time or 0, "c": view.record.channels[channel]}
    axes = [a for a in view.record.axes if a in at]
    if axes:
        layer.local_dimensions = ng.CoordinateSpace(names=[f"{a}'" for a in axes], units="", scales=[1.0] * len(axes))
        layer.local_position = [at[a] for a in axes]


def _add_prediction(state: ng.ViewerState, view: View, model: int) -> None:
    """Add what a model says: its classes but the first, which is everything else, and how unsure it is."""

    def source(what: What) -> str:
        return addresses.map(view.origin, view.record, model, view.tiles, what)

    shader = _striped(view.classes[1:])
    state.layers["prediction"] = ng.ImageLayer(
        source=f"{source('classes')}|zarr3:", shader=shader, opacity=STRIPES_OPACITY
    )
    state.layers["uncertainty"] = ng.ImageLayer(source=f"{source('uncertainty')}|zarr3:", shader=HEAT, opacity=0.7)
    state.layers["uncertainty"].visible = False


def _striped(classes: Sequence[LabelClass]) -> str:
    cases = ""
    for one in classes:
        red, green, blue = (int(one.colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        cases += f"    case {one.value}: colour = vec3({red:.4f}, {green:.4f}, {blue:.4f}); break;\n"
    return STRIPED.format(cases=cases, **STRIPES)


def _add_saved(state: ng.ViewerState, view: View, box: int) -> None:
    source = _named(view, addresses.saved(view.origin, view.record, view.edit, box))
    state.layers["saved"] = _segments(view, source, alpha=0.35)


def _named(view: View, address: str) -> list[str]:
    """Return the sources of a layer of labels: the array, and the names of the classes."""
    digest = names.digest_of(view.classes)
    return [f"{address}|zarr3:", f"{addresses.names(view.origin, digest)}|neuroglancer-precomputed:"]


def _segments(view: View, source: list[str], alpha: float) -> ng.SegmentationLayer:
    return ng.SegmentationLayer(
        source=source,
        selected_alpha=alpha,
        not_selected_alpha=alpha,
        hide_segment_zero=True,
        hover_highlight=False,
        segment_colors={c.value: c.colour for c in view.classes},
    )


def _outlines(
    boxes: Sequence[tuple[str, Box, str]], dimensions: ng.CoordinateSpace, colour: str, *, pick: bool
) -> ng.LocalAnnotationLayer:
    layer = ng.LocalAnnotationLayer(dimensions=dimensions, annotation_color=colour, pick=pick)
    if pick:
        layer.shader = OUTLINE
    layer.annotations = [
        ng.AxisAlignedBoundingBoxAnnotation(
            id=id,
            description=said or None,
            point_a=[v - 0.5 for v in region.start],
            point_b=[v - 0.5 for v in region.stop],
        )
        for id, region, said in boxes
    ]
    return layer
