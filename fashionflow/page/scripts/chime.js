// Two quiet notes when a clip is done, for visitors who switched them on. Nothing else on the page makes a sound.
window.fashionflow = window.fashionflow || {};
(() => {
  const SWITCH = "fashionflow-chime";
  const NOTES = [659.26, 880]; // hertz: E5 and A5
  const LOUDNESS = 0.12;
  const FADING_SECONDS = 0.9;
  let audio = null;

  const isOn = () => localStorage.getItem(SWITCH) === "on";
  // Browsers allow sound only after a touch or a key press.
  const wake = () => {
    if (!isOn()) return;
    audio = audio || new AudioContext();
    if (audio.state === "suspended") audio.resume();
  };
  for (const gesture of ["pointerdown", "keydown"]) document.addEventListener(gesture, wake, { capture: true });

  window.fashionflow.ring = () => {
    if (!isOn() || !audio) return;
    NOTES.forEach((hertz, index) => {
      const start = audio.currentTime + 0.16 * index;
      const note = new OscillatorNode(audio, { frequency: hertz });
      const loudness = new GainNode(audio, { gain: 0 });
      loudness.gain.linearRampToValueAtTime(0, start);
      loudness.gain.linearRampToValueAtTime(LOUDNESS, start + 0.02);
      loudness.gain.exponentialRampToValueAtTime(0.0001, start + FADING_SECONDS);
      note.connect(loudness).connect(audio.destination);
      note.start(start);
      note.stop(start + FADING_SECONDS);
    });
  };
  window.fashionflow.chimes = isOn;
  window.fashionflow.chime = (on) => {
    localStorage.setItem(SWITCH, on ? "on" : "off");
    wake();
    window.fashionflow.ring(); // so that the visitor hears how it sounds
  };
})();
