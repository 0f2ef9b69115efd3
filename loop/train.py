"""How is the next version made? Steps over patches of labelled voxels, from a parent's weights or from scratch.

The model is the moving average of the weights, and batch-norm statistics measured for it at the end. A checkpoint
holds all that the next step depends on, so a training that was killed goes on at its step and ends in the same weights.
A loss that is no number ends the training, and nothing is published.
"""

import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from safetensors import SafetensorError, safe_open
from torch.optim.adamw import adamw
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ..store.atomic import write_bytes
from ..store.box import ZYX
from ..store.errors import Cancelled, TrainingError
from ..store.settings import AugmentTable, LossTable, Settings, TrainTable
from . import device as devices
from . import focus
from . import network as networks
from .augment import augment
from .device import Device
from .losses import class_weights, known_loss
from .network import NetworkPlan
from .samples import Batch, Samples

WARM_UP = 10
"""Steps, at most, over which the rate rises linearly; never more than a tenth of all."""
BETAS, EPSILON = (0.9, 0.999), 1e-8
"""AdamW's, as its paper has them (arXiv 1711.05101)."""
CLIP = 12.0
"""Largest norm of a step's gradient (nnU-Net's)."""
MOST = 4
"""Steps grow with the labels up to this many times `steps`."""
HELD_BATCHES = 8
"""Batches of held-out boxes whose mean loss is reported."""
CALIBRATION = 8
"""Batches over which batch-norm statistics are measured."""

log = logging.getLogger(__name__)
Report = Callable[[int, int, float, float], None]
Point = tuple[int, float, float, float | None]
"""Step from 1, loss, rate, and where it was watched the averaged weights' loss on held-out boxes."""


@dataclass(frozen=True, slots=True)
class TrainPlan:
    """Everything that decides the weights, beside the labels that `edit` stands for."""

    network: NetworkPlan
    train: TrainTable
    augment: AugmentTable
    loss: LossTable
    weights: tuple[float, ...]
    """Weight of each class in the cross entropy."""
    boxes: tuple[int, ...]
    edit: int
    parent: str | None
    """sha256 of the weights it starts from; None: from scratch."""
    steps: int
    seed: int

    def to_dict(self) -> dict[str, Any]:
        tables = {name: getattr(self, name).model_dump(mode="json") for name in ("train", "augment", "loss")}
        return asdict(self) | tables

    def digest(self) -> str:
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training gives: the averaged weights, and how it went."""

    arrays: dict[str, np.ndarray]
    curve: tuple[Point, ...]
    seconds: float
    steps: int


def plan_training(
    settings: Settings, network: NetworkPlan, samples: Samples, *, edit: int, parent: str | None
) -> TrainPlan:
    """Decide the number of steps and the class weights from the labels that there are; warn of classes without any."""
    absent = [c.name for c, count in zip(settings.classes, samples.counts) if not count]
    if absent:
        log.warning("no train box holds a voxel of %s: the model cannot learn it", ", ".join(absent))
    return TrainPlan(
        network=network,
        train=settings.train,
        augment=settings.augment,
        loss=settings.loss,
        weights=class_weights(samples.counts, settings.classes, settings.loss),
        boxes=samples.boxes,
        edit=edit,
        parent=parent,
        steps=count_steps(settings.train, sum(samples.counts)),
        seed=samples.seed,
    )


def count_steps(settings: TrainTable, voxels: int) -> int:
    """Return a round's steps for this many labelled voxels."""
    return min(MOST * settings.steps, settings.steps + round(settings.more_steps * voxels / 1e6))


