// Starts the page: reads what is studied, and shows what the address asks for, each time it changes.
"use strict";

class NoSuchPage extends Error {}

const app = {
  studies: [],
  study: null,
  // What to focus on the next page in place of its beginning, as a selector.
  focusNext: null,
  // Counts pages, so that one which is slow to read does not appear over a later one.
  turn: 0,

  async start() {
    try {
      app.studies = (await shards.read("data/study")).map((described) => new Study(described));
    } catch (error) {
      app.fail(document.getElementById("main"), error);
      return;
    }
    app.study = app.studies[0];
    app.prepareHeader();
    addEventListener("hashchange", () => app.show(true));
    addEventListener("resize", () => charts.refresh());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.refresh(true));
    await app.show(false);
  },

  prepareHeader() {
    const select = document.getElementById("study");
    select.append(...app.studies.map((study) => dom.make("option", { value: study.name }, study.name)));
    select.addEventListener("change", () => {
      const found = route.parse(location.hash);
      const query = route.changed(found.query, { study: select.value, beside: null, page: null });
      if (found.view === "neuron") location.hash = route.neuron(found.layer, found.neuron, query);
      else location.hash = route.to(found.view, query);
    });
    document.querySelector(".skip").addEventListener("click", (event) => {
      // The address says what is shown, so the link must not change it.
      event.preventDefault();
      document.getElementById("main").focus();
    });
    document.getElementById("search").addEventListener("submit", (event) => {
      event.preventDefault();
      const text = tokens.typed(document.getElementById("query").value);
      const place = search.place(text);
      location.hash = place
        ? route.neuron(place.layer, place.neuron, app.query(app.study))
        : route.to("search", { ...app.query(app.study), q: text });
    });
  },

  // The part of an address that names a study.
  query: (study) => (app.studies.length > 1 ? { study: study.name } : {}),

  async show(isMove) {
    app.turn += 1;
    const turn = app.turn;
    const main = document.getElementById("main");
    const found = route.parse(location.hash);
    const named = found.query.get("study");
    app.study = app.studies.find((study) => study.name === named) ?? app.studies[0];
    document.getElementById("study").value = app.study.name;
    document.getElementById("to-neurons").href = route.to("neurons", app.query(app.study));
    document.getElementById("study-label").hidden = app.studies.length < 2 || found.view === "overview";
    app.say("");
    main.setAttribute("aria-busy", "true");
    const page = dom.make("div");
    try {
      // What comes first need not wait for what takes longer.
      main.replaceChildren(page);
      if (named && app.study.name !== named) throw new NoSuchPage(`This page has no study ${named}.`);
      await app.fill(page, found);
    } catch (error) {
      app.fail(page, error);
    }
    if (turn !== app.turn) return;
    main.removeAttribute("aria-busy");
    document.title = `${page.querySelector("h1")?.textContent ?? "jaxneurons"} · jaxneurons`;
    charts.refresh();
    if (isMove) app.focus(main);
  },

  // What was pressed, where it is still there; else the beginning of the page.
  focus(main) {
    const pressed = app.focusNext && main.querySelector(app.focusNext);
    app.focusNext = null;
    (pressed ?? main).focus({ preventScroll: true });
    if (!pressed) scrollTo(0, 0);
  },

  async fill(page, found) {
    if (found.view === "overview") await overview.show(page, app.studies);
    else if (found.view === "neurons") await table.show(page, app.study, found.query);
    else if (found.view === "neuron") await neuron.show(page, app.study, found);
    else if (found.view === "search") await search.show(page, app.study, found.query);
    else throw new NoSuchPage("There is no such page. Choose Overview or Neurons above.");
  },

  fail(page, error) {
    if (!(error instanceof MissingShard || error instanceof NoSuchPage)) console.warn(error);
    if (!page.querySelector("h1")) page.replaceChildren(dom.make("h1", {}, "Something is missing"));
    page.append(dom.make("p", { class: "problem", role: "alert" }, error.message));
  },

  // Tells those who listen, and those who look, unless they have left the page that says it.
  say(text, page = document.body) {
    if (page.isConnected) document.getElementById("status").textContent = text;
  },

  async copy(text, what) {
    try {
      await navigator.clipboard.writeText(text);
      app.say(`Copied the ${what}.`);
    } catch {
      app.say(`This browser does not let pages copy. The ${what}: ${text}`);
    }
  },
};

app.start();
