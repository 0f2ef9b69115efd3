/** Which tool is on, and how is it set? */

/** @typedef {import("./adapter.js").Axis} Axis */

const RADII = [0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 32, 48, 64];

export class Tools {
  /** @type {string | null} null: every key and button is Neuroglancer's */
  tool = null;
  /** the tool that was on last */
  last = "brush";
  /** class that is painted; 0 before the classes are known */
  value = 0;
  /** in units of the smallest spacing */
  radius = 2;
  /** a disc in the slice and a fill in 2-D; else a sphere and a fill in 3-D */
  flat = true;
  /** @type {number | null} what may be painted over; null for all */
  only = null;
  /** how much brighter or darker than under the brush the threshold brush goes, as a share of the box's contrast */
  tolerance = 0;
  /** accept only where nothing is labelled */
  unlabelled = true;
  /** accept only what the model gives this probability */
  above = 0;

  /** What of a prediction is accepted. */
  get accepted() {
    return { only: this.unlabelled ? 0 : null, above: this.above || null };
  }

  /** @param {string | null} tool */
  takeUp(tool) {
    this.tool = tool;
    this.last = tool ?? this.last;
  }

  /**
   * What a stroke paints with.
   * @param {Axis | null} axis of the cross section; an oblique one has none and is painted with a sphere
   * @param {boolean} erases
   */
  brush(axis, erases) {
    return { value: erases ? 0 : this.value, radius: this.radius, plane: this.flat ? axis : null, only: this.only };
  }

  /** @param {{value: number}[]} classes */
  nextOnly(classes) {
    const choices = [null, 0, ...classes.map(({ value }) => value)];
    this.only = choices[(choices.indexOf(this.only) + 1) % choices.length];
  }

  /** @param {boolean} larger */
  resize(larger) {
    const next = larger ? RADII.find((r) => r > this.radius) : RADII.filter((r) => r < this.radius).pop();
    this.radius = next ?? this.radius;
  }
}
