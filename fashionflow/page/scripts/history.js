// The history's entries, which stay in this browser; files that are dropped on the page; and the draft that a reloaded page restores.
window.fashionflow = window.fashionflow || {};
(() => {
  const MOST = 24;
  const FRESH_SECONDS = 15; // a clip that finished at most this long ago counts as just made
  const DRAFT = "fashionflow-draft";
  const DRAFT_MS = 45 * 60 * 1000; // the photo is deleted after 50 minutes at the earliest
  const same = { __type__: "update" };
  const FORGOTTEN = "fashionflow-forgotten";
  const FORGOTTEN_MS = 60 * 60 * 1000; // by then the server has deleted the clip
  const nameOf = (entry) => `${entry.job}/${entry.clip}`;
  const isSame = (one, other) => nameOf(one) === nameOf(other);
  const show = (visible) => ({ __type__: "update", visible });
  const enable = (interactive) => ({ __type__: "update", interactive });

  const rung = new Set();
  window.fashionflow.keep = (entry, entries) => {
    if (!entry) return [same];
    const name = nameOf(entry);
    if (entry.age < FRESH_SECONDS && !rung.has(name)) window.fashionflow.ring();
    rung.add(name);
    const gone = forgotten();
    entries = (entries || []).filter((other) => !(nameOf(other) in gone)); // which another tab may have forgotten
    if (!window.fashionflow.keepsHistory() || name in gone || entries.some((other) => isSame(other, entry))) return [same];
    return [[entry, ...entries].slice(0, MOST)]; // a list of outputs, with one output
  };

  // A forgotten clip may be shown again, as its job is after a reload, or its entry may be on its way from the server.
  const forgotten = () => {
    const times = Object.entries(JSON.parse(localStorage.getItem(FORGOTTEN) || "{}"));
    return Object.fromEntries(times.filter(([, at]) => Date.now() - at < FORGOTTEN_MS));
  };
  const forget = (entries) => {
    const names = entries.map((entry) => [nameOf(entry), Date.now()]);
    localStorage.setItem(FORGOTTEN, JSON.stringify({ ...forgotten(), ...Object.fromEntries(names) }));
  };

  window.fashionflow.draw = (entries) => {
    const time = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
    const items = (entries || []).map((entry) => ({
      image: { path: "", url: entry.thumbnail },
      caption: `${entry.caption} · ${time.format(entry.at)}`,
    }));
    nameThumbnails();
    const some = items.length > 0;
    return [{ __type__: "update", value: items, visible: some, selected_index: null }, show(some), show(!some)];
  };

  // Gradio names them "Thumbnail 1 of 12", which does not describe the picture to users of screen readers.
  const nameThumbnails = () =>
    setTimeout(() => {
      for (const cell of document.querySelectorAll("#history-gallery .thumbnail-item"))
        cell.setAttribute("aria-label", cell.innerText.trim());
    }, 200);

  const without = (removed, entries) => {
    forget(removed);
    const left = (entries || []).filter((entry) => !removed.some((other) => isSame(entry, other)));
    return [left, null, enable(false), enable(false), ""];
  };
  window.fashionflow.remove = (picked, entries) => without(picked ? [picked] : [], entries);
  window.fashionflow.forgetAll = (entries) => without(entries || [], entries);

  // The server packs the clips that these entries name; the pictures in the entries stay here.
  window.fashionflow.namesOf = (entries) => [(entries || []).map(({ job, clip, caption }) => ({ job, clip, caption }))];
  window.fashionflow.save = (file) => {
    if (file) Object.assign(document.createElement("a"), { href: file.url, download: file.orig_name ?? "" }).click();
  };

  window.fashionflow.showReopened = () => {
    if (!document.querySelector("#history-note .status")) window.fashionflow.showTheStage?.();
  };

  // The photo boxes and the lookbook take photos. This script takes every other file that may be one of our clips.
  const isClip = (file) => file.type.startsWith("video/") || /\.(mp4|mov|webm|gif|webp|zip)$/i.test(file.name);
  const clipIn = (event) => {
    if (event.target.closest?.("#lookbook, #back-photo")) return null;
    const files = event.dataTransfer?.files;
    return files?.length === 1 && isClip(files[0]) ? files : null;
  };
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  const find = async (selector) => {
    for (let tries = 0; tries < 40; tries++) {
      const found = document.querySelector(selector);
      if (found) return found;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return null;
  };
  document.addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault()); // otherwise there would be no drop event
  document.addEventListener(
    "drop",
    async (event) => {
      const files = clipIn(event);
      if (!files) return hasFiles(event) && event.preventDefault(); // otherwise the browser would open the file in place of the page
      event.preventDefault();
      event.stopPropagation();
      const kept = new DataTransfer(); // the event's own list is emptied when the event is over
      kept.items.add(files[0]);
      if (!document.querySelector("#history-file")?.offsetParent) document.querySelector("#history > button").click();
      const input = await find("#history-file input[type=file]");
      if (!input) return;
      input.files = kept.files;
      input.dispatchEvent(new Event("change", { bubbles: true }));
      document.querySelector("#history-note").scrollIntoView({ block: "nearest" });
    },
    { capture: true },
  );

  let isRestored = false;
  window.fashionflow.restoreDraft = (count) => {
    const stored = isRestored ? null : JSON.parse(sessionStorage.getItem(DRAFT) || "null");
    isRestored = true;
    if (!stored || stored.values.length !== count || !window.fashionflow.keepsDraft()) return Array(count).fill(same);
    const [photo, back, ...settings] = stored.values;
    const fresh = (upload) => (upload && Date.now() - stored.at < DRAFT_MS ? upload : same);
    const hasBack = document.querySelector("#back-photo"); // not every model has it
    return [fresh(photo), hasBack ? fresh(back) : same, ...settings.map((value) => value ?? same)];
  };
  let photoBefore;
  window.fashionflow.keepDraft = (values) => {
    if (!isRestored || !window.fashionflow.keepsDraft()) return;
    const before = JSON.parse(sessionStorage.getItem(DRAFT) || "null");
    const at = before && values[0]?.path === photoBefore ? before.at : Date.now();
    photoBefore = values[0]?.path;
    sessionStorage.setItem(DRAFT, JSON.stringify({ at, values }));
  };
  window.fashionflow.keepsDraft = () => new URLSearchParams(window.location.search).get("stage") !== "1";
})();
