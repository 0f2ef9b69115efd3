"""Which network? MONAI's DynUNet, planned from voxel spacing and volume shape, in 2-D and 3-D.

A plan is plain values that go into model.json; `build` makes the same network of it anywhere. Networks take and give
(B, C, Z, Y, X) in either case: a 2-D network sees every section of a batch by itself. For prediction a network is
folded, and answers with features of what it sees beside the logits.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self, cast

import numpy as np
import torch
from monai.networks.blocks.dynunet_block import UnetBasicBlock, UnetResBlock, UnetUpBlock
from monai.networks.nets.dynunet import DynUNet
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..store.box import ZYX
from ..store.errors import ModelError, SettingsError
from ..store.maps import FEATURES
from ..store.settings import NetworkTable

FILTERS = {2: (32, 64, 128, 256), 3: (16, 32, 64, 128)}
THICK = 4.0
"""Sections this many times thicker than a pixel are predicted one by one."""
ANISOTROPIC = 2.0
"""An axis coarser than the finest by more than this is neither convolved nor pooled (nnU-Net, arXiv 1904.08128)."""
BOTTOM = 4
"""Voxels that a pooled axis keeps at the bottom of the network, so that thin volumes are not pooled away."""
CONVOLUTION = {4: torch.nn.functional.conv2d, 5: torch.nn.functional.conv3d}
TRANSPOSED = {4: torch.nn.functional.conv_transpose2d, 5: torch.nn.functional.conv_transpose3d}
"""By the dimensions of the weights."""
HEAD = ("output_block.conv.conv.weight", "output_block.conv.conv.bias")


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """What a network is made of; kernels and strides always name three axes z, y, x, one triple a level."""

    name: str
    dims: int
    channels: int
    classes: int
    filters: tuple[int, ...]
    kernels: tuple[ZYX, ...]
    strides: tuple[ZYX, ...]

    @property
    def stride(self) -> ZYX:
        """Return the voxels of input that one voxel at the bottom of the network stands for."""
        z, y, x = (int(np.prod([s[axis] for s in self.strides])) for axis in range(3))
        return z, y, x

    @property
    def reach(self) -> ZYX:
        """Return how far from an output voxel, at most, an input voxel can lie that changes it."""
        seen = [[(i, *_needs(0, i, i, *self._axis(axis))) for i in range(s)] for axis, s in enumerate(self.stride)]
        z, y, x = (max(max(i - low, high - i) for i, low, high in positions) for positions in seen)
        return z, y, x

    @property
    def halo(self) -> ZYX:
        """Return the context that makes tiles exact whose read boxes are snapped outwards to the stride.

        That takes the reach of whole cells of the stride's grid, which is less than that of any one voxel.
        """
        cells = [_needs(0, 0, s - 1, *self._axis(axis)) for axis, s in enumerate(self.stride)]
        z, y, x = (-(-max(-low, high - s + 1) // s) * s for s, (low, high) in zip(self.stride, cells))
        return z, y, x

    def _axis(self, axis: int) -> tuple[list[int], list[int]]:
        return [k[axis] for k in self.kernels], [s[axis] for s in self.strides]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote, or its JSON; raises ModelError when it is no plan of this program."""
        try:
            values: dict[str, Any] = {key: int(fields[key]) for key in ("dims", "channels", "classes")}
            values |= {key: tuple(tuple(level) for level in fields[key]) for key in ("kernels", "strides")}
            plan = cls(name=fields["name"], filters=tuple(fields["filters"]), **values)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the network in the model's file cannot be read: {error!r}", "was it edited?") from None
        if plan.name != "dynunet" or plan.dims not in (2, 3) or len(plan.kernels) != len(plan.strides):
            raise ModelError(f"network '{plan.name}' in {plan.dims} dimensions is unknown here", "update rondel")
        return plan


def plan_network(
    settings: NetworkTable, spacing_nm: Sequence[float], shape: Sequence[int], channels: int, classes: int
) -> NetworkPlan:
    """Choose dimensions, kernels and strides for volumes of this spacing and at least this shape (z, y, x)."""
    if classes < 2:
        raise SettingsError(f"a network needs two classes or more, found {classes}", "add a [[class]] to project.toml")
    thick = shape[0] == 1 or spacing_nm[0] >= THICK * max(spacing_nm[1:])
    dims = settings.dims if settings.dims != "auto" else (2 if thick else 3)
    filters = FILTERS[dims] if settings.filters == "auto" else settings.filters
    kernels, strides = _levels(len(filters), spacing_nm, shape, dims)
    return NetworkPlan(settings.name, dims, channels, classes, tuple(filters), kernels, strides)


