"""Where does it run? CPU or CUDA, in which precision and memory format, and by how large a tile.

`torch` runs these networks fastest with channels last, and in bfloat16 where the processor multiplies it natively.
"""

import ctypes
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import torch

from ..store.box import ZYX, Box
from ..store.errors import OutOfMemoryError, SettingsError
from ..store.settings import PredictTable
from .memory import machine
from .network import NetworkPlan

Precision = Literal["auto", "float32", "bfloat16"]
MemoryFormat = Literal["auto", "channels_last", "channels_first"]
Network = TypeVar("Network", bound=torch.nn.Module)

ACTIVATIONS = {3: 3.7, 2: 4.4}
"""Full-resolution maps of the first level's width, at least a register's, that one forward holds at its peak, by
dimensions: 3.0 to 3.7 and 3.9 to 4.4 measured, with 8 to 32 filters, float32 and bfloat16, torch and OpenVINO."""

CPU_SHARE = 1 / 4
"""Of the machine's memory that tiles take if nobody says: others use the machine, and two more images are in memory."""
CUDA_SHARE = 0.6
"""Of the GPU's free memory; the workspaces of convolutions are not in the estimate."""


@dataclass(frozen=True, slots=True)
class Device:
    """A place to compute, as chosen."""

    type: Literal["cpu", "cuda"]
    bfloat16: bool
    threads: int
    name: str
    memory_format: MemoryFormat = "auto"

    @property
    def precision(self) -> Literal["float32", "bfloat16"]:
        return "bfloat16" if self.bfloat16 else "float32"


def choose(settings: PredictTable, precision: Precision | None = None) -> Device:
    """Choose device, precision and threads; `precision` replaces the setting of prediction, for training.

    Raises SettingsError when CUDA is asked for and there is none.
    """
    cuda = torch.cuda.is_available()
    if settings.device == "cuda" and not cuda:
        raise SettingsError("[predict] device is cuda, but torch finds none", 'set it to "auto", or mend the driver')
    kind = "cuda" if cuda and settings.device != "cpu" else "cpu"
    precision = precision or settings.precision
    bfloat16 = _fast_bfloat16(kind) if precision == "auto" else precision == "bfloat16"
    threads = settings.threads or cores()
    name = torch.cuda.get_device_name() if kind == "cuda" else f"CPU, {threads} threads"
    return Device(kind, bfloat16, threads, name, settings.memory_format)


def prepare(device: Device) -> None:
    """Set up the process: threads, memory, and on CUDA algorithms that give the same answer twice."""
    torch.set_num_threads(device.threads)
    _keep_memory()
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False


def _keep_memory() -> None:
    """Have glibc keep what is freed: asking the kernel for it anew took a tenth of a training step on 2 cores."""
    with suppress(AttributeError, OSError, TypeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, LARGE)
        mallopt(M_TRIM_THRESHOLD, KEPT)


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGE, KEPT = 32 << 20, 1 << 30
"""Bytes from which a tensor is given back when it is freed, glibc's largest, and of others that are kept at most."""


def place(network: Network, device: Device) -> Network:
    """Move a network to the device, its weights channels last where that is fast and safe, or as it is set.

    Raises SettingsError where channels last is set and not safe.
    """
    network.to(device.type)
    unsafe = device.type == "cpu" and any(_narrow(module) for module in network.modules())
    if unsafe and device.memory_format == "channels_last":
        raise SettingsError(
            '[predict] memory_format is "channels_last", which is not safe on a CPU for convolutions this narrow',
            f'set it to "auto", or [network] filters to {REGISTER} and more',
        )
    if unsafe or device.memory_format == "channels_first":
        return network
    for parameter in network.parameters():
        if parameter.ndim in LAST:
            # Not `contiguous`: it leaves the weights of one channel as they are, and all that the first convolution
            # makes of such an image then has channels first, which costs 5 to 7 % of a step.
            parameter.data = parameter.data.to(memory_format=LAST[parameter.ndim])
    return network


def has_channels_last(network: torch.nn.Module) -> bool:
    """Tell how `place` laid out a network's weights."""
    weights = [p for p in network.parameters() if p.ndim in LAST]
    return any(p.is_contiguous(memory_format=LAST[p.ndim]) and not p.is_contiguous() for p in weights)


def arrange(images: torch.Tensor, network: torch.nn.Module) -> torch.Tensor:
    """Lay images (B, C, Z, Y, X) out as the network's weights are.

    Where these have channels last, images of one channel get strides that say so too: with strides that fit either
    layout, what a convolution of 1 x 1 makes of them has channels first.
    """
    if not has_channels_last(network):
        return images.contiguous()
    images = images.contiguous(memory_format=torch.channels_last_3d)
    if images.shape[1] > 1:
        return images
    return images.as_strided(images.shape, (images.stride(0), 1, *images.stride()[2:]))


