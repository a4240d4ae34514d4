// The lookbook is below the area where clips appear, so the page scrolls up to a clip that is picked in it.
window.fashionflow = window.fashionflow || {};

window.fashionflow.showTheStage = () => window.fashionflow.scrollTo("#stage", [0, 400]);

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
