// The list of turns: filters, pause, corrections, export as evaluate's TSV.

import { named, say } from "./words.js";

const KEPT = 1000; // turns that can be exported
const SHOWN = 60;

const byId = (id) => document.getElementById(id);

function make(kind, attributes = {}, ...children) {
  const element = Object.assign(document.createElement(kind), attributes);
  element.append(...children);
  return element;
}

export class Stream {
  constructor() {
    this.tags = [];
    this.labels = [];
    this.sources = new Set();
    this.pausedAt = null;
    this.fixing = null;
    this.stale = true;
    for (const id of ["by-label", "by-source", "by-celebrate"]) byId(id).addEventListener("change", () => (this.stale = true));
    byId("pause").addEventListener("click", () => {
      this.pausedAt = this.pausedAt === null ? this.tags.length && this.tags[this.tags.length - 1].n : null;
      this.stale = true;
    });
    byId("export").addEventListener("click", () => this.export());
  }

  hello(hello) {
    this.labels = hello.labels.map((label) => label.name);
    this.showText = hello.show_text;
    this.options();
  }

  options() {
    fillSelect(byId("by-label"), this.labels, named);
    fillSelect(byId("by-source"), [...this.sources].sort(), (name) => name);
    this.stale = true;
  }

  add(tag) {
    this.tags.push(tag);
    if (this.tags.length > KEPT) this.tags.splice(0, this.tags.length - KEPT);
    if (!this.sources.has(tag.source)) {
      this.sources.add(tag.source);
      this.options();
    }
    this.stale = true;
  }

  /** Take what was said around a tag that came before it. */
  complete(turn) {
    Object.assign(this.tags.find((tag) => tag.n === turn.n) ?? {}, turn);
    this.stale = true;
  }

  clear() {
    this.tags = [];
    this.pausedAt = this.fixing = null;
    this.stale = true;
  }

  shown() {
    const label = byId("by-label").value, source = byId("by-source").value, celebrated = byId("by-celebrate").checked;
    const found = [];
    for (let i = this.tags.length - 1; i >= 0 && found.length < SHOWN; i--) {
      const tag = this.tags[i];
      if (this.pausedAt !== null && tag.n > this.pausedAt) continue;
      if (label && (tag.fixed?.emotion ?? tag.emotion) !== label) continue;
      if (source && tag.source !== source) continue;
      if (celebrated && !tag.celebrate) continue;
      found.push(tag);
    }
    return found;
  }

  /** Bring the list up to date, if anything changed; called once a frame at most. */
  paint(deadline) {
    // What is being corrected must not move away under the visitor's fingers.
    if (!this.stale || (this.fixing && byId("turns").contains(document.activeElement) && this.rows)) return;
    this.stale = false;
    const paused = this.pausedAt !== null;
    byId("pause").textContent = say(paused ? "resume" : "pause");
    byId("pause").setAttribute("aria-pressed", paused);
    const waiting = paused ? this.tags.filter((tag) => tag.n > this.pausedAt).length : 0;
    if (paused) byId("note").textContent = `${waiting} ${say("newer")}`;
    else if (this.wasPaused) byId("note").textContent = "";
    this.wasPaused = paused;
    const list = byId("turns"), old = new Map([...list.children].map((row) => [row.key, row]));
    const rows = this.shown().map((tag) => {
      const key = `${tag.n} ${deadline} ${"reply" in tag} ${this.fixing === tag} ${tag.fixed?.emotion} ${tag.fixed?.celebrate} ${document.documentElement.lang}`;
      return old.get(key) ?? this.row(tag, key, deadline);
    });
    this.rows = rows.length;
    const keep = new Set(rows);
    for (const row of [...list.children]) if (!keep.has(row)) row.remove();
    rows.forEach((row, i) => list.children[i] !== row && list.insertBefore(row, list.children[i] ?? null));
    if (this.focus) list.querySelector(this.focus)?.focus();
    this.focus = null;
    if (!rows.length) list.append(make("li", { className: "small", textContent: say("noturns") }));
  }

