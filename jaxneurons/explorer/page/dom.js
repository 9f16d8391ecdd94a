// Elements from names, attributes and children; numbers and words as a reader wants them.
"use strict";

const dom = {
  // An element. Attributes that are null, undefined or false are left out; functions listen to the event
  // of that name. Children are elements, text, or lists of these: text never becomes markup.
  make(name, attributes = {}, ...children) {
    const svg = ["svg", "g", "path", "line", "text", "title"].includes(name) || attributes.svg;
    const element = svg
      ? document.createElementNS("http://www.w3.org/2000/svg", name)
      : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "svg" || value === null || value === undefined || value === false) continue;
      if (typeof value === "function") element.addEventListener(key, value);
      else element.setAttribute(key, value === true ? "" : value);
    }
    element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
    return element;
  },

  // A table with a caption. `head`: names of columns; `rows`: lists of cells, each text or an element.
  table(caption, head, rows, attributes = {}) {
    const body = rows.map((row) =>
      dom.make(
        "tr",
        {},
        row.map((cell) => dom.make("td", {}, cell)),
      ),
    );
    return dom.make(
      "div",
      { class: "scroll", tabindex: "0", role: "group", "aria-label": caption },
      dom.make(
        "table",
        attributes,
        dom.make("caption", {}, caption),
        dom.make(
          "thead",
          {},
          dom.make(
            "tr",
            {},
            head.map((name) => (name instanceof Element ? name : dom.make("th", { scope: "col" }, name))),
          ),
        ),
        dom.make("tbody", {}, body),
      ),
    );
  },

  // A number with its whole value beside what is shown.
  number(value, shown = numbers.whole(value)) {
    return dom.make("data", { value: Number.isFinite(value) ? String(value) : "" }, shown);
  },
};

const numbers = {
  whole: (value) => value.toLocaleString("en"),

  // A share in percent, with enough digits to tell a rare neuron from a dead one.
  percent(share) {
    if (!Number.isFinite(share)) return "–";
    const percent = 100 * share;
    return `${share > 0 && share < 0.001 ? percent.toPrecision(2) : percent.toFixed(2)} %`;
  },

  decimal: (value, digits = 4) => (Number.isFinite(value) ? value.toFixed(digits).replace("-", "−") : "–"),

  signed: (value) => (value > 0 ? "+" : "") + numbers.decimal(value, 3),

  plural: (number, noun) => `${numbers.whole(number)} ${noun}${number === 1 ? "" : "s"}`,
};
