// Gradio reloads a page whose event stream breaks, as soon as the server answers again, and the reloaded page continues with its
// job. But Gradio does not notice a stream that ends early without an error, or a stream that is silent because the other end
// has gone, as after a phone's sleep. This script makes such streams fail with an error, so that Gradio notices them.
(() => {
  const SILENCE_MS = 40000; // the server sends something every 15 s
  const LOOK_MS = 5000;
  const LAST_WORD = "close_stream"; // the last message of a stream that ends correctly

  const watched = (response) => {
    let heardAt = performance.now();
    let looking;
    let controller;
    let ending = "";
    let broken = false;
    const decoder = new TextDecoder();
    const reader = response.body.getReader();
    const stop = () => {
      clearInterval(looking);
      window.removeEventListener("offline", breakOff);
    };
    const breakOff = () => {
      if (broken) return;
      broken = true;
      stop();
      controller.error(new TypeError("The event stream has broken off."));
      reader.cancel().catch(() => {});
    };
    const body = new ReadableStream({
      start: (own) => {
        controller = own;
        let lookedAt = performance.now();
        looking = setInterval(() => {
          const now = performance.now();
          // A page that slept gets some time to read the data that has arrived meanwhile.
          if (now - lookedAt > 2 * LOOK_MS) heardAt = Math.max(heardAt, now - SILENCE_MS + LOOK_MS);
          lookedAt = now;
          if (now - heardAt > SILENCE_MS) breakOff();
        }, LOOK_MS);
        window.addEventListener("offline", breakOff);
      },
      pull: async () => {
        try {
          const { done, value } = await reader.read();
          if (broken) return;
          heardAt = performance.now();
          if (value) {
            ending = (ending + decoder.decode(value, { stream: true })).slice(-200);
            controller.enqueue(value);
          } else if (done && !ending.includes(LAST_WORD)) breakOff();
          else if (done) {
            stop();
            controller.close();
          }
        } catch (error) {
          if (broken) return;
          broken = true;
          stop();
          error.name === "AbortError" ? controller.close() : controller.error(error); // Gradio ended it, as when the page closes
        }
      },
      cancel: (reason) => {
        stop();
        return reader.cancel(reason);
      },
    });
    return new Response(body, { status: response.status, statusText: response.statusText, headers: response.headers });
  };

  const { fetch } = window;
  window.fetch = async (...request) => {
    const address = request[0]?.url ?? String(request[0]);
    if (!address.includes("/queue/data?")) return fetch(...request);
    try {
      const response = await fetch(...request);
      return response.ok && response.body ? watched(response) : response;
    } catch (error) {
      if (error.name !== "AbortError") throw error;
      return new Promise(() => {}); // the page is being closed, which Gradio would report as a lost connection
    }
  };
})();
