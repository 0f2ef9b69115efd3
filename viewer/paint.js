/**
 * What can a person do on the page? Tools, keys and what they mean, between the strip, the pointer and the server.
 */

import { Adapter, findViewer } from "./adapter.js";
import { Clock } from "./clock.js";
import { Keyboard } from "./keyboard.js";
import { TOOLS } from "./keys.js";
import { DROPPED, Leaving } from "./leaving.js";
import { Pointer } from "./pointer.js";
import { isEmpty, strokeRegion } from "./raster.js";
import { Strip } from "./strip.js";
import { Sync } from "./sync.js";
import { Tools } from "./tools.js";

/** @typedef {import("./adapter.js").Axis} Axis */
/** @typedef {import("./adapter.js").Panel} Panel */
/** @typedef {import("./mirror.js").Mirror} Mirror */
/** @typedef {import("./raster.js").Triple} Triple */
/** @typedef {import("./sync.js").Message} Message */

const SECONDS_EVERY = 10;
const WAIT_FOR = 30000;
const PROBE_FOR = 3000;
const PROBE_EVERY = 50;
const NAME = "rondel-person";

export class Page {
  /**
   * @param {Adapter | null} adapter null where Neuroglancer lacks names that painting needs
   * @param {string[]} missing
   */
  constructor(adapter, missing) {
    this.adapter = adapter;
    this.missing = missing;
    this.tools = new Tools();
    this.clock = new Clock();
    this.leaving = new Leaving(this);
    this.said = "";
    this.looked = false;
    /** @type {Message[] | null} the boxes as they are outlined */
    this.outlined = null;
    this.lost = false;
    this.drawing = 0;
    this.sync = new Sync(`${location.origin.replace(/^http/, "ws")}/ws/${sessionOf(location.pathname)}`, this, { missing });
    this.sync.person = localStorage.getItem(NAME);
    this.strip = new Strip(document.body, this);
    this.pointer = adapter && new Pointer(this, adapter);
    this.keyboard = new Keyboard(this);
    this.#listen();
    this.sync.connect();
  }

  /** The boxes of the volume on show; null while one box is labelled. @returns {Message[] | null} */
  get boxes() {
    const { head } = this.sync;
    return head?.type === "view" ? head.boxes : null;
  }

  /** Classes of the project. @returns {{value: number, name: string, colour: string}[]} */
  get classes() {
    return this.sync.head?.classes ?? [];
  }

  /** Seconds of painting in this box, with those the server does not know yet. */
  get seconds() {
    return (this.sync.head?.seconds ?? 0) + this.clock.seconds;
  }

  colour() {
    return this.classes.find(({ value }) => value === this.tools.value)?.colour ?? "#fff";
  }

  /**
   * A position of the volume in voxels of the box.
   * @param {Triple} position
   * @returns {Triple | null}
   */
  local(position) {
    const origin = this.sync.head?.origin;
    return origin && this.sync.mirror ? [position[0] - origin[0], position[1] - origin[1], position[2] - origin[2]] : null;
  }

  /** Whether the box can be painted; says so where it cannot. */
  ready() {
    if (this.leaving.dropped) this.say(DROPPED);
    else if (!this.sync.mirror?.ready) this.say("the box is still on its way");
    return !this.leaving.dropped && (this.sync.mirror?.ready ?? false);
  }

  // What the server sends.

  /**
   * @param {Mirror} mirror
   * @param {import("./raster.js").Region} region
   */
  painted(mirror, region) {
    this.adapter?.paint(this.sync.head?.serial, mirror.view, mirror.shape, region);
    this.refresh();
  }

  /**
   * @param {Message} head
   * @param {Mirror | null} mirror
   */
  showing(head, mirror) {
    if (this.lost) this.adapter?.refetch();
    this.lost = false;
    this.said = "";
    this.leaving.warned = 0;
    if (!mirror) this.act("off");
    const known = this.classes.map(({ value }) => value);
    if (!known.includes(this.tools.value)) this.tools.value = known[1] ?? known[0] ?? 0;
    if (head.person) localStorage.setItem(NAME, (this.sync.person = head.person));
    this.strip.show();
  }

  /** @param {Message} message */
  told(message) {
    if (message.type === "refused") this.say(`not done: ${message.message}${message.hint ? `; ${message.hint}` : ""}`);
    if (message.type === "note") this.say(message.text);
    this.refresh();
  }

