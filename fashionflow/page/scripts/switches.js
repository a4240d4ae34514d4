// The switches of the header are a popover of their button, which Gradio cannot say of its components.
window.fashionflow = window.fashionflow || {};

window.fashionflow.attachSwitches = () => {
  const [button, switches] = [document.querySelector("#show-switches"), document.querySelector("#switches")];
  switches.popover = "auto";
  button.popoverTargetElement = switches;
};
