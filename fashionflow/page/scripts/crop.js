// The crop, moved by dragging the first frame and zoomed with the wheel or two fingers. The sliders do the work, so that whoever
// cannot drag has the same; here they are only set.
(() => {
  const slider = (name) => document.querySelector(`#crop-${name} input[type=range]`);
  const set = (name, change) => {
    const input = slider(name);
    if (!input) return;
    const value = Math.min(Number(input.max), Math.max(Number(input.min), Number(input.value) + change));
    Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set.call(input, value);
    input.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const onFrame = (event) => event.target.closest?.("#first-frame img") && document.querySelector("#crop");
  const fingers = new Map(); // by pointer: where it was last, and what of its way has not moved a slider yet
  const spread = () => {
    const [one, other] = [...fingers.values()];
    return Math.hypot(one.x - other.x, one.y - other.y);
  };

  document.addEventListener("pointerdown", (event) => {
    if (!onFrame(event)) return;
    if (!slider("zoom")) document.querySelector("#crop button").click(); // folded, there are no sliders to set
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    event.preventDefault(); // or the browser would drag the picture away
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
      if (!onFrame(event) || !slider("zoom")) return; // folded, the wheel scrolls the page as everywhere
      event.preventDefault();
      set("zoom", event.deltaY < 0 ? 0.1 : -0.1);
    },
    { passive: false },
  );
})();
