/** What does the page know of Neuroglancer's layers, and set? A part of the adapter; no painting depends on it. */

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
