"""OpenVINO computes what torch does: converted once a version, kept, checked, and given up where it differs."""

import hashlib
import logging
import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from rondel.loop import compiled, mapping
from rondel.loop.compiled import Backend, Compiled
from rondel.loop.device import Device
from rondel.loop.loaded import load
from rondel.loop.network import NetworkPlan, build, plan_network, seeing
from rondel.loop.predict import Predictor
from rondel.loop.tile_plan import TilePlan
from rondel.store import settings_file
from rondel.store.errors import SettingsError
from rondel.store.maps import FEATURES
from rondel.store.project import open_project
from rondel.store.settings import NetworkTable

from .doors import Rondel, rondel
from .images import texture
from .small_predicted import Predicted, make_predicted
from .small_rounds import Quiet
from .test_predict import CPU, NORMAL, random_weights

__all__ = ["rondel"]

HALF = Device("cpu", True, 1, "CPU")
needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="needs the extra [cpu]")


def plan_of(dims, channels: int = 1, classes: int = 3) -> NetworkPlan:
    spacing = (10.0, 10.0, 10.0) if dims == 3 else (50.0, 10.0, 10.0)
    return plan_network(NetworkTable(dims=dims, filters=(4, 8, 12)), spacing, (64, 64, 64), channels, classes)


def answer(predictor: Predictor, image: np.ndarray) -> np.ndarray:
    return predictor.forward(image, NORMAL).probabilities.numpy()


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> Predicted:
    return make_predicted(tmp_path_factory.mktemp("predicted"))


