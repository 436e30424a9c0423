// Pika's face: one pose for each emotion, moved between by a spring; and its servos.
// A pose is a few numbers (see REST) and the extras that are shown with it. An emotion that has no
// pose of its own borrows the one whose group, valence and arousal are nearest.

const REST = {
  browRaise: 0, browTilt: 0, browSkew: 0, // up; inner ends up (+) or down (-); the right one alone
  open: 1, size: 1, smile: 0, shut: 0, wink: 0, // eyes: lid, size, arc up, arc down, the right one
  lookX: 0, lookY: 0, pupil: 1,
  curve: 6, gape: 0, width: 60, shift: 0, wave: 0, // mouth
  cheeks: 0.25, tilt: 0, nod: 0, armLeft: 10, armRight: 10, // degrees, arms from hanging down
};

export const POSES = {
  happy: [{ smile: 1, curve: 44, gape: 12, width: 74, cheeks: 1, browRaise: 8, armLeft: 40, armRight: 40 }, "#ffd84d", []],
  excited: [{ open: 1.2, size: 1.2, curve: 46, gape: 74, width: 82, cheeks: 1, browRaise: 22, nod: 8, armLeft: 150, armRight: 150, pupil: 0 }, "#ff9d3b", ["stars", "sparks"]],
  playful: [{ wink: 1, curve: 40, gape: 6, width: 70, cheeks: 0.9, browSkew: 12, tilt: 12, armLeft: 110, armRight: 25 }, "#ff9ecb", ["tongue"]],
  proud: [{ shut: -1, smile: 1, curve: 30, width: 52, shift: 6, cheeks: 0.7, browRaise: 16, nod: 14, armLeft: 60, armRight: 60 }, "#ffb08f", ["medal"]],
  thats_right: [{ open: 1.05, curve: 46, gape: 34, width: 72, cheeks: 0.8, browRaise: 12, nod: -8, armLeft: 20, armRight: 120 }, "#7ddc7a", ["check"]],
  encouraging: [{ open: 1.05, curve: 34, gape: 16, width: 66, cheeks: 0.6, browTilt: -5, browRaise: 4, nod: 5, armLeft: 90, armRight: 140 }, "#4fd6c1", ["arrows"]],
  no_problem: [{ open: 0.62, curve: 22, width: 58, cheeks: 0.7, browTilt: 8, tilt: -8, armLeft: 55, armRight: 55 }, "#c5e8a0", ["heart"]],
  calm: [{ shut: 1, curve: 16, width: 44, cheeks: 0.5, nod: -4, armLeft: 8, armRight: 8 }, "#c9c2f5", ["zzz"]],
  curious: [{ open: 1.15, size: 1.15, browSkew: 26, browRaise: 6, curve: 4, width: 30, shift: 12, tilt: -14, lookX: 8, pupil: 1.15, armLeft: 15, armRight: 60 }, "#6fd3f2", ["question"]],
  thinking: [{ open: 0.8, lookX: 14, lookY: -18, curve: -4, width: 34, shift: -18, browSkew: 14, browTilt: -4, tilt: 8, armLeft: 12, armRight: 130 }, "#b7bfd9", ["bubbles"]],
  surprised: [{ open: 1.35, size: 1.25, pupil: 0.6, browRaise: 34, curve: 0, gape: 40, width: 26, cheeks: 0.1, nod: 10, armLeft: 100, armRight: 100 }, "#ffe98a", ["bang"]],
  sad: [{ open: 0.7, browTilt: 24, curve: -40, width: 58, lookY: 12, cheeks: 0, nod: -18, armLeft: 2, armRight: 2 }, "#7fb2ee", ["tears"]],
  worry: [{ open: 1, browTilt: 20, browRaise: 6, curve: -6, wave: 12, width: 62, lookX: -10, pupil: 0.85, cheeks: 0, tilt: -5, armLeft: 45, armRight: 30 }, "#b9cfc4", ["sweat"]],
  afraid: [{ open: 1.35, size: 1.1, pupil: 0.32, browTilt: 26, browRaise: 20, curve: -14, gape: 36, wave: 8, width: 76, cheeks: 0, nod: -10, armLeft: 120, armRight: 120 }, "#d9c7ee", ["gloom", "teeth"]],
  angry: [{ open: 0.62, browTilt: -30, browRaise: -16, curve: -34, gape: 22, width: 70, pupil: 0.8, cheeks: 0, nod: -6, armLeft: 35, armRight: 35 }, "#f4665c", ["steam", "teeth"]],
  noisy: [{ open: 0, size: 0.9, shut: 0, browTilt: -12, browRaise: -6, curve: -8, wave: 10, width: 50, cheeks: 0, tilt: 14, armLeft: 140, armRight: 140 }, "#e0b48a", ["waves", "squint"]],
  idle: [{}, "#d5dbe3", []],
};