def build(plan: NetworkPlan, seed: int) -> torch.nn.Module:
    """Make the network with random weights drawn from `seed`; the global random state is left alone."""
    axes = slice(3 - plan.dims, None)
    kernels, strides = [k[axes] for k in plan.kernels], [s[axes] for s in plan.strides]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = DynUNet(
            spatial_dims=plan.dims,
            in_channels=plan.channels,
            out_channels=plan.classes,
            kernel_size=kernels,
            strides=strides,
            upsample_kernel_size=strides[1:],
            filters=plan.filters,
            norm_name="batch",
            res_block=True,
        )
    return Sections(network) if plan.dims == 2 else network


class Sections(torch.nn.Module):
    """Let a 2-D network see each section of a (B, C, Z, Y, X) batch."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> Any:
        found = self.network(self.split(images))
        if isinstance(found, tuple):
            return tuple(self.stack(part, images) for part in found)
        return self.stack(found, images)

    def split(self, images: torch.Tensor) -> torch.Tensor:
        """Return the sections (B Z, C, Y, X) of images."""
        b, c, z, y, x = images.shape
        if images.stride(1) == 1:  # channels last, and to stay so
            return images.movedim(1, -1).reshape(b * z, y, x, c).movedim(-1, 1)
        return images.transpose(1, 2).reshape(b * z, c, y, x)

    def stack(self, sections: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """Return what a network made of the sections of images (B, C, Z, Y, X) as (B, K, Z, Y, X)."""
        return sections.unflatten(0, (images.shape[0], images.shape[2])).transpose(1, 2)


class Seeing(torch.nn.Module):
    """Let a DynUNet answer with logits and with FEATURES numbers of each voxel at its bottom, one a stride.

    They are its channels there through a fixed random matrix, which keeps distances (Johnson and Lindenstrauss), scaled
    to be as large as a channel.
    """

    def __init__(self, network: DynUNet) -> None:
        super().__init__()
        self.network = network
        channels = network.filters[-1]
        draw = torch.Generator().manual_seed(0)
        self.projection = torch.nn.Buffer(torch.randn(FEATURES, channels, generator=draw) / channels**0.5)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        *levels, made = encode(self.network, images)
        features = torch.nn.functional.linear(made.movedim(1, -1), self.projection).movedim(-1, 1)
        for block, level in zip(self.network.upsamples, reversed(levels)):
            made = block(made, level)
        return self.network.output_block(made), features


def encode(network: DynUNet, images: torch.Tensor) -> list[torch.Tensor]:
    """Run the way down; returns what each level hands across, the finest first, and what comes out at the bottom."""
    levels = [images]
    for block in (network.input_block, *network.downsamples, network.bottleneck):
        levels.append(block(levels[-1]))
    return levels[1:]


def seeing(network: torch.nn.Module) -> torch.nn.Module:
    """Let a network of `build` answer with (logits, features); it shares the weights."""
    if isinstance(network, Sections):
        return Sections(seeing(network.network))
    return Seeing(cast(DynUNet, network))


def merge(block: UnetUpBlock) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weights of what an up block's transposed convolution and the convolution after it are together.

    The latter is given the former's answer beside what comes across. Being linear, it is the sum of a convolution of
    either, and a convolution of a transposed one is a transposed convolution with a larger kernel. Both have the
    padding of the latter. So there are fewer operations, and nothing is laid side by side, which took the most memory.
    """
    up: Any = block.transp_conv.conv
    after: Any = block.conv_block.conv1.conv
    below, across = after.weight.split([up.out_channels, after.in_channels - up.out_channels], 1)
    padding = [k - 1 for k in after.kernel_size]
    return CONVOLUTION[up.weight.ndim](up.weight, below.contiguous(), padding=padding), across


class Merged(torch.nn.Module):
    """A folded up block of a DynUNet whose first two convolutions are merged."""

    def __init__(self, block: UnetUpBlock) -> None:
        super().__init__()
        up: Any = block.transp_conv.conv
        after: Any = block.conv_block.conv1.conv
        kernel, across = merge(block)
        half = after.padding
        self.up = type(up)(up.in_channels, after.out_channels, kernel.shape[2:], up.stride, half, bias=False)
        self.up.weight.copy_(kernel)
        self.across = type(after)(across.shape[1], after.out_channels, after.kernel_size, padding=half)
        self.across.weight.copy_(across)
        self.across.bias.copy_(after.bias)
        self.last, self.activate = block.conv_block.conv2, block.conv_block.lrelu

    def forward(self, below: torch.Tensor, across: torch.Tensor) -> torch.Tensor:
        return self.activate(self.last(self.activate(self.up(below).add_(self.across(across)))))


def fold(network: torch.nn.Module) -> torch.nn.Module:
    """Return a copy for prediction: batch norms are part of the convolutions before them, up blocks are merged."""
    folded = copy.deepcopy(network).eval()
    for block in folded.modules():
        if isinstance(block, UnetResBlock | UnetBasicBlock):
            for number in "123":
                if hasattr(block, f"conv{number}"):
                    convolution, norm = getattr(block, f"conv{number}"), getattr(block, f"norm{number}")
                    convolution.conv = fuse_conv_bn_eval(convolution.conv, norm)
                    setattr(block, f"norm{number}", torch.nn.Identity())
    inner: Any = folded.network if isinstance(folded, Sections) else folded
    with torch.no_grad():
        inner.upsamples = torch.nn.ModuleList(Merged(block) for block in inner.upsamples)
    level = inner.skip_layers
    for block in reversed(inner.upsamples):  # DynUNet reaches its blocks through these
        level.upsample, level = block, level.next_layer
    return folded.requires_grad_(False)


