// The stream hands over to the finished clip unseen; one bar for photo and clip; settings copied by one tap.
(() => {
  const LEAD = 0.15; // seconds by which the clip is made ready ahead of the stream
  const PATIENCE_MS = 800; // for the stream to come to where the clip waits; it may have stopped for want of data
  const CLOSE = 0.5; // seconds; a stream farther off has jumped, as at the end of a loop
  const PRESENTED_MS = 150; // for a first picture
  const HURRY = 1.5; // times as fast goes the clip that starts a moment late

  const video = (id) => document.querySelector(`#${id} video`);
  const isDrawn = (id) => document.querySelector(`#${id}`)?.dataset.drawn !== undefined;
  const once = (target, event) => new Promise((resolve) => target.addEventListener(event, resolve, { once: true }));
  const nextFrame = () => new Promise(requestAnimationFrame);

  const move = async (clip, seconds) => {
    const arrived = once(clip, "seeked");
    clip.currentTime = Math.max(0, Math.min(seconds, clip.duration - 0.001));
    await arrived;
  };

  // The clip's first picture has been drawn, or would have been by now if the browser told of it.
  const presented = (clip) =>
    Promise.race([
      new Promise((resolve) => clip.requestVideoFrameCallback?.(resolve)),
      new Promise((resolve) => setTimeout(resolve, PRESENTED_MS)),
    ]);

  // The clip waits a little ahead of the stream and starts when the stream arrives. Returns whether it did.
  const meet = async (player, clip) => {
    const target = player.currentTime + LEAD;
    if (player.paused || target > clip.duration - LEAD) return false;
    await move(clip, target);
    const until = performance.now() + PATIENCE_MS;
    const ahead = () => clip.currentTime - player.currentTime;
    while (ahead() > 0 && ahead() < CLOSE && performance.now() < until) await nextFrame();
    return ahead() <= 0 && ahead() > -CLOSE;
  };

  const synchronise = async (player, clip) => {
    clip.pause();
    if (!(await meet(player, clip))) await move(clip, player.currentTime);
    if (player.paused) return;
    await clip.play().catch(() => {}); // a browser that plays nothing by itself
    const until = performance.now() + PATIENCE_MS;
    const behind = () => player.currentTime - clip.currentTime;
    while (!clip.paused && behind() > 0 && behind() < CLOSE && performance.now() < until) {
      clip.playbackRate = HURRY;
      await nextFrame();
    }
    clip.playbackRate = 1;
  };

  const takeOver = async (clip) => {
    const [source, player] = [clip.src, video("player")];
    if (player && isDrawn("player")) await synchronise(player, clip);
    else await presented(clip);
    if (clip.src !== source || !clip.isConnected) return; // another clip has come meanwhile
    clip.closest("#clip").dataset.drawn = "";
    video("player")?.pause();
  };

  const begin = async (player) => {
    await presented(player);
    if (isDrawn("clip")) player.pause(); // the finished file was quicker
    else if (player.isConnected) player.closest("#player").dataset.drawn = "";
  };

  const listen = (event, act) => document.addEventListener(event, act, true); // events of media do not rise by themselves
  listen("loadeddata", ({ target }) => {
    if (target.closest("#clip")) takeOver(target);
    if (target.closest("#player")) begin(target);
    if (target.closest("#compared-clip")) follow(target);
  });
  listen("emptied", ({ target }) => delete target.closest("#player, #clip")?.dataset.drawn);

  // The bar of the comparison.
  const bar = () => document.querySelectorAll("#time-bar input");
  const follow = (clip) => {
    if (!clip.isConnected) return;
    for (const field of bar()) {
      field.value = clip.currentTime.toFixed(2);
      if (field.type === "range") field.style.setProperty("--range_progress", `${(100 * field.value) / field.max}%`);
    }
    if (!clip.paused) requestAnimationFrame(() => follow(clip));
  };
  listen("play", ({ target }) => {
    if (!target.closest("#compared-clip")) return;
    video("clip")?.pause(); // one thing moves at a time
    follow(target);
  });

  Object.assign((window.fashionflow = window.fashionflow || {}), {
    moveTo(seconds) {
      const clip = video("compared-clip");
      if (!clip) return;
      clip.pause();
      video("clip")?.pause(); // one thing moves at a time
      clip.currentTime = Math.min(seconds + 0.001, clip.duration - 0.001); // safely inside the frame that begins there
    },
    playCompared() {
      const clip = video("compared-clip");
      if (clip) clip.paused ? clip.play() : clip.pause();
    },
    async copy(text) {
      try {
        await navigator.clipboard.writeText(text);
      } catch {
        // On plain http there is no clipboard, only this.
        const field = Object.assign(document.createElement("textarea"), { value: text });
        document.body.append(field);
        field.select();
        document.execCommand("copy");
        field.remove();
      }
      const button = document.querySelector("#copy");
      const label = [...button.childNodes];
      const said = document.querySelector("#copied").textContent.trim();
      if (button.textContent.trim() === said) return;
      button.replaceChildren(said);
      setTimeout(() => button.replaceChildren(...label), 2000);
    },
  });
})();
