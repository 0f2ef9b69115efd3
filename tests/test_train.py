"""Training: it learns, repeats, goes on after a kill with the same weights, and never publishes what is no number."""

import random
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from rondel.loop import device, network
from rondel.loop import train as train_module
from rondel.loop.losses import known_loss
from rondel.loop.samples import Samples
from rondel.loop.train import Trained, count_steps, plan_training, rate, train
from rondel.store.errors import Cancelled, TrainingError
from rondel.store.settings import PredictTable

from .trainer import CPU, make_settings, plan_slabs, prepare, run, slab_boxes, slabs

TRAINER = Path(__file__).parent / "trainer.py"


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


def dice_of_bright(settings, arrays, folder) -> float:
    """Score class 2 on the whole slab volume, most of which was never labelled."""
    made = network.build(plan_slabs(settings), 0)
    network.load_state(made, arrays)
    box = slab_boxes(folder)[0]
    image, truth = box.normalisation.apply(slabs()[0][None]), slabs()[1]
    with torch.inference_mode():
        found = made.eval()(torch.from_numpy(image)[None])[0].argmax(0).numpy() + 1
    return 2 * ((found == 2) & (truth == 2)).sum() / ((found == 2).sum() + (truth == 2).sum())


def test_it_learns_slabs_and_reports_every_step(tmp_path):
    settings, told = make_settings(steps=40), []
    found = run(tmp_path, settings, tmp_path / "c", report=lambda *step: told.append(step))
    assert dice_of_bright(settings, found.arrays, tmp_path) > 0.9
    assert [t[:2] for t in told] == [(k, 40) for k in range(1, 41)] and found.steps == 40
    assert [(s, loss, r) for s, _, loss, r in told] == [p[:3] for p in found.curve]
    assert found.curve[-1][1] < found.curve[0][1] and found.seconds > 0


@pytest.mark.parametrize("loss", ["ce", "dice", "ce_dice"])
@pytest.mark.parametrize("dims", [2, 3])
def test_each_loss_trains_in_2d_and_3d(tmp_path, loss, dims):
    settings = make_settings(
        steps=30, loss={"name": loss}, network={"dims": dims}, patch=[(1, 16, 16), (16, 16, 16)][dims - 2]
    )
    assert dice_of_bright(settings, run(tmp_path, settings, tmp_path / "c").arrays, tmp_path) > 0.75


def test_the_same_seed_gives_the_same_weights_and_another_others(tmp_path):
    settings = make_settings()
    one, again = (run(tmp_path, settings, tmp_path / name).arrays for name in "ab")
    assert same(one, again)
    plan, samples = prepare(tmp_path, settings, seed=1)
    other = train(plan, samples, None, tmp_path / "c", lambda *_: None, lambda: False, CPU)
    assert not same(one, other.arrays)


@pytest.mark.parametrize("bfloat16", [False, True])
def test_cancelled_at_any_step_it_goes_on_to_the_same_weights(tmp_path, bfloat16):
    settings, dice = make_settings(steps=10), random.Random(0)
    where = replace(CPU, bfloat16=bfloat16)
    plan, samples = prepare(tmp_path, settings)
    whole = train(plan, samples, None, tmp_path / "whole", lambda *_: None, lambda: False, where)
    for stop in dice.sample(range(1, 10), 3):
        checkpoint = tmp_path / f"stop-{stop}"
        with pytest.raises(Cancelled, match=f"step {stop} of 10"):
            train_for(stop, plan, samples, checkpoint, where)
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]
        found, steps = train_for(10, plan, prepare(tmp_path, settings)[1], checkpoint, where)
        assert same(found.arrays, whole.arrays) and found.curve == whole.curve
        assert steps == list(range(stop + 1, 11))


def train_for(stop: int, plan, samples, checkpoint, where) -> tuple[Trained, list[int]]:
    """Train until step `stop` is done, then ask it to stop."""
    steps: list[int] = []
    report, cancelled = (lambda step, *_: steps.append(step)), (lambda: stop in steps)
    return train(plan, samples, None, checkpoint, report, cancelled, where), steps