@needs_openvino
@pytest.mark.parametrize("device", [CPU, HALF], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("dims", [2, 3])
def test_it_answers_as_torch_does_for_tiles_of_any_size(dims: int, device: Device) -> None:
    plan = plan_of(dims)
    found, expected = (Predictor.load(plan, random_weights(plan), device, name) for name in ("openvino", "torch"))
    assert found.backend.name == "openvino" and expected.backend.name == "torch"
    assert isinstance(found.network, Compiled)
    for shape in ((4, 16, 32), (16, 48, 16), (4, 16, 32)):
        image = texture(shape)[None]
        difference = np.abs(answer(found, image) - answer(expected, image))
        assert difference.max() < (0.1 if device.bfloat16 else 1e-4)
        assert difference.mean() < (0.01 if device.bfloat16 else 1e-5)
        features, wanted = (p.forward(image, NORMAL).features.clone() for p in (found, expected))
        assert features.shape == wanted.shape == (FEATURES, *(n // s for n, s in zip(shape, plan.stride)))
        assert (features - wanted).abs().max() < (0.1 if device.bfloat16 else 1e-5) * wanted.abs().max()


@needs_openvino
def test_all_channels_are_told_apart() -> None:
    plan = plan_of(3, channels=2)
    found, expected = (Predictor.load(plan, random_weights(plan), CPU, name) for name in ("openvino", "torch"))
    image = torch.from_numpy(np.stack([texture((16, 16, 16), seed) for seed in (0, 1)])[None] / np.float32(255))
    with torch.inference_mode():
        image = image.contiguous(memory_format=torch.channels_last_3d)  # as Predictor hands it over
        assert torch.allclose(found.network(image)[0], expected.network(image)[0], atol=1e-3)
        assert not torch.allclose(found.network(image.flip(1))[0], expected.network(image)[0], atol=1e-1)


@needs_openvino
def test_a_version_is_converted_once(tmp_path: Path) -> None:
    plan, image = plan_of(3), texture((16, 16, 16))[None]
    first = Predictor.load(plan, random_weights(plan), HALF, "auto", tmp_path / "cache")
    (kept,) = (tmp_path / "cache").iterdir()
    written = kept.stat().st_mtime_ns
    again = Predictor.load(plan, random_weights(plan), HALF, "auto", tmp_path / "cache")
    assert kept.stat().st_mtime_ns == written and again.backend == first.backend
    np.testing.assert_array_equal(answer(again, image), answer(first, image))
    for arrays, device in ((random_weights(plan, 1), HALF), (random_weights(plan), CPU)):
        Predictor.load(plan, arrays, device, "auto", tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 3  # other weights, another precision


@needs_openvino
def test_a_network_kept_before_it_saw_features_is_not_taken_for_one_that_does() -> None:
    plan = plan_of(3)
    network = build(plan, 0)
    names = [compiled._key(one, plan, CPU, compiled._import().Core()) for one in (network, seeing(network))]
    assert names[0] != names[1]


@needs_openvino
@pytest.mark.parametrize("damage", ["cut", "changed", "emptied"])
def test_a_damaged_file_is_made_again(tmp_path: Path, damage: str) -> None:
    plan, image = plan_of(3), texture((16, 16, 16))[None]
    expected = answer(Predictor.load(plan, random_weights(plan), CPU, "auto", tmp_path), image)
    (kept,) = tmp_path.iterdir()
    content = kept.read_bytes()
    middle = len(content) * 3 // 4
    changed = content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
    kept.write_bytes({"cut": content[:middle], "changed": changed, "emptied": b""}[damage])
    again = Predictor.load(plan, random_weights(plan), CPU, "auto", tmp_path)
    assert again.backend.name == "openvino"
    np.testing.assert_array_equal(answer(again, image), expected)
    assert compiled._read(kept)  # whole again


@needs_openvino
@pytest.mark.parametrize("body", [b'{"changed": 0, "largest": 0}\nof another build', b"[0, 0]\n"])
def test_a_whole_file_that_cannot_be_used_here_is_made_again(tmp_path: Path, body: bytes) -> None:
    plan, image = plan_of(3), texture((16, 16, 16))[None]
    expected = answer(Predictor.load(plan, random_weights(plan), CPU, "auto", tmp_path), image)
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    again = Predictor.load(plan, random_weights(plan), CPU, "auto", tmp_path)
    assert again.backend.name == "openvino"
    np.testing.assert_array_equal(answer(again, image), expected)
    assert body not in kept.read_bytes()


@needs_openvino
def test_where_nothing_can_be_kept_it_predicts_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    plan = plan_of(3)
    assert Predictor.load(plan, random_weights(plan), CPU, "auto", tmp_path / "cache").backend.name == "openvino"


@needs_openvino
def test_only_the_newest_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "KEPT", 2)
    (tmp_path / "training-1.safetensors").touch()
    plan, seen = plan_of(3), []
    for seed in range(3):
        Predictor.load(plan, random_weights(plan, seed), CPU, "auto", tmp_path)
        (new,) = {path for path in tmp_path.glob("openvino-*") if path not in seen}
        os.utime(new, (seed + 1, seed + 1))
        seen.append(new)
    assert set(tmp_path.iterdir()) == {tmp_path / "training-1.safetensors", *seen[1:]}


@needs_openvino
def test_a_network_that_rounding_upsets_is_left_to_torch_and_that_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plan, image = plan_of(3), texture((16, 16, 16))[None]
    arrays = random_weights(plan)
    head = "output_block.conv.conv.weight"
    arrays[head] = arrays[head] * 1000  # the last bit of bfloat16 decides
    with caplog.at_level(logging.WARNING):
        found = [Predictor.load(plan, arrays, HALF, name, tmp_path) for name in ("auto", "openvino", "auto")]
    assert {one.backend.name for one in found} == {"torch"}
    assert found[2].backend.why.startswith("OpenVINO's answer is not torch's: ")
    assert [record.getMessage() for record in caplog.records] == [f"torch predicts: {found[0].backend.why}"]
    np.testing.assert_array_equal(answer(found[2], image), answer(Predictor.load(plan, arrays, HALF), image))


@needs_openvino
def test_the_check_sees_other_weights() -> None:
    plan = plan_of(3)
    one, other = (Predictor.load(plan, random_weights(plan, seed), CPU, "openvino") for seed in (0, 1))
    torch_one = Predictor.load(plan, random_weights(plan), CPU)
    right, wrong = (compiled.compare(p.network, torch_one.network, plan, CPU) for p in (one, other))
    assert right.trusts("float32") and not wrong.trusts("float32") and not wrong.trusts("bfloat16")


@needs_openvino
def test_weights_that_are_no_numbers_are_not_trusted() -> None:
    plan = plan_of(3)
    arrays = random_weights(plan) | {"output_block.conv.conv.bias": np.full(3, np.nan, np.float32)}
    assert Predictor.load(plan, arrays, CPU, "auto").backend.name == "torch"


@needs_openvino
def test_threads_and_precision_are_those_of_the_settings(tmp_path: Path) -> None:
    plan = plan_of(3)
    for device in (Device("cpu", False, 1, "CPU"), Device("cpu", True, 2, "CPU"), Device("cpu", True, 1, "CPU")):
        network = Predictor.load(plan, random_weights(plan), device, "openvino", tmp_path).network
        assert isinstance(network, Compiled)
        settings = [network.compiled.get_property(n) for n in ("INFERENCE_NUM_THREADS", "INFERENCE_PRECISION_HINT")]
        assert [settings[0], str(settings[1])] == [device.threads, f"<Type: '{device.precision}'>"]


def test_what_cannot_be_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(3)
    network = Predictor.load(plan, random_weights(plan), CPU).network
    cuda = Device("cuda", False, 1, "a card")
    assert compiled.choose(network, plan, CPU, "torch", None)[1] == Backend("torch", '[predict] backend is "torch"')
    assert compiled.choose(network, plan, cuda, "auto", None)[1] == Backend("torch", "the device is CUDA")
    with pytest.raises(SettingsError, match="the device is CUDA") as refused:
        compiled.choose(network, plan, cuda, "openvino", None)
    assert refused.value.hint == 'set [predict] device to "cpu"'
    laid_out = replace(CPU, memory_format="channels_first")
    assert "OpenVINO has a layout of its own" in compiled.choose(network, plan, laid_out, "auto", None)[1].why
    with pytest.raises(SettingsError, match="memory_format"):
        compiled.choose(network, plan, laid_out, "openvino", None)
    monkeypatch.setattr(compiled, "find_spec", lambda name: None)
    chosen, backend = compiled.choose(network, plan, CPU, "auto", None)
    assert chosen is network and backend == Backend("torch", "OpenVINO is not installed: pip install 'rondel[cpu]'")
    with pytest.raises(SettingsError, match="not installed") as refused:
        compiled.choose(network, plan, CPU, "openvino", None)
    assert refused.value.hint == "pip install 'rondel[cpu]'"


@needs_openvino
def test_projects_predict_with_what_their_settings_say(rondel: Rondel, predicted: Predicted, tmp_path: Path) -> None:
    folder = predicted.copy(tmp_path / "cells")
    assert rondel.ok("-p", folder, "predict", "scan").out.rstrip().endswith("s, openvino")
    assert len(list((folder / "cache").glob("openvino-*.blob"))) == 1
    told = rondel.ok("-p", folder, "doctor").out
    assert "backend" in told and "it agrees with torch" in told
    settings_file.change(folder / "project.toml", "predict.memory_format", "channels_first")
    told = rondel.ok("-p", folder, "doctor").out
    assert "channels first" in told and "[predict] memory_format says so" in " ".join(told.split())
    settings_file.change(folder / "project.toml", "predict.memory_format", "auto")
    settings_file.change(folder / "project.toml", "predict.backend", "torch")
    assert '[predict] backend is "torch"' in rondel.ok("-p", folder, "doctor").out
    assert rondel.ok("-p", folder, "predict", "scan").out.rstrip().endswith("s, torch")
    assert rondel("-p", folder, "config", "predict.backend", "cuda").code == 2


@needs_openvino
@pytest.mark.parametrize("wanted", ["auto", "torch"])
def test_workers_compute_with_what_the_driving_job_computes_with(
    predicted: Predicted, tmp_path: Path, wanted: str
) -> None:
    folder = predicted.copy(tmp_path / "cells")
    settings_file.change(folder / "project.toml", "predict.backend", wanted)
    with open_project(folder) as project:
        mapping.predict_volume(project, "scan", 1, Quiet())
        loaded = load(project, 1)
        opened = mapping.Maps.open(folder, "scan", 1)
        record = project.volume_record("scan")
        plan = TilePlan.of(project, record, loaded, opened, False, 1)
        assert plan.settings.backend == loaded.predictor.backend.name == {"auto": "openvino"}.get(wanted, wanted)
        assert plan.open().predictor.backend == loaded.predictor.backend


@needs_openvino
def test_nothing_is_told_to_anyone(tmp_path: Path) -> None:
    """OpenVINO's own import reports to its makers, and leaves an identity in the home folder."""
    program = "from rondel.loop import compiled; import sys; compiled._import().Core(); print(*sorted(sys.modules))"
    ran = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"HOME": str(tmp_path)}, capture_output=True, text=True
    )
    assert "openvino" in ran.stdout.split(), ran.stderr
    assert not [name for name in ran.stdout.split() if name.startswith("openvino_telemetry.")]
    assert not (tmp_path / "intel").exists()


def test_it_is_only_loaded_to_be_used() -> None:
    program = "from rondel.loop import loaded, doctor; import sys; print('openvino' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.stdout.strip() == "False", ran.stderr
