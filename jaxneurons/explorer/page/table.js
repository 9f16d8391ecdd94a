// The table of all neurons: filters as chips that can be removed, a sort, pages, and a file of what is shown.
"use strict";

const ROWS = 50;

const table = {
  async show(main, study, query) {
    const selection = new Selection(study, query);
    main.append(
      dom.make("h1", {}, `Neurons of ${study.name}`),
      ...selection.problems.map((problem) => dom.make("p", { class: "problem" }, problem)),
      table.filters(selection, query),
    );
    const place = dom.make("div", {}, dom.make("p", {}, "Reading the layers."));
    main.append(place);
    await selection.read((done, total) => app.say(`Reading layer ${done} of ${total}.`, main));
    app.say(`${numbers.plural(selection.length, "neuron")} found.`, main);
    place.replaceChildren(...table.page(study, selection, query));
  },

  go: (query, values) => {
    location.hash = route.to("neurons", route.changed(query, { page: null, ...values }));
  },

  filters(selection, query) {
    const chips = selection.filters.map((filter) =>
      dom.make(
        "li",
        {},
        dom.make(
          "button",
          {
            type: "button",
            class: "chip",
            "aria-label": `Remove the filter ${filter.label}`,
            click: () => table.go(query, { [filter.key]: null }),
          },
          `${filter.label} ✕`,
        ),
      ),
    );
    return dom.make(
      "div",
      {},
      dom.make("ul", { class: "chips", "aria-label": "Filters" }, chips),
      table.form(selection, query),
    );
  },

  // A column and what it is to be: a choice, or the ends of a range.
  form(selection, query) {
    const values = dom.make("span", { class: "values" });
    const choose = dom.make(
      "select",
      { id: "filter-column", change: () => fill() },
      selection.columns.map((column) => dom.make("option", { value: column.key }, column.label)),
    );
    const chosen = () => columns.find(selection.columns, choose.value);
    const fill = () => {
      const { options, key } = chosen();
      // Frequencies are shown in percent.
      const placeholder = key.startsWith("frequency") ? "0.05 is 5 %" : null;
      const attributes = { type: "number", step: "any", placeholder };
      const input = (name) => dom.make("label", {}, `${name} `, dom.make("input", { ...attributes, name }));
      const choices = key === "type" ? ["positional", ...(options ?? [])] : options;
      values.replaceChildren(
        ...(options
          ? [
              dom.make(
                "label",
                {},
                "is ",
                dom.make(
                  "select",
                  { name: "choice" },
                  choices.map((option) => dom.make("option", {}, option)),
                ),
              ),
            ]
          : [input("from"), input("to")]),
      );
    };
    fill();
    const submit = (event) => {
      event.preventDefault();
      const data = new FormData(event.target);
      const range =
        data.get("from") === data.get("to") ? data.get("from") : `${data.get("from")}..${data.get("to")}`;
      const text = data.get("choice") ?? range;
      if (text === "") app.say("Give at least one end of the range.");
      else table.go(query, { [choose.value]: text });
    };
    return dom.make(
      "form",
      { class: "filter", submit },
      dom.make("label", { for: "filter-column" }, "Filter by "),
      choose,
      values,
      dom.make("button", {}, "Add filter"),
    );
  },

  page(study, selection, query) {
    const pages = Math.max(1, Math.ceil(selection.length / ROWS));
    const page = Math.min(pages, Math.max(1, Math.trunc(Number(query.get("page"))) || 1));
    const places = selection.ranked((page - 1) * ROWS, page * ROWS);
    const kept = route.changed(query, { page: null });
    const shown = table.order(selection);
    const rows = places.map((place) =>
      shown.map((column) => {
        const cell = column.show(selection.value(column, place));
        if (column.key !== "neuron") return cell;
        const { layer, neuron: index } = selection.at(place);
        return dom.make("a", { href: route.neuron(layer, index, kept) }, cell);
      }),
    );
    const first = selection.length ? (page - 1) * ROWS + 1 : 0;
    const last = Math.min(page * ROWS, selection.length);
    const caption = `Neurons ${numbers.whole(first)} to ${numbers.whole(last)} of ${numbers.whole(selection.length)}`;
    return [
      dom.table(
        caption,
        shown.map((column) => table.head(column, selection, query)),
        rows,
        { class: "numeric neurons" },
      ),
      table.pager(page, pages, query),
      dom.make(
        "p",
        {},
        dom.make(
          "button",
          { type: "button", click: () => table.save(study, selection) },
          `Save ${numbers.plural(selection.length, "row")} as CSV`,
        ),
      ),
    ];
  },

  // The place of a neuron, what is sorted and filtered by, and all other columns.
  order(selection) {
    const used = [selection.sort, ...selection.filters.map((filter) => filter.column)].filter(
      (column) => column,
    );
    return [...new Set([...selection.columns.slice(0, 2), ...used, ...selection.columns])];
  },

  // Pressed once a column sorts with the highest first, pressed twice with the lowest.
  head(column, selection, query) {
    const isSort = selection.sort?.key === column.key;
    const direction = isSort ? (selection.descending ? "descending" : "ascending") : null;
    const next = isSort && selection.descending ? column.key : `-${column.key}`;
    const sign = { descending: " ▼", ascending: " ▲" }[direction] ?? "";
    return dom.make(
      "th",
      { scope: "col", "aria-sort": direction },
      dom.make(
        "button",
        {
          type: "button",
          "data-column": column.key,
          click: () => {
            app.focusNext = `th button[data-column=${CSS.escape(column.key)}]`;
            table.go(query, { sort: next });
          },
        },
        `${column.label}${sign}`,
      ),
    );
  },

  pager(page, pages, query) {
    const link = (number, text) =>
      number >= 1 && number <= pages && number !== page
        ? dom.make("a", { href: route.to("neurons", route.changed(query, { page: String(number) })) }, text)
        : dom.make("span", { class: "off" }, text);
    return dom.make(
      "nav",
      { class: "pager", "aria-label": "Pages of the table" },
      link(1, "First"),
      link(page - 1, "Previous"),
      dom.make("span", {}, `Page ${numbers.whole(page)} of ${numbers.whole(pages)}`),
      link(page + 1, "Next"),
      link(pages, "Last"),
    );
  },

  // The rows that are found, in their order, with the columns of `open_study(...).neurons()`.
  csv(selection) {
    const quote = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    const parts = [`${selection.columns.map((column) => quote(column.name)).join(",")}\n`];
    for (const place of selection.ranked(0, selection.length)) {
      const cells = selection.columns.map((column) => {
        const value = selection.value(column, place);
        return Number.isNaN(value) ? "" : quote(column.text(value));
      });
      parts.push(`${cells.join(",")}\n`);
    }
    return parts;
  },

  save(study, selection) {
    const address = URL.createObjectURL(new Blob(table.csv(selection), { type: "text/csv" }));
    dom.make("a", { href: address, download: `${study.name.replaceAll("/", "_")}_neurons.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
    app.say(`Saved ${numbers.plural(selection.length, "row")}.`);
  },
};