def test_patches_two_sections_deep_at_the_bottom_train_the_same_twice(tmp_path):
    settings = make_settings(steps=8, network={"filters": [16, 32, 64, 128]}, rate=2e-3)
    plan, samples = prepare(tmp_path, settings)
    where = replace(CPU, bfloat16=True)
    one, again = (train(plan, samples, None, tmp_path / n, lambda *_: None, lambda: False, where) for n in "ab")
    assert same(one.arrays, again.arrays)


def test_killed_at_random_steps_it_goes_on_to_the_same_weights(tmp_path):
    steps, dice = 24, random.Random(1)
    whole = run(tmp_path, make_settings(steps=steps), tmp_path / "whole")
    for _ in range(3):
        job = subprocess.Popen([sys.executable, TRAINER, tmp_path, str(steps)], stdout=subprocess.PIPE, text=True)
        assert job.stdout is not None
        for _ in range(dice.randrange(1, 7)):
            assert job.stdout.readline()
        job.kill()
        job.wait()
        job.stdout.close()
        assert not (tmp_path / "weights").exists()
    rest = subprocess.run([sys.executable, TRAINER, tmp_path, str(steps)], capture_output=True, text=True, check=True)
    assert int(rest.stdout.split()[0]) > 1, "nothing was taken up from the checkpoint"
    assert same(safetensors.numpy.load_file(tmp_path / "weights"), whole.arrays)


def test_the_first_step_does_not_wait_for_torchs_compiler(tmp_path):
    code = (
        "import runpy, sys; runpy.run_path(sys.argv[0], run_name='__main__'); sys.exit('torch._dynamo' in sys.modules)"
    )
    begin = f"import sys; sys.argv = [{str(TRAINER)!r}, {str(tmp_path)!r}, '1']; "
    subprocess.run([sys.executable, "-c", begin + code], check=True)


def test_a_checkpoint_of_another_plan_is_not_taken_up(tmp_path):
    run(tmp_path, make_settings(), tmp_path / "c")
    steps = []
    run(tmp_path, make_settings(rate=5e-3), tmp_path / "c", report=lambda s, *_: steps.append(s))
    assert steps[0] == 1
    run(tmp_path, make_settings(rate=5e-3), tmp_path / "c", report=lambda s, *_: steps.append(s))
    assert len(steps) == 12, "a finished training is not done again"


def test_a_checkpoint_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "c").write_bytes(b"half")
    with pytest.raises(TrainingError, match="cannot be read"):
        run(tmp_path, make_settings(), tmp_path / "c")


def test_a_loss_that_is_no_number_ends_it_without_a_model_or_a_checkpoint(tmp_path):
    settings = make_settings()
    arrays = network.state(network.build(plan_slabs(settings), 0))
    arrays["output_block.conv.conv.bias"] = np.array([np.nan, 0], np.float32)
    with pytest.raises(TrainingError, match="step 1; no model was made"):
        run(tmp_path, settings, tmp_path / "c", arrays, "sha")
    assert not (tmp_path / "c").exists()


def test_steps_that_blow_up_publish_nothing(tmp_path):
    settings = make_settings(rate=1.0, weight_decay=0, steps=30)
    arrays = network.state(network.build(plan_slabs(settings), 0))
    arrays = {k: a * np.float32(1e30) if k.endswith("conv.weight") else a for k, a in arrays.items()}
    with pytest.raises(TrainingError, match="no model was made"):
        run(tmp_path, settings, tmp_path / "c", arrays, "sha")


def test_a_warm_start_begins_at_the_parents_weights_with_a_lower_rate(tmp_path):
    settings = make_settings(steps=40)
    parent = run(tmp_path, settings, tmp_path / "a")
    child = run(tmp_path, settings, tmp_path / "b", parent.arrays, "sha of the parent")
    assert child.curve[0][1] < 0.6 * parent.curve[0][1]
    assert max(p[2] for p in child.curve) == pytest.approx(settings.train.warm_rate * max(p[2] for p in parent.curve))


