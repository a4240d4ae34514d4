// The data of this page that the browser keeps. Jobs are stored by tab, so that a reloaded tab finds its own job. With the switch
// "Leave nothing", the browser keeps nothing after the tab is closed.
window.fashionflow = window.fashionflow || {};
(() => {
  const SWITCH = "fashionflow-leave-nothing";
  const TAB = "fashionflow-tab";
  const LASTING = [SWITCH, "fashionflow-chime"]; // these say nothing about a visitor's clips
  const SHARED = ["fashionflow-history", "fashionflow-forgotten"]; // the same in all tabs
  const isOurs = (storage, key) => storage === localStorage && key.startsWith("fashionflow-") && !LASTING.includes(key);
  const kind = Object.getPrototypeOf(localStorage); // Storage, or what a_storage.js has instead
  const { setItem, getItem } = kind;
  const leavesNothing = () => getItem.call(localStorage, SWITCH) === "on";
  const isStage = new URLSearchParams(window.location.search).get("stage") === "1"; // visitors of the stage share a browser

  // Gradio's BrowserState uses only localStorage.
  kind.setItem = function (key, value) {
    if (isOurs(this, key)) {
      if (!SHARED.includes(key)) setItem.call(sessionStorage, key, value);
      if (leavesNothing() || isStage) return;
    }
    setItem.call(this, key, value);
  };
  kind.getItem = function (key) {
    const own = isOurs(this, key) ? getItem.call(sessionStorage, key) : null;
    return own ?? getItem.call(this, key);
  };

  const forget = () => {
    for (const key of Object.keys(localStorage)) if (isOurs(localStorage, key)) localStorage.removeItem(key);
  };
  if (leavesNothing()) forget();

  // crypto.randomUUID is missing if the page is served without encryption, as on a local network.
  const draw = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

  window.fashionflow.keepsHistory = () => !leavesNothing() && !isStage;
  window.fashionflow.tab = () => {
    if (!sessionStorage.getItem(TAB)) sessionStorage.setItem(TAB, draw());
    return { tab: sessionStorage.getItem(TAB), private: leavesNothing() };
  };
  window.fashionflow.leaveNothing = (on) => {
    setItem.call(localStorage, SWITCH, on ? "on" : "off");
    if (!on) return [{ __type__: "update" }, { __type__: "update" }];
    forget();
    return [[], null];
  };
  // The switch in the same visitor's other tabs changes too.
  window.addEventListener("storage", (event) => {
    const box = document.querySelector("#leave-nothing input");
    if (event.key === SWITCH && box && box.checked !== leavesNothing()) box.click();
  });
})();