def tensors(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Name every weight and batch-norm statistic once; they share memory with the network.

    DynUNet's own state_dict lists its blocks twice, and counts batches that nothing reads.
    """
    inner = network.network if isinstance(network, Sections) else network
    named = [*inner.named_parameters(), *inner.named_buffers()]
    return {name: tensor.detach() for name, tensor in named if not name.endswith("num_batches_tracked")}


def state(network: torch.nn.Module) -> dict[str, np.ndarray]:
    """Copy the weights out as contiguous float32 arrays, ready for safetensors."""
    return {name: np.array(tensor.cpu().contiguous().numpy(), order="C") for name, tensor in tensors(network).items()}


def load_state(network: torch.nn.Module, arrays: Mapping[str, np.ndarray]) -> None:
    """Put weights into a network; raises ModelError unless every name and shape agrees."""
    own = tensors(network)
    wrong = sorted(own.keys() ^ arrays.keys())
    wrong = wrong or [name for name, tensor in own.items() if tuple(tensor.shape) != arrays[name].shape]
    if wrong:
        raise ModelError(
            f"weights do not fit the network: {len(wrong)} arrays differ, '{wrong[0]}' first",
            "the weights and the network of a model belong together",
        )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(torch.from_numpy(np.array(arrays[name], np.float32)))


def widen(arrays: Mapping[str, np.ndarray], old: NetworkPlan, new: NetworkPlan, seed: int) -> dict[str, np.ndarray]:
    """Give the head further classes: old rows stay, each new one starts as a random average of the old.

    An average never exceeds the largest, so no prediction changes before training.
    """
    same = NetworkPlan.to_dict(old) | {"classes": new.classes} == new.to_dict()
    if not same or new.classes < old.classes:
        raise ModelError(
            f"a model of {old.classes} classes cannot become one of {new.classes} with another network",
            "classes are only added; for another network train from scratch",
        )
    mixture = np.random.default_rng(seed).dirichlet(np.ones(old.classes), new.classes - old.classes)
    added = {name: np.tensordot(mixture, arrays[name], 1).astype(np.float32) for name in HEAD}
    return {name: np.concatenate([a, added[name]]) if name in HEAD else a for name, a in arrays.items()}


def _levels(
    count: int, spacing_nm: Sequence[float], shape: Sequence[int], dims: int
) -> tuple[tuple[ZYX, ...], tuple[ZYX, ...]]:
    """Choose kernel and stride of each level; an axis joins in once pooling made the others about as coarse."""
    axes = [axis for axis in range(3 - dims, 3)]
    kernel, total = [1, 1, 1], [1, 1, 1]
    kernels, strides = [], []
    for level in range(count):
        spacing = [spacing_nm[axis] * total[axis] for axis in range(3)]
        poolable = [axis for axis in axes if shape[axis] >= BOTTOM * 2 * total[axis]]
        finest = min(spacing[axis] for axis in poolable or axes)
        fine = [axis for axis in axes if spacing[axis] <= ANISOTROPIC * finest]
        stride = [1, 1, 1]
        for axis in fine:
            kernel[axis] = 3 if shape[axis] > 1 else 1
            if level and axis in poolable:
                stride[axis] = 2
        total = [a * b for a, b in zip(total, stride)]
        kernels.append((kernel[0], kernel[1], kernel[2]))
        strides.append((stride[0], stride[1], stride[2]))
    return tuple(kernels), tuple(strides)


def _needs(level: int, low: int, high: int, kernels: Sequence[int], strides: Sequence[int]) -> tuple[int, int]:
    """Return the interval of input that an interval of what comes up at `level` depends on."""
    if level == len(kernels) - 1:
        return _encoded(level, low, high, kernels, strides)
    margin = 2 * (kernels[level + 1] // 2)  # DynUNet's up blocks convolve with the kernel of the level below
    low, high = low - margin, high + margin
    across = _encoded(level, low, high, kernels, strides)
    below = _needs(level + 1, low // strides[level + 1], high // strides[level + 1], kernels, strides)
    return min(across[0], below[0]), max(across[1], below[1])


def _encoded(level: int, low: int, high: int, kernels: Sequence[int], strides: Sequence[int]) -> tuple[int, int]:
    for n in range(level, -1, -1):
        half = kernels[n] // 2
        padding = (kernels[n] - strides[n] + 1) // 2
        low = (low - half) * strides[n] - padding
        high = (high + half) * strides[n] - padding + kernels[n] - 1
    return low, high
