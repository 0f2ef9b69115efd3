"""How do images and labels come into a project, and results out of it? The import and export jobs."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from ..store import edits, exporters, importers, label_boxes, labels, ledger, models, ngff, volume
from ..store import project as projects
from ..store.arrays import is_url
from ..store.box import Box, Tile
from ..store.errors import InvalidDataError, LabelError, UsageError
from ..store.finish import finish
from ..store.maps import Maps
from ..store.project import Project
from ..store.records import EditKind, LabelBox, Purpose, State, VolumeRecord
from ..store.writer import open_writer
from .engine import undone
from .report import Report

PURPOSES = ("train", "test", "truth")
WHAT = ("classes", "labels", "probabilities", "uncertainty")
TIFF, ZARR = (".tif", ".tiff", ".btf"), (".zarr",)


def is_ome_zarr(image: str) -> bool:
    """Tell whether an image is referenced where it is, as OME-Zarr volumes are, and not imported."""
    if "://" in image and not is_url(image):
        raise UsageError(f"{image} is of no kind of address that is read", "http://, https:// and s3:// are")
    folder = Path(image)
    return is_url(image) or any((folder / name).exists() for name in ("zarr.json", ".zgroup", ".zattrs"))


def volume_name(image: str) -> str:
    """Make a volume's name from its file's: scan.ome.tif becomes scan."""
    name = image.rstrip("/").rpartition("/")[2]
    for ending in (".ome.zarr", ".zarr", ".ome.tiff", ".ome.tif", ".tiff", ".tif", ".btf", ".npy"):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name


def work_import(project: Project, arguments: dict[str, Any], report: Report) -> dict[str, Any]:
    """Add an image, labels, or both; returns what was added."""
    if not arguments["image"]:
        return _add_labels(project, project.volume_record(arguments["name"]), arguments, report)
    record = add_image(project, arguments, report)
    try:
        return _add_labels(project, record, arguments, report)
    except InvalidDataError:
        if not arguments["relink"]:
            projects.forget_volume(project, record.name)  # an image and labels that do not fit: neither is added
        raise


def _add_labels(project: Project, record: VolumeRecord, arguments: dict[str, Any], report: Report) -> dict[str, Any]:
    if not arguments["labels"]:
        return {"volume": record.name}
    mapping = {int(k): v for k, v in arguments["mapping"].items()} or None
    path = Path(arguments["labels"])
    if arguments["purpose"] == "truth":
        import_truth(project, record, path, mapping, report)
        return {"volume": record.name, "truth": True}
    boxes = import_labels(project, record, path, mapping, Purpose(arguments["purpose"]), report)
    return {"volume": record.name, "boxes": len(boxes)}


def add_image(project: Project, arguments: dict[str, Any], report: Report) -> VolumeRecord:
    """Reference an OME-Zarr image, or import another one, and record it as a volume."""
    image, name = arguments["image"], arguments["name"]
    normalise = project.settings.normalise
    choice = {key: arguments[key] for key in ("level", "time", "channels", "spacing", "unit")}
    percentiles = (normalise.low, normalise.high)
    if is_ome_zarr(image):
        url = image if is_url(image) else str(Path(image).resolve())
        record = volume.describe(name, url, percentiles=percentiles, root=project.folder, **choice)
        if arguments["relink"]:
            projects.relink(project, record)
            return project.volume_record(name)
        return projects.add_volume(project, record)
    with projects.new_volume(project, name) as target:
        importers.import_image(
            Path(image),
            target,
            name=name,
            axes=arguments["axes"],
            spacing=choice["spacing"],
            unit=choice["unit"],
            time=choice["time"],
            channels=choice["channels"],
            progress=_progress(report, f"import {name}"),
        )
        record = volume.describe(
            name,
            target.relative_to(project.folder).as_posix(),
            level=choice["level"],
            percentiles=percentiles,
            imported=True,
            root=project.folder,
            channels=tuple(range(_channels(target))),
        )
        return projects.add_volume(project, record)


def import_labels(
    project: Project,
    record: VolumeRecord,
    path: Path,
    mapping: dict[int, int] | None,
    purpose: Purpose,
    report: Report,
) -> list[int]:
    """Journal labels that exist already, as done boxes on the label chunk grid; returns the boxes' ids.

    The whole file is checked before the first edit. Raises LabelError for another shape or undeclared values.
    """
    source = _open(project, record, path, mapping)
    blocks = []
    for n, block in enumerate(grid := list(_blocks(record)), 1):
        report("check labels", n, len(grid), "blocks")
        if source.read(block).any():
            blocks.append(block)
    if not blocks:
        raise LabelError(f"{path.name} holds no labels, only 0", "0 is unlabelled; map values with --map 0=1,1=2")
    known = {b.box: b for b in label_boxes.select(project.database, volume=record.name) if b.strategy == "import"}
    for block, taken in itertools.product(blocks, label_boxes.taken(project.database, record.name)):
        if block.overlaps(taken) and block not in known:
            raise LabelError(f"labels of {block} meet the label box {taken}", "import labels before boxes are proposed")
    ids = []
    for n, block in enumerate(blocks, 1):
        report("import labels", n, len(blocks), "blocks")
        ids.append(_import_block(project, record, block, source.read(block), purpose, path.name, known.get(block)))
    return ids


def import_truth(project: Project, record: VolumeRecord, path: Path, mapping: dict[int, int] | None, report: Report):
    """Keep dense labels for oracles: they are not journalled and never trained on."""
    source = _open(project, record, path, mapping)
    for n, block in enumerate(grid := list(_blocks(record)), 1):
        report("check labels", n, len(grid), "blocks")
        source.read(block)
    exporters.export_ome_zarr(
        project.truth_path(record.name),
        source.read,
        name=record.name,
        axes="zyx",
        shape=record.shape,
        dtype="uint8",
        spacing_nm=record.spacing_nm,
        translation_nm=record.translation_nm,
        unit=record.unit,
        kind="mode",
        label=labels.metadata(project),
        progress=_progress(report, "store truth"),
    )
    projects.set_truth(project, record.name, project.truth_path(record.name).relative_to(project.folder).as_posix())


def work_export(project: Project, arguments: dict[str, Any], report: Report) -> dict[str, Any]:
    """Write labels or a model's output on a volume to OME-Zarr or OME-TIFF."""
    record = project.volume_record(arguments["volume"])
    target, what, region = check_target(Path(arguments["target"])), arguments["what"], record.box
    if what == "labels":
        with open_writer(project) as writer:
            writer.catch_up()
            array = labels.open_labels(project, record.name)
        axes, names = "zyx", ()

        def read(box: Box) -> np.ndarray:
            return np.asarray(array[box.slices].read().result())
    else:
        read, names = _map_reader(project, record, what, arguments["model"])
        axes = "czyx" if what == "probabilities" else "zyx"
    shape = (len(names), *region.shape) if axes == "czyx" else region.shape
    common: dict[str, Any] = {
        "axes": axes,
        "shape": shape,
        "dtype": "uint8",
        "spacing_nm": record.spacing_nm,
        "unit": record.unit,
        "progress": _progress(report, f"export {what}"),
    }
    if target.name.lower().endswith(TIFF):
        exporters.export_tiff(target, read, channel_names=names, **common)
    else:
        label = labels.metadata(project) if what in ("classes", "labels") else None
        exporters.export_ome_zarr(
            target,
            read,
            name=f"{record.name}-{what}",
            translation_nm=record.translation_nm,
            kind="mode" if label else "mean",
            label=label,
            channel_names=names,
            **common,
        )
    return {"path": str(target), "what": what}


