/**
 * What of Neuroglancer's inside does the page use? Everything it uses is here and in layers.js, and nowhere else.
 *
 * These names are no promise of Neuroglancer's, so `missing` looks for each of them at the start: where one is gone the
 * page says so and paints through Neuroglancer's own actions instead. Positions are voxels of the working level, axes
 * z, y, x, a voxel's centre at its integer index.
 */

import { Layers, quietly } from "./layers.js";
import { eachRow, intersect, isEmpty } from "./raster.js";

/** @typedef {import("./raster.js").Region} Region */
/** @typedef {import("./raster.js").Triple} Triple */
/** @typedef {0 | 1 | 2} Axis */
/** @typedef {any} Panel one of Neuroglancer's cross sections */

const GPU_MEMORY = 0;
const ALIGNED = 0.999;
const AXES = ["z", "y", "x"];

/** @type {[string, (viewer: any, panel: any) => unknown][]} */
const NAMES = [
  ["viewer.display.panels", (viewer) => viewer.display.panels.size],
  ["viewer.display.gl", (viewer) => viewer.display.gl],
  ["viewer.display.updateStarted", (viewer) => viewer.display.updateStarted.add],
  ["viewer.navigationState.coordinateSpace", (viewer) => viewer.navigationState.coordinateSpace.value.names],
  ["viewer.navigationState.position", (viewer) => viewer.navigationState.position.value],
  ["viewer.chunkManager.rpc.objects", (viewer) => viewer.chunkManager.rpc.objects.values],
  ["viewer…visibleChunksChanged.add", (viewer) => viewer.chunkManager.chunkQueueManager.visibleChunksChanged.add],
  ["viewer…visibleChunksChanged.dispatch", (viewer) => viewer.chunkManager.chunkQueueManager.visibleChunksChanged.dispatch],
  ["panel.element", (_, panel) => panel.element.getBoundingClientRect],
  ["panel.sliceView.projectionParameters", (_, panel) => panel.sliceView.projectionParameters.value.invViewProjectionMat],
  ["panel.navigationState.position", (_, panel) => panel.navigationState.position.value],
  ["panel…displayDimensionIndices", (_, panel) => panel.navigationState.pose.displayDimensions.value.displayDimensionIndices],
];

/** @type {[string, (chunk: any) => boolean][]} */
const CHUNK_NAMES = [
  ["chunk.data", (chunk) => chunk.data === null || chunk.data instanceof Uint8Array],
  ["chunk.chunkDataSize", (chunk) => chunk.chunkDataSize?.length === 3],
  ["chunk.state", (chunk) => typeof chunk.state === "number"],
  ["chunk.copyToGPU", (chunk) => typeof chunk.copyToGPU === "function"],
  ["chunk.freeGPUMemory", (chunk) => typeof chunk.freeGPUMemory === "function"],
];

/** Neuroglancer's viewer once it draws cross sections, or undefined before that. */
export function findViewer() {
  const viewer = /** @type {any} */ (window).viewer;
  const names = viewer?.navigationState?.coordinateSpace?.value?.names;
  if (names !== undefined && !AXES.every((name) => names.includes(name))) return undefined;
  return viewer;
}

export class Adapter {
  /** @param {any} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    this.layers = new Layers(viewer);
    /** @type {WeakMap<object, Uint8Array>} the data of chunks that show the box as the page knows it */
    this.known = new WeakMap();
    /** @type {Set<any>} chunks whose data are newer than what the graphics card holds */
    this.stale = new Set();
    quietly(() => viewer.display.updateStarted.add(() => this.#upload()));
  }

  /**
   * The names that this Neuroglancer lacks.
   * @returns {string[]}
   */
  missing() {
    const panel = quietly(() => this.panels()[0]);
    const wanted = !panel && this.#onlyProjections() ? NAMES.filter(([name]) => name.startsWith("v")) : NAMES;
    return wanted.filter(([, look]) => quietly(() => look(this.viewer, panel)) == null).map(([name]) => name);
  }

  /** A layout without any cross section has nothing to look for names in. */
  #onlyProjections() {
    const panels = quietly(() => [...this.viewer.display.panels]) ?? [];
    return panels.length > 0 && panels.every((panel) => panel.sliceViews !== undefined);
  }

  /**
   * The names that the chunks of a box lack; undefined while there are no chunks to look at.
   * @param {string} serial
   * @returns {string[] | undefined}
   */
  missingInChunks(serial) {
    const [chunk] = this.#sources(`/box/${serial}/`).flatMap((source) => [...source.chunks.values()]);
    return chunk && CHUNK_NAMES.filter(([, look]) => !quietly(() => look(chunk))).map(([name]) => name);
  }

