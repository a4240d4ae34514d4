// The page on a stage (?stage=1): keys press the ordinary page's buttons, and recorded clips play between visitors. A reload ends
// each visit, because only a reload frees the data that Gradio and the browser keep for it. Styles are in styles/stage.css.
(() => {
  const asked = new URLSearchParams(window.location.search);
  if (asked.get("stage") !== "1") return;

  const RESET_SECONDS = Number(asked.get("reset")) > 0 ? Number(asked.get("reset")) : 45;
  const LOOK_MS = 200; // interval between two readings of the page's texts
  const ASK_MS = 4000; // interval between two requests to the server: whether it answers, and how long the queue is
  const NOTE_MS = 20000; // how long a problem of the last visit is shown
  const TIMES_EACH = 2; // how often a recorded clip is played before the next one
  const BLACK_MS = 350; // the duration of the fade in stage.css
  const REMEMBERED = "fashionflow-stage"; // lets the recorded clips start before the page has loaded

  const root = document.documentElement;
  const find = (selector) => document.querySelector(selector);
  const findAll = (selector) => [...document.querySelectorAll(selector)];
  const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
  const remembered = JSON.parse(sessionStorage.getItem(REMEMBERED) || "{}");
  const remember = (news) => sessionStorage.setItem(REMEMBERED, JSON.stringify(Object.assign(remembered, news)));

  let touchedAt = performance.now(); // the last key, or the end of the last clip
  let clipBefore; // the finished clip before the one that is being made
  let chosen = null; // the index of the example, from 0
  let isLeaving = false;

  // attract: recorded clips; choosing: the photo; working: from the key press to the clip; finished: the clip in a loop.
  const phase = () => root.dataset.phase;
  const setPhase = (next) => {
    root.dataset.phase = next;
    touchedAt = performance.now();
    next === "attract" ? attract.play() : attract.pause();
  };

  root.classList.add("on-stage");
  root.dataset.phase = "attract";

  // ---- The recorded clips: two players, one on top of the other, so that there is no visible gap between two clips.
  const attract = {
    layer: document.createElement("div"),
    sources: [],
    index: remembered.index || 0,
    times: 0,

    begin() {
      this.layer.id = "attract";
      this.layer.innerHTML = '<video muted playsinline></video><video muted playsinline></video><p id="recorded"></p>';
      document.body.append(backdrop, this.layer, noted);
      this.players = [...this.layer.querySelectorAll("video")];
      this.players.forEach((player) => (player.muted = true)); // in a player that a script created, the attribute alone has no effect
      this.layer.addEventListener("ended", ({ target }) => this.next(target), true);
    },

    // The clips are kept in memory, so that they play on when the server cannot be reached.
    async load(clips, label) {
      this.layer.querySelector("#recorded").textContent = label;
      if (this.isLoading) return;
      this.isLoading = true;
      const loading = clips.map(async (clip) => URL.createObjectURL(await (await fetch(clip)).blob()));
      for (const source of loading) {
        try {
          this.sources.push(await source);
          if (this.sources.length === 1) this.play();
        } catch (error) {
          console.warn("A recorded clip could not be loaded.", error);
        }
      }
    },

    next(player) {
      if (!this.sources.length || phase() !== "attract") return;
      if (player.src && ++this.times < TIMES_EACH) return void player.play();
      const other = this.players.find((each) => each !== player);
      this.times = 0;
      this.index = (this.index + 1) % this.sources.length;
      remember({ index: this.index });
      other.src = this.sources[this.index];
      other.play().then(() => {
        other.classList.add("on-top");
        player.classList.remove("on-top");
      }, () => {});
    },

    play() {
      const top = find("#attract video.on-top");
      top ? top.play().catch(() => {}) : this.players && this.next(this.players[1]);
    },

    pause() {
      this.players?.forEach((player) => player.pause());
    },
  };

  // ---- The backdrop on both sides of the clip: the picture on show, enlarged and blurred. It is drawn on few pixels and a few times a
  // second, so that a browser without a graphics card does not need a core for it. Each drawing covers a part of the one before.
  const backdrop = Object.assign(document.createElement("canvas"), { id: "stage-backdrop", width: 48, height: 27 });
  const pen = backdrop.getContext("2d");
  Object.assign(pen, { globalAlpha: 0.4, filter: "blur(2.5px) saturate(1.6)", imageSmoothingQuality: "medium" });
  const ON_SHOW = { attract: "#attract video.on-top", choosing: "#first-frame img" };
  const paint = () => {
    const picture = findAll(ON_SHOW[phase()] || "#first-frame img, #stage [data-drawn] video").at(-1);
    const [width, height] = [picture?.videoWidth || picture?.naturalWidth, picture?.videoHeight || picture?.naturalHeight];
    if (!width) return;
    // The middle of the picture, where the figure is: on the left, on the right, and under the clip.
    for (const x of [0, 16, 32]) pen.drawImage(picture, 0.27 * width, 0.1 * height, 0.46 * width, 0.7 * height, x, 0, 16, 27);
  };

  const noted = Object.assign(document.createElement("p"), { id: "stage-note", role: "status" });

  // ---- The server: whether it answers, and whether it is still the same one.
  let server = null;
  const setServer = (answer) => {
    server = answer ?? "lost";
    root.classList.toggle("stage-lost", answer === null);
  };
  const reach = async (patience) => {
    try {
      const answer = await fetch("gradio_api/app_id", { cache: "no-store", signal: AbortSignal.timeout(patience) });
      return answer.ok ? await answer.text() : null;
    } catch {
      return null;
    }
  };

  let isAsking = false;
  const ask = async () => {
    if (isAsking) return;
    isAsking = true;
    const answer = await reach(15000); // a busy server answers late; a server that is off refuses at once
    isAsking = false;
    if (isLeaving) return;
    const wasAnother = server !== null && server !== answer;
    setServer(answer);
    if (answer === null) {
      if (phase() === "working" || phase() === "choosing") setPhase("attract"); // a finished clip is in the browser and plays on
    } else if (wasAnother && phase() === "attract") {
      window.location.reload(); // a restarted server does not know this page, and often a server that was lost does not either
    } else {
      find("#stage-count")?.click();
    }
  };

  // ---- Keys
  const examples = () => findAll("#examples button.gallery-item");
  const motions = () => findAll("#motion input[type=radio]");

  // Waits until the chosen photo is the one that Animate uses.
  const takePhoto = async (choose) => {
    const before = find("#first-frame img")?.src;
    setPhase("choosing");
    choose();
    for (const end = performance.now() + 4000; performance.now() < end; await pause(50)) {
      const [now, problem] = [find("#first-frame img")?.src, find("#note .problem")];
      if (problem) return leave(problem.textContent);
      if (now && now !== before) break;
    }
  };

  const choose = async (steps) => {
    const photos = examples();
    if (!photos.length) return;
    chosen = chosen === null ? (steps > 0 ? 0 : photos.length - 1) : (chosen + steps + photos.length) % photos.length;
    await takePhoto(() => photos[chosen].click());
  };

  const setMotion = async (index) => {
    motions()[index]?.click();
    if (!find("#photo img")) await choose(1);
    setPhase("choosing");
  };

  const animate = async () => {
    if (!find("#photo img")) await choose(1);
    const button = find("#animate");
    if (!button || button.disabled || !find("#photo img")) return;
    if (phase() === "finished") find("#die")?.click(), await pause(150); // a new seed, so that it is not the same clip again
    clipBefore = madeClip();
    setPhase("working");
    button.click();
  };

  const madeClip = () => find("#stage-made [data-clip]")?.dataset.clip;
  const toggle = (name) => () => root.classList.toggle(name);
  const IN_TURN = { " ": animate, enter: animate, pagedown: animate }; // actions that must end before the next one starts
  Object.assign(IN_TURN, { arrowright: () => choose(1), arrowleft: () => choose(-1), pageup: () => choose(-1) });
  [1, 2, 3, 4, 5, 6, 7].forEach((digit) => (IN_TURN[digit] = () => setMotion(digit - 1)));
  const AT_ONCE = { r: () => leave(), escape: () => leave(), f5: () => leave(), q: toggle("stage-qr-large") };
  Object.assign(AT_ONCE, { b: toggle("stage-black"), ".": toggle("stage-black") });
  Object.assign(AT_ONCE, { h: toggle("stage-help"), "?": toggle("stage-help") });

  let turn = Promise.resolve();
  let inLine = 0; // the number of key actions that are waiting or running
  const takeTurn = (act) => {
    inLine += 1;
    turn = turn.then(() => phase() === "working" || isLeaving || act()).catch(console.error);
    turn = turn.then(() => ([inLine, touchedAt] = [inLine - 1, performance.now()]));
  };
  const press = (event) => {
    const key = event.key.toLowerCase();
    if (event.ctrlKey || event.metaKey || event.altKey || !(key in IN_TURN || key in AT_ONCE)) return;
    event.preventDefault();
    event.stopPropagation();
    touchedAt = performance.now();
    if (event.repeat || isLeaving) return;
    if (key in AT_ONCE) return void AT_ONCE[key]();
    root.classList.remove("stage-help", "stage-black");
    takeTurn(IN_TURN[key]);
  };
  window.addEventListener("keydown", press, true);

  // ---- A photo that is dropped or pasted anywhere
  const bring = (event, data) => {
    const files = [...(data?.files || [])].filter((file) => file.type.startsWith("image/"));
    const box = find("#photo input[type=file]");
    event.preventDefault();
    event.stopPropagation();
    if (!files.length || !box || phase() === "working" || isLeaving) return;
    const carried = new DataTransfer();
    carried.items.add(files[0]);
    chosen = null;
    takeTurn(() => takePhoto(() => {
      box.files = carried.files;
      box.dispatchEvent(new Event("change", { bubbles: true }));
    }));
  };
  window.addEventListener("dragover", (event) => event.preventDefault(), true);
  window.addEventListener("drop", (event) => bring(event, event.dataTransfer), true);
  window.addEventListener("paste", (event) => bring(event, event.clipboardData), true);

  // ---- End of a visit
  let free = () => {};
  window.fashionflow = window.fashionflow || {};
  window.fashionflow.stageIsFree = () => free(); // called when the server has deleted the visitor's job

  const leave = async (problem = "") => {
    root.classList.remove("stage-help", "stage-qr-large", "stage-black");
    if (isLeaving || (phase() === "attract" && !find("#photo img"))) return;
    isLeaving = true;
    root.classList.add("stage-fading");
    remember({ problem });
    await pause(BLACK_MS);
    if ((await reach(5000)) !== null) {
      const freed = new Promise((resolve) => (free = resolve));
      find("#stage-reset")?.click();
      await Promise.race([freed, pause(3000)]);
      if ((await reach(5000)) !== null) return window.location.reload();
    }
    setPhase("attract"); // a reload would show the browser's own error page
    setServer(null);
    root.classList.remove("stage-fading");
    isLeaving = false;
  };

  // ---- Reading the page's texts
  const look = () => {
    const screen = find("#stage-screen .screen:not([data-seen])");
    if (screen) {
      screen.dataset.seen = "true";
      const { clips, recorded } = screen.dataset;
      remember({ clips: JSON.parse(clips), recorded });
      attract.load(remembered.clips, recorded);
      ask();
    }
    paint();
    findAll("#stage-screen li").forEach((line, index) => line.classList.toggle("chosen", motions()[index]?.checked));
    if (phase() === "working") {
      if (find("#status .problem")) return leave(find("#status .problem").textContent);
      if (!madeClip() || madeClip() === clipBefore) return;
      setPhase("finished");
    } else if (phase() !== "attract" && !inLine && performance.now() - touchedAt > 1000 * RESET_SECONDS) leave();
  };

  const start = () => {
    if (!document.body) return void requestAnimationFrame(start);
    attract.begin();
    if (remembered.clips) attract.load(remembered.clips, remembered.recorded);
    noted.textContent = remembered.problem || "";
    remember({ problem: "" });
    setTimeout(() => noted.replaceChildren(), NOTE_MS);
    setInterval(look, LOOK_MS);
    setInterval(ask, ASK_MS);
    navigator.wakeLock?.request("screen").catch(() => {}); // keeps the screen on, if the browser allows it
  };
  start();
})();