const KNOWN = { // group, valence, arousal of the poses above, for labels that have none
  happy: ["joy", 0.8, 0.5], excited: ["joy", 0.8, 0.95], playful: ["joy", 0.7, 0.75], proud: ["praise", 0.9, 0.65],
  thats_right: ["praise", 0.75, 0.6], encouraging: ["support", 0.5, 0.55], no_problem: ["support", 0.35, 0.3],
  calm: ["quiet", 0.4, 0.1], curious: ["interest", 0.3, 0.5], thinking: ["interest", 0.05, 0.35],
  surprised: ["surprise", 0.2, 0.85], sad: ["distress", -0.7, 0.25], worry: ["distress", -0.5, 0.55],
  afraid: ["distress", -0.7, 0.85], angry: ["distress", -0.75, 0.85], noisy: ["quiet", -0.1, 0.4], idle: ["quiet", 0, 0.15],
};

/** Return the name of the pose that shows a label; `label` has group, valence and arousal. */
export function poseOf(name, label) {
  if (POSES[name]) return name;
  if (!label) return "idle";
  const far = ([group, valence, arousal]) =>
    (group === label.group ? 0 : 1) + Math.hypot((valence - label.valence) / 2, arousal - label.arousal);
  return Object.keys(KNOWN).reduce((best, name) => (far(KNOWN[name]) < far(KNOWN[best]) ? name : best));
}

const SVG = "http://www.w3.org/2000/svg";
const INK = "#22252b";

function draw(parent, kind, attributes) {
  const element = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  parent.append(element);
  return element;
}

const line = (d, color = INK, width = 9) => ["path", { d, fill: "none", stroke: color, "stroke-width": width, "stroke-linecap": "round", "stroke-linejoin": "round" }];
const fill = (d, color, stroke = "none") => ["path", { d, fill: color, stroke, "stroke-width": 5, "stroke-linejoin": "round" }];
const text = (x, y, size, string, color = INK) => ["text", { x, y, "font-size": size, "font-weight": 900, fill: color, "font-family": "system-ui, sans-serif" }, string];

function star(x, y, r) {
  let d = "";
  for (let i = 0; i < 10; i++) {
    const angle = (i * Math.PI) / 5 - Math.PI / 2, at = i % 2 ? r * 0.45 : r;
    d += `${i ? "L" : "M"}${(x + at * Math.cos(angle)).toFixed(1)} ${(y + at * Math.sin(angle)).toFixed(1)}`;
  }
  return `${d}Z`;
}

