// The page: takes the server's events and hands them to the face, the list of turns and health.

import { Face, confetti } from "./face.js";
import { Health } from "./health.js";
import { Stream } from "./stream.js";
import { language, named, say, translate } from "./words.js";

const byId = (id) => document.getElementById(id);
const motion = matchMedia("(prefers-reduced-motion: reduce)");
const calm = () => motion.matches;

const servos = {};
const stream = new Stream();
const health = new Health();
const face = new Face(byId("face"), servos, calm);
const seen = { run: null, n: 0, labels: new Map(), current: null, link: "waiting", tried: null };
const pageStats = (window.pikaPage = { frames: [], slowest: 0, arrivals: [], dropped: 0, taken: 0, drawn: 0, painted: 0 }); // what the tests measure

for (const name of ["head", "tilt", "left", "right"]) {
  const box = document.createElement("div");
  box.innerHTML = `<dt data-say="${name}"></dt><dd><svg viewBox="0 0 56 56" aria-hidden="true"><circle cx="28" cy="28" r="25" fill="none" stroke="currentColor" stroke-width="2"/><path d="M28 28V7" stroke="currentColor" stroke-width="5" stroke-linecap="round"/></svg><span></span></dd>`;
  byId("servos").append(box);
  const needle = box.querySelector("path"), told = box.querySelector("span");
  const zero = name === "left" || name === "right" ? 180 : 0, sense = name === "right" ? -1 : 1;
  servos[name] = (degrees) => {
    needle.setAttribute("transform", `rotate(${zero + sense * degrees} 28 28)`);
    const value = `${Math.round(degrees)}°`;
    if (told.textContent !== value) told.textContent = value;
  };
}

function hello(data) {
  seen.labels = new Map(data.labels.map((label) => [label.name, label]));
  if (seen.run !== data.run) {
    stream.clear();
    health.clear();
    seen.run = data.run;
    seen.n = 0;
  }
  stream.hello(data);
  health.take(data.health);
  link("connected");
  data.tags.forEach((tag) => take(tag, false));
}

function take(tag, live) {
  if (tag.n <= seen.n) { // had before the connection was lost, but maybe not what was said around it
    if ("reply" in tag) stream.complete(tag);
    return;
  }
  seen.n = pageStats.taken = tag.n;
  stream.add(tag);
  health.add(tag);
  seen.current = tag;
  face.show(tag.emotion, tag.arousal, seen.labels.get(tag.emotion));
  if (!live) return;
  pageStats.arrivals.push(performance.timeOrigin + performance.now() - tag.at_ms);
  if (pageStats.arrivals.length > 10000) pageStats.arrivals.shift();
  if (tag.celebrate) confetti(byId("confetti"), calm);
  if (seen.tried !== null && --seen.tried === 0) {
    byId("tried").textContent = `${say("tagged")}: ${named(tag.emotion)}${tag.celebrate ? " ★" : ""}, ${tag.latency_ms.toFixed(1)} ms`;
    seen.tried = null;
  }
}

function link(state) {
  seen.link = state;
  byId("link").textContent = say(state);
  byId("link").className = state === "lost" ? "bad" : "";
}

function connect() {
  const events = new EventSource("events");
  const on = (kind, act) => events.addEventListener(kind, (event) => act(JSON.parse(event.data)));
  on("hello", hello);
  on("tag", (tag) => take(tag, true));
  on("turn", (turn) => stream.complete(turn));
  on("health", (status) => health.take(status));
  on("dropped", ({ n }) => {
    pageStats.dropped += n;
    byId("note").textContent = `${n} ${say("dropped")}`;
  });
  events.addEventListener("error", () => {
    // A browser gives up where the answer is no stream of events, such as a restarting proxy's.
    link("lost");
    events.close();
    // Another token than this browser's: the server sends the page itself to where it is asked for.
    fetch("words.js").then((answer) => answer.status === 401 && location.reload(), () => {});
    setTimeout(connect, 1000);
  });
}

function caption() {
  const tag = seen.current;
  const emotion = tag ? named(tag.emotion) : say("waiting");
  const sure = tag ? `${Math.round(100 * tag.confidence)} %${tag.celebrate ? ` · ★ ${say("celebrate")}` : ""}` : "";
  if (byId("emotion").textContent !== emotion) byId("emotion").textContent = emotion;
  if (byId("sure").textContent !== sure) byId("sure").textContent = sure;
}

let last = performance.now(), painted = 0;
requestAnimationFrame(function frame(at) {
  const gap = at - last;
  last = at;
  pageStats.slowest = Math.max(pageStats.slowest, gap);
  pageStats.frames.push(gap);
  if (pageStats.frames.length > 10000) pageStats.frames.shift();
  face.step(gap / 1000, at);
  pageStats.painted++;
  caption();
  if (at - painted > 100) { // ten times a second is enough for what is read
    painted = at;
    stream.paint(health.deadline);
    health.paint();
    pageStats.drawn = seen.n;
  }
  requestAnimationFrame(frame);
});

byId("try").addEventListener("submit", async (event) => {
  event.preventDefault();
  const turn = Object.fromEntries(new FormData(event.target));
  byId("tried").textContent = "…";
  seen.tried = turn.question.trim() ? 2 : 1; // the question is a reply, too, and is tagged first
  try {
    const answer = await fetch("try", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(turn) });
    if (answer.ok) {
      if (seen.tried !== null) byId("tried").textContent = say("sent");
      return;
    }
    byId("tried").textContent = (await answer.json()).error;
  } catch {
    byId("tried").textContent = say("lost");
  }
  seen.tried = null;
});

byId("theme").addEventListener("click", () => {
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark"
    || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  theme(dark ? "light" : "dark");
});

function theme(name) {
  document.documentElement.dataset.theme = localStorage.theme = name;
}

byId("language").addEventListener("click", () => {
  language.now = localStorage.language = language.now === "vi" ? "en" : "vi";
  words();
});

function words() {
  translate();
  stream.options();
  health.stale = true;
  link(seen.link);
}

if (localStorage.theme) theme(localStorage.theme);
words();
connect();