  state() {
    this.lost ||= this.sync.head !== null && !this.sync.connected;
    this.refresh();
  }

  // What the person does.

  /**
   * Do what an entry of the tables in keys.js is called.
   * @param {string} name
   */
  act(name) {
    const { tools } = this;
    if (TOOLS.some((tool) => tool.name === name)) this.#takeUp(name);
    else if (name === "off") tools.tool = null;
    else if (name === "toggle") this.#takeUp(tools.tool ? null : tools.last);
    else if (name === "flat") tools.flat = !tools.flat;
    else if (name === "only") tools.nextOnly(this.classes);
    else if (name === "smaller" || name === "larger") tools.resize(name === "larger");
    else if (name === "labels") this.adapter?.layers.setVisible("labels", !this.adapter.layers.visible("labels"));
    else if (name === "skip") this.leaving.askWhy();
    else this.#send(name);
    this.refresh();
  }

  /** @param {number} value of the class to paint with; 0 takes the eraser */
  choose(value) {
    if (value === 0) return this.act("eraser");
    if (!this.classes.some((one) => one.value === value)) return this.say(`there is no class ${value}`);
    this.tools.value = value;
    if (this.tools.tool === "eraser" || this.tools.tool === "pick") this.#takeUp("brush");
    this.refresh();
  }

  /** @param {number} box that was clicked in the view of a volume */
  label(box) {
    this.operate("label", {}, box);
  }

  /**
   * Send an operation; without a connection it waits, which is said.
   * @param {string} op
   * @param {Record<string, any>} [fields]
   * @param {number} [box]
   */
  operate(op, fields, box) {
    this.sync.operate(op, fields, box);
    if (!this.sync.connected) this.say("no connection: this waits, and is done as soon as there is one again");
  }

  /** @param {string} person */
  name(person) {
    this.sync.person = person;
    localStorage.setItem(NAME, person);
    this.sync.tell({ type: "person", person });
    this.refresh();
  }

  /** @param {string} text shown at the foot of the strip */
  say(text) {
    this.said = text;
    this.refresh();
  }

  /** Show the state on the strip and at the pointer with the next frame. */
  refresh() {
    this.pointer?.outline();
    this.drawing ||= requestAnimationFrame(() => {
      this.drawing = 0;
      this.#outline();
      this.strip.show();
    });
  }

  // What the pointer does.

  /**
   * @param {string} tool
   * @param {Axis | null} axis of the cross section
   * @param {boolean} erases
   * @param {Triple} point
   */
  pressed(tool, axis, erases, point) {
    this.said = "";
    this.brush = this.tools.brush(axis, erases);
    if (tool !== "threshold") this.sync.mirror?.start(this.brush, point);
    this.refresh();
  }

  /**
   * @param {string} tool
   * @param {Triple} point
   */
  dragged(tool, point) {
    if (tool !== "threshold") this.sync.mirror?.extend(point);
  }

  /**
   * @param {string} tool
   * @param {Triple[]} points
   * @returns {(point: Triple) => void} goes on with another stroke of the same brush
   */
  released(tool, points) {
    const { brush } = this;
    if (this.#outside(points)) this.say("outside the box");
    else if (tool === "threshold") this.operate("threshold", { ...brush, points, tolerance: this.tools.tolerance });
    else this.sync.finishStroke();
    return (point) => brush && tool !== "threshold" && this.sync.mirror?.start(brush, point);
  }

  /**
   * Whether a stroke touches no voxel of the box: it is given up.
   * @param {Triple[]} points
   */
  #outside(points) {
    const { mirror } = this.sync;
    if (!mirror || !this.brush || !isEmpty(strokeRegion(mirror.shape, mirror.weights, { ...this.brush, points }))) return false;
    mirror.cancel();
    return true;
  }

  /**
   * @param {string} tool
   * @param {Triple | null} point
   * @param {Panel} panel
   */
  clicked(tool, point, panel) {
    const { mirror } = this.sync;
    if (!mirror || !point || !this.ready()) return;
    const at = mirror.voxel(point);
    if (!at) return this.say("that is outside the box");
    if (tool === "pick") return this.#pick(mirror.at(point));
    const { flat, value, accepted } = this.tools;
    if (tool === "fill") this.operate("fill", { at, plane: flat ? this.adapter?.axis(panel) : null, value });
    if (tool === "accept") this.operate("accept", { at, ...accepted });
  }

