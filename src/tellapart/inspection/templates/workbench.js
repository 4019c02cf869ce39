"use strict";
// The interactive part of reports: filters, pages and links of the wrong texts, the matrix of chosen classes, sorting.
//
// It runs from a file, loads nothing, and builds every element with `textContent`, so that no text of a user becomes
// markup. Its only input is the JSON in the element `data`, described in docs/reference/run-folder.md. The page's
// policy allows this script alone, by its hash; it must not contain the tag that ends a script.
(() => {
  /**
   * @typedef {{predicted: string[], probability: number, second: ?string, second_probability: ?number,
   *   method?: string, seeds?: number[]}} Answer a wrong prediction
   * @typedef {{text: string, text_pair?: string, gold: string[], answers: Answer[], row?: number, evaluated?: number,
   *   nearest?: Object<string, {text: string, similarity: number}[]>, suspect?: boolean,
   *   words?: [string, number][]}} WrongText a text with at least one wrong prediction
   * @typedef {{pair: ?[string, string], show: string, order: string, query: string, page: number}} View
   */

  const PAGE_SIZE = 25;
  const data = JSON.parse(byId("data").textContent);
  const ORDERS = {
    listed: data.methods.length ? "Wrong most often first" : "Most confident first",
    margin: "Closest runner-up first",
    text: "By text",
  };
  /** @type {WrongText[]} */
  const errors = data.errors;
  const others = data.methods.filter((method) => method !== data.baseline);
  // Computed once: searching 10,000 texts on every key stroke must not build strings.
  const haystacks = errors.map((error) =>
    [error.text, error.text_pair || "", ...error.gold, ...error.answers.flatMap((answer) => answer.predicted)]
      .join("\n").toLowerCase());
  const known = new Set(data.classes); // the classes of links; of many, data.classes has not all
  if (data.totals) errors.forEach((error) =>
    [...error.gold, ...error.answers.flatMap((answer) => answer.predicted)].forEach((name) => known.add(name)));
  /** @type {View} */
  let view = { pair: null, show: "all", order: "listed", query: "", page: 1 };

  // Elements

  function byId(id) {
    return document.getElementById(id);
  }

  /** Creates an element with attributes and children; strings become text, never markup. */
  function make(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
    element.append(...children.filter((child) => child !== null));
    return element;
  }

  function fill(select, options) {
    select.replaceChildren(...options.map(([value, text]) => make("option", { value }, text)));
  }

  function percent(share) {
    return share === null ? "" : `${Math.round(100 * share)} %`;
  }

  function label(name, kind = "") {
    return make("span", { class: `label ${kind}`, dir: "auto" }, name);
  }

  function labels(names, kind) {
    const shown = names.length ? names : ["no label"];
    return shown.flatMap((name, place) => (place ? [" ", label(name, kind)] : [label(name, kind)]));
  }

  // Which texts are shown

  /** Whether an answer misses one class and adds the other. */
  function confuses(error, answer, gold, predicted) {
    const missed = error.gold.includes(gold) && !answer.predicted.includes(gold);
    return missed && answer.predicted.includes(predicted) && !error.gold.includes(predicted);
  }

  function ofPair(error, [a, b]) {
    return error.answers.some((answer) => confuses(error, answer, a, b) || confuses(error, answer, b, a));
  }

  /** The number of seeds in which a method is wrong. */
  function wrongSeeds(error, method) {
    return error.answers
      .filter((answer) => answer.method === method)
      .reduce((sum, answer) => sum + answer.seeds.length, 0);
  }

  /** Positive if a method is right in more seeds than the baseline, negative if in fewer. */
  function gain(error, method) {
    return wrongSeeds(error, data.baseline) - wrongSeeds(error, method);
  }

  /** The filters to choose from: name to [description, test]; the two directions only for a pair. */
  function filters() {
    const all = { all: ["All", () => true] };
    if (view.pair) {
      const [a, b] = view.pair;
      all.forth = [`${a} → ${b}`, (error) => error.answers.some((answer) => confuses(error, answer, a, b))];
      all.back = [`${b} → ${a}`, (error) => error.answers.some((answer) => confuses(error, answer, b, a))];
    }
    all.suspect = ["Suspect labels", (error) => Boolean(error.suspect)];
    others.forEach((method, place) => {
      all[`fixed${place}`] = [`Fixed by ${method}`, (error) => gain(error, method) > 0];
      all[`broken${place}`] = [`Broken by ${method}`, (error) => gain(error, method) < 0];
    });
    if (others.length) {
      all.always = ["Wrong with every method", (error) =>
        data.methods.every((method) => wrongSeeds(error, method) === error.evaluated)];
    }
    return all;
  }

  function margin(error) {
    return Math.min(...error.answers.map((answer) => answer.probability - (answer.second_probability || 0)));
  }

  /** The shown texts in their order. */
  function chosen() {
    const words = view.query.toLowerCase().split(/\s+/).filter(Boolean);
    const test = (filters()[view.show] || filters().all)[1];
    const found = errors.filter((error, place) =>
      (!view.pair || ofPair(error, view.pair)) && test(error) &&
      words.every((word) => haystacks[place].includes(word)));
    if (view.order === "margin") found.sort((one, other) => margin(one) - margin(other));
    if (view.order === "text") found.sort((one, other) => one.text.localeCompare(other.text));
    return found;
  }

  // Links: #pair=A|B or #pair=1 (its rank), &show= &order= &q= &page=

  /** Finds a pair by its name in either order, or by its rank from 1. */
  function findPair(name) {
    for (let bar = name.indexOf("|"); bar >= 0; bar = name.indexOf("|", bar + 1)) {
      const pair = [name.slice(0, bar), name.slice(bar + 1)];
      if (pair.every((one) => known.has(one))) return pair;
    }
    return /^\d+$/.test(name) ? data.pairs[Number(name) - 1] || null : null;
  }

  function readHash() {
    const given = new URLSearchParams(location.hash.slice(1).replace(/\+/g, "%2B"));
    view = {
      pair: findPair(given.get("pair") || ""),
      show: given.get("show") || "all",
      order: given.get("order") in ORDERS ? given.get("order") : "listed",
      query: given.get("q") || "",
      page: Math.max(1, Number.parseInt(given.get("page"), 10) || 1),
    };
  }

  function hash() {
    const parts = [`pair=${view.pair ? encodeURIComponent(view.pair.join("|")) : ""}`];
    if (view.show !== "all") parts.push(`show=${view.show}`);
    if (view.order !== "listed") parts.push(`order=${view.order}`);
    if (view.query) parts.push(`q=${encodeURIComponent(view.query)}`);
    if (view.page > 1) parts.push(`page=${view.page}`);
    return `#${parts.join("&")}`;
  }

  /** Changes the view and the address, so that a copied address shows the same. */
  function change(changes) {
    view = { ...view, page: 1, ...changes };
    history.replaceState(null, "", hash());
    render();
  }

  // One wrong text

  /** Words with the strength of their effect as background: for the predicted class, or underlined for the gold. */
  function wordLine(words) {
    const most = Math.max(...words.map(([, weight]) => Math.abs(weight)), 1e-9);
    const line = make("p", { class: "words", dir: "auto" }, "words: ");
    for (const [word, weight] of words) {
      const strength = Math.round((100 * Math.abs(weight)) / most);
      const shown = make("span", { title: weight.toFixed(3) }, word);
      if (strength > 10) {
        shown.style.background = `color-mix(in srgb, var(${weight > 0 ? "--faint" : "--soft"}) ${strength}%, transparent)`;
        if (weight < 0) shown.style.textDecoration = "underline";
      }
      line.append(shown, " ");
    }
    return line;
  }

  function nearTexts(error) {
    const classes = Object.entries(error.nearest || {});
    if (!classes.length) return null;
    const best = classes.map(([name, texts]) => `${name} ${texts[0].similarity.toFixed(2)}`).join(", ");
    return make("details", { class: "near" }, make("summary", {}, `Nearest training texts: ${best}`),
      ...classes.map(([name, texts]) => make("div", {},
        label(name, error.gold.includes(name) ? "" : "wrong"),
        make("ul", {}, ...texts.map((near) => make("li", { dir: "auto" },
          `${near.similarity.toFixed(2)}  ${near.text}`))))));
  }

  function answerLine(error, answer) {
    const runnerUp = answer.second === null ? null
      : ` · runner-up ${answer.second} ${percent(answer.second_probability)}`;
    const how = answer.method === undefined ? ["gold ", ...labels(error.gold), " predicted as "]
      : [`${answer.method}, ${answer.seeds.length} of ${error.evaluated}: `];
    return [...how, ...labels(answer.predicted, "wrong"), ` ${percent(answer.probability)}`, runnerUp];
  }

  /** In a comparison: the gold class, what each method predicts, and who fixes or breaks the text. */
  function comparedAnswers(error) {
    const changed = others.filter((method) => gain(error, method) !== 0).map((method) =>
      label(`${gain(error, method) > 0 ? "fixed by" : "broken by"} ${method}`,
        gain(error, method) > 0 ? "" : "wrong"));
    const right = data.methods.filter((method) => wrongSeeds(error, method) === 0);
    return [
      make("div", { class: "labels" }, "gold ", ...labels(error.gold), " ",
        ...changed.flatMap((one) => [one, " "])),
      make("ul", { class: "answers labels" },
        ...error.answers.map((answer) => make("li", {}, ...answerLine(error, answer))),
        right.length ? make("li", {}, `always right: ${right.join(", ")}`) : null),
    ];
  }

  /** @param {WrongText} error */
  function item(error) {
    const texts = [error.text, error.text_pair].filter(Boolean);
    const said = others.length || data.baseline !== null ? comparedAnswers(error)
      : [make("div", { class: "labels" }, ...answerLine(error, error.answers[0]))];
    return make("li", {},
      ...texts.map((text) => make("blockquote", { dir: "auto" }, text)),
      ...said,
      error.suspect ? make("div", { class: "labels" }, label("suspect label", "suspect")) : null,
      error.words && error.words.length ? wordLine(error.words) : null,
      nearTexts(error));
  }

  // The list

  /** In a comparison: how many of the texts each method fixes and breaks. */
  function changesTable(found) {
    const rows = others.map((method) => make("tr", {}, make("th", { scope: "row" }, method),
      ...[1, -1].map((sign) => make("td", {},
        String(found.filter((error) => Math.sign(gain(error, method)) === sign).length)))));
    const head = ["method", `fixed, against ${data.baseline}`, "broken"];
    return make("div", { class: "wide", tabindex: "0" }, make("table", {},
      make("thead", {}, make("tr", {}, ...head.map((name) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, ...rows)));
  }

  function render() {
    const found = chosen();
    const pages = Math.max(1, Math.ceil(found.length / PAGE_SIZE));
    view.page = Math.min(view.page, pages);
    const start = (view.page - 1) * PAGE_SIZE;
    fill(byId("show"), Object.entries(filters()).map(([name, [text]]) => [name, text]));
    if (!(view.show in filters())) view.show = "all";
    byId("show").value = view.show;
    byId("order").value = view.order;
    if (byId("query").value !== view.query) byId("query").value = view.query;
    choosePair();
    byId("count").textContent = found.length === data.total ? `${data.total} wrong texts`
      : `${found.length} of ${data.total} wrong texts`;
    byId("changes").replaceChildren(...(others.length ? [changesTable(found)] : []));
    byId("errors").start = start + 1;
    byId("errors").replaceChildren(...found.slice(start, start + PAGE_SIZE).map(item));
    byId("pages").hidden = pages === 1;
    byId("place").textContent = `Page ${view.page} of ${pages}`;
    byId("previous").disabled = view.page === 1;
    byId("next").disabled = view.page === pages;
  }

  /** Selects the pair; a pair of the matrix that is not ranked gets an option of its own. */
  function choosePair() {
    const select = byId("pair");
    const name = view.pair ? view.pair.join("|") : "";
    const same = [...select.options].find((option) =>
      option.value === name || (view.pair && option.value === [...view.pair].reverse().join("|")));
    if (!same) select.append(make("option", { value: name }, view.pair.join(" ↔ ")));
    select.value = same ? same.value : name;
  }

  /** Shows what the address says; without a view in it, as after the way back, all texts. */
  function follow() {
    const linked = location.hash.includes("=");
    if (!linked && location.hash) return; // a place of the page
    readHash();
    render();
    if (!linked) return;
    byId("texts-heading").focus({ preventScroll: true });
    byId("texts").scrollIntoView();
  }

  function turn(pages) {
    change({ page: view.page + pages });
    byId("texts").scrollIntoView();
  }

  function startList() {
    fill(byId("pair"), [["", "All classes"], ...data.pairs.map(([a, b]) => [`${a}|${b}`, `${a} ↔ ${b}`])]);
    fill(byId("order"), Object.entries(ORDERS));
    byId("pair").addEventListener("change", (event) => change({ pair: findPair(event.target.value), show: "all" }));
    byId("show").addEventListener("change", (event) => change({ show: event.target.value }));
    byId("order").addEventListener("change", (event) => change({ order: event.target.value }));
    byId("query").addEventListener("input", (event) => change({ query: event.target.value }));
    byId("previous").addEventListener("click", () => turn(-1));
    byId("next").addEventListener("click", () => turn(1));
    addEventListener("hashchange", follow);
    byId("browser").hidden = false;
    if (location.hash && !location.hash.includes("=")) render();
    follow();
  }

  // The matrix

  function matrixCell(gold, predicted, count, rowTotal) {
    const cell = make("td", {});
    if (!count) return cell;
    const strength = Math.round(45 * Math.sqrt(count / rowTotal)); // texts keep their contrast up to 45 %
    cell.style.background =
      `color-mix(in srgb, var(${gold === predicted ? "--hit" : "--miss"}) ${strength}%, transparent)`;
    const linked = gold !== predicted && byId("errors");
    cell.append(linked ? make("a", {
      href: `#pair=${encodeURIComponent(`${gold}|${predicted}`)}&show=forth`,
      "aria-label": `${count} of ${gold} predicted as ${predicted}`,
    }, String(count)) : String(count));
    return cell;
  }

  function drawMatrix() {
    const cells = data.matrices[byId("method").value];
    const totals = new Map();
    const rows = data.totals && data.totals[byId("method").value]; // of many classes, some columns are left out
    const counts = new Map(cells.map(([gold, predicted, count]) => {
      totals.set(gold, (totals.get(gold) || 0) + count);
      return [`${gold},${predicted}`, count];
    }));
    const ids = [...byId("classes").querySelectorAll("input:checked")].map((box) => Number(box.value));
    const names = ids.map((id) => data.classes[id]);
    const [head] = document.querySelectorAll(".matrix thead");
    const [body] = document.querySelectorAll(".matrix tbody");
    head.replaceChildren(make("tr", {}, make("td", {}), ...names.map((name) =>
      make("th", { scope: "col" }, make("span", { title: name }, name)))));
    body.replaceChildren(...ids.map((gold, row) => make("tr", {},
      make("th", { scope: "row", title: names[row] }, names[row]),
      ...ids.map((predicted, column) => matrixCell(names[row], names[column],
        counts.get(`${gold},${predicted}`) || 0, rows ? rows[gold] : totals.get(gold))))));
  }

  function startMatrix() {
    fill(byId("method"), Object.keys(data.matrices).map((name) => [name, name]));
    byId("method-label").hidden = !data.methods.length;
    const boxes = data.classes.map((name, id) => {
      const box = make("input", { type: "checkbox", value: String(id) });
      box.checked = data.chosen.includes(name);
      return make("label", { dir: "auto" }, box, name);
    });
    byId("classes").append(...boxes);
    byId("classes").addEventListener("change", drawMatrix);
    byId("method").addEventListener("change", drawMatrix);
    byId("find").addEventListener("input", (event) => boxes.forEach((box) => {
      box.hidden = !box.textContent.toLowerCase().includes(event.target.value.toLowerCase());
    }));
    byId("none").addEventListener("click", () => {
      boxes.forEach((box) => { box.querySelector("input").checked = false; });
      drawMatrix();
    });
    byId("cells").hidden = false;
    drawMatrix();
  }

  // Sortable tables

  function sortBy(table, column, descending) {
    const key = (row) => row.cells[column].textContent.trim();
    const compare = (one, other) => {
      const numbers = [Number(key(one)), Number(key(other))];
      return numbers.some(Number.isNaN) ? key(one).localeCompare(key(other)) : numbers[0] - numbers[1];
    };
    const rows = [...table.tBodies[0].rows].sort((one, other) => (descending ? -1 : 1) * compare(one, other));
    table.tBodies[0].append(...rows);
  }

  function makeSortable(table) {
    [...table.tHead.rows[0].cells].forEach((header, column) => {
      const button = make("button", { type: "button" }, header.textContent);
      header.replaceChildren(button);
      button.addEventListener("click", () => {
        const descending = header.getAttribute("aria-sort") !== "descending" && column > 0
          || header.getAttribute("aria-sort") === "ascending";
        table.querySelectorAll("th[aria-sort]").forEach((one) => one.removeAttribute("aria-sort"));
        header.setAttribute("aria-sort", descending ? "descending" : "ascending");
        sortBy(table, column, descending);
      });
    });
  }

  if (byId("browser")) startList();
  if (byId("cells")) startMatrix();
  document.querySelectorAll("table.sortable").forEach(makeSortable);
  document.querySelectorAll(".unscripted").forEach((element) => { element.hidden = true; });
})();
