// The page's own functions: setting a slider, scrolling to the clip on a phone, and resting the example.
window.fashionflow = window.fashionflow || {};

// Sets a slider's field as a visitor would, so that Gradio notices; its own property would keep the change from Gradio.
window.fashionflow.setField = (field, value) => {
  Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set.call(field, value);
  field.dispatchEvent(new Event("input", { bubbles: true }));
};

// Scrolls as far as needed to show something, after each of the waits in milliseconds: a browser stops a smooth scroll when the page
// changes meanwhile.
window.fashionflow.scrollTo = (selector, waits) => {
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  const scroll = () =>
    document.querySelector(selector).scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
  waits.forEach((wait) => setTimeout(scroll, wait));
};

window.fashionflow.scrollToTheClip = () => {
  document.querySelector("#workplace").classList.add("has-begun"); // page.css makes room at once, and not when the preview arrives
  window.fashionflow.scrollTo("#status", [0, 400, 1000]);
};

// The example clip rests once the visitor has a photo: often the model needs the processor that draws the clip.
document.addEventListener(
  "load", // which does not bubble, so it is captured
  ({ target }) => target.closest?.("#first-frame") && document.querySelector("#example-clip video")?.pause(),
  true,
);
