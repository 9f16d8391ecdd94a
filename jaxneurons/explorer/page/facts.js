// The details of one neuron, part by part: kind, numbers, triggers, what it writes, its pattern over positions,
// its examples. Each gives an element, or null where there is nothing to show.
"use strict";

// Tokens of context on either side of an example's peak.
const CONTEXT = 12;

const facts = {
  chips(study, value) {
    const orders = { 1: "token", 2: "bigram", 3: "trigram" };
    const found = [];
    if (value("dead")) found.push(value("certified_dead") ? "dead, certified" : "dead on this text");
    if (value("certified_active")) found.push("always active, certified");
    for (const n of Object.keys(study.ngrams ?? {})) {
      if (value(`detector_${n}`) > 0) found.push(`${orders[n]} detector`);
    }
    if (value("type") > 0)
      found.push(`positional: ${study.types[value("type")]}, ${study.strengths[value("strength")]}`);
    if (found.length === 0) found.push("alive, no detector, not positional");
    return dom.make(
      "ul",
      { class: "chips", "aria-label": "Kind" },
      found.map((name) => dom.make("li", { class: "chip" }, name)),
    );
  },

  numbers(study, value, details) {
    const rows = [
      [
        "active on",
        [
          dom.number(value("activations")),
          ` of ${numbers.whole(study.tokens)} tokens, `,
          dom.number(value("frequency"), numbers.percent(value("frequency"))),
        ],
      ],
    ];
    if (study.domains.length > 1) {
      rows.push([
        "by domain",
        study.domains.map((domain, d) => {
          const share = value(`frequency_${domain.name}`);
          return [
            d ? ", " : "",
            `${domain.name} `,
            dom.number(share, numbers.percent(share)),
            ` of ${numbers.whole(domain.tokens)}`,
          ];
        }),
      ]);
    }
    if (!value("dead")) {
      if (study.ngrams) {
        rows.push([
          `${study.coverageShare} of its activations on`,
          Object.keys(study.ngrams).map((n, i) => [
            i ? ", " : "",
            dom.number(value(`coverage_${n}`)),
            ` ${{ 1: "token", 2: "bigram", 3: "trigram" }[n]}${value(`coverage_${n}`) === 1 ? "" : "s"}`,
          ]),
        ]);
      }
      rows.push([
        "information on position",
        [dom.number(value("mi"), numbers.decimal(value("mi"))), " nats"],
      ]);
      if (study.domains.length > 1) {
        rows.push([
          "entropy over domains",
          [
            dom.number(value("entropy"), numbers.decimal(value("entropy"))),
            ` nats of at most ${numbers.decimal(Math.log(study.domains.length))}`,
          ],
        ]);
      }
    }
    if (details) {
      const [low, high] = facts.row(details, "bounds");
      rows.push([
        "pre-activation",
        [
          dom.number(low, numbers.decimal(low, 2)),
          " to ",
          dom.number(high, numbers.decimal(high, 2)),
          ", whatever the input",
        ],
      ]);
    }
    return dom.make(
      "dl",
      {},
      rows.map(([name, content]) => [dom.make("dt", {}, name), dom.make("dd", {}, content)]),
    );
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
    const totals = facts.row(details, "ngram_activations");
    details.trigger_neuron.forEach((owner, i) => {
      if (owner !== index) return;
      const ids = tokens.ofTrigger(details, i);
      const [active, all] = [details.trigger_activations[i], details.trigger_occurrences[i]];
      const total = totals[ids.length - 1];
      rows.push([
        tokens.element(text(ids)),
        ids.join(" "),
        dom.number(active),
        dom.number(all),
        dom.number(active / all, numbers.percent(active / all)),
        dom.number(active / total, numbers.percent(active / total)),
      ]);
    });
    return rows.length === 0
      ? null
      : dom.table(
          "Triggers: n-grams on which it is active",
          ["n-gram", "ids", "active on", "of", "P(active | n-gram)", "P(n-gram | active)"],
          rows,
          { class: "numeric" },
        );
  },

  written(study, details, text) {
    if (!study.promoted) return dom.make("p", {}, "What it promotes and suppresses was not looked for.");
    const list = (name, caption) => {
      const ids = facts.row(details, `${name}_token`);
      const values = facts.row(details, `${name}_projection`);
      const rows = [];
      ids.forEach((id, i) => {
        if (id >= 0)
          rows.push([
            tokens.element(text([id])),
            String(id),
            dom.number(values[i], numbers.signed(values[i])),
          ]);
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
    const counts = facts.row(details, "position_count");
    const ranges = edges.length - 1;
    const frequency = (count, i, number) => (number ? count / (number * (edges[i + 1] - edges[i])) : NaN);
    const byDomain = study.domains.map((domain, d) => ({
      name: domain.name,
      values: Array.from({ length: ranges }, (_, i) => frequency(counts[d * ranges + i], i, windows[d])),
    }));
    const overall = Array.from({ length: ranges }, (_, i) =>
      frequency(
        study.domains.reduce((sum, _domain, d) => sum + counts[d * ranges + i], 0),
        i,
        all,
      ),
    );
    const series = [{ name: "all", values: overall }, ...(byDomain.length > 1 ? byDomain : [])];
    const width = edges[1] - edges[0];
    const caption = `Frequency by position${width > 1 ? `, mean of about ${width} positions each` : ""}`;
    const names = overall.map((_, i) =>
      edges[i + 1] - edges[i] > 1 ? `${edges[i]} to ${edges[i + 1] - 1}` : String(edges[i]),
    );
    return charts.lines(caption, {
      x: edges.slice(0, -1),
      xLabel: "position",
      yLabel: "share of windows",
      percent: true,
      series,
      names,
    });
  },

  async examples(study, details, kind, caption, what, text) {
    const [values, windows, places] = ["value", "window", "position"].map((name) =>
      facts.row(details, `${kind}_${name}`),
    );
    if (!values) return kind === "example" ? dom.make("p", {}, "The study kept no examples.") : null;
    const rows = [];
    for (let i = 0; i < values.length && windows[i] >= 0; i += 1) {
      const window = await study.textWindow(windows[i]);
      const part = (first, last) => tokens.visible(text(window.tokens.subarray(Math.max(0, first), last)));
      const place = places[i];
      rows.push([
        dom.number(values[i], numbers.decimal(values[i], 3)),
        dom.make(
          "bdi",
          { class: "text" },
          part(place - CONTEXT, place),
          dom.make("mark", {}, part(place, place + 1)),
          part(place + 1, place + 1 + CONTEXT),
        ),
        `${study.domains[window.domain].name}, window ${windows[i]}, position ${place}`,
      ]);
    }
    return dom.table(`${caption}: ${rows.length} ${what}`, ["value", "text", "where"], rows, {
      class: "examples",
    });
  },
};
