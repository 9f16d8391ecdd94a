// From a few letters to neurons: a place such as 12/847, a token, or part of a trigger.
"use strict";

// Detectors that are listed.
const LISTED = 200;

const search = {
  // Layer and neuron of "12/847" or "L12N847"; null for anything else.
  place(text) {
    const found = text.trim().match(/^(\d+)\s*\/\s*(\d+)$|^L(\d+)\s*N(\d+)$/i);
    if (!found) return null;
    return { layer: Number(found[1] ?? found[3]), neuron: Number(found[2] ?? found[4]) };
  },

  async show(main, study, query) {
    const wanted = query.get("q") ?? "";
    if (wanted === "") {
      main.append(
        dom.make("h1", {}, "Search"),
        dom.make("p", {}, "Type a token, part of a trigger, or a place."),
      );
      return;
    }
    const [vocabulary, triggers] = await Promise.all([study.vocabulary(), study.triggers()]);
    const text = (ids) => tokens.decode(ids, vocabulary, study.separator);
    const ids = search.tokens(wanted, vocabulary, text);
    const found = search.detectors(wanted, ids, triggers, text);
    main.append(
      dom.make("h1", {}, "Search: ", tokens.element(wanted)),
      dom.make("p", {}, ids.length ? `It is the token ${ids.join(", ")}.` : "It is no token of this model."),
      ...search.similar(wanted, study, vocabulary, text),
    );
    app.say(`${numbers.plural(found.length, "detector")} found.`, main);
    if (study.detailed < study.layers.length * study.model.neurons) {
      main.append(
        dom.make(
          "p",
          { class: "note" },
          `Only the triggers of ${numbers.whole(study.detailed)} neurons are in this page. ` +
            `For all of them: python scripts/neuron.py --study=${study.argument} --token=TEXT`,
        ),
      );
    }
    if (found.length === 0) {
      main.append(
        dom.make(
          "p",
          {},
          study.ngrams
            ? "No detector has a trigger with this text."
            : "This study counted no n-grams, so it has no detectors.",
        ),
      );
      return;
    }
    const rows = found
      .slice(0, LISTED)
      .map(({ layer, neuron: index, ids: trigger, active, all }) => [
        dom.make(
          "a",
          { href: route.neuron(layer, index, app.query(study)) },
          `layer ${layer}, neuron ${index}`,
        ),
        tokens.element(text(trigger)),
        dom.number(active),
        dom.number(all),
      ]);
    const caption =
      found.length > LISTED
        ? `The first ${LISTED} of ${numbers.plural(found.length, "detector")}`
        : numbers.plural(found.length, "detector");
    main.append(
      dom.table(`${caption} with such a trigger`, ["detector", "trigger", "active on", "of"], rows, {
        class: "numeric",
      }),
    );
  },

  // Ids that are read as the text.
  tokens(wanted, vocabulary, text) {
    return [...vocabulary.keys()].filter((id) => text([id]) === wanted);
  },

  // A list of what to show of tokens that differ by spaces or by capital letters alone.
  similar(wanted, study, vocabulary, text) {
    const bare = (each) => each.trim().toLowerCase();
    const near =
      bare(wanted) === ""
        ? []
        : [...vocabulary.keys()]
            .map((id) => text([id]))
            .filter((each) => each !== wanted && bare(each) === bare(wanted))
            .slice(0, 8);
    if (near.length === 0) return [];
    const links = near.map((each, i) => [
      i ? ", " : "",
      dom.make("a", { href: route.to("search", { ...app.query(study), q: each }) }, tokens.element(each)),
    ]);
    return [dom.make("p", {}, "Tokens like it: ", links, ".")];
  },

  // Detectors of one of the ids first, then those with a trigger that contains the text.
  detectors(wanted, ids, triggers, text) {
    const [exact, others] = [[], []];
    triggers.trigger_neuron.forEach((owner, i) => {
      const trigger = tokens.ofTrigger(triggers, i);
      const isExact = trigger.length === 1 && ids.includes(trigger[0]);
      if (!isExact && (wanted === "" || !text(trigger).includes(wanted))) return;
      (isExact ? exact : others).push({
        layer: triggers.trigger_layer[i],
        neuron: owner,
        ids: trigger,
        active: triggers.trigger_activations[i],
        all: triggers.trigger_occurrences[i],
      });
    });
    return [...exact, ...others];
  },
};
