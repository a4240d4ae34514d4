// The crop: dragging the first frame moves it, and the wheel or two fingers zoom it. This script only sets the sliders, which do the
// work, so that visitors who cannot drag can do the same.
(() => {
  const slider = (name) => document.querySelector(`#crop-${name} input[type=range]`);
  const set = (name, change) => {
    const input = slider(name);
    if (!input) return;
    const value = Math.min(Number(input.max), Math.max(Number(input.min), Number(input.value) + change));
    window.fashionflow.setField(input, value);
  };
  const onFrame = (event) => event.target.closest?.("#first-frame img") && document.querySelector("#crop");
  const fingers = new Map(); // by pointer: its last position
  const spread = () => {
    const [one, other] = [...fingers.values()];
    return Math.hypot(one.x - other.x, one.y - other.y);
  };

  document.addEventListener("pointerdown", (event) => {
    if (!onFrame(event)) return;
    if (!slider("zoom")) document.querySelector("#crop button").click(); // while the panel is folded, there are no sliders to set
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    event.preventDefault(); // otherwise the browser would drag the picture
  });
  document.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const image = document.querySelector("#first-frame img");
    const wide = fingers.size === 2 ? spread() : 0;
    const moved = { x: event.clientX - before.x, y: event.clientY - before.y };
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (fingers.size === 2) set("zoom", (4 * (spread() - wide)) / image.clientHeight);
    else {
      set("across", (-2 * moved.x) / image.clientWidth);
      set("down", (-2 * moved.y) / image.clientHeight);
    }
  });
  for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, (event) => fingers.delete(event.pointerId));
  document.addEventListener(
    "wheel",
    (event) => {
      if (!onFrame(event) || !slider("zoom")) return; // while the panel is folded, the wheel scrolls the page as usual
      event.preventDefault();
      set("zoom", event.deltaY < 0 ? 0.1 : -0.1);
    },
    { passive: false },
  );
})();
