/* Owns how elements come into being: by createElement and text nodes only.
 *
 * Invariant: no string is ever parsed as HTML, so no name of a queue can become markup. */

const SVG = "http://www.w3.org/2000/svg";
const PROPERTIES = new Set(["value", "checked", "selected", "indeterminate", "disabled"]);

/** Makes an HTML element: h("a", {href: "#/", class: "x", onclick: f}, "text", child, ...). */
export function h(tag, attributes, ...children) {
  return build(document.createElement(tag), attributes, children);
}

/** Makes an SVG element in the same way. */
export function svg(tag, attributes, ...children) {
  return build(document.createElementNS(SVG, tag), attributes, children);
}

function build(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (PROPERTIES.has(name)) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/** Shows new children, keeping every old node that looks the same or holds the focus. */
export function update(parent, ...children) {
  const fresh = document.createDocumentFragment();
  append(fresh, children);
  const nodes = [...fresh.childNodes];
  nodes.forEach((node, index) => {
    const old = parent.childNodes[index];
    if (!old) parent.append(node);
    else if (old.isEqualNode(node)) return;
    else if (old.contains(document.activeElement) && old.nodeName === node.nodeName)
      merge(old, node);
    else old.replaceWith(node);
  });
  while (parent.childNodes.length > nodes.length) parent.lastChild.remove();
}

function merge(old, node) {
  for (const { name } of [...old.attributes])
    if (!node.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of [...node.attributes]) old.setAttribute(name, value);
  update(old, [...node.childNodes]);
}

let ids = 0;

/** Gives an id that no other element of the page has. */
export function freshId(prefix = "id") {
  ids += 1;
  return `${prefix}-${ids}`;
}

/** Tells whether a key press is meant for what has the focus rather than for the page. */
export function isTyping(target) {
  return target.closest?.("input, textarea, select, [contenteditable], dialog") != null;
}

/** Calls a function once the last call is `ms` old. */
export function debounce(ms, work) {
  let timer;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...args), ms);
  };
}
