/**
 * What does the pointer do in a cross section? It paints, picks and fills while a tool is on, and shows how large the
 * brush is; in the view of a whole volume a click on a box's outline opens it.
 *
 * Listeners run before Neuroglancer's own. Without a tool nothing is kept from Neuroglancer.
 */

import { weights } from "./raster.js";

/** @typedef {import("./adapter.js").Adapter} Adapter */
/** @typedef {import("./adapter.js").Panel} Panel */
/** @typedef {import("./raster.js").Triple} Triple */
/** @typedef {import("./paint.js").Page} Page */

const MOST_POINTS = 4000;
const FARTHEST = 1e6;
const NEAR_OUTLINE = 6;
const CLICK = 4;
const FINE = 256;
const STROKES = ["brush", "eraser", "threshold"];
const SWALLOWED = ["mousedown", "mouseup", "mousemove", "click", "dblclick"];

export class Pointer {
  /**
   * @param {Page} page
   * @param {Adapter} adapter
   */
  constructor(page, adapter) {
    this.page = page;
    this.adapter = adapter;
    /** @type {{panel: Panel, id: number, tool: string, points: Triple[]} | null} */
    this.drag = null;
    /** @type {{x: number, y: number, panel: Panel} | null} */
    this.pressed = null;
    /** @type {Panel | undefined} where the pointer was last */
    this.panel = undefined;
    this.x = 0;
    this.y = 0;
    this.frame = 0;
    this.cursor = document.body.appendChild(document.createElement("div"));
    this.cursor.className = "rondel-cursor";
    this.cursor.hidden = true;
    const handlers = { pointerdown: this.down, pointermove: this.move, pointerup: this.up, pointercancel: this.up };
    for (const [type, handler] of Object.entries(handlers)) {
      window.addEventListener(type, (event) => handler.call(this, /** @type {PointerEvent} */ (event)), { capture: true });
    }
    for (const type of SWALLOWED) window.addEventListener(type, (event) => this.swallow(event), { capture: true });
    window.addEventListener("wheel", () => this.outline(), { capture: true, passive: true });
    document.addEventListener("pointerleave", () => this.hover(null));
  }

  /** @param {PointerEvent} event */
  down(event) {
    const panel = this.adapter.panelOf(event.target);
    if (!panel || event.button !== 0 || this.drag) return;
    this.hover(event, panel);
    if (this.page.boxes) this.pressed = { x: event.clientX, y: event.clientY, panel };
    if (!this.#ours(event)) return;
    stop(event);
    panel.element.setPointerCapture?.(event.pointerId);
    const { tool } = this.page.tools;
    if (tool && STROKES.includes(tool)) this.#begin(panel, event, tool);
    else if (tool) this.page.clicked(tool, this.#point(panel, event.clientX, event.clientY), panel);
  }

  /** @param {PointerEvent} event */
  move(event) {
    const { drag } = this;
    this.hover(event, drag?.panel ?? this.adapter.panelOf(event.target));
    if (!drag || event.pointerId !== drag.id) return;
    stop(event);
    const events = event.getCoalescedEvents?.() ?? [];
    for (const { clientX, clientY } of events.length ? events : [event]) this.#extend(drag, clientX, clientY, false);
    if (drag.points.length >= MOST_POINTS) this.#goOn(drag);
  }

  /** @param {PointerEvent} event */
  up(event) {
    const { drag, pressed } = this;
    this.pressed = null;
    if (pressed && Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) <= CLICK) this.#open(pressed);
    if (!drag || event.pointerId !== drag.id) return;
    stop(event);
    if (event.type === "pointerup") this.#extend(drag, event.clientX, event.clientY, true);
    this.#end(drag);
  }

  /** @param {Event} event the mouse's half of what the pointer's events did */
  swallow(event) {
    const mouse = /** @type {MouseEvent} */ (event);
    if (mouse.button === 0 && (this.drag || (this.#ours(mouse) && this.adapter.panelOf(event.target)))) {
      if (event.type !== "mousemove" || this.drag) stop(event);
    }
  }

  /**
   * @param {PointerEvent | null} event null where the pointer has left the window
   * @param {Panel} [panel]
   */
  hover(event, panel) {
    if (event) [this.x, this.y] = [event.clientX, event.clientY];
    if (panel) this.panel = panel;
    this.inside = Boolean(panel);
    this.outline();
  }

  /** Show with the next frame how large the brush is where the pointer is; painting does not wait for it. */
  outline() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.#draw();
    });
  }

