/**
 * Which voxels does a brush stroke cover? The page's half of the rule in brush.py, bit by bit.
 *
 * The server paints the same voxels from the same stroke, so that what a person sees before the answer is what is saved.
 * The order of the operations is part of the rule: both sides must round alike. Coordinates are voxels of the label box,
 * axes z, y, x, a voxel's centre at its integer index; voxels lie in C order, x fastest.
 */

/** @typedef {[number, number, number]} Triple */
/** @typedef {{start: Triple, stop: Triple}} Region half-open, in voxels of the label box */
/**
 * @typedef {object} Stroke
 * @property {Triple[]} points
 * @property {number} radius in units of the smallest spacing
 * @property {0 | 1 | 2 | null} plane axis that a flat disc leaves out; null paints a sphere
 * @property {number} value
 * @property {number | null} only voxels whose present value this is; null for all
 */

/** @type {Region} */
export const NOWHERE = { start: [0, 0, 0], stop: [0, 0, 0] };

const AXES = /** @type {const} */ ([0, 1, 2]);

/**
 * Size of a voxel along z, y, x in units of the smallest spacing.
 * @param {ArrayLike<number>} spacing
 * @returns {Triple}
 */
export function weights(spacing) {
  const smallest = Math.min(spacing[0], spacing[1], spacing[2]);
  return [spacing[0] / smallest, spacing[1] / smallest, spacing[2] / smallest];
}

/** @param {Region} region */
export function isEmpty(region) {
  return AXES.some((i) => region.stop[i] <= region.start[i]);
}

/**
 * @param {Region} a
 * @param {Region} b
 * @returns {Region} empty where they do not meet
 */
export function intersect(a, b) {
  const found = { start: each((i) => Math.max(a.start[i], b.start[i])), stop: each((i) => Math.min(a.stop[i], b.stop[i])) };
  return isEmpty(found) ? NOWHERE : found;
}

/**
 * The smallest region around both.
 * @param {Region} a
 * @param {Region} b
 * @returns {Region}
 */
export function around(a, b) {
  if (isEmpty(a)) return b;
  if (isEmpty(b)) return a;
  return { start: each((i) => Math.min(a.start[i], b.start[i])), stop: each((i) => Math.max(a.stop[i], b.stop[i])) };
}

/**
 * @param {Triple} shape
 * @returns {Region}
 */
export function whole(shape) {
  return { start: [0, 0, 0], stop: shape };
}

/**
 * A region around all that one segment of a stroke can cover, clipped to the box.
 * @param {Triple} shape
 * @param {Triple} w
 * @param {Stroke} stroke its first point alone says in which slice a flat stroke lies
 * @param {Triple} a
 * @param {Triple} b
 * @returns {Region}
 */
export function segmentRegion(shape, w, stroke, a, b) {
  const { radius, plane, points } = stroke;
  const start = each((i) => Math.floor(Math.min(a[i], b[i]) - radius / w[i]));
  const stop = each((i) => Math.ceil(Math.max(a[i], b[i]) + radius / w[i]) + 1);
  if (plane !== null) {
    start[plane] = Math.floor(points[0][plane] + 0.5);
    stop[plane] = start[plane] + 1;
  }
  return intersect({ start, stop }, whole(shape));
}

/**
 * The first point by itself, then each pair of neighbours.
 * @param {Triple[]} points
 * @returns {[Triple, Triple][]}
 */
export function segments(points) {
  return points.map((b, i) => [points[Math.max(0, i - 1)], b]);
}

/**
 * The bounding region of a stroke, clipped to the box.
 * @param {Triple} shape
 * @param {Triple} w
 * @param {Stroke} stroke
 */
export function strokeRegion(shape, w, stroke) {
  return segments(stroke.points).reduce((sum, [a, b]) => around(sum, segmentRegion(shape, w, stroke, a, b)), NOWHERE);
}

/**
 * Paint one segment into the voxels of a box.
 * @param {Uint8Array} voxels changed in place
 * @param {Triple} shape
 * @param {Triple} w
 * @param {Stroke} stroke
 * @param {Triple} a
 * @param {Triple} b
 * @param {Region} within nothing outside it is touched
 * @returns {Region} the region that was looked at
 */
export function paintSegment(voxels, shape, w, stroke, a, b, within) {
  const { plane, value } = stroke;
  const region = intersect(segmentRegion(shape, w, stroke, a, b), within);
  const [d0, d1, d2] = each((i) => (i === plane ? 0 : w[i] * (b[i] - a[i])));
  const length = d0 * d0 + d1 * d1 + d2 * d2;
  const limit = stroke.radius * stroke.radius;
  const only = stroke.only === null ? -1 : stroke.only;
  for (let z = region.start[0]; z < region.stop[0]; z++) {
    const p0 = plane === 0 ? 0 : w[0] * (z - a[0]);
    for (let y = region.start[1]; y < region.stop[1]; y++) {
      const p1 = plane === 1 ? 0 : w[1] * (y - a[1]);
      const along = p0 * d0 + p1 * d1;
      const row = (z * shape[1] + y) * shape[2];
      for (let x = region.start[2]; x < region.stop[2]; x++) {
        const p2 = plane === 2 ? 0 : w[2] * (x - a[2]);
        const t = length > 0 ? Math.min(1, Math.max(0, (along + p2 * d2) / length)) : 0;
        const e0 = p0 - t * d0;
        const e1 = p1 - t * d1;
        const e2 = p2 - t * d2;
        if (e0 * e0 + e1 * e1 + e2 * e2 <= limit && (only < 0 || voxels[row + x] === only)) voxels[row + x] = value;
      }
    }
  }
  return region;
}

/**
 * Paint a stroke into the voxels of a box.
 * @param {Uint8Array} voxels changed in place
 * @param {Triple} shape
 * @param {Triple} w
 * @param {Stroke} stroke
 * @param {Region} [within] nothing outside it is touched
 */
export function paintStroke(voxels, shape, w, stroke, within = whole(shape)) {
  for (const [a, b] of segments(stroke.points)) paintSegment(voxels, shape, w, stroke, a, b, within);
}

/**
 * The index of each row (along x) of a region in an array of the box's shape, with the row's length.
 * @param {Triple} shape
 * @param {Region} region
 * @param {(index: number, length: number) => void} visit
 */
export function eachRow(shape, region, visit) {
  const length = region.stop[2] - region.start[2];
  if (length <= 0) return;
  for (let z = region.start[0]; z < region.stop[0]; z++) {
    for (let y = region.start[1]; y < region.stop[1]; y++) {
      visit((z * shape[1] + y) * shape[2] + region.start[2], length);
    }
  }
}

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});

/**
 * crc32 (as zlib's) of a region's voxels in C order.
 * @param {Uint8Array} voxels
 * @param {Triple} shape
 * @param {Region} region
 */
export function crcOf(voxels, shape, region) {
  let crc = 0xffffffff;
  eachRow(shape, region, (index, length) => {
    for (let k = index; k < index + length; k++) crc = CRC[(crc ^ voxels[k]) & 255] ^ (crc >>> 8);
  });
  return (crc ^ 0xffffffff) >>> 0;
}

/**
 * @param {(axis: 0 | 1 | 2) => number} value
 * @returns {Triple}
 */
function each(value) {
  return [value(0), value(1), value(2)];
}
