/**
 * What does the box hold, as far as this page knows?
 *
 *     base   what the server said last: the state at `revision`
 *     view   base, and on top of it the strokes that the server has not answered yet, in their order
 *
 * Whenever base changes the strokes are painted anew over it, so that an answer to an older stroke, or another person's
 * edit, never undoes a newer one. Neuroglancer's chunks are only a picture of `view`.
 */

import { eachRow, crcOf, NOWHERE, around, paintSegment, paintStroke, segmentRegion, strokeRegion, weights, whole } from "./raster.js";

/** @typedef {import("./raster.js").Region} Region */
/** @typedef {import("./raster.js").Stroke} Stroke */
/** @typedef {import("./raster.js").Triple} Triple */

export class Mirror {
  /**
   * @param {number} id of the label box
   * @param {Triple} shape
   * @param {Triple} spacing
   * @param {(region: Region) => void} changed called with the part of `view` that may have changed
   */
  constructor(id, shape, spacing, changed) {
    this.id = id;
    this.shape = shape;
    this.changed = changed;
    this.weights = weights(spacing);
    /** -1 until the box has arrived: then nothing can be painted */
    this.revision = -1;
    const voxels = shape[0] * shape[1] * shape[2];
    this.base = new Uint8Array(voxels);
    this.view = new Uint8Array(voxels);
    /** labelled voxels of view; -1 where it has changed since they were counted */
    this.counted = -1;
    /** @type {Map<number, Stroke>} strokes that wait for their answer, by number, in order */
    this.waiting = new Map();
    /** @type {Stroke | null} the stroke under the pointer */
    this.live = null;
    /** @type {Region} */
    this.liveRegion = NOWHERE;
  }

  get ready() {
    return this.revision >= 0;
  }

  /** How many voxels are labelled; they are counted anew only when somebody asks after a change. */
  get labelled() {
    if (this.counted < 0) this.counted = countSet(this.view);
    return this.counted;
  }

  /**
   * Take the whole box as the server holds it.
   * @param {number} revision
   * @param {Uint8Array} voxels
   */
  load(revision, voxels) {
    this.revision = revision;
    this.base.set(voxels);
    this.redraw(whole(this.shape));
  }

  /**
   * Take a part of the box as the server holds it.
   * @param {number} revision
   * @param {Region} region
   * @param {Uint8Array} values
   */
  patch(revision, region, values) {
    let from = 0;
    eachRow(this.shape, region, (index, length) => {
      this.base.set(values.subarray(from, from + length), index);
      from += length;
    });
    this.revision = revision;
    this.redraw(region);
  }

  /**
   * A stroke of our own is saved, and the server painted the same voxels: it becomes part of base.
   * @param {number} number
   * @param {number} revision
   */
  accept(number, revision) {
    const stroke = this.waiting.get(number);
    this.revision = revision;
    if (!stroke) return;
    paintStroke(this.base, this.shape, this.weights, stroke);
    this.drop(number);
  }

  /**
   * Forget a stroke that waited: it is part of base by now, or never will be.
   * @param {number} number
   */
  drop(number) {
    const stroke = this.waiting.get(number);
    if (!stroke) return;
    this.waiting.delete(number);
    this.redraw(strokeRegion(this.shape, this.weights, stroke));
  }

  /**
   * Put down the pointer.
   * @param {Omit<Stroke, "points">} brush
   * @param {Triple} point
   */
  start(brush, point) {
    this.live = { ...brush, points: [point] };
    this.liveRegion = NOWHERE;
    this.#advance(point, point);
  }

  /**
   * Go on with the stroke under the pointer.
   * @param {Triple} point
   */
  extend(point) {
    if (!this.live) return;
    const last = this.live.points[this.live.points.length - 1];
    this.live.points.push(point);
    this.#advance(last, point);
  }

  /**
   * Lift the pointer: the stroke now waits for its answer under this number.
   * @param {number} number
   * @returns {{stroke: Stroke, region: Region, crc: number} | null} with the crc32 of its region after it
   */
  finish(number) {
    const { live: stroke, liveRegion: region } = this;
    this.live = null;
    if (!stroke) return null;
    this.waiting.set(number, stroke);
    return { stroke, region, crc: crcOf(this.view, this.shape, region) };
  }

  /** Give up the stroke under the pointer. */
  cancel() {
    this.live = null;
    this.redraw(this.liveRegion);
  }

  /**
   * The value under a point, or null outside the box.
   * @param {Triple} point
   * @returns {number | null}
   */
  at(point) {
    const voxel = this.voxel(point);
    return voxel && this.view[(voxel[0] * this.shape[1] + voxel[1]) * this.shape[2] + voxel[2]];
  }

  /**
   * The voxel that holds a point, or null outside the box.
   * @param {Triple} point
   * @returns {Triple | null}
   */
  voxel(point) {
    const [z, y, x] = point.map((v) => Math.floor(v + 0.5));
    const inside = [z, y, x].every((v, i) => v >= 0 && v < this.shape[i]);
    return inside ? [z, y, x] : null;
  }

  /**
   * Make a part of view anew: base, then every stroke that waits, then the one under the pointer.
   * @param {Region} region
   */
  redraw(region) {
    const { base, view, shape } = this;
    eachRow(shape, region, (index, length) => view.set(base.subarray(index, index + length), index));
    for (const stroke of this.waiting.values()) paintStroke(view, shape, this.weights, stroke, region);
    if (this.live) paintStroke(view, shape, this.weights, this.live, region);
    this.counted = -1;
    this.changed(region);
  }

  /**
   * @param {Triple} a
   * @param {Triple} b
   */
  #advance(a, b) {
    const stroke = /** @type {Stroke} */ (this.live);
    this.liveRegion = around(this.liveRegion, segmentRegion(this.shape, this.weights, stroke, a, b));
    this.counted = -1;
    this.changed(paintSegment(this.view, this.shape, this.weights, stroke, a, b, whole(this.shape)));
  }
}

/**
 * How many voxels are not 0: a plain loop, as `reduce` takes ten times as long over a million of them.
 * @param {Uint8Array} voxels
 */
function countSet(voxels) {
  let count = 0;
  for (let i = 0; i < voxels.length; i++) if (voxels[i] !== 0) count++;
  return count;
}
