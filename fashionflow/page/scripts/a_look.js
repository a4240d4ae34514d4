// The page's own functions, and moving the window to the clip on a phone.
window.fashionflow = window.fashionflow || {};

window.fashionflow.scrollToTheClip = () => {
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  const scroll = () =>
    document.querySelector("#status").scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
  // More than once, because a browser gives up a smooth scroll when the page changes under it, as it now does.
  [0, 400, 1000].forEach((wait) => setTimeout(scroll, wait));
};
