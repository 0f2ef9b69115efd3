/**
 * What does the person see beside Neuroglancer? A strip that shows the page's state and calls the page's verbs; it
 * decides nothing.
 */

import { button, element, say } from "./elements.js";
import { helpPanel } from "./help.js";
import { boxName, Status } from "./status.js";
import { Toolbox } from "./toolbox.js";

/** @typedef {import("./paint.js").Page} Page */
/** @typedef {import("./sync.js").Message} Message */

const LAYERS = ["labels", "prediction", "uncertainty"];
/** @type {Record<string, string>} */
const LOOKS = { labels: "solid: what was painted", prediction: "striped: what the model says", uncertainty: "how unsure the model is, off at first" };
const LOADING = "loading the image…";

export class Strip {
  opacity = element("input", { type: "range", min: "0.1", max: "1", step: "0.1", title: "how opaque the labels are", ariaLabel: "how opaque the labels are" });
  boxes = element("section", { className: "rondel-boxes" });
  said = element("p", { className: "rondel-said" });
  asked = false;
  made = "";

  /**
   * @param {HTMLElement} body
   * @param {Page} page
   */
  constructor(body, page) {
    this.page = page;
    this.status = new Status(page);
    this.toolbox = new Toolbox(page);
    this.why = form("why?", 500, "Skip", (why) => page.leaving.skip(why));
    this.who = form("your name", 64, "That is me", (person) => person && page.name(person), () => (this.asked = true));
    this.who.prepend("Your name, shown on edits:");
    this.layers = LAYERS.map((name) => this.#layer(name));
    this.volume = button("▦ Volume", () => page.act("view"), "see the whole volume");
    this.help = helpPanel(() => this.toggleHelp());
    this.root = element("aside", { id: "rondel-strip", ariaLabel: "labelling" }, [
      element("div", { className: "rondel-pairs" }, [this.volume, button("? Help (H)", () => this.toggleHelp(), "tools and keys")]),
      this.status.root, this.who, this.toolbox.root, this.why, this.boxes,
      element("section", { className: "rondel-layers" }, this.layers.map(({ all }) => all)),
      this.said,
    ]);
    this.layers[0].all.after(this.opacity);
    this.opacity.addEventListener("input", () => page.adapter?.layers.setOpacity("labels", Number(this.opacity.value)));
    this.said.setAttribute("role", "status");
    body.append(this.root, this.help);
    body.classList.add("rondel-page");
    this.show();
  }

  /** Show the page's state. */
  show() {
    const { page } = this;
    const { head, mirror, person } = page.sync;
    this.status.show();
    this.toolbox.root.hidden = !mirror || page.missing.length > 0;
    if (mirror) this.toolbox.show();
    this.volume.hidden = head?.type !== "box";
    this.#showBoxes(page.boxes ?? []);
    for (const one of this.layers) this.#showLayer(one);
    const opacity = page.adapter?.layers.opacity("labels");
    this.opacity.hidden = opacity === undefined;
    this.opacity.value = String(opacity);
    this.who.hidden = this.asked || !head || Boolean(head.person || person);
    say(this.said, page.missing.length ? lacking(page.missing) : [page.said, page.adapter?.layers.loading && LOADING].filter(Boolean).join(" · "));
  }

  /** Whether the help is open. */
  get helps() {
    return !this.help.hidden;
  }

  toggleHelp() {
    this.help.hidden = !this.help.hidden;
    document.body.classList.toggle("rondel-helped", !this.help.hidden);
  }

  /** Ask why the box is skipped. */
  askWhy() {
    this.why.hidden = false;
    this.why.querySelector("input")?.focus();
  }

  /** @param {Message[]} all boxes of the volume on show; those that wait for a person come first */
  #showBoxes(all) {
    const waits = (/** @type {Message} */ { state }) => Number(state === "proposed" || state === "open");
    const boxes = [...all].sort((a, b) => waits(b) - waits(a));
    const made = boxes.map(boxName).join();
    this.boxes.hidden = !boxes.length;
    if (this.made === made) return;
    this.made = made;
    this.boxes.replaceChildren(...boxes.map((box) => button(boxName(box), () => this.page.label(box.id), `label box ${box.id}`)));
  }

  /** @param {string} name */
  #layer(name) {
    const box = element("input", { type: "checkbox" });
    box.addEventListener("change", () => this.page.adapter?.layers.setVisible(name, box.checked));
    const text = element("span", { textContent: name });
    const all = element("label", { className: `rondel-${name}`, title: LOOKS[name] }, [box, element("i"), text]);
    return { name, box, text, all };
  }

  /** @param {{name: string, box: HTMLInputElement, text: HTMLElement, all: HTMLElement}} layer */
  #showLayer({ name, box, text, all }) {
    const visible = this.page.adapter?.layers.visible(name);
    all.hidden = visible === undefined;
    box.checked = visible ?? false;
    if (name === "prediction") say(text, this.#saysModel());
  }

  /** Which model's prediction is shown, and what it says of the voxel under the pointer. */
  #saysModel() {
    const { adapter, classes, sync } = this.page;
    const value = adapter?.layers.valueOf("prediction");
    const found = classes.find((one) => one.value === value);
    return `model ${sync.head?.model ?? ""}${found ? `: ${found.name}` : ""}`;
  }
}

/** @param {string[]} missing */
function lacking(missing) {
  return (
    `This Neuroglancer lacks ${missing.join(", ")}, so the brush does not work. With its own keys, at the pointer: ` +
    "P stamps the class, D erases, F fills, G accepts the prediction, U undoes; C and T choose class and size."
  );
}

/**
 * A question with one line for the answer; hidden until it is asked, and again once it is answered.
 * @param {string} hint
 * @param {number} maxLength
 * @param {string} verb
 * @param {(text: string) => void} answer
 * @param {() => void} [never]
 */
function form(hint, maxLength, verb, answer, never = () => {}) {
  const input = element("input", { type: "text", maxLength, placeholder: hint, ariaLabel: hint });
  /** @type {HTMLFormElement} */
  const made = element("form", { className: "rondel-form", hidden: true }, [
    input,
    button(verb, () => made.requestSubmit(), verb),
    button("✕", () => close(), "never mind"),
  ]);
  const close = () => {
    made.hidden = true;
    input.value = "";
    input.blur();
    never();
  };
  made.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = input.value.trim();
    close();
    answer(text);
  });
  made.addEventListener("keydown", (event) => event.key === "Escape" && close());
  return made;
}
