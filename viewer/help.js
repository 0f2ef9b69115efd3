/** What does the help panel say? The tools and keys of keys.js, and who has the keys when. */

import { button, element } from "./elements.js";
import { ACTIONS, FREE, shown, TOOLS } from "./keys.js";

/** @typedef {import("./keys.js").Entry} Entry */

/** @param {() => void} close */
export function helpPanel(close) {
  const digits = { name: "", glyph: "▮", word: "class", key: "0 … 9", says: "Class to paint with; 0 takes the eraser." };
  const panel = element("aside", { id: "rondel-help", hidden: true }, [
    element("header", {}, [element("h1", { textContent: "Tools and keys" }), button("✕", close, "close the help (H or Esc)")]),
    paragraph("Paint inside the box's outline. Every stroke is saved as you lift the pointer; “saved ✔” says that it is on disk."),
    heading("While no tool is on, these work too"),
    table(FREE),
    paragraph("All other keys and the mouse are Neuroglancer's then: drag moves, wheel goes through slices, Ctrl+wheel zooms."),
    paragraph("H opens this help and closes it, with a tool or without; Esc closes it. Neuroglancer's own help is behind the ? at the upper right."),
    heading("What is shown"),
    paragraph("Labels, painted or saved, are solid; what the model says is striped. Where a layer is clicked away, or contrast changed, that stays for the next box."),
    heading("Tools: the keys are theirs while one is on"),
    table([...TOOLS, digits]),
    heading("While a tool is on"),
    table(ACTIONS),
    paragraph("The right button, the wheel, and dragging with Shift or Ctrl held stay Neuroglancer's. Arrows, comma and full stop too."),
  ]);
  panel.setAttribute("aria-label", "tools and keys");
  return panel;
}

/** @param {string} text */
function paragraph(text) {
  return element("p", { textContent: text });
}

/** @param {string} text */
function heading(text) {
  return element("h2", { textContent: text });
}

/** @param {Entry[]} entries */
function table(entries) {
  const rows = entries.map(({ glyph, word, key, says }) =>
    element("tr", {}, [
      element("td", {}, [element("kbd", { textContent: shown(key) })]),
      element("td", { textContent: `${glyph} ${word}` }),
      element("td", { textContent: says }),
    ]),
  );
  return element("table", {}, rows);
}
