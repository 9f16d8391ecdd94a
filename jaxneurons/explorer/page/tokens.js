// Ids to text that a person can read, whatever bytes and characters the tokens hold.
"use strict";

const tokens = {
  // The text of ids one after the other; parts of a character that meet make it whole.
  decode(ids, vocabulary, separator = "") {
    const joined = Array.from(ids, (id) => vocabulary[id] ?? `<id ${id}>`).join(separator);
    return joined.replace(/[\udc80-\udcff]+/g, (parts) =>
      tokens.decodeBytes(Uint8Array.from(parts, (part) => part.charCodeAt(0) - 0xdc00)),
    );
  },

  // Bytes as UTF-8, with \xNN for each that is part of no character.
  decodeBytes(bytes) {
    let text = "";
    let i = 0;
    while (i < bytes.length) {
      const length = [2, 3, 4].find((each) => tokens.isCharacter(bytes.subarray(i, i + each), each));
      if (length) text += new TextDecoder().decode(bytes.subarray(i, i + length));
      else text += `\\x${bytes[i].toString(16).padStart(2, "0")}`;
      i += length ?? 1;
    }
    return text;
  },

  isCharacter(bytes, length) {
    try {
      return bytes.length === length && new TextDecoder("utf-8", { fatal: true }).decode(bytes) !== "";
    } catch {
      return false;
    }
  },

  // Ids of a trigger; behind the last of them stands -1.
  ofTrigger: ({ trigger_ids: ids }, i) => Array.from(ids.subarray(3 * i, 3 * i + 3)).filter((id) => id >= 0),

  // Text on one line, with signs for line breaks and tabs and escapes for what cannot be seen.
  visible(text) {
    return text.replace(/[\p{C}\p{Z}]/gu, (character) => tokens.sign(character));
  },

  sign(character) {
    const code = character.codePointAt(0);
    if (character === " ") return " ";
    if (character === "\n") return "⏎";
    if (character === "\t") return "⇥";
    if (code < 0x100) return `\\x${code.toString(16).padStart(2, "0")}`;
    return code < 0x10000
      ? `\\u${code.toString(16).padStart(4, "0")}`
      : `\\U${code.toString(16).padStart(8, "0")}`;
  },

  // The text that is meant by what somebody typed, or copied from this page with its signs.
  typed: (text) => text.replaceAll("␣", " ").replaceAll("⏎", "\n").replaceAll("⇥", "\t"),

  // An element that shows a token or an n-gram by itself: its spaces can be seen.
  element(text) {
    const shown = tokens.visible(text).replaceAll(" ", "␣");
    return dom.make("code", {}, dom.make("bdi", {}, shown || "(empty)"));
  },
};
