// The lookbook is below the area where clips appear, so the page scrolls up to a clip that is picked in it.
window.fashionflow = window.fashionflow || {};

window.fashionflow.showTheStage = () => {
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  const scroll = () =>
    document.querySelector("#stage").scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
  // Scroll more than once, because a browser stops a smooth scroll when the page changes meanwhile.
  [0, 400].forEach((wait) => setTimeout(scroll, wait));
};

window.fashionflow.showPickedClip = () => {
  if (!document.querySelector("#lookbook-picked .problem")) window.fashionflow.showTheStage();
};

// Gradio names them "Thumbnail 1 of 12", which does not describe the picture to users of screen readers.
window.fashionflow.nameThumbnails = () => {
  const name = () => {
    for (const cell of document.querySelectorAll("#lookbook-sheet .thumbnail-item"))
      cell.setAttribute("aria-label", cell.innerText.trim());
  };
  [100, 1000].forEach((wait) => setTimeout(name, wait)); // after they are drawn, also on a slow machine
};