def test_the_rate_rises_shortly_and_falls_along_a_cosine(tmp_path):
    settings = make_settings(steps=100, rate=1e-2, final_rate=0.05)
    plan, _ = prepare(tmp_path, settings)
    rates = [rate(step, plan) for step in range(100)]
    assert rates.index(max(rates)) == 10 and max(rates) == pytest.approx(1e-2)
    assert all(a < b for a, b in zip(rates[:10], rates[1:11])) and all(a > b for a, b in zip(rates[10:], rates[11:]))
    assert rates[-1] == pytest.approx(5e-4) and rates[55] == pytest.approx((1e-2 + 5e-4) / 2, rel=0.02)


def test_a_time_limit_ends_training_at_the_rate_that_it_would_have_ended_at(tmp_path, monkeypatch):
    settings, clock, told = make_settings(steps=40, within="8s"), [0.0], []
    advance = train_module._Run.advance

    def take_a_second(self, samples, seconds):
        clock[0] += 1
        return advance(self, samples, seconds)

    monkeypatch.setattr(train_module._Run, "advance", take_a_second)
    monkeypatch.setattr(train_module.time, "monotonic", lambda: clock[0])
    found = run(tmp_path, settings, tmp_path / "c", report=lambda *step: told.append(step))
    assert [step[:2] for step in told] == [(k, 8) for k in range(1, 9)] and found.steps == 8
    rates, peak = [point[2] for point in found.curve], settings.train.rate
    assert max(rates) > 0.9 * peak and rates[-1] < 0.2 * peak
    monkeypatch.undo()
    loose = run(tmp_path, make_settings(steps=6, within="1h"), tmp_path / "d")
    assert same(loose.arrays, run(tmp_path, make_settings(steps=6), tmp_path / "e").arrays)


def test_more_labels_take_more_steps_up_to_four_times(tmp_path):
    train_table = make_settings(steps=80, more_steps=40).train
    assert [count_steps(train_table, n) for n in (0, 1_000_000, 3_000_000, 10**9)] == [80, 120, 200, 320]


def test_the_average_is_not_the_last_step_and_can_be_turned_off(tmp_path):
    averaged, last = (run(tmp_path, make_settings(ema=e), tmp_path / str(e)).arrays for e in (0.9, 0.0))
    name, saved = "input_block.conv1.conv.weight", safetensors.numpy.load_file(tmp_path / "0.0")
    assert not np.array_equal(averaged[name], last[name])
    assert np.array_equal(last[name], saved[f"weights/{name}"])


def test_batch_norm_statistics_are_those_of_the_averaged_weights(tmp_path):
    plan, samples = prepare(tmp_path, make_settings())
    found = train(plan, samples, None, tmp_path / "c", lambda *_: None, lambda: False, CPU)
    made = network.build(plan.network, 0)
    network.load_state(made, found.arrays)
    first = made.get_submodule("input_block.conv1")
    with torch.inference_mode():
        batches = [samples.batch(plan.steps + n).images for n in range(train_module.CALIBRATION)]
        means = torch.stack([first(torch.from_numpy(images)).mean((0, 2, 3, 4)) for images in batches])
    np.testing.assert_allclose(found.arrays["input_block.norm1.running_mean"], means.mean(0), rtol=1e-3, atol=1e-5)


def test_after_few_warm_steps_nothing_is_left_of_the_parents_statistics(tmp_path):
    settings = make_settings(steps=2)
    parent = run(tmp_path, settings, tmp_path / "a").arrays
    odd = {name: a * 100 if name.endswith("running_var") else a for name, a in parent.items()}
    one, other = (run(tmp_path, settings, tmp_path / n, p, "sha").arrays for n, p in (("b", parent), ("c", odd)))
    assert same(one, other)