const EXTRAS = {
  stars: [fill(star(135, 190, 44), "#fff7c9", INK), fill(star(265, 190, 44), "#fff7c9", INK)],
  sparks: [[40, 70, 26], [362, 64, 32], [366, 330, 22], [36, 326, 24]].map(([x, y, r]) => fill(star(x, y, r), "#fff7c9", INK)),
  tongue: [fill("M188 304q28-8 46 0v30q0 24-23 24t-23-24Z", "#e0405e", INK), line("M211 312v22", "#a51f3d", 4)],
  medal: [fill("M166 352l-14 44 24-8 12 12 12-40Z", "#d33c4b"), fill("M234 352l14 44-24-8-12 12-12-40Z", "#d33c4b"), fill(star(200, 350, 40), "#fff7c9", INK)],
  check: [fill("M352 26a46 46 0 1 1-1 0Z", "#0f7a35"), line("M330 72l16 18 28-36", "#fff", 12)],
  arrows: [line("M28 110l24-24 24 24M28 76l24-24 24 24", "#0b5f56", 15), line("M324 110l24-24 24 24M324 76l24-24 24 24", "#0b5f56", 15)],
  heart: [fill("M340 112c-60-40-42-78-16-76 10 1 16 10 16 16 0-6 6-15 16-16 26-2 44 36-16 76Z", "#d6336c")],
  zzz: [text(278, 128, 44, "z", "#4338a0"), text(308, 92, 58, "z", "#4338a0"), text(346, 52, 74, "Z", "#4338a0")],
  question: [text(318, 112, 118, "?", "#07506b")],
  bubbles: [fill("M300 132a10 10 0 1 1-1 0Z", "#fff", INK), fill("M328 90a16 16 0 1 1-1 0Z", "#fff", INK), fill("M338 24q14-20 36-8 26 4 20 30 0 26-28 24-30 10-40-12-10-26 12-34Z", "#fff", INK)],
  bang: [text(20, 118, 118, "!", "#a83200"), text(342, 118, 118, "!", "#a83200")],
  tears: [fill("M112 226q22 36 0 52-24-14 0-52Z", "#e3f3ff", "#155a9c"), fill("M290 240q26 44 0 62-28-16 0-62Z", "#e3f3ff", "#155a9c")],
  sweat: [fill("M338 84q34 52 0 72-36-20 0-72Z", "#d7f0ff", "#155a9c")],
  gloom: [line("M110 34v50M150 26v64M190 24v48M230 24v60M270 28v50M306 38v42", "#5a3e8c", 8)],
  teeth: [],
  steam: [line("M22 92q-14-18 2-30t0-34M48 84q-14-18 2-30t0-34", "#7d0f08", 9), line("M352 84q-14-18 2-30t0-34M378 92q-14-18 2-30t0-34", "#7d0f08", 9)],
  waves: [line("M40 150q-22 50 0 100M18 126q-34 74 0 148", "#5c2c04", 10), line("M360 150q22 50 0 100M382 126q34 74 0 148", "#5c2c04", 10)],
  squint: [line("M108 164l46 26-46 26M292 164l-46 26 46 26", INK, 13)],
};

export class Face {
  /** Draw into an <svg>; `servos` takes {name: {turn, value}} elements. */
  constructor(svg, servos, calm) {
    this.calm = calm; // a function: does the visitor want less motion?
    this.servos = servos;
    this.emotion = "idle";
    this.now = { ...REST };
    this.speed = Object.fromEntries(Object.keys(REST).map((name) => [name, 0]));
    this.goal = { ...REST };
    this.blink = 0;
    this.nextBlink = performance.now() + 2500;
    svg.setAttribute("viewBox", "0 0 400 400");
    this.head = draw(svg, "g", {});
    this.skin = draw(this.head, "rect", { x: 34, y: 20, width: 332, height: 350, rx: 120, stroke: INK, "stroke-width": 6, fill: "#d5dbe3" });
    this.cheeks = [105, 295].map((cx) => draw(this.head, "ellipse", { cx: cx + (cx < 200 ? -18 : 18), cy: 250, rx: 28, ry: 18, fill: "#e8486b" }));
    this.eyes = [135, 265].map((cx) => ({
      cx,
      white: draw(this.head, "ellipse", { fill: "#fff", stroke: INK, "stroke-width": 6 }),
      pupil: draw(this.head, "circle", { fill: INK }),
      glint: draw(this.head, "circle", { fill: "#fff" }),
      arc: draw(this.head, "path", { fill: "none", stroke: INK, "stroke-width": 12, "stroke-linecap": "round" }),
      brow: draw(this.head, "path", { fill: "none", stroke: INK, "stroke-width": 13, "stroke-linecap": "round" }),
    }));
    this.mouth = draw(this.head, "path", { fill: "#7b1e2b", stroke: INK, "stroke-width": 9, "stroke-linejoin": "round", "stroke-linecap": "round" });
    this.teeth = draw(this.head, "path", { fill: "none", stroke: "#fff", "stroke-width": 8 });
    this.extras = {};
    for (const [name, parts] of Object.entries(EXTRAS)) {
      const group = draw(name === "squint" || name === "stars" || name === "tongue" || name === "tears" ? this.head : svg, "g", { class: "extra", opacity: 0 });
      for (const [kind, attributes, string] of parts) {
        const part = draw(group, kind, attributes);
        if (string) part.textContent = string;
      }
      this.extras[name] = group;
    }
    this.paint();
  }

