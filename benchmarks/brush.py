"""How long does a brush take: until its voxels are edited in the page, and until the stroke is durable?

    python benchmarks/brush.py [--strokes 25] [--show]

A headless Chromium paints discs of radius 20 in a box of 96 cubed voxels of a new project: on loopback, and through a
forwarder that adds 100 ms each way. Measured are

    edit     from a pointer event's first listener to the last of Neuroglancer's chunks that holds its voxels
    seen     the same from the moment that the event happened: it may have waited for drawing, which is slow in software
    durable  from lifting the pointer to the server's answer that the stroke is on disk

Events come when the last one's picture is on the screen: drawing in software takes all cores of a small machine, where
a graphics card would take none.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
from rondel.store import label_boxes, ledger, serving
from rondel.store import project as projects
from rondel.store.box import Box
from rondel.store.records import LabelBox, Purpose, State

from tests.browser import CHROMIUM, FLAGS, Screen, Server
from tests.forwarder import forwarded
from tests.images import make_volume, texture
from tests.painted_project import Painted

SIDE, MARGIN, RADIUS = 96, 16, 20
STEPS = 12
DELAY = 0.1
FIRST = """
window.times = { edits: [], answers: [] };
for (const type of ["pointerdown", "pointermove"]) {
  window.addEventListener(type, (event) => {
    window.happening = { stamp: event.timeStamp, began: performance.now(), end: 0 };
  }, { capture: true });
}
"""
"""Runs before the page's own scripts, so that these listeners are the first."""
WATCH = """() => {
  const { adapter, sync } = rondel, { times } = window;
  const paint = adapter.paint.bind(adapter), finish = sync.finishStroke.bind(sync), told = rondel.told.bind(rondel);
  let lifted = 0;
  adapter.paint = (...given) => {
    const changed = paint(...given), now = window.happening;
    if (changed && now && rondel.pointer.drag) {
      if (!now.end) times.edits.push(now);
      now.end = performance.now();
    }
    return changed;
  };
  sync.finishStroke = () => { lifted = performance.now(); finish(); };
  rondel.told = (message) => {
    if (message.type === "ack") times.answers.push(performance.now() - lifted);
    told(message);
  };
}"""

FINISH = """async () => {
  const { gl } = rondel.adapter.viewer.display;
  gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 100)));
}"""
"""Wait until the graphics process has drawn all: in software it is frames behind, and takes cores like any other."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strokes", type=int, default=25)
    parser.add_argument("--show", action="store_true", help="show the browser, and let it use the graphics card")
    words = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        flags = [] if words.show else FLAGS
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags, headless=not words.show)
        server = Server(make_project(Path(place) / "cells"))
        server.start()
        try:
            found = serving.load(server.folder)
            assert found
            report("loopback", measure(Screen(browser, server, before=FIRST, box=1), words.strokes))
            with forwarded(found.port, DELAY) as tunnel:
                slow = Screen(browser, server, before=FIRST, origin=tunnel.origin, box=1)
                report("100 ms each way", measure(slow, words.strokes))
        finally:
            server.stop()


def make_project(folder: Path) -> Painted:
    with projects.create(folder, ["background", "membrane"]) as project:
        image = texture((SIDE + 2 * MARGIN,) * 3)
        projects.add_volume(project, make_volume(folder, image).record)
        ledger.open_round(project.database, None, "random", 0)
        box = Box((MARGIN, MARGIN, MARGIN), (MARGIN + SIDE, MARGIN + SIDE, MARGIN + SIDE))
        ids = label_boxes.add(
            project.database, [LabelBox(0, "scan", box, 1, Purpose.TRAIN, State.PROPOSED, 1, "a benchmark")]
        )
    return Painted(folder, image, tuple(ids))


def measure(screen: Screen, strokes: int) -> dict[str, Any]:
    """Paint strokes, one after the other, each lifted only when the last one is saved and all is drawn."""
    screen.ready()
    screen.go((SIDE // 2,) * 3)
    screen.press("p")
    screen.set(radius=RADIUS)
    screen.ask(WATCH)
    for k in range(strokes):
        screen.press("12"[k % 2])
        row = (k * 7) % SIDE
        screen.down(0, (SIDE // 2, row, 2))
        for step in range(1, STEPS):
            screen.page.mouse.move(
                *screen.place(0, (SIDE // 2, (row + 40 * step // STEPS) % SIDE, step * SIDE // STEPS))
            )
        screen.drawn()
        screen.ask(FINISH)
        screen.up()
        screen.wait("rondel.sync.unsaved === 0")
        screen.drawn()
    screen.settle()
    return screen.ask("window.times")


def report(name: str, times: dict[str, Any]) -> None:
    edits = [t["end"] - t["began"] for t in times["edits"]]
    seen = [t["end"] - t["stamp"] for t in times["edits"]]
    for what, values in (("edit", edits), ("seen", seen), ("durable", times["answers"])):
        ordered = sorted(values)
        p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
        p50 = statistics.median(ordered)
        print(f"{name:>16}  {what:<8} p50 {p50:7.2f} ms   p99 {p99:7.2f} ms   of {len(ordered)}", flush=True)


if __name__ == "__main__":
    main()
