// One neuron: what kind it is, its numbers, triggers, what it writes, its pattern over positions, its examples.
"use strict";

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
    const others = app.studies.filter(
      (each) => each !== study && neuron.hasShape(each, study) && each.layers.includes(layer),
    );
    const beside = query.has("alone")
      ? null
      : (others.find((each) => each.name === query.get("beside")) ?? others[0]);
    if (others.length > 0) main.append(neuron.chooser(found, others, beside));
    const shown = [study, ...(beside ? [beside] : [])];
    main.append(
      dom.make(
        "div",
        { class: "beside" },
        await Promise.all(shown.map((each) => neuron.section(each, layer, index, shown.length > 1))),
      ),
    );
    charts.refresh();
    steps.append(...(await neuron.steps(study, found)));
  },

  problem(study, layer, index) {
    const { layers, neurons } = study.model;
    if (!(layer < layers)) return `${study.name} has no such layer: its layers are 0 to ${layers - 1}.`;
    if (!study.layers.includes(layer)) {
      return `This study holds layers ${study.layers[0]} to ${study.layers.at(-1)}, not layer ${layer}.`;
    }
    return index < neurons ? null : `Layer ${layer} has no such neuron: its neurons are 0 to ${neurons - 1}.`;
  },

  hasShape: (one, other) =>
    one.model.layers === other.model.layers && one.model.neurons === other.model.neurons,

  // The study whose neuron of the same place stands beside this one.
  chooser({ layer, neuron: index, query }, others, beside) {
    const go = (event) => {
      const name = event.target.value;
      const values = name === "" ? { alone: "yes", beside: null } : { alone: null, beside: name };
      location.hash = route.neuron(layer, index, route.changed(query, values));
    };
    const option = (name, text) =>
      dom.make("option", { value: name, selected: name === (beside?.name ?? "") }, text);
    return dom.make(
      "p",
      {},
      dom.make(
        "label",
        {},
        "Beside it: ",
        dom.make(
          "select",
          { change: go },
          option("", "no other"),
          others.map((each) => option(each.name, each.name)),
        ),
      ),
    );
  },

  // Links to other neurons among those that the table showed, and what to copy.
  async steps(study, { layer, neuron: index, query }) {
    const { previous, next, random, where } = await neuron.others(study, layer, index, query);
    const link = (to, text) =>
      to
        ? dom.make("a", { href: route.neuron(to.layer, to.neuron, query) }, text)
        : dom.make("span", { class: "off" }, text);
    const python = `jaxneurons.open_study(${JSON.stringify(study.directory)}).neuron(${layer}, ${index})`;
    return [
      link(previous, "Previous"),
      link(next, "Next"),
      link(random, "Random"),
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
      ? selection.at(selection.matches[Math.floor(Math.random() * selection.length)])
      : null;
    const where =
      rank === undefined
        ? "not among the neurons of the table"
        : `${numbers.whole(rank + 1)} of ${numbers.plural(selection.length, "neuron")} in the table`;
    return { previous, next, random, where };
  },

  // Without a filter and a sort the order is the model's, and no table need be read.
  othersOfAll(study, layer, index) {
    const size = study.model.neurons;
    const total = study.layers.length * size;
    const rank = study.layers.indexOf(layer) * size + index;
    const at = (place) =>
      place < 0 || place >= total
        ? null
        : { layer: study.layers[Math.floor(place / size)], neuron: place % size };
    const where = `${numbers.whole(rank + 1)} of ${numbers.plural(total, "neuron")}`;
    return {
      previous: at(rank - 1),
      next: at(rank + 1),
      random: at(Math.floor(Math.random() * total)),
      where,
    };
  },

  async section(study, layer, index, isOneOfSeveral) {
    const [columnsOfLayer, details, vocabulary] = await Promise.all([
      study.layer(layer),
      study.details(layer, index),
      study.vocabulary(),
    ]);
    const text = (ids) => tokens.decode(ids, vocabulary, study.separator);
    const value = (name) => {
      const column = columns.find(columns.of(study), name);
      return column && column.of(columnsOfLayer, index);
    };
    const parts = [facts.chips(study, value), facts.numbers(study, value, details)];
    if (value("dead")) {
      parts.push(
        dom.make(
          "p",
          {},
          "It is never active on this text, so it has no triggers, no pattern over positions and no examples.",
        ),
      );
    }
    if (details) parts.push(...(await neuron.details(study, details, index, value("dead"), text)));
    else parts.push(neuron.withoutDetails(study, layer, index));
    return dom.make(
      "section",
      { "aria-label": study.name },
      isOneOfSeveral ? dom.make("h2", {}, study.name) : null,
      parts,
    );
  },

  async details(study, details, index, isDead, text) {
    const parts = [facts.triggers(study, details, index, text), facts.written(study, details, text)];
    if (isDead) return parts;
    parts.push(facts.positions(study, details));
    for (const [kind, caption, what] of [
      ["example", "Highest", "examples, the highest first"],
      ["random_example", "At random", "examples, drawn at random among the windows in which it is active"],
    ]) {
      parts.push(await facts.examples(study, details, kind, caption, what, text));
    }
    return parts;
  },

  withoutDetails: (study, layer, index) =>
    dom.make(
      "p",
      {},
      `This page has full details of ${numbers.whole(study.detailed)} neurons, and of this one only the numbers above. ` +
        `For the rest: python scripts/neuron.py --study=${study.argument} --layer=${layer} --neuron=${index}`,
    ),
};
