/**
 * Which tools and keys are there? The one table that the strip, the help panel and the key handler read.
 *
 * While no tool is on every key is Neuroglancer's, but for H; the few that work then too are ones that it leaves free.
 */

/**
 * @typedef {object} Entry
 * @property {string} name what `Page.act` is called with
 * @property {string} glyph
 * @property {string} word
 * @property {string} key as `keyName` spells it
 * @property {string} says one sentence
 */

/** @type {Entry[]} */
export const TOOLS = [
  { name: "brush", glyph: "●", word: "Brush", key: "b", says: "Drag to paint the class; with Alt held it erases." },
  { name: "eraser", glyph: "○", word: "Eraser", key: "e", says: "Drag to make voxels unlabelled again." },
  { name: "threshold", glyph: "◐", word: "Range", key: "r", says: "Drag to paint only voxels as bright as those where the stroke starts; a slider widens the range." },
  { name: "fill", glyph: "▨", word: "Fill", key: "f", says: "Click to fill the connected region: in this slice when flat, else in 3-D." },
  { name: "accept", glyph: "✓", word: "Accept", key: "a", says: "Click to take over the predicted piece under the pointer." },
  { name: "pick", glyph: "◎", word: "Pick", key: "k", says: "Click a label to go on painting with its class." },
];

/** @type {Entry[]} */
export const ACTIONS = [
  { name: "smaller", glyph: "−", word: "smaller", key: "[", says: "Smaller brush." },
  { name: "larger", glyph: "+", word: "larger", key: "]", says: "Larger brush." },
  { name: "flat", glyph: "▱", word: "flat", key: "t", says: "Flat disc in the slice, or a sphere; fill in 2-D, or in 3-D." },
  { name: "only", glyph: "⊘", word: "paint over", key: "o", says: "Paint over all, over what is unlabelled, or over one class." },
  { name: "interpolate", glyph: "≋", word: "Between", key: "i", says: "Fill in the class between the painted slices along this view." },
  { name: "copy", glyph: "⇣", word: "Copy on", key: "c", says: "Copy this slice's labels to the next slice, and go there." },
  { name: "copyBack", glyph: "⇡", word: "Copy back", key: "shift+c", says: "Copy this slice's labels to the slice before." },
  { name: "acceptAll", glyph: "✓", word: "Accept box", key: "shift+a", says: "Take over the prediction in the whole box." },
  { name: "empty", glyph: "▢", word: "Rest is", key: "u", says: "All that is unlabelled in the box becomes the first class." },
  { name: "labels", glyph: "◧", word: "labels", key: "l", says: "Hide or show the labels." },
  { name: "skip", glyph: "»", word: "Skip…", key: "n", says: "Skip the box, saying why." },
  { name: "off", glyph: "✕", word: "off", key: "escape", says: "Put the tool down: all keys are Neuroglancer's again." },
];

/** @type {Entry[]} keys that Neuroglancer leaves free: they work without a tool too */
export const FREE = [
  { name: "toggle", glyph: "✎", word: "tool", key: "p", says: "Take up the last tool, or put it down." },
  { name: "undo", glyph: "↶", word: "Undo", key: "ctrl+z", says: "Undo your last edit in this box." },
  { name: "redo", glyph: "↷", word: "Redo", key: "ctrl+y", says: "Bring back what you undid last." },
  { name: "done", glyph: "✔", word: "Done, next", key: "enter", says: "The box is done; go to the next one." },
];

/** Opens and closes the help, with or without a tool; Neuroglancer's own is behind the ? at its upper right. */
export const HELP = "h";

const ALIASES = new Map([["ctrl+shift+z", "ctrl+y"]]);

/** Signs that some keyboards type with AltGr, which looks like Ctrl and Alt. */
const SIGNS = ["[", "]"];

/**
 * Spell a key: modifiers in the order ctrl, alt, shift, then the letter or sign as it is printed on the key.
 * @param {KeyboardEvent} event
 * @returns {string}
 */
export function keyName(event) {
  const digit = /^(?:Digit|Numpad)([0-9])$/.exec(event.code);
  const key = digit ? digit[1] : event.key.toLowerCase();
  if (SIGNS.includes(key)) return key;
  const modifiers = [event.ctrlKey || event.metaKey ? "ctrl+" : "", event.altKey ? "alt+" : "", event.shiftKey ? "shift+" : ""];
  const name = modifiers.join("") + key;
  return ALIASES.get(name) ?? name;
}

/**
 * How a key is shown to a person.
 * @param {string} key
 */
export function shown(key) {
  const names = /** @type {Record<string, string>} */ ({ escape: "Esc", enter: "Enter", shift: "⇧" });
  return key.split("+").map((part) => names[part] ?? part[0].toUpperCase() + part.slice(1)).join("+").replace("⇧+", "⇧");
}

/**
 * Whether a key presses the button that has the focus.
 * @param {KeyboardEvent} event
 */
export function presses(event) {
  return event.key === "Enter" && event.target instanceof Element && event.target.closest("button, a, summary") !== null;
}

/**
 * Whether keys typed at an element are text.
 * @param {EventTarget | null} target
 */
export function isTyping(target) {
  return target instanceof Element && target.closest("input:not([type=range]):not([type=checkbox]), textarea, select, [contenteditable], .CodeMirror, .cm-editor") !== null;
}