def test_class_weights_reach_the_training(tmp_path):
    settings = make_settings(loss={"name": "ce"})
    dark, bright = settings.classes
    heavy = settings.model_copy(update={"classes": (dark, bright.model_copy(update={"weight": 5.0}))})
    assert prepare(tmp_path, heavy)[0].weights == (1.0, 5.0)
    one, other = (run(tmp_path, s, tmp_path / str(k)) for k, s in enumerate((settings, heavy)))
    assert not same(one.arrays, other.arrays)


def test_a_class_without_labels_is_warned_of(tmp_path, caplog):
    prepare(tmp_path, make_settings(2))
    assert not caplog.records
    prepare(tmp_path, make_settings(3))
    assert "no train box holds a voxel of brighter" in caplog.text


def test_a_model_of_two_classes_goes_on_with_three(tmp_path):
    old, new = make_settings(2), make_settings(3)
    parent = run(tmp_path, old, tmp_path / "a")
    wide = network.widen(parent.arrays, plan_slabs(old), plan_slabs(new), 0)
    found = run(tmp_path, new, tmp_path / "b", wide, "sha")
    assert found.arrays["output_block.conv.conv.bias"].shape == (3,)
    assert found.curve[0][1] < parent.curve[0][1]


def test_unlabelled_voxels_move_no_weight(tmp_path):
    """Whatever the network says where nothing is labelled, its weights' gradients stay the same."""
    made = network.build(plan_slabs(make_settings()), 0).eval()
    image = torch.rand(1, 1, 16, 16, 16)
    labels = torch.zeros(1, 16, 16, 16, dtype=torch.uint8)
    labels[:, :4], labels[:, 4:6] = 1, 2

    def gradients(elsewhere: float) -> list[torch.Tensor]:
        made.zero_grad()
        logits = made(image)
        logits = torch.where((labels == 0)[:, None], logits * elsewhere, logits)
        known_loss("ce_dice", logits, labels, torch.ones(2)).backward()
        return [p.grad.clone() for p in made.parameters() if p.grad is not None]

    assert all(torch.equal(a, b) for a, b in zip(gradients(1.0), gradients(-50.0)))


def test_boxes_held_out_are_watched_but_change_nothing(tmp_path):
    settings = make_settings(steps=12, checkpoint=5)
    *kept, held = slab_boxes(tmp_path)
    samples, watched = (Samples(b, settings.train, plan_slabs(settings), 0) for b in (kept, [held]))
    plan = plan_training(settings, plan_slabs(settings), samples, edit=1, parent=None)
    alone, seen = (
        train(plan, samples, None, tmp_path / f"{bool(h)}", lambda *_: None, lambda: False, CPU, h)
        for h in (None, watched)
    )
    assert same(alone.arrays, seen.arrays)
    assert [p[0] for p in seen.curve if p[3] is not None] == [5, 10, 12]
    assert all(p[3] is None for p in alone.curve)


def test_the_plan_tells_apart_what_gives_other_weights(tmp_path):
    plan, _ = prepare(tmp_path, make_settings())
    others = [replace(plan, edit=2), replace(plan, parent="sha"), replace(plan, seed=5), replace(plan, steps=3),
              replace(plan, boxes=(1,)), prepare(tmp_path, make_settings(augment={"flip": False}))[0]]  # fmt: skip
    assert len({p.digest() for p in [plan, *others]}) == 7
    assert prepare(tmp_path, make_settings())[0].digest() == plan.digest()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_the_gpu_trains_and_repeats(tmp_path):
    where = device.choose(PredictTable.model_validate({"device": "cuda"}))
    plan, samples = prepare(tmp_path, make_settings(steps=40))
    one, again = (train(plan, samples, None, tmp_path / n, lambda *_: None, lambda: False, where) for n in "ab")
    assert same(one.arrays, again.arrays)
    assert dice_of_bright(make_settings(), one.arrays, tmp_path) > 0.9
