// The dial of the turn angle: it shows the slider's value, and a finger on it sets the slider. Angles are degrees: 0 is down, towards the
// camera, and 90 is the right of the picture.
(() => {
  const RADIUS = 46; // as in the SVG
  const place = (angle) => {
    const radians = (angle * Math.PI) / 180;
    return `${(RADIUS * Math.sin(radians)).toFixed(2)} ${(RADIUS * Math.cos(radians)).toFixed(2)}`;
  };
  window.fashionflow.drawDial = (angle) => {
    const dial = document.querySelector("#turn-dial .dial");
    if (!dial) return;
    const whole = Math.abs(angle) >= 360;
    const [end, sweep] = [whole ? Math.sign(angle) * 359.9 : angle, angle > 0 ? 0 : 1];
    const far = Math.abs(end) > 180 ? 1 : 0;
    dial.querySelector(".turned").setAttribute("d", `M${place(0)}A${RADIUS} ${RADIUS} 0 ${far} ${sweep} ${place(end)}`);
    dial.querySelector(".person").setAttribute("transform", `rotate(${-angle})`);
  };

  const slider = () => document.querySelector("#turn-angle input[type=range]");
  let dial = null; // while a finger is on it
  // The value nearest to the one before, so that a whole turn can be dialled, and a second one cannot begin.
  const follow = (event) => {
    const { left, top, width, height } = dial.getBoundingClientRect();
    const [x, y] = [event.clientX - left - width / 2, event.clientY - top - height / 2];
    if (Math.hypot(x, y) < width / 8) return; // in the middle, the direction means nothing
    const { value, min, max, step } = slider();
    const away = (Math.atan2(x, y) * 180) / Math.PI - value;
    const angle = Number(value) + away - 360 * Math.round(away / 360);
    const chosen = Math.min(Number(max), Math.max(Number(min), step * Math.round(angle / step)));
    window.fashionflow.setField(slider(), chosen);
    window.fashionflow.drawDial(chosen);
  };
  document.addEventListener("pointerdown", (event) => {
    dial = event.target.closest?.("#turn-dial .dial");
    if (!dial || slider().disabled) return void (dial = null);
    event.preventDefault(); // otherwise a browser may begin to select text
    follow(event);
  });
  document.addEventListener("pointermove", (event) => dial && follow(event));
  for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, () => (dial = null));
})();