  #draw() {
    const { cursor, page } = this;
    const panel = this.#under();
    const mirror = page.sync.mirror;
    const shown = this.inside && panel && mirror && page.tools.tool !== null;
    const sized = shown && STROKES.includes(page.tools.tool ?? "");
    cursor.hidden = !shown;
    if (!shown) return;
    const across = this.adapter.pixels(panel).map((step) => (2 * page.tools.radius) / length(step, mirror.weights));
    const [width, height] = sized ? across : [0, 0];
    cursor.style.width = `${width}px`;
    cursor.style.height = `${height}px`;
    cursor.style.transform = `translate(${this.x - width / 2}px, ${this.y - height / 2}px)`;
    cursor.style.borderColor = page.tools.tool === "eraser" ? "#fff" : page.colour();
  }

  /**
   * The slice that the pointer is in, or the first cross section's: its axis and its index in the box.
   * @returns {{axis: import("./adapter.js").Axis, index: number} | null}
   */
  slice() {
    const panel = this.#under() ?? this.adapter.panels()[0];
    const axis = panel ? this.adapter.axis(panel) : null;
    const voxel = this.page.local(this.adapter.center());
    return axis === null || !voxel ? null : { axis, index: Math.floor(voxel[axis] + 0.5) };
  }

  /** The cross section that the pointer was in last; with another box or layout come other ones. */
  #under() {
    if (!this.panel || !this.adapter.panels().includes(this.panel)) {
      this.panel = this.adapter.panelOf(document.elementFromPoint(this.x, this.y));
    }
    return this.panel;
  }

  /**
   * Whether the tool takes this press. Ctrl and Shift are left to Neuroglancer, which turns and annotates with them.
   * @param {MouseEvent} event
   */
  #ours(event) {
    return this.page.tools.tool !== null && !event.ctrlKey && !event.metaKey && !event.shiftKey;
  }

  /**
   * @param {Panel} panel
   * @param {PointerEvent} event
   * @param {string} tool
   */
  #begin(panel, event, tool) {
    const point = this.#point(panel, event.clientX, event.clientY);
    if (!point || !this.page.ready()) return;
    const erases = tool === "eraser" || (tool === "brush" && event.altKey);
    this.drag = { panel, id: event.pointerId, tool, points: [point] };
    this.page.pressed(tool, this.adapter.axis(panel), erases, point);
  }

  /**
   * @param {{panel: Panel, tool: string, points: Triple[]}} drag
   * @param {number} x
   * @param {number} y
   * @param {boolean} last takes the point however near it is
   */
  #extend(drag, x, y, last) {
    const point = this.#point(drag.panel, x, y);
    const mirror = this.page.sync.mirror;
    if (!point || !mirror) return;
    const before = drag.points[drag.points.length - 1];
    const step = length([point[0] - before[0], point[1] - before[1], point[2] - before[2]], mirror.weights);
    if (step === 0 || (!last && step < Math.max(0.5, this.page.tools.radius / 4))) return;
    drag.points.push(point);
    this.page.dragged(drag.tool, point);
  }

  /**
   * A stroke that grew too long is sent, and the next one starts where it ended.
   * @param {{panel: Panel, tool: string, points: Triple[]}} drag
   */
  #goOn(drag) {
    const point = drag.points[drag.points.length - 1];
    const again = this.page.released(drag.tool, drag.points);
    drag.points = [point];
    again(point);
  }

  /** @param {{tool: string, points: Triple[]}} drag */
  #end(drag) {
    this.drag = null;
    this.page.released(drag.tool, drag.points);
  }

  /**
   * The point of the box under a point of the window. A brush that is thinner than a voxel along an axis sits in the
   * voxel's middle, so that the voxel under the pointer is always painted.
   * @param {Panel} panel
   * @param {number} x
   * @param {number} y
   * @returns {Triple | null}
   */
  #point(panel, x, y) {
    const local = this.page.local(this.adapter.position(panel, x, y));
    const mirror = this.page.sync.mirror;
    if (!local || !mirror) return null;
    const place = (/** @type {number} */ v, /** @type {number} */ i) =>
      this.page.tools.radius < mirror.weights[i] ? Math.floor(v + 0.5) : Math.floor(v * FINE) / FINE;
    const [z, y0, x0] = local.map((v, i) => Math.max(-FARTHEST, Math.min(FARTHEST, place(v, i))));
    return [z, y0, x0];
  }

  /** @param {{x: number, y: number, panel: Panel}} press in the view of a whole volume */
  #open({ x, y, panel }) {
    const picked = this.adapter.picked();
    const box = this.page.boxes?.find(({ id }) => picked === String(id)) ?? this.#outlined(x, y, panel);
    if (box) this.page.label(box.id);
  }

  /**
   * The box whose outline in this cross section passes nearest to a point of the window.
   * @param {number} x
   * @param {number} y
   * @param {Panel} panel
   */
  #outlined(x, y, panel) {
    const axis = this.adapter.axis(panel);
    const spacing = this.page.sync.head?.spacing ?? [1, 1, 1];
    const w = weights(spacing);
    const point = this.adapter.position(panel, x, y);
    const pixel = length(this.adapter.pixels(panel)[0], w);
    const near = (this.page.boxes ?? [])
      .filter(({ start, stop }) => axis !== null && point[axis] >= start[axis] - 0.5 && point[axis] < stop[axis] - 0.5)
      .map((box) => ({ box, far: outlineDistance(/** @type {any} */ (box), point, /** @type {number} */ (axis), w) / pixel }))
      .sort((a, b) => a.far - b.far);
    return near[0]?.far <= NEAR_OUTLINE ? near[0].box : undefined;
  }
}

/**
 * How far a point is from the rectangle that a box leaves in a slice.
 * @param {{start: Triple, stop: Triple}} box
 * @param {Triple} point
 * @param {number} axis
 * @param {Triple} w
 */
function outlineDistance({ start, stop }, point, axis, w) {
  const [a, b] = [0, 1, 2].filter((i) => i !== axis).map((i) => ({
    low: (start[i] - 0.5 - point[i]) * w[i],
    high: (point[i] - stop[i] + 0.5) * w[i],
  }));
  const outside = Math.hypot(Math.max(0, a.low, a.high), Math.max(0, b.low, b.high));
  return outside > 0 ? outside : -Math.max(a.low, a.high, b.low, b.high);
}

/**
 * @param {Triple} step in voxels
 * @param {Triple} w
 */
function length(step, w) {
  return Math.hypot(step[0] * w[0], step[1] * w[1], step[2] * w[2]);
}

/** @param {Event} event */
function stop(event) {
  event.stopImmediatePropagation();
  event.preventDefault();
}

