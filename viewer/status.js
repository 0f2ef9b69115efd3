/** What does the strip say about the box, the round, the people and whether all is saved? */

import { element, say } from "./elements.js";
import { DROPPED } from "./leaving.js";

/** @typedef {import("./paint.js").Page} Page */
/** @typedef {import("./sync.js").Message} Message */

/** @type {Record<string, string>} a sign beside each colour, so that no state is told by colour alone */
const STATES = { proposed: "◇", open: "✎", done: "✔", skipped: "»", dropped: "✕" };
const TEST = "⚑ test ";

export class Status {
  title = element("h1");
  reason = element("p", { className: "rondel-reason" });
  saved = element("p", { className: "rondel-saved" });
  share = "";
  progress = element("progress");
  progressText = element("span");
  round = element("p", { className: "rondel-round" }, [this.progressText, this.progress]);
  people = element("p", { className: "rondel-people" });
  root = element("section", { className: "rondel-status" }, [
    this.title, this.reason, this.saved, this.round, this.people,
  ]);

  /** @param {Page} page */
  constructor(page) {
    this.page = page;
    this.saved.setAttribute("role", "status");
  }

  show() {
    const { head } = this.page.sync;
    this.#showSaved();
    if (!head) return;
    const box = head.type === "box";
    say(this.title, box ? boxName(head) : `volume ${head.volume}`);
    this.title.title = head.project;
    say(this.reason, (this.reason.title = this.#why(head)));
    this.reason.dataset.dropped = String(this.page.leaving.dropped);
    document.title = `${head.project} - ${box ? `box ${head.id}` : head.volume} - rondel`;
    const { number, done, total } = head.round ?? {};
    say(this.progressText, total ? `round ${number}: ${done} of ${total} done` : "no boxes to label yet");
    this.progress.max = total || 1;
    this.progress.value = done || 0;
    say(this.people, [this.#share(), box && `${duration(this.page.seconds)} painting`, here(head)].filter(Boolean).join(" · "));
  }

  /** @param {Message} head */
  #why({ type, reason }) {
    if (type !== "box") return "Click a box's outline to label it.";
    return this.page.leaving.dropped ? DROPPED : reason;
  }

  /** How much of the box is labelled; not while a stroke is painted or waits, so that none waits for the count. */
  #share() {
    const { mirror, unsaved } = this.page.sync;
    if (mirror?.ready && !mirror.live && !unsaved) this.share = `${percent(mirror.labelled, mirror.view.length)} labelled`;
    return mirror?.ready && this.share;
  }

  #showSaved() {
    const { sync } = this.page;
    const waits = sync.unsaved + (sync.mirror?.live ? 1 : 0);
    const lost = `⚠ no connection${waits ? `: ${waits} not saved yet` : "; trying again"}`;
    const text = waits ? `● ${waits} not saved yet` : "saved ✔";
    document.body.classList.toggle("rondel-lost", !sync.connected);
    say(this.saved, sync.connected ? text : lost);
    this.saved.dataset.state = sync.connected ? (waits ? "waits" : "saved") : "lost";
  }
}

/**
 * A box in words and signs, as on the strip.
 * @param {Message} box
 */
export function boxName({ id, state, purpose }) {
  return `${STATES[state] ?? ""} ${purpose === "test" ? TEST : ""}box ${id} · ${state}`;
}

/** @param {Message} head */
function here(head) {
  const people = /** @type {Message[]} */ (head.people ?? []);
  const names = head.type === "box"
    ? people.filter(({ box }) => box === head.id).map(({ person }) => person)
    : people.map(({ person, box }) => (box ? `${person} (box ${box})` : person));
  return names.length ? `here: ${names.join(", ")}` : "";
}

/**
 * Part of a whole, rounded so that only nothing is 0 % and only all is 100 %.
 * @param {number} part
 * @param {number} all
 */
function percent(part, all) {
  if (part === 0 || part === all) return part ? "100 %" : "0 %";
  return `${Math.max(1, Math.min(99, Math.round((100 * part) / all)))} %`;
}

/** @param {number} seconds */
function duration(seconds) {
  return seconds < 60 ? `${Math.floor(seconds)} s` : `${Math.floor(seconds / 60)} min`;
}
