// Reads what was written beside the page: scripts that each call `explorer.receive`.
// A page that is opened as a file may read nothing else.
"use strict";

const explorer = {
  // What to call for the script that is being waited for, by its path without ".js".
  waiting: new Map(),

  receive(study, path, content) {
    explorer.waiting.get(path)?.(study, content);
  },
};

class MissingShard extends Error {}

const shards = {
  loading: new Map(),

  // The content of a script. Each is read once.
  read(path, study = "") {
    if (!shards.loading.has(path)) shards.loading.set(path, shards.request(path, study));
    return shards.loading.get(path);
  },

  request(path, wanted) {
    return new Promise((resolve, reject) => {
      const fail = (problem) => {
        shards.loading.delete(path);
        reject(shards.problem(path, problem));
      };
      explorer.waiting.set(path, (study, content) => {
        explorer.waiting.delete(path);
        if (study !== wanted) fail("belongs to another study, or to an earlier analysis of this one");
        else resolve(content);
      });
      const finish = (problem) => {
        script.remove();
        if (explorer.waiting.delete(path)) fail(problem);
      };
      // A script that has run without an answer is damaged.
      const script = dom.make("script", {
        src: `${path}.js`,
        load: () => finish("is damaged"),
        error: () => finish("is missing"),
      });
      document.head.append(script);
    });
  },

  problem: (path, problem) =>
    new MissingShard(
      `${path}.js ${problem}: write the page again with python scripts/explore.py --study=DIR`,
    ),

  // Arrays by name, each a typed array with its `shape`.
  async arrays(path, study) {
    const { fields, data } = await shards.read(path, study);
    // The arrays are kept; the text that they were made of is half as large again.
    shards.loading.delete(path);
    const buffer = await shards.decompress(data).catch(() => {
      throw shards.problem(path, "is damaged");
    });
    const found = {};
    let offset = 0;
    for (const [name, kind, shape] of fields) {
      const size = shape.reduce((product, each) => product * each, 1);
      found[name] = new shards.types[kind](buffer, offset, size);
      found[name].shape = shape;
      offset += found[name].byteLength;
    }
    return found;
  },

  async decompress(data) {
    const stream = new Blob([shards.bytes(data)]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).arrayBuffer();
  },

  // Browsers before 2025 read base64 as a string alone.
  bytes(base64) {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
    const letters = atob(base64);
    const bytes = new Uint8Array(letters.length);
    for (let i = 0; i < bytes.length; i += 1) bytes[i] = letters.charCodeAt(i);
    return bytes;
  },

  digits: (number, length) => String(number).padStart(length, "0"),

  types: {
    f8: Float64Array,
    f4: Float32Array,
    i4: Int32Array,
    i2: Int16Array,
    i1: Int8Array,
    u4: Uint32Array,
    u2: Uint16Array,
    u1: Uint8Array,
  },
};

// What the page has of a study; everything is read once, when it is asked for.
class Study {
  constructor(described) {
    Object.assign(this, described);
    this.tokens = described.domains.reduce((sum, domain) => sum + domain.tokens, 0);
    this.layerTables = new Map();
    this.scripts = new Map();
  }

  // Its directory as a command line takes it.
  get argument() {
    return /^[\w./-]+$/.test(this.directory)
      ? this.directory
      : `'${this.directory.replaceAll("'", "'\\''")}'`;
  }

  // "95 %": the share of a neuron's activations that its coverage accounts for.
  get coverageShare() {
    return `${100 * this.ngrams[1].criteria.coverage_share} %`;
  }

  // Columns of every neuron of a layer.
  layer(layer) {
    if (!this.layerTables.has(layer)) this.layerTables.set(layer, this.readLayer(layer));
    return this.layerTables.get(layer);
  }

  async readLayer(layer) {
    const columns = await this.arrays(`layers/${shards.digits(layer, 3)}`);
    return { layer, study: this, size: this.model.neurons, ...columns };
  }

  // Details of 128 neurons, of which this one may be one; null where the page has none of them.
  async details(layer, neuron) {
    const columns = await this.layer(layer);
    if (!columns.detailed[neuron]) return null;
    const number = Math.floor(neuron / this.neurons_per_script);
    const found = await this.arrays(`neurons/${shards.digits(layer, 3)}/${shards.digits(number, 4)}`);
    return { ...found, row: found.neuron.indexOf(neuron) };
  }

  // A window of the text: its tokens and its domain.
  async textWindow(window) {
    const number = Math.floor(window / this.windows_per_script);
    const { tokens, length, domain } = await this.arrays(`text/${shards.digits(number, 4)}`);
    const place = window % this.windows_per_script;
    let first = 0;
    for (let i = 0; i < place; i += 1) first += length[i];
    return { tokens: tokens.subarray(first, first + length[place]), domain: domain[place] };
  }

  // Text of each id, as Python's "surrogateescape" has it.
  vocabulary() {
    return shards.read(`${this.home}/tokens`, this.id);
  }

  triggers() {
    return this.arrays("triggers");
  }

  arrays(name) {
    const path = `${this.home}/${name}`;
    if (!this.scripts.has(path)) {
      const reading = shards.arrays(path, this.id);
      reading.catch(() => this.scripts.delete(path));
      this.scripts.set(path, reading);
    }
    return this.scripts.get(path);
  }
}
