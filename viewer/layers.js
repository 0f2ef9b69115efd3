/** What does the page know of Neuroglancer's layers, and set? A part of the adapter; no painting depends on it. */

/** @typedef {import("./sync.js").Message} Message */

const OUTLINES = ["proposed", "open", "done", "skipped", "test"];

export class Layers {
  /** @param {any} viewer */
  constructor(viewer) {
    this.viewer = viewer;
  }

  /**
   * The value of a layer under the pointer; undefined where there is none.
   * @param {string} name
   * @returns {number | undefined}
   */
  valueOf(name) {
    const { mouseState } = this.viewer;
    if (!mouseState?.active || !this.visible(name)) return undefined;
    return quietly(() => Number(this.#layer(name).layer.getValueAt(mouseState.position, mouseState)));
  }

  /** Whether something that is in view is still on its way. */
  get loading() {
    const layers = /** @type {any[]} */ (this.viewer.layerManager?.managedLayers ?? []);
    return layers.some((one) => one.visible && quietly(() => !one.isReady() || one.layer.renderLayers.some(isLoading)));
  }

  /**
   * Whether a layer is shown; undefined where there is none of that name.
   * @param {string} name
   * @returns {boolean | undefined}
   */
  visible(name) {
    return this.#layer(name)?.visible;
  }

  /**
   * @param {string} name
   * @param {boolean} visible
   */
  setVisible(name, visible) {
    this.#layer(name)?.setVisible(visible);
  }

  /**
   * How opaque a layer of labels is; undefined where there is none of that name.
   * @param {string} name
   * @returns {number | undefined}
   */
  opacity(name) {
    return quietly(() => this.#layer(name).layer.displayState.selectedAlpha.value);
  }

  /**
   * @param {string} name
   * @param {number} opacity
   */
  setOpacity(name, opacity) {
    const state = quietly(() => this.#layer(name).layer.displayState);
    for (const alpha of [state?.selectedAlpha, state?.notSelectedAlpha]) if (alpha && alpha.value !== opacity) alpha.value = opacity;
  }

  /**
   * Outline the boxes of a volume in the layers that are named after their states. Only what differs is replaced, in
   * the page: told by the server's viewer state, the page would lose where its person looks.
   * @param {Message[]} boxes
   * @returns {boolean} false while the layers are not loaded
   */
  outline(boxes) {
    const layers = OUTLINES.map((name) => this.#layer(name)).filter((layer) => layer !== undefined);
    if (!layers.length || layers.some((one) => !one.layer?.localAnnotations)) return false;
    for (const { name, layer } of layers) {
      const wanted = boxes.filter((box) => box.layer === name).map(outlineOf);
      quietly(() => same(layer.localAnnotations.toJSON(), wanted) || layer.localAnnotations.restoreState(wanted));
    }
    return true;
  }

  /**
   * Call back whenever layers come, go, appear or vanish, are loaded, or have another value under the pointer.
   * @param {() => void} callback
   */
  onChange(callback) {
    const { layerManager, chunkManager, mouseState } = this.viewer;
    const signals = [layerManager?.layersChanged, chunkManager?.layerChunkStatisticsUpdated, mouseState?.changed];
    for (const signal of signals) signal?.add(callback);
  }

  /** @param {string} name */
  #layer(name) {
    return this.viewer.layerManager?.managedLayers?.find((/** @type {any} */ layer) => layer.name === name);
  }
}

/**
 * A box as Neuroglancer writes down what is drawn of it.
 * @param {Message} box
 */
function outlineOf({ id, says, start, stop }) {
  const [pointA, pointB] = [start, stop].map((corner) => corner.map((/** @type {number} */ v) => v - 0.5));
  return { type: "axis_aligned_bounding_box", id: String(id), description: says, pointA, pointB };
}

/**
 * Whether two lists of outlines are of the same boxes and say the same.
 * @param {Message[]} some
 * @param {Message[]} others
 */
function same(some, others) {
  const [a, b] = [some, others].map((list) => JSON.stringify(list.map(({ id, description }) => [id, description])));
  return a === b;
}

/** @param {any} renderLayer */
function isLoading({ layerChunkProgressInfo: count }) {
  return count && count.numVisibleChunksAvailable < count.numVisibleChunksNeeded;
}

/**
 * @template T
 * @param {() => T} look
 * @returns {T | undefined} undefined where a name on the way is gone
 */
export function quietly(look) {
  try {
    return look();
  } catch {
    return undefined;
  }
}
