"""Who computes a prediction on a processor: torch, or OpenVINO where it is installed and agrees with torch?

Either answers with logits and features, as `network.seeing` does.

A version's network is converted once and kept in the project's cache/, which may be deleted, with how far its answer to
a sample lay from torch's in the same precision. Beyond BOUNDS it is not used. Within, the answers agree to rounding,
not to the bit: a version is scored, ranked and mapped by one backend as long as the processor, [predict] and what is
installed stay as they are, and a score or a voxel near a boundary may differ by rounding where they do not.
"""

import hashlib
import json
import logging
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch.nn.functional import interpolate

from ..store.atomic import write_bytes
from ..store.errors import SettingsError
from . import device as devices
from .device import Device
from .network import NetworkPlan, state

if TYPE_CHECKING:
    import openvino

Name = Literal["torch", "openvino"]

INSTALL = "pip install 'rondel[cpu]'"
SAMPLE = 48
"""Voxels a side of the sample."""
BOUNDS = {"float32": (0.001, 0.001), "bfloat16": (0.01, 0.1)}
"""Largest share of voxels whose class changes, and largest change of a probability, for which OpenVINO is used; at most
0 and 1e-5, and 0.006 and 0.03, were seen in 14 trained networks in 2-D and 3-D."""
DIFFERS = "OpenVINO's answer is not torch's"
KEPT = 20
"""Networks that stay in the cache, a few megabytes each."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Backend:
    """Who computes, and why."""

    name: Name
    why: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """How far OpenVINO's answer to a sample lies from torch's."""

    changed: float
    """Share of voxels whose class differs."""
    largest: float
    """Largest difference of a probability."""

    def trusts(self, precision: str) -> bool:
        changed, largest = BOUNDS[precision]
        return self.changed <= changed and self.largest <= largest

    def __str__(self) -> str:
        return f"{self.changed:.2%} of a sample's voxels change class, probabilities by {self.largest:.2g} at most"


class Compiled(torch.nn.Module):
    """A network that OpenVINO runs, (1, C, Z, Y, X) float32 of any size to (1, K, Z, Y, X) and (1, F, z, y, x) float32.

    It takes one call at a time, and an answer is only good until the next.
    """

    def __init__(self, compiled: "openvino.CompiledModel") -> None:
        super().__init__()
        self.compiled = compiled

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = self.compiled(np.ascontiguousarray(images.numpy()), share_inputs=True, share_outputs=True)
        return torch.from_numpy(found[0]), torch.from_numpy(found[1])


def choose(
    network: torch.nn.Module, plan: NetworkPlan, device: Device, wanted: Name | Literal["auto"], cache: Path | None
) -> tuple[torch.nn.Module, Backend]:
    """Return a folded, seeing network as it is or compiled, whichever is to compute it.

    Without a `cache` folder nothing is written. Raises SettingsError when OpenVINO is wanted where there is none.
    """
    if why := _torch_because(wanted, device):
        return network, Backend("torch", why)
    try:
        found, verdict = _ready(network, plan, device, cache)
    except (ImportError, RuntimeError) as error:  # OpenVINO raises no other errors of its own
        reason = str(error).strip().splitlines()[-1:]
        why = f"OpenVINO cannot run this network: {' '.join(reason)}"
        log.warning("torch predicts: %s", why)
        return network, Backend("torch", why)
    if not verdict.trusts(device.precision):
        return network, Backend("torch", f"{DIFFERS}: {verdict}")
    return found, Backend("openvino", f"it agrees with torch: {verdict}")


def compare(found: torch.nn.Module, network: torch.nn.Module, plan: NetworkPlan, device: Device) -> Verdict:
    """Run a sample through a compiled network and through torch."""
    image = _sample(plan)
    with torch.inference_mode():
        with devices.autocast(device):
            own, _ = network(devices.arrange(image, network))
        expected, answer = own.float().softmax(1), found(image)[0].softmax(1)
    changed = (answer.argmax(1) != expected.argmax(1)).float().mean()
    return Verdict(float(changed), float((answer - expected).abs().max()))


def _torch_because(wanted: Name | Literal["auto"], device: Device) -> str:
    """Say why OpenVINO need not be tried, if so."""
    asked = f'[predict] backend is "{wanted}"'
    if wanted == "torch":
        return asked
    if device.type != "cpu":
        if wanted == "openvino":
            raise SettingsError(f"{asked}, which runs on CPUs, but the device is CUDA", 'set [predict] device to "cpu"')
        return "the device is CUDA"
    if device.memory_format != "auto":
        own = f'[predict] memory_format is "{device.memory_format}", and OpenVINO has a layout of its own'
        if wanted == "openvino":
            raise SettingsError(own, 'set [predict] memory_format to "auto"')
        return own
    if find_spec("openvino") is None:
        if wanted == "openvino":
            raise SettingsError(f"{asked}, which is not installed", INSTALL)
        return f"OpenVINO is not installed: {INSTALL}"
    return ""


def _ready(network: torch.nn.Module, plan: NetworkPlan, device: Device, cache: Path | None) -> tuple[Compiled, Verdict]:
    """Open the network that was kept, or convert, check and keep it."""
    core, options = _import().Core(), _options(device)
    path = cache / f"openvino-{_key(network, plan, device, core)}.blob" if cache else None
    kept = _read(path) if path else None
    if kept:
        with suppress(RuntimeError):  # what another build of OpenVINO kept, in a project that came from elsewhere
            return Compiled(core.import_model(kept[0], "CPU", options)), kept[1]
    blob = core.compile_model(_convert(network, plan), "CPU", options).export_model().read()
    found = Compiled(core.import_model(blob, "CPU", options))
    verdict = compare(found, network, plan, device)
    if not verdict.trusts(device.precision):
        log.warning("torch predicts: %s: %s", DIFFERS, verdict)
    if path:
        with suppress(OSError):  # where nothing can be written it is converted again each time
            _keep(path, blob, verdict)
    return found, verdict


def _import() -> Any:
    # OpenVINO tells Google Analytics of every import, unless the package that does so is missing.
    sys.modules.setdefault("openvino_telemetry", None)  # pyright: ignore[reportArgumentType]
    import openvino

    return openvino


def _options(device: Device) -> dict[str, Any]:
    return {
        "INFERENCE_PRECISION_HINT": "bf16" if device.bfloat16 else "f32",
        "INFERENCE_NUM_THREADS": device.threads,
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,  # workers side by side would all be bound to the first cores
    }


def _convert(network: torch.nn.Module, plan: NetworkPlan) -> "openvino.Model":
    """Convert for images of any size: what is compiled for one size is not faster, and gives the same bits."""
    example = torch.zeros(1, plan.channels, *(2 * stride for stride in plan.stride))
    with torch.no_grad():
        traced = torch.jit.trace(network, example, check_trace=False)
        return _import().convert_model(traced, example_input=example, input=[(1, plan.channels, -1, -1, -1)])


def _sample(plan: NetworkPlan) -> torch.Tensor:
    """Draw blobs of several sizes with the intensities of a normalised image."""
    sides = [max(SAMPLE // stride, 1) * stride for stride in plan.stride]
    draw = torch.Generator().manual_seed(0)
    image = torch.zeros(1, plan.channels, *sides)
    for size, weight in ((16, 0.5), (4, 0.3), (1, 0.2)):
        coarse = torch.rand(1, plan.channels, *(-(-side // size) for side in sides), generator=draw)
        image += weight * interpolate(coarse, size=sides, mode="trilinear")
    return image


def _key(network: torch.nn.Module, plan: NetworkPlan, device: Device, core: "openvino.Core") -> str:
    """Name all that a compiled network and its verdict depend on."""
    processor = [core.get_property("CPU", name) for name in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")]
    digest = hashlib.sha256(repr((plan, device.precision, _import().get_version(), processor)).encode())
    for name, array in state(network).items():
        digest.update(name.encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:24]


def _read(path: Path) -> tuple[bytes, Verdict] | None:
    """Read what `_keep` wrote, unless it is not there or damaged."""
    with suppress(OSError, ValueError, TypeError):
        digest, body = path.read_bytes().split(b"\n", 1)
        if hashlib.sha256(body).hexdigest().encode() == digest:
            verdict, blob = body.split(b"\n", 1)
            return blob, Verdict(**json.loads(verdict))
    return None


def _keep(path: Path, blob: bytes, verdict: Verdict) -> None:
    body = json.dumps(asdict(verdict)).encode() + b"\n" + blob
    path.parent.mkdir(exist_ok=True)
    write_bytes(path, hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    there = sorted(path.parent.glob("*openvino-*"), key=lambda one: one.stat().st_mtime)
    for old in there[:-KEPT]:
        old.unlink(missing_ok=True)
