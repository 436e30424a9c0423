// The node's health: its state, how long its tags took, who answered.

import { say } from "./words.js";

const WINDOW = 1000;
const SILENT_MS = 5000;

export class Health {
  constructor() {
    this.status = null;
    this.at = 0;
    this.clear();
  }

  clear() {
    this.latencies = [];
    this.sources = {};
    this.misses = this.lost = 0;
    this.lastSeq = null;
    this.stale = true;
  }

  get deadline() {
    return Number(this.status?.values.deadline_ms ?? 50) || 50;
  }

  take(status) {
    if (!status) return;
    this.status = status;
    this.at = performance.now();
    this.stale = true;
  }

  add(tag) {
    this.latencies.push(tag.latency_ms);
    if (this.latencies.length > WINDOW) this.latencies.shift();
    this.sources[tag.source] = (this.sources[tag.source] ?? 0) + 1;
    this.misses += tag.latency_ms > this.deadline;
    if (this.lastSeq !== null && tag.seq > this.lastSeq + 1) this.lost += tag.seq - this.lastSeq - 1;
    this.lastSeq = tag.seq;
    this.stale = true;
  }

  paint() {
    const silent = !this.status || performance.now() - this.at > SILENT_MS;
    if (!this.stale && silent === this.wasSilent) return;
    this.stale = false;
    this.wasSilent = silent;
    const sorted = [...this.latencies].sort((a, b) => a - b);
    const at = (part) => (sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))].toFixed(1) : "–");
    const values = this.status?.values ?? {};
    const facts = [
      [say("state"), silent ? say("nonode") : values.state === this.status.summary ? values.state : `${values.state}: ${this.status.summary}`, silent || this.status.level > 0],
      [say("latency"), `p50 ${at(0.5)} · p95 ${at(0.95)} · p99 ${at(0.99)} ms`],
      [say("deadline"), `${this.deadline} ms`],
      [say("misses"), String(this.misses), this.misses > 0],
      [say("missed"), String(this.lost), this.lost > 0],
      [say("sources"), Object.entries(this.sources).map(([name, n]) => `${name} ${n}`).join(", ") || "–"],
      ...gpu(values),
    ];
    fillList(document.getElementById("facts"), facts);
    fillList(document.getElementById("values"), Object.entries(values));
    this.histogram();
  }

  histogram() {
    const svg = document.getElementById("histogram"), bins = new Array(30).fill(0), end = 1.5 * this.deadline;
    for (const ms of this.latencies) bins[Math.min(29, Math.max(0, Math.floor((30 * ms) / end)))]++;
    const most = Math.max(1, ...bins), x = 300 / 1.5;
    svg.innerHTML = bins.map((n, i) => `<rect x="${i * 10 + 1}" y="${84 - (80 * n) / most}" width="8" height="${(80 * n) / most}"/>`).join("")
      + `<line x1="${x}" x2="${x}" y1="0" y2="84"/><text x="2" y="97">0</text><text x="${x}" y="97" text-anchor="middle">${this.deadline} ms</text>`;
  }
}

/** Return what is used of the GPU's memory, where a tagger tells it. */
function gpu(values) {
  const ending = (end) => Object.entries(values).find(([key]) => key.endsWith(end))?.[1];
  const [held, free, total] = ["held", "free", "total"].map((name) => Number(ending(`gpu_memory_${name}_mb`)));
  if (!total) return [];
  const gb = (mb) => (mb / 1024).toFixed(1);
  return [[say("gpu"), `${say("tagger")} ${gb(held)} · ${say("inuse")} ${gb(total - free)} / ${gb(total)} GiB`]];
}

function fillList(list, pairs) {
  list.replaceChildren(...pairs.flatMap(([name, value, bad]) => {
    const term = document.createElement("dt"), told = document.createElement("dd");
    term.textContent = name;
    told.textContent = value;
    told.className = bad ? "bad" : "";
    return [term, told];
  }));
}
