// The crop: dragging the frame on the photo moves it, and the wheel or two fingers zoom it. This script only sets the sliders, which do the
// work, so that visitors who cannot drag can do the same.
(() => {
  const slider = (name) => document.querySelector(`#crop-${name} input[type=range]`);
  const set = (name, value) => {
    const input = slider(name);
    if (input) window.fashionflow.setField(input, Math.min(Number(input.max), Math.max(Number(input.min), value)));
  };
  const view = () => document.querySelector(".crop-view");
  const places = () => view().dataset.places.split(" ").map(Number);
  const fingers = new Map(); // by pointer: its last position
  const spread = () => {
    const [one, other] = [...fingers.values()];
    return Math.hypot(one.x - other.x, one.y - other.y);
  };
  // Where a drag began: the finger and the two sliders, whose steps would swallow small movements if they were added up one by one.
  let start = null;
  // Until the server has drawn the view anew, the frame is drawn here where the sliders have it.
  const draw = () => {
    const frame = view().querySelector(".frame");
    const [across, down, isAcross, isDown] = places();
    frame.dataset.at ??= `${parseFloat(frame.style.left)} ${parseFloat(frame.style.top)}`;
    const [left, top] = frame.dataset.at.split(" ").map(Number);
    if (across) frame.style.left = `${left + (100 * (slider("across").value - isAcross)) / across}%`;
    if (down) frame.style.top = `${top + (100 * (slider("down").value - isDown)) / down}%`;
  };

  document.addEventListener("pointerdown", (event) => {
    if (!event.target.closest?.(".crop-view")) return;
    if (!slider("zoom")) document.querySelector("#crop button").click(); // while the panel is folded, there are no sliders to set
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    start = null;
    event.preventDefault(); // otherwise the browser would drag the picture
  });
  document.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId) || !view() || !slider("zoom")) return;
    const wide = fingers.size === 2 ? spread() : 0;
    const at = { x: event.clientX, y: event.clientY };
    start ??= { ...fingers.get(event.pointerId), across: Number(slider("across").value), down: Number(slider("down").value) };
    fingers.set(event.pointerId, at);
    if (fingers.size === 2) {
      set("zoom", Number(slider("zoom").value) - (4 * (spread() - wide)) / view().clientHeight); // fingers that part widen the frame
      start = null;
      return;
    }
    const [across, down] = places();
    if (across) set("across", start.across + (across * (at.x - start.x)) / view().clientWidth);
    if (down) set("down", start.down + (down * (at.y - start.y)) / view().clientHeight);
    draw();
  });
  for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, (event) => fingers.delete(event.pointerId));
  document.addEventListener(
    "wheel",
    (event) => {
      if (!event.target.closest?.(".crop-view") || !slider("zoom")) return; // while the panel is folded, the wheel scrolls the page as usual
      event.preventDefault();
      set("zoom", Number(slider("zoom").value) + (event.deltaY < 0 ? 0.1 : -0.1));
    },
    { passive: false },
  );
})();
