/** How does a person leave a box? Done, skipped with a reason, or just left; with it go the seconds spent there. */

/** @typedef {import("./paint.js").Page} Page */

export const DROPPED = "this box was dropped when the next round was ranked: go on to the next box";

export class Leaving {
  /** the box of which was said that nothing is labelled in it */
  warned = 0;

  /** @param {Page} page */
  constructor(page) {
    this.page = page;
  }

  /** Whether the box on show no longer counts: it is left without a word. */
  get dropped() {
    return this.page.sync.head?.state === "dropped";
  }

  /** The box is done, and the next one wanted; one in which nothing is labelled is done when this was said twice. */
  done() {
    const { sync } = this.page;
    if (this.dropped) return this.go("next");
    if (!sync.mirror || !this.page.ready()) return;
    if (!sync.mirror.labelled && !sync.unsaved && this.warned !== sync.mirror.id) {
      this.warned = sync.mirror.id;
      return this.page.say(`nothing is labelled here: Enter again if that is right, or ${this.page.tools.tool ? "N to skip" : "Skip"}`);
    }
    this.send("done");
  }

  /** Ask why the box is skipped. */
  askWhy() {
    if (this.dropped) this.go("next");
    else this.page.strip.askWhy();
  }

  /** @param {string} why */
  skip(why) {
    if (why) return this.send("skip", { why });
    this.page.say("skipping needs a reason: a word will do");
    this.askWhy();
  }

  /** @param {"next" | "previous"} to */
  go(to) {
    this.send("go", { to });
  }

  /**
   * Send an operation that may lead to another box.
   * @param {string} op
   * @param {Record<string, any>} [fields]
   */
  send(op, fields = {}) {
    this.sendSeconds();
    this.page.operate(op, fields);
  }

  /** Tell the server how long the box was worked on since it was told last. */
  sendSeconds() {
    const { clock, sync } = this.page;
    const { head } = sync;
    if (head?.type !== "box" || clock.seconds < 1 || !sync.connected) return;
    const seconds = clock.take();
    sync.tell({ type: "seconds", box: head.id, seconds });
    head.seconds = (head.seconds ?? 0) + seconds;
  }
}
