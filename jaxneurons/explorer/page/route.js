// Addresses of the page: "#/layer/12/neuron/847?type=positional&sort=-mi" in, what to show out, and back.
"use strict";

const route = {
  parse(hash) {
    const [path, query = ""] = hash.replace(/^#/, "").split(/\?(.*)/s);
    const parts = path.split("/").filter((part) => part !== "");
    const found = { view: "", query: new URLSearchParams(query) };
    if (parts.length === 0) found.view = "overview";
    else if (parts.length === 1 && ["neurons", "search"].includes(parts[0])) [found.view] = parts;
    else if (parts[0] === "layer" && parts.length === 2) {
      found.view = "neurons";
      found.query.set("layer", parts[1]);
    } else if (/^layer\/\d+\/neuron\/\d+$/.test(parts.join("/"))) {
      Object.assign(found, { view: "neuron", layer: Number(parts[1]), neuron: Number(parts[3]) });
    }
    return found;
  },

  // The address of a view. A query keeps its order; what is empty is left out.
  to(path, query = {}) {
    const pairs = query instanceof URLSearchParams ? [...query] : Object.entries(query);
    const kept = new URLSearchParams(pairs.filter(([, value]) => value !== "" && value !== null));
    const text = kept.toString().replaceAll("+", "%20");
    return `#/${path}${text ? `?${text}` : ""}`;
  },

  neuron: (layer, neuron, query) => route.to(`layer/${layer}/neuron/${neuron}`, query),

  // The query with other values; null takes one out.
  changed(query, values) {
    const copy = new URLSearchParams(query);
    for (const [key, value] of Object.entries(values)) {
      if (value === null) copy.delete(key);
      else copy.set(key, value);
    }
    return copy;
  },
};
