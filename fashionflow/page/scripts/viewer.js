// The change from the stream to the finished clip, without a visible jump; one time bar for photo and clip; copying the settings.
(() => {
  const LEAD = 0.15; // seconds ahead of the stream at which the clip is prepared
  const PATIENCE_MS = 800; // how long the clip waits for the stream, which may have stopped because it lacks data
  const CLOSE = 0.5; // seconds; a stream that is farther away has jumped, as at the end of a loop
  const PRESENTED_MS = 150; // how long to wait for the first picture
  const HURRY = 1.5; // playback rate of a clip that starts slightly late

  const video = (id) => document.querySelector(`#${id} video`);
  const isDrawn = (id) => document.querySelector(`#${id}`)?.dataset.drawn !== undefined;
  const once = (target, event) => new Promise((resolve) => target.addEventListener(event, resolve, { once: true }));
  const nextFrame = () => new Promise(requestAnimationFrame);

  const move = async (clip, seconds) => {
    const arrived = once(clip, "seeked");
    clip.currentTime = Math.max(0, Math.min(seconds, clip.duration - 0.001));
    await arrived;
  };

  // Waits until the clip's first picture is drawn, or as long as drawing takes if the browser does not report it.
  const presented = (clip) =>
    Promise.race([
      new Promise((resolve) => clip.requestVideoFrameCallback?.(resolve)),
      new Promise((resolve) => setTimeout(resolve, PRESENTED_MS)),
    ]);

  // The clip waits slightly ahead of the stream and starts when the stream arrives. Returns whether the stream arrived.
  const meet = async (player, clip) => {
    const before = performance.now() + PATIENCE_MS;
    const nearEnd = () => player.currentTime + LEAD > clip.duration - LEAD;
    // At the end of its loop, the stream is at its start before the clip could be ready.
    while (!player.paused && nearEnd() && performance.now() < before) await nextFrame();
    const target = player.currentTime + LEAD;
    if (player.paused || nearEnd()) return false;
    await move(clip, target);
    const until = performance.now() + PATIENCE_MS;
    const ahead = () => clip.currentTime - player.currentTime;
    while (ahead() > 0 && ahead() < CLOSE && performance.now() < until) await nextFrame();
    return ahead() <= 0 && ahead() > -CLOSE;
  };

  const synchronise = async (player, clip) => {
    clip.pause();
    if (!(await meet(player, clip))) await move(clip, player.currentTime);
    // A stream that began its loop again while the clip was moved is followed, or the clip would show its end once more.
    if (Math.abs(clip.currentTime - player.currentTime) > CLOSE) await move(clip, player.currentTime);
    if (player.paused) return;
    await clip.play().catch(() => {}); // some browsers do not start videos by themselves
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
    if (clip.src !== source || !clip.isConnected) return; // another clip has replaced it meanwhile
    clip.closest("#clip").dataset.drawn = "";
    video("player")?.pause();
  };

  const begin = async (player) => {
    await presented(player);
    if (isDrawn("clip")) player.pause(); // the finished file was ready first
    else if (player.isConnected) player.closest("#player").dataset.drawn = "";
  };

  const listen = (event, act) => document.addEventListener(event, act, true); // media events do not bubble, so they are captured
  listen("loadeddata", ({ target }) => {
    if (target.closest("#clip")) takeOver(target);
    if (target.closest("#player")) begin(target);
    if (target.closest("#compared-clip")) target.currentTime = target.duration / 2; // at the start, photo and clip are alike
  });
  listen("seeked", ({ target }) => target.closest("#compared-clip") && follow(target));
  listen("emptied", ({ target }) => delete target.closest("#player, #clip")?.dataset.drawn);

  // The time bar of the comparison.
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
    video("clip")?.pause(); // only one video plays at a time
    follow(target);
  });

  // The line of the comparison follows the pointer over the picture, as the slider below does.
  const wipe = (event) => {
    const picture = event.buttons && event.target.closest?.("#wiped");
    if (!picture) return;
    const { left, width } = picture.getBoundingClientRect();
    window.fashionflow.setField(document.querySelector("#wipe input[type=range]"), (100 * (event.clientX - left)) / width);
  };
  for (const event of ["pointerdown", "pointermove"]) document.addEventListener(event, wipe);

  Object.assign((window.fashionflow = window.fashionflow || {}), {
    moveTo(seconds) {
      const clip = video("compared-clip");
      if (!clip) return;
      clip.pause();
      video("clip")?.pause(); // only one video plays at a time
      clip.currentTime = Math.min(seconds + 0.001, clip.duration - 0.001); // slightly after the start of the frame, so that this frame is shown
    },
    wipeTo(share) {
      document.querySelector("#wiped").style.setProperty("--wipe", `${share}%`);
    },
    playCompared() {
      const clip = video("compared-clip");
      if (clip) clip.paused ? clip.play() : clip.pause();
    },
    unfold(name) {
      const header = document.querySelector(`#${name} button`);
      if (!header.classList.contains("open")) header.click();
      header.focus({ preventScroll: true });
      window.fashionflow.scrollTo(`#${name}`, [100]); // once it has its height
    },
    async copy(text) {
      try {
        await navigator.clipboard.writeText(text);
      } catch {
        // Without https there is no clipboard interface, only this command.
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