def rate(step: float, plan: TrainPlan) -> float:
    """Return the learning rate of a step, counted from 0: a short rise, then a cosine down to the final rate."""
    peak = plan.train.rate * (plan.train.warm_rate if plan.parent else 1.0)
    rise = min(WARM_UP, plan.steps // 10)
    if step < rise:
        return peak * (step + 1) / (rise + 1)
    fallen = (step - rise) / max(plan.steps - 1 - rise, 1)
    return peak * (plan.train.final_rate + (1 - plan.train.final_rate) * (1 + math.cos(math.pi * fallen)) / 2)


def train(
    plan: TrainPlan,
    samples: Samples,
    initial: Mapping[str, np.ndarray] | None,
    checkpoint: Path,
    report: Report,
    cancelled: Callable[[], bool],
    device: Device,
    held: Samples | None = None,
) -> Trained:
    """Train to the end, going on from `checkpoint` when it is of this very plan.

    Raises TrainingError when the loss is no number, Cancelled after saving a checkpoint, OutOfMemoryError.
    """
    device = replace(device, bfloat16=device.bfloat16 and not _garbled(plan.network, samples.patch, device))
    devices.prepare(device)
    run = _Run(plan, initial, device)
    run.resume(checkpoint)
    began = time.monotonic() - run.seconds
    guard = devices.memory_guard("lower [train] batch or patch")
    with guard, closing(samples.ahead(range(run.step, plan.steps))) as batches:
        while run.step < plan.steps:
            if cancelled():
                run.save(checkpoint, time.monotonic() - began)
                raise Cancelled(f"training stopped at step {run.step} of {plan.steps}", "run it again to go on")
            spent = time.monotonic() - began
            if run.step and spent >= (plan.train.within or math.inf):
                break
            loss = run.advance(next(batches), spent)
            report(run.step, _expected(plan, run.step, time.monotonic() - began), loss, run.curve[-1][2])
            if run.step % plan.train.checkpoint == 0 or run.step == plan.steps:
                if held:
                    run.calibrate(samples)
                    run.curve[-1] = (*run.curve[-1][:3], run.watch(held))
                run.save(checkpoint, time.monotonic() - began)
        run.calibrate(samples)
    return Trained(run.result(), tuple(run.curve), time.monotonic() - began, run.step)


def _expected(plan: TrainPlan, step: int, seconds: float) -> int:
    """Say how many steps there will be: those planned, or as many as fit the time at the present pace."""
    return min(plan.steps, max(step, round(step * plan.train.within / seconds))) if plan.train.within else plan.steps


def _garbled(network: NetworkPlan, patch: ZYX, device: Device) -> bool:
    """Find 3-D convolutions over two sections: on a CPU their bfloat16 weight gradients were garbage now and then."""
    depths = patch[0] // np.cumprod([stride[0] for stride in network.strides])
    return device.type == "cpu" and network.dims == 3 and 2 in depths


class _Run:
    """A training in progress: the network, its average, the optimiser and the curve."""

    def __init__(self, plan: TrainPlan, initial: Mapping[str, np.ndarray] | None, device: Device) -> None:
        self.plan = plan
        self.device = device
        self.step = 0
        self.seconds = 0.0
        self.curve: list[Point] = []
        self.network = self._build(initial)
        self.averaged = self._build(initial).eval()
        self.weights = torch.tensor(plan.weights, device=device.type)
        self.moments = {name: _moments(parameter) for name, parameter in self.network.named_parameters()}

    def _build(self, initial: Mapping[str, np.ndarray] | None) -> torch.nn.Module:
        network = networks.build(self.plan.network, self.plan.seed)
        if initial is not None:
            networks.load_state(network, initial)
        return devices.place(network, self.device)

    def advance(self, batch: Batch, seconds: float) -> float:
        """Make one step, return its loss; where time is limited, the rate falls with it if that is faster."""
        share = seconds / self.plan.train.within if self.plan.train.within else 0.0
        now = rate(max(self.step, min(share, 1.0) * (self.plan.steps - 1)), self.plan)
        self.network.zero_grad(set_to_none=True)
        self.network.train()
        loss = self._loss(self.network, batch, self.plan.augment)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        self._descend(now)
        self.step += 1
        self._average()
        value, size = torch.stack([loss.detach(), norm]).tolist()  # last, as a GPU is waited for here
        if not math.isfinite(value) or not math.isfinite(size):
            raise TrainingError(
                f"the loss is {value} and its gradient {size} at step {self.step}; no model was made",
                "lower [train] rate, or look for odd intensities with 'rondel info'",
            )
        self.curve.append((self.step, value, now, None))
        return value

    def calibrate(self, samples: Samples) -> None:
        """Measure batch-norm statistics for the averaged weights, on patches that are not augmented.

        A moving average of them belongs to weights that moved on and to the last few patches: after few steps that
        alone cost 1 to 3 points of Dice. So they are averaged anew, with the weights as they are ("precise
        BatchNorm", arXiv 2105.07576; arXiv 1803.05407 does so for averaged weights).
        """
        for module in self.averaged.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.reset_running_stats()
                module.momentum = None  # the mean over all batches; this network is not trained otherwise
        self.averaged.train()
        with torch.no_grad():
            for batch in samples.ahead(range(self.plan.steps, self.plan.steps + CALIBRATION)):
                self._loss(self.averaged, batch, None)
        self.averaged.eval()

    def watch(self, held: Samples) -> float:
        """Return the loss of the averaged weights on held-out boxes, by the same patches each time."""
        with torch.inference_mode():
            losses = [float(self._loss(self.averaged, batch, None)) for batch in held.ahead(range(HELD_BATCHES))]
        return float(np.mean(losses))

    def result(self) -> dict[str, np.ndarray]:
        """Return the averaged weights; raises TrainingError when one of them is no number."""
        arrays = networks.state(self.averaged)
        broken = [name for name, a in arrays.items() if not np.isfinite(a).all()]
        if broken:
            raise TrainingError(f"weights '{broken[0]}' are no numbers; no model was made", "lower [train] rate")
        return arrays

    def save(self, checkpoint: Path, seconds: float) -> None:
        metadata = {"step": self.step, "seconds": seconds, "curve": self.curve}
        header = {"digest": self.plan.digest(), "run": json.dumps(metadata)}
        arrays = {name: tensor.cpu().contiguous().numpy() for name, tensor in self._tensors().items()}
        write_bytes(checkpoint, safetensors.numpy.save(arrays, header))

    def resume(self, checkpoint: Path) -> None:
        """Take up a checkpoint of the same plan; any other is left to be overwritten."""
        if not checkpoint.exists():
            return
        try:
            with safe_open(checkpoint, "pt") as file:
                header = file.metadata() or {}
                if header.get("digest") != self.plan.digest():
                    return
                for name, tensor in self._tensors().items():
                    tensor.copy_(file.get_tensor(name))
        except SafetensorError as error:
            raise TrainingError(f"{checkpoint} cannot be read: {error}", "delete it to train from the start") from None
        metadata = json.loads(header["run"])
        self.step, self.seconds = metadata["step"], metadata["seconds"]
        self.curve = [tuple(row) for row in metadata["curve"]]
        log.info("going on at step %d of %d", self.step, self.plan.steps)

    def _loss(self, network: torch.nn.Module, batch: Batch, settings: AugmentTable | None) -> torch.Tensor:
        images, labels = self._copy(batch.images), self._copy(batch.labels)
        if settings:
            images, labels = augment(images, labels, batch.spacing_nm, settings, (self.plan.seed, self.step, 1))
        with devices.autocast(self.device):
            logits, labels = focus.logits(network, devices.arrange(images, network), labels, self.plan.network)
        return known_loss(self.plan.loss.name, logits, labels, self.weights)

    def _copy(self, array: np.ndarray) -> torch.Tensor:
        """Take a batch's array to the device; from pinned memory to a GPU, which nothing waits for."""
        tensor = torch.from_numpy(array)
        return tensor.pin_memory().to("cuda", non_blocking=True) if self.device.type == "cuda" else tensor

    @torch.no_grad()
    def _descend(self, now: float) -> None:
        """Take AdamW's step at this rate; biases and norms do not decay."""
        parameters = dict(self.network.named_parameters())
        for decays in (True, False):
            names = [name for name, p in parameters.items() if (p.ndim > 1) == decays and p.grad is not None]
            # The function, as the class imports torch's compiler, for a second.
            adamw(
                [parameters[name] for name in names],
                [gradient for name in names if (gradient := parameters[name].grad) is not None],
                [self.moments[name]["exp_avg"] for name in names],
                [self.moments[name]["exp_avg_sq"] for name in names],
                [],
                [self.moments[name]["step"] for name in names],
                amsgrad=False,
                beta1=BETAS[0],
                beta2=BETAS[1],
                lr=now,
                weight_decay=self.plan.train.weight_decay if decays else 0.0,
                eps=EPSILON,
                maximize=False,
                fused=self.device.type == "cpu",  # a quarter of the time; on a GPU steps would have to lie there, too
            )

    def _average(self) -> None:
        # The decay rises from 0.18 towards its setting, so that early averages forget where training began.
        decay = min(self.plan.train.ema, (1 + self.step) / (10 + self.step))
        get_ema_multi_avg_fn(decay)(list(self.averaged.parameters()), list(self.network.parameters()), self.step)

    def _tensors(self) -> dict[str, torch.Tensor]:
        """Name all that the next step depends on; the tensors are the run's own."""
        found = {f"weights/{name}": tensor for name, tensor in networks.tensors(self.network).items()}
        found |= {f"average/{name}": tensor for name, tensor in networks.tensors(self.averaged).items()}
        for name, moments in self.moments.items():
            found |= {f"optimizer/{name}/{key}": tensor for key, tensor in moments.items()}
        return found


def _moments(parameter: torch.nn.Parameter) -> dict[str, torch.Tensor]:
    """Make what AdamW keeps of a parameter, before its first step."""
    moments = {key: torch.zeros_like(parameter, requires_grad=False) for key in ("exp_avg", "exp_avg_sq")}
    return {"step": torch.tensor(0.0), **moments}