def _narrow(module: torch.nn.Module) -> bool:
    """Find a convolution whose backward pass in oneDNN writes past its workspace (its issue 6035).

    That is 1x1 with a stride, channels last and with fewer inputs than a register holds: wrong gradients, or a crash.
    """
    if not isinstance(module, (torch.nn.Conv2d, torch.nn.Conv3d)):
        return False
    return max(module.kernel_size) == 1 and max(module.stride) > 1 and module.in_channels < REGISTER


REGISTER = 16
LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def autocast(device: Device) -> torch.autocast:
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.bfloat16)


def pinned(image: np.ndarray, device: Device) -> np.ndarray:
    """Put an image where a GPU fetches it at full speed, while it computes something else."""
    return torch.from_numpy(image).pin_memory().numpy() if device.type == "cuda" else image


def fetch(values: torch.Tensor) -> np.ndarray:
    """Return values of any device as an array; a GPU copies to pinned memory several times faster than to other."""
    if values.device.type == "cpu":
        return values.numpy()
    return torch.empty_like(values, device="cpu", pin_memory=True).copy_(values).numpy()


@contextmanager
def memory_guard(hint: str) -> Iterator[None]:
    """Report memory that ran out as our error, saying which setting to lower."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise OutOfMemoryError(f"the GPU's memory ran out: {error}", hint) from error


def bytes_per_voxel(plan: NetworkPlan, device: Device) -> float:
    """Estimate the memory of one forward, per voxel of the tile that is read."""
    itemsize = 2 if device.bfloat16 else 4
    return ACTIVATIONS[plan.dims] * max(plan.filters[0], REGISTER) * itemsize + 4 * (plan.channels + plan.classes)


def tile_memory(settings: PredictTable, device: Device, process: float | None = None) -> float:
    """Return the bytes that a tile may take: as set, or a share of the device's.

    `process` are the bytes of the process that computes, where that is not this one or has others beside it.
    """
    if settings.memory_gb != "auto":
        return settings.memory_gb * 1e9
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()  # by torch, for whatever comes next
        return CUDA_SHARE * (torch.cuda.mem_get_info()[0] + kept)
    return CPU_SHARE * (process or machine())


def choose_tile(
    plan: NetworkPlan,
    shape: Sequence[int],
    chunks: Sequence[int],
    memory_bytes: float,
    device: Device,
    region: Box,
    halo: ZYX | None = None,
) -> ZYX:
    """Choose what tiles write: whole chunks, or the whole axis, so that the least is read within the memory.

    They read as much context as `halo` says, by default all that the network sees. Raises SettingsError when not even
    tiles of one chunk fit.
    """
    limit = memory_bytes / bytes_per_voxel(plan, device)
    axes = zip(shape, chunks, halo or plan.halo, plan.stride, region.start, region.stop)
    cuts = [_cuts(*axis) for axis in axes]
    fitting = [
        (
            z.total * y.total * x.total,
            z.largest * y.largest * x.largest,
            y.largest * x.largest,
            (z.write, y.write, x.write),
        )
        for z in cuts[0]
        for y in cuts[1]
        for x in cuts[2]
        if z.largest * y.largest * x.largest <= limit
    ]
    if not fitting:
        least = math.prod(min(c.largest for c in axis) for axis in cuts) * bytes_per_voxel(plan, device)
        raise SettingsError(
            f"the smallest tile takes {least / 1e9:.2g} GB, but [predict] memory_gb allows {memory_bytes / 1e9:.2g}",
            f"set [predict] memory_gb to {math.ceil(least / 1e8) / 10}",
        )
    return min(fitting)[-1]  # of equal ones that of the smallest sections, of which several stay in a cache


@dataclass(frozen=True, slots=True)
class _Cut:
    """One way to cut an axis: what a tile writes, the longest read, and all reads together."""

    write: int
    largest: int
    total: int


def _cuts(length: int, chunk: int, halo: int, stride: int, start: int, stop: int) -> list[_Cut]:
    """List the distinct ways to cut one axis of a region into tiles, as `store.box.tiles` cuts them."""
    start, stop = max(start, 0), min(stop, length)
    count = max(-(-length // chunk), 1)
    cuts: dict[tuple[int, int], _Cut] = {}
    for write in sorted({-(-count // n) * chunk for n in range(1, count + 1)}):
        reads = []
        for first in range(start // write * write, stop, write):
            low = max(max(first, start) - halo, 0) // stride * stride
            high = -(-min(min(first + write, stop) + halo, length) // stride) * stride
            reads.append(high - low)
        largest, total = max(reads, default=0), sum(reads)
        cuts.setdefault((largest, total), _Cut(min(write, length), largest, total))
    return list(cuts.values())


def _fast_bfloat16(kind: str) -> bool:
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
