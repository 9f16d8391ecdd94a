// The study as a whole: what was studied, what was found by layer, and the paper's figures as charts.
"use strict";

const overview = {
  // One section per study, side by side.
  async show(main, studies) {
    const sections = studies.map((study) => overview.study(study, studies.length > 1));
    main.append(
      dom.make("h1", {}, studies.length > 1 ? "Overview of the studies" : `Overview of ${studies[0].name}`),
      dom.make("div", { class: "beside" }, sections),
    );
  },

  study(study, isOneOfSeveral) {
    const link = (query, content) =>
      dom.make("a", { href: route.to("neurons", overview.query(study, isOneOfSeveral, query)) }, content);
    return dom.make(
      "section",
      { "aria-label": study.name },
      isOneOfSeveral ? dom.make("h2", {}, study.name) : null,
      dom.make("p", {}, overview.studied(study)),
      overview.domains(study),
      study.sentences.map((sentence) => dom.make("p", {}, sentence)),
      overview.layers(study, link),
      dom.make("p", { class: "note" }, study.explanations.join(" ")),
      overview.charts(study),
      overview.positional(study, isOneOfSeveral, link),
      dom.make("p", { class: "note" }, overview.thresholds(study)),
    );
  },

  query: (study, isOneOfSeveral, query) => (isOneOfSeveral ? { study: study.name, ...query } : query),

  studied(study) {
    const { layers, neurons, activation_function: nonlinearity, dtype } = study.model;
    return (
      `${study.name}: ${numbers.plural(layers, "layer")} of ${numbers.whole(neurons)} ${nonlinearity} neurons, ` +
      `weights in ${dtype}, computed in ${study.dtype} on ${study.device}. Text: ${numbers.whole(study.tokens)} tokens ` +
      `in windows of ${numbers.whole(study.window)}.` +
      (study.layers.length < layers
        ? ` Layers ${study.layers[0]} to ${study.layers.at(-1)} were studied.`
        : "")
    );
  },

  domains(study) {
    const rows = study.domains.map((domain) => [
      domain.name,
      dom.number(domain.tokens),
      dom.number(domain.windows),
      dom.number(domain.full_windows),
    ]);
    return dom.table("Text by domain", ["domain", "tokens", "windows", "full windows"], rows, {
      class: "numeric",
    });
  },

  layers(study, link) {
    const orders = Object.keys(study.ngrams ?? {});
    const head = [
      "layer",
      "dead",
      "certified",
      "frequency of the alive",
      ...orders.map((n) => `detectors n=${n}`),
      "positional",
    ];
    const rows = study.by_layer.map((row) => [
      link({ layer: row.layer }, String(row.layer)),
      link({ layer: row.layer, dead: "yes" }, dom.number(row.dead)),
      row.certified_dead === null
        ? "–"
        : link({ layer: row.layer, certified_dead: "yes" }, dom.number(row.certified_dead)),
      dom.number(row.mean_frequency_alive ?? NaN, numbers.percent(row.mean_frequency_alive ?? NaN)),
      ...orders.map((n) => [
        link({ layer: row.layer, [`detector_${n}`]: "1.." }, dom.number(row[`detectors_${n}`])),
        ` (${numbers.whole(row[`attested_${n}`])})`,
      ]),
      link({ layer: row.layer, type: "positional", sort: "-mi" }, dom.number(row.positional)),
    ]);
    return dom.table("Neurons by layer", head, rows, { class: "numeric" });
  },

  charts(study) {
    const x = study.by_layer.map((row) => row.layer);
    const of = (read) => study.by_layer.map(read);
    const common = { x, xLabel: "layer" };
    const dead = [{ name: "dead on this text", values: of((row) => row.dead / row.neurons) }];
    if (study.model.can_certify) {
      dead.push({ name: "certified dead", values: of((row) => row.certified_dead / row.neurons) });
    }
    const made = [
      charts.lines("Dead neurons, share of each layer (Figure 1a)", {
        ...common,
        yLabel: "share",
        percent: true,
        series: dead,
      }),
      charts.lines("Mean activation frequency of neurons that are alive (Figure 1b)", {
        ...common,
        yLabel: "share of tokens",
        percent: true,
        series: [{ name: "frequency", values: of((row) => row.mean_frequency_alive) }],
      }),
    ];
    const orders = Object.keys(study.ngrams ?? {});
    if (orders.some((n) => of((row) => row[`detectors_${n}`]).some((number) => number > 0))) {
      made.push(
        charts.lines("n-gram detectors (Figures 3 and 14)", {
          ...common,
          yLabel: "neurons",
          series: orders.map((n) => ({ name: `n = ${n}`, values: of((row) => row[`detectors_${n}`]) })),
        }),
      );
      made.push(
        charts.lines("n-grams with a detector that no layer below detects (Figures 4 and 15)", {
          ...common,
          yLabel: "n-grams",
          series: orders.map((n) => ({ name: `n = ${n}`, values: of((row) => row[`new_${n}`]) })),
        }),
      );
    }
    const names = { 1: "tokens (Figure 2)", 2: "bigrams (Figure 12)", 3: "trigrams (Figure 13)" };
    for (const n of orders) made.push(overview.coverage(study, n, names[n], common));
    return dom.make("div", { class: "charts" }, made);
  },

  // Cumulative, since the classes are ranges: a line says which share of neurons is covered by at most so many.
  coverage(study, n, name, common) {
    const { classes, counts } = study.ngrams[n];
    const alive = counts.map((layer) => layer.slice(1).reduce((sum, count) => sum + count, 0));
    const series = classes.slice(1, -1).map((label, i) => ({
      name: `at most ${label.split(/[-–]/).at(-1)}`,
      values: counts.map(
        (layer, row) => layer.slice(1, i + 2).reduce((sum, count) => sum + count, 0) / alive[row],
      ),
    }));
    return charts.lines(
      `Alive neurons of which few ${name} cover ${study.coverageShare} of the activations`,
      {
        ...common,
        yLabel: "share",
        percent: true,
        series,
      },
    );
  },

  positional(study, isOneOfSeveral, link) {
    if (study.positional.length === 0) return null;
    const query = overview.query(study, isOneOfSeveral, { type: "positional", sort: "-mi" });
    const types = study.types.slice(1);
    const name = ([layer, neuron, value, type, strength]) =>
      `layer ${layer}, neuron ${neuron}: ${type}, ${strength}, ${numbers.decimal(value)} nats`;
    const marks = study.positional.map((one) => ({
      layer: one[0],
      value: one[2],
      shape: types.indexOf(one[3]),
      href: route.neuron(one[0], one[1], query),
      name: name(one),
    }));
    const total = study.by_layer.reduce((sum, row) => sum + row.positional, 0);
    const shown = marks.length < total ? `, the strongest ${marks.length} of ${numbers.whole(total)}` : "";
    const strongest = study.positional
      .slice(0, 10)
      .map((one) => [
        dom.make("a", { href: route.neuron(one[0], one[1], query) }, `layer ${one[0]}, neuron ${one[1]}`),
        one[3],
        one[4],
        dom.number(one[2], numbers.decimal(one[2])),
      ]);
    return dom.make(
      "div",
      {},
      charts.marks(`Positional neurons${shown}; each mark leads to its neuron (Figure 8)`, {
        layers: study.layers,
        yLabel: "mutual information, nats",
        marks,
        shapes: types,
      }),
      dom.table(
        "The strongest positional neurons",
        ["neuron", "type", "strength", "information, nats"],
        strongest,
      ),
      dom.make(
        "p",
        {},
        link({ type: "positional", sort: "-mi" }, `All ${numbers.whole(total)} positional neurons`),
      ),
    );
  },

  thresholds(study) {
    const listed = (criteria) =>
      Object.entries(criteria)
        .map(([name, value]) => `${name} ${value}`)
        .join(", ");
    const detectors = study.ngrams
      ? `Thresholds of detectors: ${listed(study.ngrams[1].criteria)}. `
      : "n-grams were not counted. ";
    return (
      `${detectors}Thresholds of positional neurons: ${listed(study.position_criteria)}. ` +
      `Versions: ${listed(study.versions)}.`
    );
  },
};
