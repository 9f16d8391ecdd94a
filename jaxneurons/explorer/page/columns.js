// The columns of the table of neurons: what they are called, how to filter by them, how to show them.
// Names are those of `open_study(...).neurons()`, and so is a table that is saved; `key` stands in addresses.
"use strict";

const columns = {
  // The columns of a study. `of(table, i)` is the value of neuron i of a layer's table.
  of(study) {
    const size = study.model.neurons;
    const share = numbers.percent;
    const found = [
      columns.number("layer", (table) => table.layer),
      columns.number("neuron", (table, i) => i, String),
      columns.number("activations", (table, i) => columns.activations(table, i)),
      columns.number("frequency", (table, i) => columns.activations(table, i) / study.tokens, share),
      columns.flag("dead", (table, i) => Number(columns.activations(table, i) === 0)),
      columns.flag("certified_dead", (table, i) => Number(table.certified[i] === 1)),
      columns.flag("certified_active", (table, i) => Number(table.certified[i] === 2)),
    ];
    for (const [order, n] of Object.keys(study.ngrams ?? {}).entries()) {
      found.push(columns.number(`coverage_${n}`, (table, i) => table.coverage[order * size + i]));
    }
    for (const [order, n] of Object.keys(study.ngrams ?? {}).entries()) {
      found.push(columns.number(`detector_${n}`, (table, i) => table.detector[order * size + i]));
    }
    found.push(
      columns.number(
        "mean_trigger_projection",
        (table, i) => table.mean_trigger_projection[i],
        numbers.signed,
        "projection",
      ),
      columns.number("mutual_information", (table, i) => table.mutual_information[i], numbers.decimal, "mi"),
      columns.choice("positional_type", study.types, (table, i) => table.positional_type[i], "type"),
      columns.choice(
        "positional_strength",
        study.strengths,
        (table, i) => table.positional_strength[i],
        "strength",
      ),
      columns.number("domain_entropy", (table, i) => table.domain_entropy[i], numbers.decimal, "entropy"),
      columns.number("specific", (table, i) => columns.sum(table.specific, i, table.size)),
    );
    for (const [d, domain] of study.domains.entries()) {
      found.push(
        columns.number(
          `frequency_${domain.name}`,
          (table, i) => table.activations[d * size + i] / domain.tokens,
          share,
        ),
      );
    }
    for (const [d, domain] of study.domains.entries()) {
      found.push(columns.flag(`specific_${domain.name}`, (table, i) => table.specific[d * size + i]));
    }
    return found;
  },

  activations: (table, i) => columns.sum(table.activations, i, table.size),

  // Over the domains, of neuron i.
  sum(values, i, size) {
    let sum = 0;
    for (let place = i; place < values.length; place += size) sum += values[place];
    return sum;
  },

  // What readers see of a name; the names of domains stay as they are.
  label(name) {
    const kind = ["frequency", "specific"].find((each) => name.startsWith(`${each}_`));
    return kind ? `${kind} ${name.slice(kind.length + 1)}` : name.replaceAll("_", " ");
  },

  number(name, of, show = numbers.whole, key = name) {
    return {
      name,
      key,
      of,
      label: columns.label(name),
      show: (value) => dom.number(value, show(value)),
      text: (value) => `${value}`,
    };
  },

  choice(name, options, of, key = name) {
    return {
      name,
      key,
      of,
      options,
      label: columns.label(name),
      show: (value) => options[value],
      text: (value) => options[value],
    };
  },

  // Yes or no, which pandas writes as True and False.
  flag: (name, of) => ({
    ...columns.choice(name, ["no", "yes"], of),
    text: (value) => (value ? "True" : "False"),
  }),

  // The column of a name or a key; null where there is none.
  find(all, name) {
    return all.find((column) => column.key === name || column.name === name) ?? null;
  },

  // A filter from what an address says of a column: "yes" or "positional", a number, or "0.1..0.5", either
  // end of which may be missing. Null where it is none of these.
  filter(column, text) {
    if (column.options) return columns.choiceFilter(column, text);
    const ends = text.includes("..") ? text.split("..") : [text, text];
    const [low, high] = ends.map((end) => (end.trim() === "" ? null : Number(end)));
    if (ends.length !== 2 || Number.isNaN(low) || Number.isNaN(high) || (low === null && high === null)) {
      return null;
    }
    const accepts = (value) => (low === null || value >= low) && (high === null || value <= high);
    const named =
      low === high
        ? `is ${low}`
        : [low === null ? "" : `from ${low}`, high === null ? "" : `to ${high}`].join(" ").trim();
    return { column, text, accepts, label: `${column.label} ${named}` };
  },

  choiceFilter(column, text) {
    if (column.key === "type" && text === "positional") {
      return { column, text, accepts: (value) => value > 0, label: "positional of any type" };
    }
    const wanted = column.options.indexOf({ true: "yes", false: "no" }[text] ?? text);
    if (wanted < 0) return null;
    return {
      column,
      text,
      accepts: (value) => value === wanted,
      label: `${column.label}: ${column.options[wanted]}`,
    };
  },
};
