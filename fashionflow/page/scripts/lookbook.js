// The lookbook stands below the place where clips appear, so the page moves up to a clip that is picked there.
window.fashionflow = window.fashionflow || {};

window.fashionflow.showTheStage = () => {
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  const scroll = () =>
    document.querySelector("#stage").scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
  // More than once, because a browser gives up a smooth scroll when the page changes under it.
  [0, 400].forEach((wait) => setTimeout(scroll, wait));
};

window.fashionflow.showPickedClip = () => {
  if (!document.querySelector("#lookbook-picked .problem")) window.fashionflow.showTheStage();
};

// Gradio calls them "Thumbnail 1 of 12", which tells a screen reader nothing that is seen.
window.fashionflow.nameThumbnails = () => {
  const name = () => {
    for (const cell of document.querySelectorAll("#lookbook-sheet .thumbnail-item"))
      cell.setAttribute("aria-label", cell.innerText.trim());
  };
  [100, 1000].forEach((wait) => setTimeout(name, wait)); // once they are drawn, however slow the machine
};
