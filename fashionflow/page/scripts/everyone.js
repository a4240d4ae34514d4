// Accessibility that Gradio lacks: names for its buttons, announcements for screen readers, reduced motion, and the page's language.
(() => {
  // ---- The language. Where our texts replace the English ones (languages/own_languages.py), Gradio marks the page as English.
  const root = document.documentElement;
  const texts = window.gradio_config?.i18n_translations ?? {};
  const own = navigator.language.split("-")[0].toLowerCase();
  if (own !== "en" && texts.en && texts.en === texts[own]) {
    const name = () => root.lang !== own && (root.lang = own);
    new MutationObserver(name).observe(root, { attributeFilter: ["lang"] });
    name();
  }
  const say = (key) => (texts[root.lang] ?? texts.en ?? {})[key] ?? "";

  // ---- Names. A picture gets the label of its box as its name; an empty box has no name.
  const nameAll = () => {
    for (const picture of document.querySelectorAll(".image-container button img:not([data-named])")) {
      const label = picture.closest(".block")?.querySelector("label[data-testid='block-label']");
      picture.alt = label?.innerText.trim() || say("stage.label");
      picture.dataset.named = "";
    }
    // Gradio gives the buttons of all empty boxes the same name.
    for (const button of document.querySelectorAll(".image-container button.upload-container:not([data-named])")) {
      const label = button.closest(".block")?.querySelector("label[data-testid='block-label']");
      if (!label?.innerText.trim()) continue;
      button.setAttribute("aria-label", `${label.innerText.trim()}: ${button.innerText.trim().replace(/\s+/g, " ")}`);
      button.dataset.named = "";
    }
    document.querySelectorAll("#examples .gallery-item").forEach((button, index) => {
      button.setAttribute("aria-label", `${say("photo.example")} ${index + 1}`);
    });
    for (const empty of document.querySelectorAll(".empty[aria-label]:not([role])")) empty.removeAttribute("aria-label");
  };

  // ---- Changes. Screen readers announce changes only in elements that existed before, and Gradio creates ours anew each time.
  const PLACES = "#status, #note, #back-note, #guessed, #lookbook-status, #lookbook-picked, #history-note, #verdict";
  const BETWEEN_STEPS_MS = 10_000;
  const heard = new Map(); // by place: its last announced text, and the time
  const voice = Object.assign(document.createElement("div"), { id: "announcer" });
  voice.setAttribute("role", "status");
  const listen = () => {
    const news = [];
    const isFirst = heard.size === 0; // the page's first texts are not announced
    for (const place of document.querySelectorAll(PLACES)) {
      const before = heard.get(place.id);
      const said = place.innerText.trim().replace(/\s+/g, " ");
      const isStep = place.querySelector(".bar");
      if (said === before?.said || (isStep && performance.now() - before?.at < BETWEEN_STEPS_MS)) continue;
      heard.set(place.id, { said, at: performance.now() });
      if (!isFirst && said && !place.querySelector("[role=alert]")) news.push(said); // screen readers announce an alert by themselves
    }
    if (news.length) voice.textContent = news.join(" ");
  };

  let isDue = false;
  const look = () => {
    if (isDue) return;
    isDue = true;
    setTimeout(() => {
      isDue = false;
      if (!voice.isConnected) document.body.append(voice);
      nameAll();
      listen();
    }, 250);
  };
  new MutationObserver(look).observe(root, { childList: true, subtree: true, characterData: true });
  look();

  // ---- Reduced motion. Visitors who want less motion start clips by hand.
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
  let touched = null;
  for (const gesture of ["pointerdown", "keydown"])
    document.addEventListener(gesture, (event) => (touched = event.target.closest?.("#player, #clip")), true);
  document.addEventListener(
    "loadeddata",
    ({ target }) => target.closest("#example-clip") && !calm.matches && target.play().catch(() => {}),
    true,
  );
  document.addEventListener(
    "play",
    ({ target }) => {
      const place = target.closest("#player, #clip");
      if (place && place !== touched && calm.matches && !root.classList.contains("on-stage")) target.pause();
    },
    true,
  );
})();
