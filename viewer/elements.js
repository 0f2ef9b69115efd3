/** How are elements of the strip made? */

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Partial<HTMLElementTagNameMap[Tag]>} [properties]
 * @param {(Node | string)[]} [children]
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, properties = {}, children = []) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/**
 * Let an element say something. What it says already is not written again: the browser would draw it anew, and a stroke
 * that was just lifted would wait for the drawing.
 * @param {HTMLElement} one
 * @param {string} text
 */
export function say(one, text) {
  if (one.textContent !== text) one.textContent = text;
}

/**
 * A button that gives the keyboard back after it was pressed.
 * @param {string} text
 * @param {() => void} act
 * @param {string} title
 */
export function button(text, act, title) {
  const made = element("button", { type: "button", textContent: text, title });
  made.addEventListener("click", () => {
    made.blur();
    act();
  });
  return made;
}

/**
 * @param {string} text
 * @param {HTMLElement} input
 * @param {boolean} [after] whether the text comes after the input
 */
export function label(text, input, after = false) {
  return element("label", {}, after ? [input, text] : [text, input]);
}
