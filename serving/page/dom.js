/* Elements. What comes from the service is only ever text, never markup. */

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element; attributes that are functions listen, null and false ones are left out. */
export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same of SVG. */
export function drawn(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== null && value !== false && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

/** A table whose first column heads its rows; cells are texts or nodes. */
export function table(caption, columns, rows, { numeric = true, name = "" } = {}) {
  const kind = numeric ? "n" : null;
  const heads = columns.map((text, i) => element("th", { scope: "col", class: i ? kind : null }, text));
  const body = rows.map(([first, ...rest]) =>
    element("tr", {}, element("th", { scope: "row" }, first), rest.map((cell) => element("td", { class: kind }, cell))),
  );
  const label = typeof caption === "string" ? caption : name;
  const own = element(
    "table",
    { "data-table": name || null },
    element("caption", {}, caption),
    element("thead", {}, element("tr", {}, heads)),
    element("tbody", {}, body),
  );
  return scrolled(own, label);
}

/** What is wider than its place is scrolled there, also by key; what is not, is no stop on the way. */
function scrolled(node, label) {
  const room = element("div", { class: "scroll" }, node);
  new ResizeObserver(() => {
    const wide = room.scrollWidth > room.clientWidth;
    const now = { tabindex: "0", role: "region", "aria-label": label };
    for (const [name, value] of Object.entries(now)) wide ? room.setAttribute(name, value) : room.removeAttribute(name);
  }).observe(room);
  return room;
}

/** Something to unfold. */
export function folded(summary, ...children) {
  return element("details", {}, element("summary", {}, summary), ...children);
}

/** A part of the prediction under a heading. */
export function part(id, title, ...children) {
  return element(
    "section",
    { class: "part", id, "aria-labelledby": `${id}-title` },
    element("h3", { id: `${id}-title` }, title),
    ...children,
  );
}

/** Terms and what is said of them. */
export function definitions(pairs) {
  return element("dl", { class: "facts" }, pairs.map(([term, text]) => [element("dt", {}, term), element("dd", {}, text)]));
}