def check_target(target: Path) -> Path:
    """Return where an export may be written; raises UsageError when it is there, or its ending names no format."""
    if target.exists():
        raise UsageError(f"{target} is there already", "name a new file, or remove the old one")
    if not target.name.lower().endswith(TIFF + ZARR):
        raise UsageError(f"{target.name} ends like no format written here", "name it .ome.zarr, or .tif for OME-TIFF")
    return target


def _map_reader(project: Project, record: VolumeRecord, what: str, number: int | None):
    model = models.one(project.database, number)
    done = ledger.done_tiles(project.database, record.name, model.number, probabilities=what == "probabilities")
    bins = Maps.open(project.folder, record.name, model.number).plan.bin if done else (1, 1, 1)
    if undone([Tile(record.box, record.box)], done, bins):
        more = " --probabilities" if what == "probabilities" else ""
        raise UsageError(
            f"the {what} of model {model.number} on '{record.name}' are not complete",
            f"run 'rondel predict {record.name} --model {model.number}{more}' first",
        )
    maps = Maps.open(project.folder, record.name, model.number)
    names = model.classes if what == "probabilities" else ()
    return {
        "classes": maps.read_classes,
        "uncertainty": maps.read_uncertainty,
        "probabilities": maps.read_probabilities,
    }[what], names


def _import_block(
    project: Project,
    record: VolumeRecord,
    block: Box,
    values: np.ndarray,
    purpose: Purpose,
    origin: str,
    known: LabelBox | None,
) -> int:
    """Write one block as a box and an edit; a block that an interrupted import finished is left as it is."""
    if known and known.state == State.DONE:
        return known.id
    database, person = project.database, projects.person()
    box = LabelBox(
        0, record.name, block, 0, purpose, State.OPEN, 0.0, f"imported from {origin}", "import", person=person
    )
    id = known.id if known else label_boxes.add(database, [box])[0]
    edits.submit(
        project,
        edits.Stroke(
            EditKind.IMPORT, record.name, block, values > 0, values, person, f"import-{record.name}-{id}", 1, id
        ),
    )
    return finish(project, id, person).id


def _open(project: Project, record: VolumeRecord, path: Path, mapping: dict[int, int] | None) -> importers.LabelSource:
    source = importers.open_labels(path, mapping, len(project.classes))
    if tuple(source.shape) != record.shape:
        raise LabelError(
            f"{path.name} has shape {tuple(source.shape)}, volume '{record.name}' has {record.shape}",
            "labels must cover the whole volume at its working level",
        )
    return source


def _blocks(record: VolumeRecord):
    pitch = labels.label_chunks(record.shape)
    counts = [range(-(-n // p)) for n, p in zip(record.shape, pitch)]
    for index in itertools.product(*counts):
        yield Box.at([i * p for i, p in zip(index, pitch)], pitch).intersect(record.box)


def _channels(image: Path) -> int:
    metadata = ngff.read_metadata(image)
    names = [axis.name for axis in metadata.axes]
    return metadata.levels[0].shape[names.index("c")] if "c" in names else 1


def _progress(report: Report, stage: str):
    def progress(done: float, total: float, unit: str) -> None:
        report(stage, done, total, unit)

    return progress
