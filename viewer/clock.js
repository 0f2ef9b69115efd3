/** How long is a person at work in a box? Time without any pointer, key or wheel is not counted. */

const IDLE = 20000;

export class Clock {
  /** @param {() => number} [now] in milliseconds */
  constructor(now = () => performance.now()) {
    this.now = now;
    this.last = -Infinity;
    this.counted = 0;
  }

  /** The person did something. */
  tick() {
    const now = this.now();
    if (now - this.last < IDLE) this.counted += now - this.last;
    this.last = now;
  }

  /** Seconds counted so far. */
  get seconds() {
    return this.counted / 1000;
  }

  /** Start anew; returns the seconds counted until now. */
  take() {
    const { seconds } = this;
    this.counted = 0;
    return seconds;
  }
}