  /** Show an emotion; `arousal` (0..1) makes it weaker or stronger. */
  show(emotion, arousal, label) {
    const name = poseOf(emotion, label);
    const [pose, color, extras] = POSES[name];
    const strength = 0.8 + 0.35 * Math.min(1, Math.max(0, arousal));
    this.emotion = name;
    this.arousal = arousal;
    for (const key of Object.keys(REST)) {
      const switched = ["shut", "wink", "smile", "pupil"].includes(key);
      const target = pose[key] ?? REST[key];
      this.goal[key] = switched ? target : REST[key] + (target - REST[key]) * strength;
    }
    if (name === "noisy") this.goal.open = 0;
    for (const key of ["armLeft", "armRight"]) this.goal[key] = Math.min(170, this.goal[key]);
    this.skin.style.fill = color;
    for (const [key, group] of Object.entries(this.extras)) group.setAttribute("opacity", extras.includes(key) ? 1 : 0);
    this.teeth.setAttribute("opacity", extras.includes("teeth") ? 1 : 0);
    if (this.calm()) this.now = { ...this.goal };
  }

  /** Move on by some seconds and paint; called once a frame. */
  step(seconds, at) {
    const still = this.calm();
    for (let left = Math.min(seconds, 0.1); left > 0; left -= 0.008) {
      const dt = Math.min(left, 0.008);
      for (const key of Object.keys(REST)) {
        this.speed[key] += (170 * (this.goal[key] - this.now[key]) - 20 * this.speed[key]) * dt;
        this.now[key] += this.speed[key] * dt;
      }
    }
    if (still) this.now = { ...this.goal };
    this.blink = 0;
    if (!still && at > this.nextBlink) {
      const part = (at - this.nextBlink) / 160;
      this.blink = part < 1 ? Math.sin(part * Math.PI) : 0;
      if (part >= 1) this.nextBlink = at + 2000 + 3000 * Math.random();
    }
    this.sway = still ? 0 : Math.sin(at / 900) * 2;
    this.shiver = !still && this.emotion === "afraid" ? Math.sin(at / 18) * 3 : 0;
    this.paint();
  }