  /** @param {string | null} tool */
  #takeUp(tool) {
    if (!this.adapter || !this.sync.mirror) return;
    this.tools.takeUp(tool);
    this.said = "";
  }

  /** @param {number | null} value under the pointer */
  #pick(value) {
    if (value) this.choose(value);
    else this.say("nothing is labelled there");
  }

  /** @param {string} name */
  #send(name) {
    if (!this.sync.mirror) return;
    if (name === "done") return this.leaving.done();
    if (name === "previous" || name === "next") return this.leaving.go(name);
    if (name === "view") return this.leaving.send("view");
    if (!this.ready()) return;
    const { value, only, accepted } = this.tools;
    const slice = this.pointer?.slice();
    if (name === "undo" || name === "redo" || name === "empty") this.operate(name);
    else if (name === "acceptAll") this.operate("accept", { at: null, ...accepted });
    else if (name === "interpolate" && slice) this.operate("interpolate", { axis: slice.axis, value, only });
    else if (name === "copy" && slice) this.#copy(slice, 1);
    else if (name === "copyBack" && slice) this.#copy(slice, -1);
    else if (!slice) this.say("turn the view straight first: its slices lie oblique");
  }

  /**
   * @param {{axis: Axis, index: number}} slice
   * @param {number} by
   */
  #copy({ axis, index }, by) {
    const size = this.sync.mirror?.shape[axis] ?? 0;
    const to = index + by;
    if (index < 0 || index >= size || to < 0 || to >= size) return this.say("there is no slice of the box to copy to");
    this.operate("copy", { axis, from: index, to, only: this.tools.only });
    this.adapter?.step(axis, by);
  }

  #listen() {
    for (const type of ["pointerdown", "pointermove", "wheel", "keydown"]) {
      window.addEventListener(type, () => this.#active(), { capture: true, passive: true });
    }
    window.addEventListener("beforeunload", (event) => {
      if (this.sync.unsaved || this.sync.mirror?.live) event.preventDefault();
    });
    window.addEventListener("pagehide", () => {
      this.leaving.sendSeconds();
      this.sync.keep();
    });
    window.addEventListener("pageshow", (event) => event.persisted && this.sync.unkeep());
    this.adapter?.onChunks(() => this.#settle());
    this.adapter?.layers.onChange(() => this.refresh());
    this.adapter?.onDraw(() => this.pointer?.outline());
  }

  /** Let the outlines of a volume's boxes follow their states. */
  #outline() {
    const { boxes } = this;
    if (boxes && boxes !== this.outlined && this.adapter?.layers.outline(boxes)) this.outlined = boxes;
  }

  #active() {
    if (!this.sync.mirror) return;
    this.clock.tick();
    if (this.clock.seconds >= SECONDS_EVERY) this.leaving.sendSeconds();
    this.refresh();
  }

  #settle() {
    const { mirror, head } = this.sync;
    if (!mirror?.ready || !head || !this.adapter) return;
    if (!this.looked) this.#lookAtChunks(head.serial);
    this.adapter?.settle(head.serial, mirror.view, mirror.shape);
  }

  /**
   * Chunks can be looked at only once there are some.
   * @param {string} serial
   */
  #lookAtChunks(serial) {
    const missing = this.adapter?.missingInChunks(serial);
    if (!missing) return;
    this.looked = true;
    if (missing.length) this.lack(missing);
  }

  /**
   * Give up painting: what is missing is said here and to the server, which then listens to Neuroglancer's own actions.
   * @param {string[]} missing
   */
  lack(missing) {
    this.act("off");
    this.adapter = null;
    this.missing = this.sync.missing = missing;
    this.sync.hello();
    this.refresh();
  }
}

/** @param {string} path of the page, /v/SESSION/ */
function sessionOf(path) {
  return /\/v\/([^/]+)/.exec(path)?.[1] ?? "";
}

/** Wait for Neuroglancer, look for the names that are needed, and start. */
function start() {
  const began = performance.now();
  let found = Infinity;
  const look = () => {
    const viewer = findViewer();
    const adapter = viewer && new Adapter(viewer);
    const missing = adapter?.missing() ?? ["viewer"];
    const now = performance.now();
    if (adapter) found = Math.min(found, now);
    if (missing.length && now < Math.min(found + PROBE_FOR, began + WAIT_FOR)) return setTimeout(look, PROBE_EVERY);
    Object.assign(window, { rondel: new Page(missing.length ? null : adapter ?? null, missing) });
  };
  look();
}

start();