  row(tag, key, deadline) {
    const row = make("li", { key });
    row.dataset.n = tag.n;
    for (const who of ["question", "child", "reply"]) {
      if (tag[who]) row.append(make("p", { className: "said" }, make("b", { textContent: `${say(who)}: ` }), tag[who]));
    }
    const late = tag.latency_ms > deadline;
    const fix = make("button", { type: "button", className: "fix", textContent: say(tag.fixed ? "corrected" : "correct") });
    fix.setAttribute("aria-label", `${fix.textContent} ${tag.n}`);
    fix.setAttribute("aria-expanded", this.fixing === tag);
    fix.addEventListener("click", () => this.fix(this.fixing === tag ? null : tag));
    row.append(make("div", { className: "answer" },
      make("strong", { textContent: named(tag.fixed?.emotion ?? tag.emotion) }),
      make("span", { textContent: (tag.fixed?.celebrate ?? (tag.celebrate ? "yes" : "no")) === "yes" ? "★ " + say("celebrate") : "" }),
      make("span", { className: "meta", textContent: `${tag.tagger} · ${tag.source}` }),
      make("span", { className: late ? "meta bad" : "meta", textContent: `${tag.latency_ms.toFixed(1)} / ${deadline} ms` }),
      fix));
    const scores = make("div", { className: "scores" });
    for (const [name, score] of tag.scores) {
      const bar = make("i");
      bar.style.width = `${100 * score}%`;
      scores.append(make("span", {}, bar, `${named(name)} ${score.toFixed(2)}`));
    }
    row.append(scores);
    if (this.fixing === tag) row.append(this.fixer(tag));
    return row;
  }

  /** Open the correction of a turn, or close it with null; the focus follows. */
  fix(tag) {
    const row = (tag ?? this.fixing)?.n;
    this.fixing = tag;
    this.rows = 0;
    this.stale = true;
    this.focus = `[data-n="${row}"] ${tag ? ".fixing select" : ".fix"}`;
  }

  fixer(tag) {
    const chosen = tag.fixed ?? { emotion: tag.emotion, celebrate: tag.celebrate ? "yes" : "no" };
    const box = make("div", { className: "fixing" });
    box.addEventListener("keydown", (event) => event.key === "Escape" && this.fix(null));
    const change = (field, options, show) => {
      const select = make("select", {}, ...options.map((value) => make("option", { value, textContent: show(value), selected: value === chosen[field] })));
      select.name = field;
      select.addEventListener("change", () => {
        tag.fixed = { ...chosen, ...tag.fixed, [field]: select.value };
      });
      box.append(make("label", {}, `${say(field === "emotion" ? "label" : field)} `, select));
    };
    change("emotion", this.labels, named);
    change("celebrate", ["yes", "no", "either"], say);
    const done = make("button", { type: "button", className: "fix", textContent: "OK" });
    done.addEventListener("click", () => this.fix(null));
    box.append(done);
    return box;
  }

  /** Save the kept turns as a file that `pika-emotion evaluate` reads. */
  export() {
    const rows = this.tags.filter((tag) => tag.reply);
    if (!rows.length) {
      byId("note").textContent = say(this.showText ? "noturns" : "hidden");
      return;
    }
    const lines = [["question", "child", "reply", "emotions", "celebrate", "tagged", "source", "corrected"]];
    for (const tag of rows) {
      const celebrate = tag.fixed?.celebrate ?? (tag.celebrate ? "yes" : "no");
      lines.push([tag.question, tag.child, tag.reply, tag.fixed?.emotion ?? tag.emotion, celebrate, tag.emotion, tag.source, tag.fixed ? "yes" : "no"]);
    }
    const content = lines.map((cells) => cells.map((cell) => cell.replace(/[\t\r\n]+/g, " ")).join("\t")).join("\n") + "\n";
    const url = URL.createObjectURL(new Blob([content], { type: "text/tab-separated-values" }));
    make("a", { href: url, download: "turns.tsv" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
    byId("note").textContent = `${rows.length} ${say("exported")}`;
  }
}

function fillSelect(select, values, show) {
  const chosen = select.value;
  select.replaceChildren(make("option", { value: "", textContent: say("all") }), ...values.map((value) => make("option", { value, textContent: show(value) })));
  select.value = values.includes(chosen) ? chosen : "";
}