  paint() {
    const p = this.now, hidden = this.extras.stars.getAttribute("opacity") === "1" || this.extras.squint.getAttribute("opacity") === "1";
    this.head.setAttribute("transform", `translate(${this.shiver || 0} ${-p.nod * 0.6 + (this.sway || 0)}) rotate(${p.tilt} 200 220)`);
    this.cheeks.forEach((cheek) => cheek.setAttribute("opacity", Math.max(0, Math.min(1, p.cheeks)) * 0.55));
    this.eyes.forEach((eye, i) => {
      const side = i ? 1 : -1, cx = eye.cx, cy = 190;
      const winking = i === 1 ? p.wink : 0;
      const asArc = Math.max(p.smile, Math.abs(p.shut), winking) > 0.5;
      const ry = Math.max(1, 36 * p.size * p.open * (1 - this.blink)), rx = 32 * p.size;
      const seen = !hidden && !asArc;
      for (const part of [eye.white, eye.pupil, eye.glint]) part.setAttribute("visibility", seen ? "visible" : "hidden");
      eye.arc.setAttribute("visibility", !hidden && asArc ? "visible" : "hidden");
      set(eye.white, { cx, cy, rx, ry });
      const radius = Math.min(18 * p.pupil * p.size, ry * 0.9), px = cx + p.lookX, py = cy + Math.max(-ry / 2, Math.min(ry / 2, p.lookY));
      set(eye.pupil, { cx: px, cy: py, r: Math.max(0, radius) });
      set(eye.glint, { cx: px + 6, cy: py - 7, r: Math.max(0, radius * 0.3) });
      const bend = p.shut > 0.5 ? 26 : -30; // sleeping lids hang, smiling eyes rise
      eye.arc.setAttribute("d", `M${cx - 34} ${cy + (bend < 0 ? 8 : -6)}Q${cx} ${cy + bend} ${cx + 34} ${cy + (bend < 0 ? 8 : -6)}`);
      const up = 128 - p.browRaise - (i ? p.browSkew : 0), inner = cx - side * 34, outer = cx + side * 34;
      eye.brow.setAttribute("d", `M${inner} ${up - p.browTilt * 0.8}Q${cx} ${up - 14} ${outer} ${up + p.browTilt * 0.8}`);
    });
    const x = 200 + p.shift, y = 300 - p.gape * 0.15, w = p.width, c = p.curve, g = Math.max(0, p.gape), v = p.wave;
    const left = `${x - w} ${y - c * 0.35}`, right = `${x + w} ${y - c * 0.35}`;
    const up = y + c * 0.75 - (c > 0 ? 0 : g * 0.6), down = up + g * 1.5 + 0.1;
    const wavy = (at) => `C${x - w * 0.4} ${at - v * 4} ${x + w * 0.4} ${at + v * 4}`;
    this.mouth.setAttribute("fill", g > 3 ? "#7b1e2b" : "none");
    const round = Math.abs(c) < 3 && g > 6; // an O
    this.mouth.setAttribute("d", round
      ? `M${x - w} ${y}a${w} ${g} 0 1 0 ${2 * w} 0a${w} ${g} 0 1 0 ${-2 * w} 0Z`
      : v > 2 && g < 6
      ? `M${left}q${w * 0.25} ${-v * 2} ${w * 0.5} 0t${w * 0.5} 0t${w * 0.5} 0t${w * 0.5} 0`
      : v > 2
        ? `M${left}${wavy(up)} ${right}C${x + w * 0.4} ${down + v} ${x - w * 0.4} ${down - v} ${left}Z`
        : `M${left}Q${x} ${up} ${right}${g > 3 ? `Q${x} ${down} ${left}Z` : ""}`);
    const middle = (y - c * 0.35 + (up + down) / 2) / 2;
    let zigzag = "";
    for (let i = 0; i <= 8; i++) zigzag += `${i ? "L" : "M"}${x - w * 0.62 + (w * 1.24 * i) / 8} ${middle + (i % 2 ? 7 : -7)}`;
    this.teeth.setAttribute("d", zigzag);
    for (const [name, value] of Object.entries({ head: p.nod, tilt: p.tilt, left: p.armLeft, right: p.armRight })) {
      this.servos[name]?.(value);
    }
  }
}

function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value.toFixed(1));
}

/** Throw confetti on a canvas for two seconds; does nothing where less motion is wanted. */
export function confetti(canvas, calm) {
  if (calm()) return;
  const context = canvas.getContext("2d");
  canvas.width = canvas.clientWidth;
  canvas.height = canvas.clientHeight;
  const colors = ["#e8486b", "#ffd84d", "#4fd6c1", "#6fd3f2", "#7ddc7a", "#b39df0"];
  const pieces = Array.from({ length: 90 }, (_, i) => ({
    x: canvas.width / 2, y: canvas.height * 0.4, vx: (Math.random() - 0.5) * 620, vy: -Math.random() * 520 - 60,
    turn: Math.random() * 6, color: colors[i % colors.length],
  }));
  const token = (canvas.token = {});
  let last = performance.now();
  const end = last + 2000;
  requestAnimationFrame(function frame(at) {
    const dt = Math.min(0.05, (at - last) / 1000);
    last = at;
    if (canvas.token !== token) return;
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (at > end) return;
    for (const piece of pieces) {
      piece.vy += 900 * dt;
      piece.x += piece.vx * dt;
      piece.y += piece.vy * dt;
      context.fillStyle = piece.color;
      context.setTransform(Math.cos(piece.turn + at / 200), Math.sin(piece.turn + at / 200), -0.6, 1, piece.x, piece.y);
      context.fillRect(-5, -4, 10, 8);
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
    requestAnimationFrame(frame);
  });
}
