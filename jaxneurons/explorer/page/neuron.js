// One neuron: what kind it is, its numbers, triggers, what it writes, its pattern over positions, its examples.
"use strict";

// Tokens of context on either side of an example's peak.
const CONTEXT = 12;

const neuron = {
  async show(main, study, found) {
    const { layer, neuron: index, query } = found;
    const problem = neuron.problem(study, layer, index);
    main.append(dom.make("h1", {}, `Layer ${layer}, neuron ${index} of ${study.name}`));
    if (problem) {
      main.append(dom.make("p", { class: "problem" }, problem));
      return;
    }
    const steps = dom.make("nav", { class: "pager", "aria-label": "Other neurons" });
    main.append(steps);
    const others = app.studies.filter((each) => each !== study && neuron.hasShape(each, study));
    const beside = others.find((each) => each.name === query.get("beside")) ?? (query.get("beside") ? null : others[0]);
    if (others.length > 0) main.append(neuron.chooser(found, others, beside));
    const shown = [study, ...(beside ? [beside] : [])];
    main.append(dom.make("div", { class: "beside" },
      await Promise.all(shown.map((each) => neuron.section(each, layer, index, shown.length > 1)))));
    charts.refresh();
    steps.append(...await neuron.steps(study, found));
  },

  problem(study, layer, index) {
    const { layers, neurons } = study.model;
    if (!(layer < layers)) return `${study.name} has no such layer: its layers are 0 to ${layers - 1}.`;
    if (!study.layers.includes(layer)) {
      return `This study holds layers ${study.layers[0]} to ${study.layers.at(-1)}, not layer ${layer}.`;
    }
    return index < neurons ? null : `Layer ${layer} has no such neuron: its neurons are 0 to ${neurons - 1}.`;
  },

  hasShape: (one, other) => one.model.layers === other.model.layers && one.model.neurons === other.model.neurons,

  // The study whose neuron of the same place stands beside this one.
  chooser({ layer, neuron: index, query }, others, beside) {
    const go = (event) => { location.hash = route.neuron(layer, index, route.changed(query, { beside: event.target.value })); };
    const option = (name, text) => dom.make("option", { value: name, selected: name === (beside?.name ?? "none") }, text);
    return dom.make("p", {}, dom.make("label", {}, "Beside it: ", dom.make("select", { change: go },
      option("none", "no other"), others.map((each) => option(each.name, each.name)))));
  },

  // Links to other neurons among those that the table showed, and what to copy.
  async steps(study, { layer, neuron: index, query }) {
    const { previous, next, random, where } = await neuron.others(study, layer, index, query);
    const link = (to, text) => (to
      ? dom.make("a", { href: route.neuron(to.layer, to.neuron, query) }, text)
      : dom.make("span", { class: "off" }, text));
    const python = `jaxneurons.open_study(${JSON.stringify(study.directory)}).neuron(${layer}, ${index})`;
    return [
      link(previous, "Previous"), link(next, "Next"), link(random, "Random"),
      dom.make("a", { href: route.to("neurons", query) }, "Table"),
      dom.make("span", {}, where),
      dom.make("button", { type: "button", click: () => app.copy(location.href, "link") }, "Copy link"),
      dom.make("button", { type: "button", click: () => app.copy(python, "Python") }, "Copy Python"),
    ];
  },

  async others(study, layer, index, query) {
    const selection = new Selection(study, query);
    if (selection.filters.length === 0 && !selection.sort) return neuron.othersOfAll(study, layer, index);
    await selection.read();
    const { rank, previous, next } = selection.neighbours(layer, index);
    const random = selection.length
      ? selection.at(selection.matches[Math.floor(Math.random() * selection.length)]) : null;
    const where = rank === undefined ? "not among the neurons of the table"
      : `${numbers.whole(rank + 1)} of ${numbers.plural(selection.length, "neuron")} in the table`;
    return { previous, next, random, where };
  },

  // Without a filter and a sort the order is the model's, and no table need be read.
  othersOfAll(study, layer, index) {
    const size = study.model.neurons;
    const total = study.layers.length * size;
    const rank = study.layers.indexOf(layer) * size + index;
    const at = (place) => (place < 0 || place >= total ? null
      : { layer: study.layers[Math.floor(place / size)], neuron: place % size });
    const where = `${numbers.whole(rank + 1)} of ${numbers.plural(total, "neuron")}`;
    return { previous: at(rank - 1), next: at(rank + 1), random: at(Math.floor(Math.random() * total)), where };
  },

  async section(study, layer, index, isOneOfSeveral) {
    const [columnsOfLayer, details, vocabulary] = await Promise.all(
      [study.layer(layer), study.details(layer, index), study.vocabulary()]);
    const text = (ids) => tokens.decode(ids, vocabulary, study.separator);
    const value = (name) => {
      const column = columns.find(columns.of(study), name);
      return column && column.of(columnsOfLayer, index);
    };
    const parts = [neuron.chips(study, value), neuron.numbers(study, value, details)];
    if (value("dead")) {
      parts.push(dom.make("p", {}, "It is never active on this text, so it has no triggers, no pattern over positions and no examples."));
    }
    if (!details) {
      parts.push(dom.make("p", {}, `This page tells everything of ${numbers.whole(study.told)} neurons, and of this one only the numbers above. `
        + `For the rest: python scripts/neuron.py --study=${study.directory} --layer=${layer} --neuron=${index}`));
    } else {
      parts.push(neuron.triggers(study, details, index, text), neuron.written(study, details, text));
      if (!value("dead")) {
        parts.push(neuron.positions(study, details),
          await neuron.examples(study, details, "example", "Highest", "examples, the highest first", text),
          await neuron.examples(study, details, "random_example", "At random",
            "examples, drawn at random among the windows in which it is active", text));
      }
    }
    return dom.make("section", { "aria-label": study.name }, isOneOfSeveral ? dom.make("h2", {}, study.name) : null, parts);
  },

  chips(study, value) {
    const orders = { 1: "token", 2: "bigram", 3: "trigram" };
    const found = [];
    if (value("dead")) found.push(value("certified_dead") ? "dead, certified" : "dead on this text");
    if (value("certified_active")) found.push("always active, certified");
    for (const n of Object.keys(study.ngrams ?? {})) {
      if (value(`detector_${n}`) > 0) found.push(`${orders[n]} detector`);
    }
    if (value("type") > 0) found.push(`positional: ${study.types[value("type")]}, ${study.strengths[value("strength")]}`);
    if (found.length === 0) found.push("alive, no detector, not positional");
    return dom.make("ul", { class: "chips", "aria-label": "Kind" }, found.map((name) => dom.make("li", { class: "chip" }, name)));
  },

  numbers(study, value, details) {
    const rows = [["active on", [dom.number(value("activations")), ` of ${numbers.whole(study.tokens)} tokens, `,
      dom.number(value("frequency"), numbers.percent(value("frequency")))]]];
    if (study.domains.length > 1) {
      rows.push(["by domain", study.domains.map((domain, d) => {
        const share = value(`frequency_${domain.name}`);
        return [d ? ", " : "", `${domain.name} `, dom.number(share, numbers.percent(share))];
      })]);
    }
    if (!value("dead")) {
      if (study.ngrams) {
        rows.push([`${numbers.percent(study.ngrams[1].criteria.coverage_share).replace(".00", "")} of its activations on`,
          Object.keys(study.ngrams).map((n, i) =>
            [i ? ", " : "", dom.number(value(`coverage_${n}`)), ` ${{ 1: "tokens", 2: "bigrams", 3: "trigrams" }[n]}`])]);
      }
      rows.push(["information on position", [dom.number(value("mi"), numbers.decimal(value("mi"))), " nats"]]);
      if (study.domains.length > 1) {
        rows.push(["entropy over domains", [dom.number(value("entropy"), numbers.decimal(value("entropy"))),
          ` nats of at most ${numbers.decimal(Math.log(study.domains.length))}`]]);
      }
    }
    if (details) {
      const [low, high] = neuron.row(details, "bounds");
      rows.push(["pre-activation", [dom.number(low, numbers.decimal(low, 2)), " to ", dom.number(high, numbers.decimal(high, 2)),
        ", whatever the input"]]);
    }
    return dom.make("dl", {}, rows.map(([name, content]) => [dom.make("dt", {}, name), dom.make("dd", {}, content)]));
  },

  // A neuron's part of an array whose first axis is the neurons of a script; null where the study has none.
  row(details, name) {
    const array = details[name];
    if (!array) return null;
    const size = array.length / array.shape[0];
    return array.subarray(details.row * size, (details.row + 1) * size);
  },

  triggers(study, details, index, text) {
    const rows = [];
    const totals = neuron.row(details, "ngram_activations");
    details.trigger_neuron.forEach((owner, i) => {
      if (owner !== index) return;
      const ids = Array.from(details.trigger_ids.subarray(3 * i, 3 * i + 3)).filter((id) => id >= 0);
      const [active, all] = [details.trigger_activations[i], details.trigger_occurrences[i]];
      const total = totals[ids.length - 1];
      rows.push([tokens.element(text(ids)), ids.join(" "), dom.number(active), dom.number(all),
        dom.number(active / all, numbers.percent(active / all)), dom.number(active / total, numbers.percent(active / total))]);
    });
    return rows.length === 0 ? null : dom.table("Triggers: n-grams on which it is active",
      ["n-gram", "ids", "active on", "of", "P(active | n-gram)", "P(n-gram | active)"], rows, { class: "numeric" });
  },

  written(study, details, text) {
    if (!study.promoted) return dom.make("p", {}, "What it promotes and suppresses was not looked for.");
    const list = (name, caption) => {
      const ids = neuron.row(details, `${name}_token`);
      const values = neuron.row(details, `${name}_projection`);
      const rows = [];
      ids.forEach((id, i) => {
        if (id >= 0) rows.push([tokens.element(text([id])), String(id), dom.number(values[i], numbers.signed(values[i]))]);
      });
      return dom.table(caption, ["token", "id", "projection"], rows, { class: "numeric" });
    };
    return dom.make("div", { class: "pair" }, list("promoted", "Promotes"), list("suppressed", "Suppresses"));
  },

  positions(study, details) {
    const windows = study.domains.map((domain) => domain.full_windows);
    const all = windows.reduce((sum, number) => sum + number, 0);
    if (all === 0) return dom.make("p", {}, "No window is full, so there is no frequency by position.");
    const edges = study.position_edges;
    const counts = neuron.row(details, "position_count");
    const ranges = edges.length - 1;
    const frequency = (count, i, number) => (number ? count / (number * (edges[i + 1] - edges[i])) : NaN);
    const byDomain = study.domains.map((domain, d) => ({
      name: domain.name,
      values: Array.from({ length: ranges }, (_, i) => frequency(counts[d * ranges + i], i, windows[d])),
    }));
    const overall = Array.from({ length: ranges }, (_, i) =>
      frequency(study.domains.reduce((sum, _domain, d) => sum + counts[d * ranges + i], 0), i, all));
    const series = [{ name: "all", values: overall }, ...(byDomain.length > 1 ? byDomain : [])];
    const width = edges[1] - edges[0];
    const caption = `Frequency by position${width > 1 ? `, mean of about ${width} positions each` : ""}`;
    const rows = overall.map((value, i) => [
      edges[i + 1] - edges[i] > 1 ? `${edges[i]} to ${edges[i + 1] - 1}` : String(edges[i]),
      ...series.map((each) => dom.number(each.values[i], numbers.percent(each.values[i])))]);
    return dom.make("div", {},
      charts.lines(caption, { x: edges.slice(0, -1), xLabel: "position", yLabel: "share of windows", percent: true, series }),
      dom.make("details", {}, dom.make("summary", {}, "The same as a table"),
        dom.table("Frequency by position", ["position", ...series.map((each) => each.name)], rows, { class: "numeric" })));
  },

  async examples(study, details, kind, caption, what, text) {
    const [values, windows, places] = ["value", "window", "position"].map((name) => neuron.row(details, `${kind}_${name}`));
    if (!values) return dom.make("p", {}, "The study kept no examples.");
    const rows = [];
    for (let i = 0; i < values.length && windows[i] >= 0; i += 1) {
      const window = await study.textWindow(windows[i]);
      const part = (first, last) => tokens.visible(text(window.tokens.subarray(Math.max(0, first), last)));
      const place = places[i];
      rows.push([
        dom.number(values[i], numbers.decimal(values[i], 3)),
        `${study.domains[window.domain].name}, window ${windows[i]}, position ${place}`,
        dom.make("bdi", { class: "text" }, part(place - CONTEXT, place),
          dom.make("mark", {}, part(place, place + 1)), part(place + 1, place + 1 + CONTEXT)),
      ]);
    }
    return dom.table(`${caption}: ${rows.length} ${what}`, ["value", "where", "text"], rows, { class: "examples" });
  },
};
