// The crop: dragging the frame on the photo moves it, and the wheel or two fingers zoom it. This script only sets the sliders, which do the
// work, so that visitors who cannot drag can do the same.
(() => {
  const slider = (name) => document.querySelector(`#crop-${name} input[type=range]`);
  const set = (name, change) => {
    const input = slider(name);
    if (!input || !change) return;
    const value = Math.min(Number(input.max), Math.max(Number(input.min), Number(input.value) + change));
    window.fashionflow.setField(input, value);
  };
  const view = () => document.querySelector(".crop-view");
  const fingers = new Map(); // by pointer: its last position
  const spread = () => {
    const [one, other] = [...fingers.values()];
    return Math.hypot(one.x - other.x, one.y - other.y);
  };
  // Until the server has drawn the view anew, the frame follows the finger here.
  const shift = (x, y) => {
    const { style } = view().querySelector(".frame");
    style.left = `${parseFloat(style.left) + 100 * x}%`;
    style.top = `${parseFloat(style.top) + 100 * y}%`;
  };

  document.addEventListener("pointerdown", (event) => {
    if (!event.target.closest?.(".crop-view")) return;
    if (!slider("zoom")) document.querySelector("#crop button").click(); // while the panel is folded, there are no sliders to set
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    event.preventDefault(); // otherwise the browser would drag the picture
  });
  document.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before || !view()) return;
    const wide = fingers.size === 2 ? spread() : 0;
    const [x, y] = [(event.clientX - before.x) / view().clientWidth, (event.clientY - before.y) / view().clientHeight];
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (fingers.size === 2) set("zoom", (-4 * (spread() - wide)) / view().clientHeight); // fingers that part widen the frame
    else {
      const [across, down] = view().dataset.places.split(" ").map(Number);
      set("across", across * x);
      set("down", down * y);
      shift(across && x, down && y);
    }
  });
  for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, (event) => fingers.delete(event.pointerId));
  document.addEventListener(
    "wheel",
    (event) => {
      if (!event.target.closest?.(".crop-view") || !slider("zoom")) return; // while the panel is folded, the wheel scrolls the page as usual
      event.preventDefault();
      set("zoom", event.deltaY < 0 ? 0.1 : -0.1);
    },
    { passive: false },
  );
})();
