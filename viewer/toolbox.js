/** With what does a person paint? Tools, classes, their settings, and what can be done to the box. */

import { button, element, label, say } from "./elements.js";
import { ACTIONS, FREE, shown, TOOLS } from "./keys.js";

/** @typedef {import("./paint.js").Page} Page */
/** @typedef {import("./keys.js").Entry} Entry */
/** @typedef {{value: number, name: string, colour: string}} LabelClass */

const ALL = "all";
const PREDICTED = ["accept", "acceptAll"];

export class Toolbox {
  mode = element("p", { className: "rondel-mode" });
  classes = element("div", { className: "rondel-classes", ariaLabel: "class to paint" });
  radius = element("output", { title: "of the brush, in units of the smallest side of a voxel" });
  only = element("select", { title: "what may be painted over (O)" });
  unlabelled = element("input", { type: "checkbox", title: "accept only where nothing is labelled" });
  above = element("input", { type: "range", min: "0", max: "0.95", step: "0.05", title: "accept only where the model is this sure", ariaLabel: "how sure the model must be" });
  sure = element("output");
  tolerance = element("input", { type: "range", min: "0", max: "0.5", step: "0.02", title: "how much brighter or darker than where the stroke starts, as a share of the box's contrast", ariaLabel: "how much brighter or darker the range goes" });
  range = element("output");
  made = "";

  /** @param {Page} page */
  constructor(page) {
    this.page = page;
    this.shape = element("span");
    this.flat = button("", () => page.act("flat"), "flat disc or sphere, fill in 2-D or 3-D (T)");
    this.flat.append(this.shape, element("kbd", { textContent: "T" }));
    this.tools = TOOLS.map((tool) => entryButton(tool, () => page.act(page.tools.tool === tool.name ? "off" : tool.name)));
    this.empty = this.#does("empty");
    this.done = this.#does("done");
    this.acceptAll = this.#does("acceptAll");
    this.accepting = element("div", { className: "rondel-accepting" }, [
      this.acceptAll, this.above, label("if unlabelled", this.unlabelled, true), this.sure,
    ]);
    const size = element("div", { className: "rondel-row" }, [this.#does("smaller", false), this.radius, this.#does("larger", false), this.flat]);
    this.ranging = element("div", { className: "rondel-row" }, [element("span", { textContent: "as bright as there" }), this.tolerance, this.range]);
    const previous = button("« Previous", () => page.act("previous"), "go to the previous box");
    this.root = element("section", { className: "rondel-toolbox" }, [
      element("div", { className: "rondel-tools" }, this.tools),
      this.mode, this.classes, size, this.ranging,
      element("div", { className: "rondel-row" }, [label("paint over", this.only)]),
      this.accepting,
      pairs(this.#does("interpolate"), this.#does("copy"), this.#does("undo"), this.#does("redo"), this.empty),
      pairs(previous, this.#does("skip"), this.done),
    ]);
    this.classes.setAttribute("role", "group");
    this.#listen();
  }

  show() {
    const { tools, classes, sync, leaving } = this.page;
    this.tools.forEach((made) => made.setAttribute("aria-pressed", String(tools.tool === made.dataset.act)));
    say(this.mode, tools.tool
      ? `${entry(tools.tool).word} is on and has the keys; Esc gives them back.`
      : "No tool: keys and mouse are Neuroglancer's. P takes up a tool.");
    this.mode.dataset.on = this.root.dataset.on = String(tools.tool !== null);
    this.#showClasses(classes);
    say(this.radius, `radius ${tools.radius}`);
    say(this.shape, tools.flat ? "▱ flat" : "● round");
    this.flat.setAttribute("aria-pressed", String(tools.flat));
    this.ranging.hidden = tools.tool !== "threshold";
    this.tolerance.value = String(tools.tolerance);
    say(this.range, `± ${Math.round(tools.tolerance * 100)} %`);
    this.only.value = tools.only === null ? ALL : String(tools.only);
    this.unlabelled.checked = tools.unlabelled;
    this.above.value = String(tools.above);
    say(this.sure, `if ≥ ${Math.round(tools.above * 100)} % sure`);
    const predicted = sync.head?.model != null;
    this.accepting.hidden = !predicted;
    for (const made of [...this.tools, this.acceptAll]) if (PREDICTED.includes(made.dataset.act ?? "")) made.disabled = !predicted;
    if (classes.length) reword(this.empty, `Rest is ${classes[0].name}`);
    reword(this.done, leaving.dropped ? "Next box" : entry("done").word);
  }

  #listen() {
    const { tools } = this.page;
    this.only.addEventListener("change", () => {
      tools.only = this.only.value === ALL ? null : Number(this.only.value);
      this.only.blur();
    });
    this.unlabelled.addEventListener("change", () => (tools.unlabelled = this.unlabelled.checked));
    this.tolerance.addEventListener("input", () => {
      tools.tolerance = Number(this.tolerance.value);
      this.page.refresh();
    });
    this.above.addEventListener("input", () => {
      tools.above = Number(this.above.value);
      this.page.refresh();
    });
  }

  /**
   * @param {string} name of an entry in keys.js
   * @param {boolean} [worded] false shows the glyph alone
   */
  #does(name, worded) {
    return entryButton(entry(name), () => this.page.act(name), worded);
  }

  /** @param {LabelClass[]} classes */
  #showClasses(classes) {
    const made = classes.map(({ value, name, colour }) => `${value} ${name} ${colour}`).join();
    if (this.made !== made) {
      this.made = made;
      this.classes.replaceChildren(...classes.map((one) => this.#classButton(one)));
      const over = [[ALL, "all"], ["0", "unlabelled"], ...classes.map(({ value, name }) => [String(value), name])];
      this.only.replaceChildren(...over.map(([value, text]) => element("option", { value, textContent: text })));
    }
    classes.forEach(({ value }, i) => this.classes.children[i].setAttribute("aria-pressed", String(value === this.page.tools.value)));
  }

  /** @param {LabelClass} one */
  #classButton({ value, name, colour }) {
    const swatch = element("i");
    swatch.style.background = colour;
    const made = button("", () => this.page.choose(value), `paint ${name}`);
    made.append(element("kbd", { textContent: String(value) }), swatch, element("span", { textContent: name }));
    return made;
  }
}

/**
 * @param {string} name
 * @returns {Entry}
 */
function entry(name) {
  return /** @type {Entry} */ ([...TOOLS, ...ACTIONS, ...FREE].find((one) => one.name === name));
}

/** @param {Entry} one */
function face({ glyph, word, key }) {
  return [element("b", { textContent: glyph }), element("span", { textContent: word }), element("kbd", { textContent: shown(key) })];
}

/**
 * @param {HTMLElement} made an entry's button
 * @param {string} word that it now says
 */
function reword(made, word) {
  const [span] = made.getElementsByTagName("span");
  say(span, word);
}

/**
 * @param {Entry} one
 * @param {() => void} act
 * @param {boolean} [worded]
 */
function entryButton(one, act, worded = true) {
  const made = button(worded ? "" : one.glyph, act, `${one.says} (${shown(one.key)})`);
  made.dataset.act = one.name;
  made.dataset.free = String(FREE.includes(one));
  if (worded) made.append(...face(one));
  return made;
}

/** @param {HTMLElement[]} buttons two in a row */
function pairs(...buttons) {
  return element("div", { className: "rondel-pairs" }, buttons);
}
