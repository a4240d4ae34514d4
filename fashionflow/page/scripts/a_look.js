// The page's own functions, and scrolling to the clip on a phone.
window.fashionflow = window.fashionflow || {};

window.fashionflow.scrollToTheClip = () => {
  document.querySelector("#workplace").classList.add("has-begun"); // page.css makes room at once, and not when the preview arrives
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  const scroll = () =>
    document.querySelector("#status").scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
  // Scroll more than once, because a browser stops a smooth scroll when the page changes meanwhile, as it does now.
  [0, 400, 1000].forEach((wait) => setTimeout(scroll, wait));
};