  /**
   * The cross sections on the page.
   * @returns {Panel[]}
   */
  panels() {
    return [...this.viewer.display.panels].filter((panel) => panel.sliceView !== undefined);
  }

  /**
   * The cross section that an element belongs to.
   * @param {EventTarget | null} target
   * @returns {Panel | undefined}
   */
  panelOf(target) {
    return target instanceof Node ? this.panels().find((panel) => panel.element.contains(target)) : undefined;
  }

  /**
   * The voxel position under a point of the window. Neuroglancer's own mouse position lags behind in a drag.
   * @param {Panel} panel
   * @param {number} x
   * @param {number} y
   * @returns {Triple}
   */
  position(panel, x, y) {
    const { element } = panel;
    const place = element.getBoundingClientRect();
    const m = panel.sliceView.projectionParameters.value.invViewProjectionMat;
    const right = (2 * (x - place.left - element.clientLeft)) / element.clientWidth - 1;
    const up = 1 - (2 * (y - place.top - element.clientTop)) / element.clientHeight;
    const scale = m[3] * right + m[7] * up + m[15];
    const point = [0, 1, 2].map((i) => (m[i] * right + m[4 + i] * up + m[12 + i]) / scale);
    const position = Array.from(panel.navigationState.position.value);
    const shown = this.#shown(panel);
    const straight = this.#straight(panel);
    for (let i = 0; i < 3; i++) if (shown[i] >= 0 && i !== straight) position[shown[i]] = point[i];
    return this.#triple(position);
  }

  /**
   * The axis that a cross section is perpendicular to; null where it is oblique.
   * @param {Panel} panel
   * @returns {Axis | null}
   */
  axis(panel) {
    const straight = this.#straight(panel);
    if (straight < 0) return null;
    const found = this.#order().indexOf(this.#shown(panel)[straight]);
    return found < 0 ? null : /** @type {Axis} */ (found);
  }

  /**
   * How far a pixel to the right, and one down, lead in voxels.
   * @param {Panel} panel
   * @returns {[Triple, Triple]}
   */
  pixels(panel) {
    const { clientWidth, clientHeight } = panel.element;
    const m = panel.sliceView.projectionParameters.value.invViewProjectionMat;
    const shown = this.#shown(panel);
    const along = (/** @type {number} */ column, /** @type {number} */ size) => {
      const step = new Array(panel.navigationState.position.value.length).fill(0);
      for (let i = 0; i < 3; i++) if (shown[i] >= 0) step[shown[i]] = (2 * m[4 * column + i]) / size;
      return this.#triple(step);
    };
    return [along(0, clientWidth), along(1, clientHeight)];
  }

  /** Where the cross sections meet. */
  center() {
    return this.#triple(Array.from(this.viewer.navigationState.position.value));
  }

