// The contact sheet. index-data.js has set window.catalogue = {columns, rows}; of many thousand rows only one page is ever in the document.
const PAGE = 48;
const WORST = 100;
const SIGNS = { "kept": ["✓", "kept"], "slightly off": ["≈", "off"], "lost": ["✗", "lost"], "failed": ["!", "failed"] };

const { columns, rows } = window.catalogue;
const clips = rows.map((row) => Object.fromEntries(columns.map((column, index) => [column, row[index]])));
for (const clip of clips) {
  clip.kind = clip.error ? "failed" : clip.verdict;
  clip.text = [clip.name, clip.product_number, clip.photo, clip.motion, clip.error].join("\n").toLowerCase();
}
const find = (id) => document.getElementById(id);
const worst = (one, other) => one.score - other.score;
const ORDERS = {
  worst: (one, other) => (one.error ? -1 : one.score) - (other.error ? -1 : other.score),
  colour: (one, other) => (other.colour_difference ?? 1e9) - (one.colour_difference ?? 1e9),
  pattern: (one, other) => (one.similarity ?? -1) - (other.similarity ?? -1),
  best: (one, other) => (other.error ? -1 : other.score) - (one.error ? -1 : one.score),
  name: (one, other) => one.name.localeCompare(other.name, undefined, { numeric: true }),
};
const judged = clips.filter((clip) => !clip.error).sort(worst);
const worstOnes = new Set(judged.slice(0, WORST));
const playsOnHover = matchMedia("(hover: hover)").matches && !matchMedia("(prefers-reduced-motion: reduce)").matches;
let chosen = [], page = 0;

function choose() {
  const kind = find("kind").value, most = Number(find("score").value), words = find("search").value.trim().toLowerCase();
  find("score-shown").textContent = most;
  chosen = clips.filter((clip) =>
    (kind === "all" || (kind === "worst" ? worstOnes.has(clip) : clip.kind === kind)) &&
    (most === 100 || (!clip.error && Math.round(100 * clip.score) <= most)) && clip.text.includes(words));
  chosen.sort(ORDERS[find("order").value]);
  page = 0;
  show();
}

function show() {
  const pages = Math.max(1, Math.ceil(chosen.length / PAGE)), first = page * PAGE;
  const shown = chosen.slice(first, first + PAGE);
  find("cards").replaceChildren(...shown.map(card));
  find("count").textContent = chosen.length === 0 ? "No clip is like that; choose another filter."
    : `${first + 1} to ${first + shown.length} of ${number(chosen.length)}`;
  find("page").textContent = `Page ${page + 1} of ${pages}`;
  find("before").disabled = page === 0;
  find("after").disabled = page === pages - 1;
}

function card(clip) {
  const item = element("li", clip.error ? "failure" : "");
  item.append(clip.error ? element("p", "sentence", clip.error) : player(clip));
  const about = element("div", "about"), [sign, look] = SIGNS[clip.kind] ?? ["", ""];
  about.append(element("div", "name", clip.product_number ?? clip.name));
  const verdict = element("div", `verdict ${look}`, clip.error ? `${sign} failed` : `${sign} ${clip.kind} · ${Math.round(100 * clip.score)}`);
  about.append(verdict);
  if (!clip.error) {
    const bar = element("div", `bar ${look}`), part = element("span");
    part.style.width = `${Math.round(100 * clip.score)}%`;
    bar.append(part);
    about.append(bar, element("div", "small", `colour ${clip.colour_difference.toFixed(1)} · pattern ${clip.similarity.toFixed(2)}`));
  }
  about.append(element("div", "small", [clip.motion, clip.seed === null ? null : `seed ${clip.seed}`].filter(Boolean).join(" · ")));
  if (clip.advice) {
    const advice = element("details", "small");
    advice.append(element("summary", "", "about the photo"), clip.advice);
    about.append(advice);
  }
  about.title = clip.photo;
  item.append(about);
  return item;
}

function player(clip) {
  const button = element("button", "play"), poster = element("img");
  button.type = "button";
  button.setAttribute("aria-label", `Play ${clip.product_number ?? clip.name}`);
  Object.assign(poster, { src: address(clip.thumb), alt: "", loading: "lazy" });
  button.append(poster);
  const stop = () => { button.querySelector("video")?.remove(); button.classList.remove("playing"); };
  const play = () => {
    if (button.classList.contains("playing")) return;
    for (const other of document.querySelectorAll(".play.playing")) other.dispatchEvent(new Event("stop"));
    const video = element("video");
    Object.assign(video, { src: address(clip.clip), muted: true, loop: true, playsInline: true });
    button.append(video);
    button.classList.add("playing");
    video.play().catch(() => {});
  };
  button.addEventListener("stop", stop);
  button.addEventListener("click", () => (button.classList.contains("playing") && !playsOnHover ? stop() : play()));
  if (playsOnHover) {
    button.addEventListener("mouseenter", play);
    button.addEventListener("mouseleave", stop);
  }
  return button;
}

// A name may hold any character: each part of the path is written so that an address can have it.
function address(path) { return path.split("/").map(encodeURIComponent).join("/"); }
function number(count) { return count.toLocaleString("en"); }
function element(kind, look = "", text = "") {
  const made = document.createElement(kind);
  made.className = look;
  made.textContent = text;
  return made;
}
function turn(step) { page += step; show(); scrollTo(0, 0); }

const counts = (kind) => number(clips.filter((clip) => clip.kind === kind).length);
find("summary").textContent = `${number(clips.length)} clips: ${counts("kept")} kept, ${counts("slightly off")} slightly off, ` +
  `${counts("lost")} lost, ${counts("failed")} failed`;
for (const id of ["kind", "order", "score", "search"]) find(id).addEventListener("input", choose);
document.forms[0].addEventListener("submit", (event) => event.preventDefault());
find("before").addEventListener("click", () => turn(-1));
find("after").addEventListener("click", () => turn(1));
choose();
