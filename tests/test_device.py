"""Devices and tiles: what is chosen is possible, fits the memory and reads least."""

import itertools
import math
import platform
import resource

import pytest
import torch
from rondel.loop import device, network
from rondel.loop.device import Device
from rondel.loop.network import plan_network
from rondel.store.box import Box, tiles
from rondel.store.errors import OutOfMemoryError, SettingsError
from rondel.store.settings import NetworkTable, PredictTable

CPU = Device("cpu", False, 1, "test")
PLAN = plan_network(NetworkTable(), (1, 1, 1), (256, 256, 256), 1, 2)


def settings(**fields) -> PredictTable:
    return PredictTable.model_validate(fields)


def read_voxels(shape, region, write) -> tuple[int, int]:
    reads = [t.read.voxels for t in tiles(shape, region, write, PLAN.halo, PLAN.stride)]
    return sum(reads), max(reads)


@pytest.mark.parametrize("region", [Box((0, 0, 0), (200, 300, 130)), Box((50, 70, 3), (130, 299, 64))])
def test_the_tile_reads_least_of_all_that_fit(region):
    shape, chunks, memory = (200, 300, 130), (64, 64, 64), 2e9
    chosen = device.choose_tile(PLAN, shape, chunks, memory, CPU, region)
    limit = memory / device.bytes_per_voxel(PLAN, CPU)
    choices = [[min(k * c, n) for k in range(1, -(-n // c) + 1)] for n, c in zip(shape, chunks)]
    costs = [read_voxels(shape, region, write) for write in itertools.product(*choices)]
    assert read_voxels(shape, region, chosen)[0] == min(total for total, largest in costs if largest <= limit)
    assert read_voxels(shape, region, chosen)[1] <= limit
    assert all(w % c == 0 or w == n for w, c, n in zip(chosen, chunks, shape))


def test_more_memory_takes_larger_tiles_and_too_little_is_refused():
    box = Box.of_shape((512, 512, 512))
    small, large = (device.choose_tile(PLAN, box.shape, (64, 64, 64), gb * 1e9, CPU, box) for gb in (2, 8))
    assert math.prod(small) < math.prod(large)
    with pytest.raises(SettingsError, match="memory_gb") as refusal:
        device.choose_tile(PLAN, box.shape, (64, 64, 64), 1e8, CPU, box)
    asked = float(refusal.value.hint.split()[-1]) * 1e9
    assert device.choose_tile(PLAN, box.shape, (64, 64, 64), asked, CPU, box) == (64, 64, 64)


def test_a_small_volume_is_one_tile():
    assert device.choose_tile(PLAN, (40, 70, 30), (40, 64, 30), 2e9, CPU, Box.of_shape((40, 70, 30))) == (40, 70, 30)


def test_precision_and_threads_follow_the_settings():
    chosen = device.choose(settings(device="cpu", precision="float32", threads=1))
    assert (chosen.type, chosen.bfloat16, chosen.threads) == ("cpu", False, 1)
    assert device.choose(settings(device="cpu", precision="float32"), "bfloat16").bfloat16
    assert device.choose(settings(device="cpu")).threads >= 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_is_refused_where_there_is_none():
    with pytest.raises(SettingsError, match="cuda"):
        device.choose(settings(device="cuda"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_auto_takes_the_gpu_and_running_out_of_its_memory_is_our_error():
    assert device.choose(settings()).type == "cuda"
    with pytest.raises(OutOfMemoryError, match="memory ran out"), device.memory_guard("lower [train] batch"):
        torch.empty(10**14, device="cuda")


def test_the_memory_guard_names_the_setting():
    with pytest.raises(OutOfMemoryError, match="lower \\[train\\] batch"), device.memory_guard("lower [train] batch"):
        raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize("dims", [2, 3])
def test_placing_keeps_the_answer_with_weights_channels_last(dims):
    plan = plan_network(NetworkTable(dims=dims, filters=(16, 16, 16)), (1, 1, 1), (16, 16, 16), 2, 2)
    made = network.build(plan, 0).eval()
    image = torch.randn(1, 2, 8, 16, 16)
    before = made(image)
    placed = device.place(made, CPU)
    weight = network.tensors(placed)["input_block.conv2.conv.weight"]
    assert weight.is_contiguous(memory_format=device.LAST[weight.ndim])
    assert torch.allclose(placed(image), before, atol=1e-4)
    with device.autocast(Device("cpu", True, 1, "test")):
        assert placed(image).dtype == torch.bfloat16


@pytest.mark.parametrize("dims", [2, 3])
def test_what_a_placed_network_makes_of_one_channel_has_channels_last(dims):
    plan = plan_network(NetworkTable(dims=dims, filters=(16, 16, 16)), (1, 1, 1), (16, 16, 16), 1, 2)
    placed = device.place(network.build(plan, 0), CPU)
    first = placed.get_submodule("network.input_block.conv1" if dims == 2 else "input_block.conv1")
    with device.autocast(Device("cpu", True, 1, "test")):
        assert first(torch.rand(1, 1, *[16] * dims)).stride(1) == 1


@pytest.mark.parametrize("filters, last", [((4, 8, 8), False), ((12, 16, 16), False), ((16, 16, 32), True)])
def test_narrow_networks_are_kept_from_what_corrupts_memory(filters, last):
    plan = plan_network(NetworkTable(dims=2, filters=filters), (1, 1, 1), (1, 64, 64), 1, 2)
    placed = device.place(network.build(plan, 0), CPU)
    wide = [p for p in placed.parameters() if p.ndim == 4 and min(p.shape) > 1 and max(p.shape[2:]) > 1]
    assert {p.is_contiguous(memory_format=torch.channels_last) for p in wide} == {last}


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_memory_that_was_freed_is_taken_again_and_not_asked_for_anew():
    device.prepare(CPU)

    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        for _ in range(4):
            kept = [torch.zeros(5 << 20) for _ in range(4)]  # 20 MB each
            del kept
        return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before

    for _ in range(3):  # by then the heap holds them
        faults()
    assert faults() < 4 * 4 * (20 << 20) / resource.getpagesize() / 10


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    "filters, wanted", [((16, 16, 16), "auto"), ((16, 16, 16), "channels_first"), ((4, 8, 8), "auto")]
)
def test_images_are_laid_out_as_the_weights_are_all_the_way(dims, channels, filters, wanted):
    plan = plan_network(NetworkTable(dims=dims, filters=filters), (1, 1, 1), (16, 16, 16), channels, 2)
    made = network.build(plan, 0).eval()
    images = torch.rand(2, channels, 8, 16, 16)
    expected = made(images)
    half = Device("cpu", True, 1, "test", wanted)
    placed = device.place(made, half)
    last = device.has_channels_last(placed)
    assert last == (wanted == "auto" and filters[0] == 16)
    seen = []
    for module in placed.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Conv3d)):
            module.register_forward_hook(lambda module, given, answer: seen.append(answer.stride(1) == 1))
    with device.autocast(half):
        found = placed(device.arrange(images, placed))
    assert torch.allclose(found.float(), expected, atol=0.1)
    assert set(seen) == {last}


def test_a_layout_that_is_not_safe_is_refused():
    plan = plan_network(NetworkTable(filters=(4, 8, 8)), (1, 1, 1), (16, 16, 16), 1, 2)
    asked = device.choose(settings(device="cpu", memory_format="channels_last"))
    with pytest.raises(SettingsError, match="memory_format"):
        device.place(network.build(plan, 0), asked)
