"""What will a prediction run on, why, and what would it cost? And is everything there that it needs?"""

import math
import os
import shutil
import time
from dataclasses import dataclass

import numpy as np
import torch

from ..store import models, ngff, remote
from ..store.box import ZYX, Box, Tile, tiles
from ..store.errors import RondelError
from ..store.labels import label_chunks
from ..store.project import Project
from ..store.records import VolumeRecord
from ..store.settings import PredictTable, RankTable
from . import device, network
from . import halo as halos
from .loaded import load
from .mapping import box_shape, region_of
from .normalise import Normalisation
from .predict import Predictor

TRIED = 96
"""Voxels a side of the piece that is predicted to measure the rate."""
GB = 1e9


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the answer."""

    about: str
    value: str
    why: str = ""
    good: bool = True
    """False where something must be mended before a prediction can run."""


def examine(project: Project, name: str, number: int | None = None) -> list[Finding]:
    """Look at the machine and at a volume, and predict a piece of it with a model, or with the network that is planned.

    Nothing is written, but in cache/ a model's network as it was compiled. What cannot be done is a finding too.
    """
    record = project.volume_record(name)
    found = [_database(project), _disk(project, record), _image(project, record)]
    try:
        chosen = device.choose(project.settings.predict)
        predictor, of = _predictor(project, record, chosen, number)
        backend = Finding("backend", predictor.backend.name, predictor.backend.why)
        found += [*_device(project, chosen), backend, _memory_format(predictor), _network(predictor, of)]
        found += _costs(project, record, predictor, trained=of.startswith("of model"))
    except RondelError as error:
        found.append(Finding("prediction", str(error.message), error.hint, good=False))
    return found


def _database(project: Project) -> Finding:
    said = project.database.connection.execute("PRAGMA quick_check").fetchone()[0]
    good = said == "ok"
    return Finding("project.db", "whole" if good else said, "" if good else "restore the newest of backups/", good)


def _disk(project: Project, record: VolumeRecord) -> Finding:
    """Compare what a map of the volume takes at most with what is free."""
    keep = project.settings.predict.probabilities
    channels = len(project.classes) if keep else 0
    most, free = record.box.voxels * (2 + channels) * 8 / 7, shutil.disk_usage(project.folder).free
    files, room = _map_files(record, channels), os.statvfs(project.folder).f_favail or math.inf  # 0: not counted
    said = f"{free / GB:.1f} GB free" + (f", and room for {room:,} files" if files >= room else "")
    what = "classes, uncertainty and probabilities" if keep else "classes and uncertainty"
    why = f"a map takes {most / GB:.2f} GB in {files:,} files at most: {what}"
    return Finding("disk", said, why, most < free and files < room)


def _map_files(record: VolumeRecord, channels: int) -> int:
    """Count the files of a map of all of a volume, with the probabilities of so many classes."""
    factors, found = ngff.level_factors(record.shape, record.spacing_nm), 0
    for lead in [(), (), (channels,)] if channels else [(), ()]:
        shape, chunks = (*lead, *record.shape), (*(1 for _ in lead), *label_chunks(record.shape))
        found += sum(level.files for level in ngff.layouts(shape, chunks, factors, "tiles"))
    return found


def _image(project: Project, record: VolumeRecord) -> Finding:
    """Read one chunk of the image."""
    began = time.perf_counter()
    try:
        piece = Box.of_shape(record.shape).intersect(Box.of_shape(record.chunks))
        read = project.open_volume(record.name).read(piece).nbytes
    except (RondelError, OSError) as error:
        return Finding("image", str(error), getattr(error, "hint", ""), good=False)
    rate = read / (time.perf_counter() - began) / 1e6
    return Finding("image", f"{record.dtype} {_by(record.shape)}", f"a chunk is read at {rate:.3g} MB/s")


def _predictor(
    project: Project, record: VolumeRecord, chosen: device.Device, number: int | None
) -> tuple[Predictor, str]:
    """Return a model's network, or where there is no model one with random weights: that is as fast."""
    model = models.one(project.database, number) if number or models.champion(project.database) else None
    if model:
        return load(project, model.number).predictor, f"of model {model.number}"
    device.prepare(chosen)
    channels, classes = len(record.channels), len(project.classes)
    plan = network.plan_network(project.settings.network, record.spacing_nm, record.shape, channels, classes)
    arrays, backend = network.state(network.build(plan, 0)), project.settings.predict.backend
    return Predictor.load(plan, arrays, chosen, backend), "as round 1 will train it"


def _device(project: Project, chosen: device.Device) -> list[Finding]:
    settings = project.settings.predict
    asked = f'[predict] device is "{settings.device}"'
    why = asked if settings.device != "auto" else "torch finds CUDA" if chosen.type == "cuda" else "torch finds no CUDA"
    precision = "bfloat16" if chosen.bfloat16 else "float32"
    native = "multiplies bfloat16 natively" if chosen.bfloat16 else "does not multiply bfloat16 natively"
    reason = f"the {'card' if chosen.type == 'cuda' else 'processor'} {native}"
    return [
        Finding("device", chosen.name, why),
        Finding("precision", precision, reason if settings.precision == "auto" else "[predict] precision says so"),
    ]


def _memory_format(predictor: Predictor) -> Finding:
    if predictor.backend.name == "openvino":
        return Finding("memory format", "blocks of channels", "OpenVINO's own")
    last = device.has_channels_last(predictor.network)
    why = "faster in these networks" if last else "convolutions this narrow are not safe channels last on a processor"
    if predictor.device.memory_format != "auto":
        why = "[predict] memory_format says so"
    return Finding("memory format", "channels last" if last else "channels first", why)


