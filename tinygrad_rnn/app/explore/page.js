"use strict";
(() => {
const token = new URLSearchParams(location.search).get("token") || "";
const find = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const codes = {what: "", learn: "", read: ""};
let view = "what", training = null, timer = null;
// The symbol that the reader looks at, and the one that was asked for; null for the last one.
let at = 0, chosen = null;

// ── the server ──────────────────────────────────────────────────────────────────────────

async function ask(path, content) {
  const isFile = content instanceof Blob;
  const answer = await fetch(path, {
    method: "POST",
    headers: {"X-Token": token, "Content-Type": isFile ? "application/octet-stream" : "application/json"},
    body: isFile ? content : JSON.stringify(content),
  });
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error);
  return found;
}

async function stay() {
  try {
    const answer = await fetch("/alive?token=" + encodeURIComponent(token));
    const reader = answer.body.getReader();
    while (!(await reader.read()).done);
  } catch {}
  find("#over").hidden = false;
}

const say = error => { find("#error").textContent = error ? error.message || String(error) : ""; };

// While one request runs, only the newest of those that come is kept.
function newest(work) {
  let running = false, again = false;
  return async function run() {
    if (running) { again = true; return; }
    running = true;
    try { await work(); say(""); } catch (error) { say(error); }
    running = false;
    if (again) { again = false; run(); }
  };
}

// ── controls and pictures ───────────────────────────────────────────────────────────────

function values(form) {
  const found = {};
  for (const e of form.elements) {
    if (!e.name) continue;
    if (e.type === "checkbox") { if (e.checked) (found[e.name] ||= []).push(e.value); }
    else if (e.type === "range") found[e.name] = Number(e.value);
    else if (e.name === "lr" || e.name === "total") found[e.name] = Number(e.value);
    else found[e.name] = e.value;
  }
  return found;
}

function tell(input) {
  const output = find("output", input.parentElement);
  if (output) output.textContent = input.value;
}

function put(panel, part, svg) {
  const place = find(`[data-part=${part}]`, panel);
  if (place.shown !== svg) { place.innerHTML = svg; place.shown = svg; }
}

function paragraphs(place, lines) {
  place.replaceChildren(...lines.map(line => {
    const p = document.createElement("p");
    p.textContent = line;
    return p;
  }));
}

function setCode(name, code) {
  codes[name] = code;
  if (view === name) find("#code").textContent = code;
}

// ── what if ─────────────────────────────────────────────────────────────────────────────

const what = find("#what");
const lookAtNets = newest(async () => {
  const given = values(find("form", what));
  if (!given.kinds) throw new Error("choose at least one cell");
  const found = await ask("/what-if", given);
  paragraphs(find(".says", what), found.nets.map(net => `${net.kind}: ${net.reason}`));
  put(what, "curves", found.curves);
  put(what, "singular", found.singular);
  const nets = find(".nets", what);
  while (nets.children.length > found.nets.length) nets.lastChild.remove();
  found.nets.forEach((net, k) => {
    if (!nets.children[k]) {
      const box = document.createElement("div");
      box.className = "net";
      box.innerHTML = '<h2></h2><div class="picture" data-part="flow"></div><div class="picture" data-part="maps"></div>';
      nets.append(box);
    }
    find("h2", nets.children[k]).textContent = net.kind;
    put(nets.children[k], "flow", net.flow);
    put(nets.children[k], "maps", net.maps);
  });
  setCode("what", found.code);
  document.body.dataset.drawn = String(1 + Number(document.body.dataset.drawn || 0));
});

// ── watch it learn ──────────────────────────────────────────────────────────────────────

const learn = find("#learn"), stage = find("#stage");
let follows = true;

function curve(run) {
  const W = 700, H = 190, left = 46, top = 14, floor = H - 26;
  const points = run.losses, n = points.length;
  const shown = points.filter(Number.isFinite);
  if (!n || !shown.length) return "";
  const high = shown.reduce((a, b) => Math.max(a, b), 1e-9), each = Math.max(1, Math.floor(n / 350));
  const x = step => left + (W - left - 12) * step / run.total, y = v => floor - (floor - top) * Math.min(v / high, 1);
  const line = [];
  for (let i = 0; i < n; i += each) {
    const part = points.slice(i, i + each).filter(Number.isFinite);
    if (part.length) line.push(`${x(i + part.length / 2).toFixed(1)} ${y(part.reduce((a, b) => a + b, 0) / part.length).toFixed(1)}`);
  }
  const right = run.right.map(([step, r]) => `${x(step).toFixed(1)} ${y(high * r).toFixed(1)}`);
  const mark = Number(stage.dataset.step || 0);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${W} ${H}" width="${W}" height="${H}" role="img" aria-label="loss over the training steps">` +
    `<style>.L text{font:11px Helvetica,Arial,sans-serif;fill:#777}.L path{fill:none;stroke-width:1.6}</style><g class="L">` +
    `<path stroke="#8888" d="M${left} ${top}V${floor}H${W - 12}"/>` +
    `<path stroke="#00785a" stroke-dasharray="5 3" d="M${right.join("L") || "0 0"}"/><path stroke="#c2410c" d="M${line.join("L")}"/>` +
    `<path stroke="#1f5fa8" stroke-width="1" d="M${x(mark)} ${top}V${floor}"/>` +
    `<text x="${left - 6}" y="${top + 8}" text-anchor="end">${high.toPrecision(2)}</text><text x="${left - 6}" y="${floor}" text-anchor="end">0</text>` +
    `<text x="${W - 12}" y="${H - 8}" text-anchor="end">${run.total} steps</text>` +
    `<text x="${left + 60}" y="${H - 8}" style="fill:#c2410c">loss</text><text x="${left + 110}" y="${H - 8}" style="fill:#00785a">right answers (0 to 100 %)</text></g></svg>`;
}

const lookAtStage = newest(async () => {
  if (!training) return;
  const step = training.stages[Number(stage.value)];
  stage.dataset.step = step;
  find(".stages output", learn).textContent = step;
  const found = await ask("/learn/at", {id: training.id, step});
  find(".reason", learn).textContent = found.reason;
  put(learn, "flow", found.flow);
  put(learn, "maps", found.maps);
  put(learn, "loss", curve(training));
  learn.dataset.stage = step;
});

function showTraining() {
  const run = training, n = run.losses.length;
  const right = run.right.length ? `, ${Math.round(100 * run.right[run.right.length - 1][1])} % right` : "";
  const loss = n ? `, loss ${run.losses[n - 1] === null ? "not finite" : run.losses[n - 1].toPrecision(3)}` : "";
  find(".says", learn).textContent = run.error || `The net has to ${run.says}. Step ${n} of ${run.total}${loss}${right}.`;
  put(learn, "loss", curve(run));
  find(".stages", learn).hidden = false;
  stage.max = run.stages.length - 1;
  const pause = find("#pause");
  pause.disabled = run.over;
  pause.textContent = run.running ? "Stop" : "Go";
  if (follows && Number(stage.value) !== run.stages.length - 1) {
    stage.value = run.stages.length - 1;
    lookAtStage();
  }
  learn.dataset.step = n;
}

function take(state) {
  training.losses.push(...state.losses.slice(Math.max(0, training.losses.length - (state.step - state.losses.length))));
  for (const name of ["right", "stages", "running", "over", "error", "total", "says"]) training[name] = state[name];
  showTraining();
}

async function poll() {
  if (!training) return;
  const id = training.id;
  try {
    const state = await ask("/learn/state", {id, since: training.losses.length});
    if (!training || training.id !== id) return;
    take(state);
  } catch (error) { say(error); return; }
  if (!training.over) timer = setTimeout(poll, document.hidden ? 3000 : 700);
}

async function start() {
  clearTimeout(timer);
  const given = values(find("form", learn));
  if (training) given.id = training.id;
  try {
    const state = await ask("/learn/start", given);
    training = {id: state.id, losses: [], right: [], stages: [0]};
    follows = true;
    stage.value = 0;
    stage.dataset.step = 0;
    setCode("learn", state.code);
    take(state);
    lookAtStage();
    say("");
    timer = setTimeout(poll, 300);
  } catch (error) { say(error); }
}

async function pause() {
  if (!training || training.over) return;
  try { take(await ask("/learn/pause", {id: training.id, paused: training.running, since: training.losses.length})); } catch (error) { say(error); }
}

// ── a model of one's own ────────────────────────────────────────────────────────────────

const read = find("#read");
let hasModel = false;

function about(model) {
  hasModel = Boolean(model.name);
  if (hasModel) find("#model").textContent = `${model.name}: ${model.says}`;
  if (hasModel && view === "read") lookAtText();
}

const visible = c => ({" ": "\u00a0", "\n": "↵", "\t": "→"})[c] || c;

const lookAtText = newest(async () => {
  if (!hasModel) return;
  const given = {text: find("textarea", read).value};
  if (!given.text) throw new Error("type a text for the model to read");
  if (chosen !== null) given.at = chosen;
  const found = await ask("/read/look", given);
  at = found.at;
  const box = find("#symbols"), hadFocus = box.contains(document.activeElement);
  box.replaceChildren(...found.symbols.map((symbol, k) => {
    const b = document.createElement("button");
    b.type = "button";
    b.className = "symbol";
    b.setAttribute("role", "option");
    b.setAttribute("aria-selected", k === at);
    b.tabIndex = k === at ? 0 : -1;
    b.innerHTML = "<i></i><b></b><small></small>";
    find("i", b).style.height = `${Math.round(100 * found.matters[k])}%`;
    find("b", b).textContent = visible(symbol);
    find("small", b).textContent = visible(found.likely[k][0]);
    b.title = `after it: ${visible(found.likely[k][0])} (${Math.round(100 * found.likely[k][1])} %)`;
    b.addEventListener("click", () => { chosen = k; lookAtText(); });
    return b;
  }));
  if (hadFocus) box.children[at].focus();
  const [next, sure] = found.likely[at];
  find(".shown .says", read).textContent = `After symbol ${at} the model expects “${visible(next)}” with ${Math.round(100 * sure)} %. The taller the bar in a character, the more this depended on it.`;
  find(".shown .reason", read).textContent = found.reason;
  put(read, "flow", found.flow);
  put(read, "maps", found.maps);
  setCode("read", found.code);
  read.dataset.at = at;
});

// ── saving ──────────────────────────────────────────────────────────────────────────────

function pictures() { return all(".picture svg", find("#" + view)); }

// All pictures of the view, one beneath the other, as one SVG.
function together() {
  let y = 0, width = 0;
  const parts = pictures().map(svg => {
    const copy = svg.cloneNode(true), box = svg.viewBox.baseVal;
    copy.setAttribute("y", y);
    copy.setAttribute("width", box.width);
    copy.setAttribute("height", box.height);
    y += box.height + 12;
    width = Math.max(width, box.width);
    return new XMLSerializer().serializeToString(copy);
  });
  if (!parts.length) throw new Error("there is no picture yet");
  const ground = getComputedStyle(document.body).backgroundColor;
  const text = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${y}" width="${width}" height="${y}"><rect width="100%" height="100%" fill="${ground}"/>${parts.join("")}</svg>`;
  return {text, width, height: y};
}

function png({text, width, height}) {
  return new Promise((done, failed) => {
    const image = new Image(), scale = Math.min(2, 8000 / Math.max(width, height));
    image.onload = () => {
      const canvas = document.createElement("canvas");
      canvas.width = width * scale;
      canvas.height = height * scale;
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      canvas.toBlob(blob => blob ? done(blob) : failed(new Error("the picture is too large for a PNG")));
    };
    image.onerror = () => failed(new Error("the picture cannot be drawn"));
    image.src = URL.createObjectURL(new Blob([text], {type: "image/svg+xml"}));
  });
}

function escaped(text) {
  const p = document.createElement("p");
  p.textContent = text;
  return p.innerHTML;
}

function webPage() {
  const panel = find("#" + view), heading = find(`#tab-${view}`).textContent;
  const says = all(".says, .reason", find(".shown", panel)).map(e => `<p>${escaped(e.innerText)}</p>`).join("");
  const body = pictures().map(svg => `<div>${new XMLSerializer().serializeToString(svg)}</div>`).join("\n");
  if (!body) throw new Error("there is no picture yet");
  return `<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">` +
    `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"><title>${escaped(heading)}</title>` +
    `<style>body{font:15px/1.45 Helvetica,Arial,sans-serif;margin:16px}svg{max-width:100%;height:auto}pre{overflow:auto}</style></head>` +
    `<body><h1>${escaped(heading)}</h1>${says}${body}<pre>${escaped(codes[view])}</pre></body></html>\n`;
}

async function save(kind) {
  try {
    const blob = kind === "png" ? await png(together())
      : new Blob([kind === "svg" ? together().text : webPage()], {type: kind === "svg" ? "image/svg+xml" : "text/html"});
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${{what: "what-if", learn: "learning", read: "reading"}[view]}.${kind}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    say("");
  } catch (error) { say(error); }
}

// ── views ───────────────────────────────────────────────────────────────────────────────

const tabs = all("[role=tab]");
function open(name) {
  view = name;
  for (const tab of tabs) {
    const on = tab.getAttribute("aria-controls") === name;
    tab.setAttribute("aria-selected", on);
    tab.tabIndex = on ? 0 : -1;
    find("#" + tab.getAttribute("aria-controls")).hidden = !on;
  }
  find("#code").textContent = codes[name];
  history.replaceState(null, "", location.search + "#" + name);
  say("");
  if (name === "read") lookAtText();
}

for (const [k, tab] of tabs.entries()) {
  tab.addEventListener("click", () => open(tab.getAttribute("aria-controls")));
  tab.addEventListener("keydown", event => {
    const by = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    if (!by) return;
    const next = tabs[(k + by + tabs.length) % tabs.length];
    next.focus();
    next.click();
    event.preventDefault();
  });
}
find("#symbols").addEventListener("keydown", event => {
  const by = {ArrowRight: 1, ArrowLeft: -1}[event.key], last = find("#symbols").children.length - 1;
  const to = event.key === "Home" ? 0 : event.key === "End" ? last : by ? (chosen ?? at) + by : null;
  if (to === null) return;
  event.preventDefault();
  chosen = Math.max(0, Math.min(last, to));
  lookAtText();
});
for (const form of all("form")) form.addEventListener("submit", event => event.preventDefault());
for (const input of all("input[type=range]")) {
  tell(input);
  input.addEventListener("input", () => tell(input));
}
find("form", what).addEventListener("input", lookAtNets);
find("select[name=task]", learn).addEventListener("input", event => {
  find(".text", learn).hidden = event.target.value !== "text";
});
find("select[name=kind]", learn).value = "LSTM";
find("#start").addEventListener("click", start);
find("#pause").addEventListener("click", pause);
stage.addEventListener("input", () => {
  follows = stage.value === stage.max;
  lookAtStage();
});
find("textarea", read).addEventListener("input", () => { chosen = null; lookAtText(); });
find("#file").addEventListener("change", async event => {
  const [file] = event.target.files;
  if (!file) return;
  try {
    chosen = null;
    const model = await ask("/read/open", file);
    model.name = file.name;
    about(model);
    say("");
  } catch (error) { say(error); }
});
for (const button of all("[data-save]")) button.addEventListener("click", () => save(button.dataset.save));
find("#copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(codes[view]);
    find("#copy").textContent = "Copied";
    setTimeout(() => { find("#copy").textContent = "Copy"; }, 1500);
  } catch {
    getSelection().selectAllChildren(find("#code"));
  }
});
window.addEventListener("pagehide", () => {
  if (training) fetch("/learn/end", {
    method: "POST", keepalive: true, body: JSON.stringify({id: training.id}),
    headers: {"X-Token": token, "Content-Type": "application/json"},
  });
});

stay();
lookAtNets();
ask("/read/about", {}).then(about, say);
const wanted = location.hash.slice(1);
if (wanted in codes) open(wanted);
})();