  /**
   * Go some voxels along an axis.
   * @param {Axis} axis
   * @param {number} by
   */
  step(axis, by) {
    const { position } = this.viewer.navigationState;
    const moved = Float32Array.from(position.value);
    moved[this.#order()[axis]] += by;
    position.value = moved;
  }

  /**
   * The annotation under the pointer, by its id.
   * @returns {string | undefined}
   */
  picked() {
    const { mouseState } = this.viewer;
    return mouseState?.active ? mouseState.pickedAnnotationId : undefined;
  }

  /**
   * Call back whenever Neuroglancer is about to draw.
   * @param {() => void} callback
   */
  onDraw(callback) {
    this.viewer.display.updateStarted.add(callback);
  }

  /**
   * Call back whenever chunks have arrived.
   * @param {() => void} callback
   */
  onChunks(callback) {
    this.viewer.chunkManager.chunkQueueManager.visibleChunksChanged.add(callback);
  }

  /**
   * Write a part of the box into the chunks that show it; they are drawn with the next frame.
   * @param {string} serial of the box on show
   * @param {Uint8Array} voxels of the whole box
   * @param {Triple} shape
   * @param {Region} region
   * @returns {number} how many chunks changed
   */
  paint(serial, voxels, shape, region) {
    let changed = 0;
    for (const { chunk, place } of this.#chunks(serial)) {
      const part = intersect(region, place);
      if (!isEmpty(part) && this.#write(chunk, place, voxels, shape, part)) changed++;
    }
    if (changed) this.viewer.chunkManager.chunkQueueManager.visibleChunksChanged.dispatch();
    return changed;
  }

  /**
   * Have read again what a lost connection kept from coming: Neuroglancer takes what it cannot reach for what is not
   * there, and never asks again.
   */
  refetch() {
    const lacking = this.layers.loading;
    for (const source of this.#sources("/data/")) {
      if (lacking || [...source.chunks.values()].some(({ data }) => data === null)) source.invalidateCache();
    }
  }

  /**
   * Chunks that came since the last call show what the server held when they were asked for: overwrite them.
   * @param {string} serial
   * @param {Uint8Array} voxels
   * @param {Triple} shape
   */
  settle(serial, voxels, shape) {
    for (const { chunk, place } of this.#chunks(serial)) {
      if (this.known.get(chunk) === chunk.data) continue;
      this.known.set(chunk, chunk.data);
      this.#write(chunk, place, voxels, shape, intersect(place, { start: [0, 0, 0], stop: shape }));
    }
  }

  /**
   * What Neuroglancer reads voxels from. It is looked up in the table of shared objects because a hidden layer has none
   * among the visible ones.
   * @param {string} part of the address
   * @returns {any[]}
   */
  #sources(part) {
    const objects = /** @type {any[]} */ ([...this.viewer.chunkManager.rpc.objects.values()]);
    return objects.filter((one) => one.chunks && one.spec?.chunkDataSize && one.parameters?.url?.includes(part));
  }

  /**
   * Every resident chunk of a box and its place in it.
   * @param {string} serial
   * @returns {{chunk: any, place: Region}[]}
   */
  #chunks(serial) {
    const found = [];
    for (const source of this.#sources(`/box/${serial}/`)) {
      const [nx, ny, nz] = source.spec.chunkDataSize;
      for (const [key, chunk] of source.chunks) {
        if (chunk.data === null) this.#fill(chunk, nx * ny * nz);
        const [x, y, z] = key.split(",").map(Number);
        /** @type {Region} */
        const place = { start: [z * nz, y * ny, x * nx], stop: [(z + 1) * nz, (y + 1) * ny, (x + 1) * nx] };
        found.push({ chunk, place });
      }
    }
    return found;
  }

  /**
   * @param {any} chunk
   * @param {Region} place
   * @param {Uint8Array} voxels
   * @param {Triple} shape
   * @param {Region} part inside both
   */
  #write(chunk, place, voxels, shape, part) {
    const { data } = chunk;
    const [nx, ny] = chunk.chunkDataSize;
    let changed = false;
    eachRow(shape, part, (index, length) => {
      const x = index % shape[2];
      const y = Math.floor(index / shape[2]) % shape[1];
      const z = Math.floor(index / (shape[2] * shape[1]));
      let k = ((z - place.start[0]) * ny + (y - place.start[1])) * nx + (x - place.start[2]);
      for (let i = index; i < index + length; i++, k++) {
        if (data[k] === voxels[i]) continue;
        data[k] = voxels[i];
        changed = true;
      }
    });
    if (changed) this.stale.add(chunk);
    return changed;
  }

  /**
   * Give a chunk that did not come voxels of its own: all such chunks share one texture, that of what is empty.
   * @param {any} chunk
   * @param {number} size
   */
  #fill(chunk, size) {
    chunk.data = new Uint8Array(size);
    chunk.texture = null;
    chunk.textureLayout?.addRef();
    this.stale.add(chunk);
  }

  /** Give the graphics card what changed since the last frame: once a frame, however many events there were. */
  #upload() {
    const { gl } = this.viewer.display;
    for (const chunk of this.stale) {
      if (chunk.state !== GPU_MEMORY) continue;
      chunk.freeGPUMemory(gl);
      chunk.copyToGPU(gl);
    }
    this.stale.clear();
  }

  /**
   * Which global dimension each shown one is.
   * @param {Panel} panel
   * @returns {ArrayLike<number>}
   */
  #shown(panel) {
    return panel.navigationState.pose.displayDimensions.value.displayDimensionIndices;
  }

  /**
   * Which shown dimension a cross section is perpendicular to; -1 where it is oblique.
   * @param {Panel} panel
   */
  #straight(panel) {
    const m = panel.sliceView.projectionParameters.value.invViewProjectionMat;
    const normal = [m[8], m[9], m[10]].map(Math.abs);
    const length = Math.hypot(...normal);
    return normal.findIndex((part) => part > ALIGNED * length);
  }

  /** Where z, y and x are among the global dimensions; a person may have reordered them. */
  #order() {
    const { names } = this.viewer.navigationState.coordinateSpace.value;
    return AXES.map((name) => names.indexOf(name));
  }

  /**
   * @param {number[]} position
   * @returns {Triple}
   */
  #triple(position) {
    const [z, y, x] = this.#order().map((i) => position[i]);
    return [z, y, x];
  }
}
