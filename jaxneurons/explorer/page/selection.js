// Which neurons an address asks for, in which order: filters and a sort over the tables of all layers.
"use strict";

const RESERVED = ["sort", "page", "study", "beside", "alone", "q"];

class Selection {
  // Neurons of a study by a query; problems with the query are in `problems`.
  constructor(study, query) {
    this.study = study;
    this.columns = columns.of(study);
    this.problems = [];
    this.filters = [];
    for (const [key, text] of query) {
      if (!RESERVED.includes(key)) this.addFilter(key, text);
    }
    const sort = query.get("sort") ?? "";
    this.descending = sort.startsWith("-");
    this.sort = sort ? columns.find(this.columns, sort.replace(/^-/, "")) : null;
    if (sort && !this.sort) this.problems.push(`There is no column ${sort} to sort by.`);
  }

  addFilter(key, text) {
    const column = columns.find(this.columns, key);
    const filter = column && columns.filter(column, text);
    if (filter) this.filters.push({ ...filter, key });
    else if (column) this.problems.push(`${key} cannot be ${text}.`);
    else this.problems.push(`There is no column ${key}.`);
  }

  // Reads the layers that can hold a match, and finds all matches.
  async read(progress = () => {}) {
    const ofLayer = this.filters.filter((filter) => filter.column.key === "layer");
    const layers = this.study.layers.filter((layer) => ofLayer.every((filter) => filter.accepts(layer)));
    let done = 0;
    this.tables = await Promise.all(
      layers.map(async (layer) => {
        const table = await this.study.layer(layer);
        progress((done += 1), layers.length);
        return table;
      }),
    );
    this.size = this.study.model.neurons;
    this.matches = this.findMatches();
    this.keys = this.sort ? this.readKeys() : null;
    return this;
  }

  // Places of all matches, ascending: a table's number times the neurons of a layer, plus the neuron.
  findMatches() {
    const found = new Uint32Array(this.tables.length * this.size);
    let number = 0;
    const tests = this.filters.map(({ accepts, column }) => [accepts, column.of]);
    for (const [t, table] of this.tables.entries()) {
      for (let i = 0; i < this.size; i += 1) {
        if (tests.every(([accepts, of]) => accepts(of(table, i)))) found[number++] = t * this.size + i;
      }
    }
    return found.slice(0, number);
  }

  // What each match is sorted by, ascending; what is no number comes last.
  readKeys() {
    const sign = this.descending ? -1 : 1;
    const keys = new Float64Array(this.length);
    for (let i = 0; i < keys.length; i += 1) {
      const value = this.value(this.sort, this.matches[i]);
      keys[i] = Number.isNaN(value) ? Infinity : sign * value;
    }
    return keys;
  }

  get length() {
    return this.matches.length;
  }

  table(place) {
    return this.tables[Math.floor(place / this.size)];
  }

  value(column, place) {
    return column.of(this.table(place), place % this.size);
  }

  // Places of the matches of ranks `first` to `last`, exclusive. Ties stay in the model's order. Of millions only
  // these are put in order: the keys are sorted as numbers, which is fast, to see between which values they lie.
  ranked(first, last) {
    const end = Math.min(last, this.length);
    if (!this.keys || first >= end) return Array.from(this.matches.subarray(first, end));
    this.sorted ??= this.keys.slice().sort();
    const [low, high] = [this.sorted[first], this.sorted[end - 1]];
    let skipped = first - this.below(low);
    let left = end - this.below(high);
    const found = [];
    for (let i = 0; i < this.length; i += 1) {
      const key = this.keys[i];
      if (key < low || key > high) continue;
      const isLow = key === low;
      const isHigh = key === high;
      if (isHigh && left <= 0) continue;
      if (isHigh) left -= 1;
      if (isLow && skipped > 0) skipped -= 1;
      else found.push(i);
    }
    found.sort((a, b) => this.keys[a] - this.keys[b] || a - b);
    return found.map((i) => this.matches[i]);
  }

  // How many keys are below a value, by halving.
  below(value) {
    let [low, high] = [0, this.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.sorted[middle] < value) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  // Layer and neuron of a place.
  at(place) {
    return { layer: this.table(place).layer, neuron: place % this.size };
  }

  // The matches before and after a neuron in the order, each null where there is none.
  neighbours(layer, neuron) {
    const t = this.tables.findIndex((table) => table.layer === layer);
    const place = t * this.size + neuron;
    const rank = t < 0 ? -1 : this.rank(place);
    if (rank < 0) return { previous: null, next: null };
    const at = (each) => {
      const [found] = each < 0 ? [] : this.ranked(each, each + 1);
      return found === undefined ? null : this.at(found);
    };
    return { rank, previous: at(rank - 1), next: at(rank + 1) };
  }

  // The rank of a place among the matches; -1 where it is none.
  rank(place) {
    const i = this.matches.indexOf(place);
    if (i < 0 || !this.keys) return i;
    const key = this.keys[i];
    let rank = 0;
    for (let j = 0; j < this.length; j += 1) {
      if (this.keys[j] < key || (this.keys[j] === key && j < i)) rank += 1;
    }
    return rank;
  }
}
