/** Whose is a key that a person presses? Ours, by the tables in keys.js, or else Neuroglancer's. */

import { ACTIONS, FREE, HELP, isTyping, keyName, presses, TOOLS } from "./keys.js";

/** @typedef {import("./paint.js").Page} Page */

const REPEATED = ["smaller", "larger", "undo", "redo"];

export class Keyboard {
  /** @param {Page} page */
  constructor(page) {
    this.page = page;
    window.addEventListener("keydown", (event) => this.down(event), { capture: true });
  }

  /** @param {KeyboardEvent} event */
  down(event) {
    if (isTyping(event.target)) return;
    const { adapter, strip, sync, tools } = this.page;
    const key = keyName(event);
    if (key === HELP || (key === "escape" && strip.helps)) return keep(event) || strip.toggleHelp();
    const digit = /^[0-9]$/.test(key);
    const on = tools.tool !== null;
    const entry = [...FREE, ...(on ? [...TOOLS, ...ACTIONS] : [])].find((one) => one.key === key);
    const ours = entry && !presses(event) && (sync.mirror || entry.name === "off") && adapter;
    if (!ours && !(on && digit)) return this.#notOurs(key);
    if (keep(event) && !REPEATED.includes(entry?.name ?? "")) return;
    if (digit) this.page.choose(Number(key));
    else if (entry) this.page.act(entry.name);
  }

  /** @param {string} key that Neuroglancer gets */
  #notOurs(key) {
    const { adapter, sync, tools } = this.page;
    const meant = sync.mirror && adapter && !tools.tool && TOOLS.some((tool) => tool.key === key);
    if (meant) this.page.say("press P first, or click a tool: keys are Neuroglancer's now");
  }
}

/**
 * Keep a key from Neuroglancer.
 * @param {KeyboardEvent} event
 * @returns {boolean} whether it only repeats, because it is held
 */
function keep(event) {
  event.stopImmediatePropagation();
  event.preventDefault();
  return event.repeat;
}