def _network(predictor: Predictor, of: str) -> Finding:
    plan = predictor.plan
    shape = f"{plan.name} {plan.dims}-D, {','.join(map(str, plan.filters))}"
    return Finding("network", shape, f"{of}; sees {_by(plan.reach)} voxels around each")


def _context(project: Project, record: VolumeRecord, predictor: Predictor, write: ZYX, trained: bool) -> Finding:
    """Say how much tiles read around themselves, and what less than the network sees costs in truth."""
    halo, exact = halos.chosen(predictor.plan, project.settings.predict), predictor.plan.halo
    if halo == exact:
        asked = project.settings.predict.halo
        beyond = "[predict] halo asks for more than is needed: " if asked != "exact" and asked > max(exact) else ""
        return Finding("context", _by(halo), f"{beyond}tiles give what one pass over the whole volume gives")
    why = "how far answers differ is measured once there is a model"
    if trained:
        volume = project.open_volume(record.name)
        why = str(halos.measure(volume, predictor, Normalisation.of(record), write, halo))
    return Finding("context", _by(halo), f"[predict] halo says so, exact is {_by(exact)}: {why}")


def _costs(project: Project, record: VolumeRecord, predictor: Predictor, trained: bool) -> list[Finding]:
    """Cut the volume into tiles, measure the rates on a piece, and say what all of it and what a round takes."""
    plan, settings = predictor.plan, project.settings
    memory, chunks = device.tile_memory(settings.predict, predictor.device), label_chunks(record.shape)
    halo = halos.chosen(plan, settings.predict)
    write = device.choose_tile(plan, record.shape, chunks, memory, predictor.device, record.box, halo)
    cut = list(tiles(record.shape, record.box, write, halo, plan.stride))
    largest = max(cut, key=lambda tile: tile.read.voxels)
    need, waste = device.bytes_per_voxel(plan, predictor.device) * largest.read.voxels, _read(cut) / record.box.voxels
    rate, reading = _rates(project, record, predictor)
    slower = min(rate, reading)  # the next tile is read while one is computed
    pool = settings.rank.candidates * math.prod(box_shape(project, record))
    region = region_of(project, record).voxels
    round_ = min(pool, region) if pool else region
    return [
        _context(project, record, predictor, write, trained),
        Finding("tile", f"{_by(write)}, {len(cut)} of them", f"reads {waste:.2f} times the voxels that it writes"),
        Finding(
            "memory",
            f"{need / GB:.2f} GB a tile",
            f"[predict] memory_gb is {_allowed(settings.predict, memory)}; {_free_memory(predictor.device)}",
        ),
        Finding("rate", f"{rate / 1e6:.2f} million voxels/s", f"measured on a piece, with {predictor.backend.name}"),
        Finding("reading", f"{reading / 1e6:.2f} million voxels/s", _reading_tells(record, reading < rate)),
        Finding("whole volume", _duration(record.box.voxels * waste / slower), f"{record.box.voxels:,} voxels"),
        _candidates(settings.rank, round_, round_ * waste / slower),
    ]


def _candidates(settings: RankTable, voxels: int, seconds: float) -> Finding:
    about, why = "a round's candidates", f"{voxels:,} voxels, by [rank] candidates"
    if settings.within and settings.within < seconds:
        return Finding(about, f"{_duration(settings.within)}, by [rank] within", f"a part of {why}")
    return Finding(about, _duration(seconds), why)


def _reading_tells(record: VolumeRecord, slower: bool) -> str:
    goes_on = "; the times below are those of reading" if slower else ""
    kept = ", of which the cache may have had some" if remote.is_url(record.url) else ""
    return f"measured on the same piece{kept}{goes_on}"


def _rates(project: Project, record: VolumeRecord, predictor: Predictor) -> tuple[float, float]:
    """Return voxels a second of a forward pass, and of reading what it is given.

    Of two passes the second counts: the first one sets up what the others use.
    """
    side = [max(TRIED // s, 1) * s for s in predictor.plan.stride]
    middle = [max((n - a) // 2, 0) // s * s for n, a, s in zip(record.shape, side, predictor.plan.stride)]
    volume, piece = project.open_volume(record.name), Box.at(middle, side)
    began = time.perf_counter()
    image = volume.read_reflected(piece)
    reading = piece.intersect(record.box).voxels / (time.perf_counter() - began)
    for _ in range(2):
        began = time.perf_counter()
        predictor.forward(image, Normalisation.of(record))
        if predictor.device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - began
    return float(np.prod(side)) / seconds, reading


def _read(cut: list[Tile]) -> int:
    return sum(tile.read.voxels for tile in cut)


def _allowed(settings: PredictTable, memory: float) -> str:
    auto = settings.memory_gb == "auto"
    return f'"auto", at most {memory / GB:.1f} here' if auto else f"{settings.memory_gb:g}"


def _free_memory(chosen: device.Device) -> str:
    if chosen.type == "cuda":
        return f"the card has {torch.cuda.mem_get_info()[0] / GB:.1f} GB free"
    try:
        return f"{os.sysconf('SC_AVPHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / GB:.1f} GB of memory are free"
    except (ValueError, OSError):  # not told on macOS
        return "how much is free is not known here"


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
