// Gradio reloads a page whose event stream breaks, as soon as the server answers again, and the reloaded page continues with its
// job. But Gradio does not notice a stream that ends early without an error, or a stream that is silent because the other end
// has gone, as after a phone's sleep. This script makes such streams fail with an error, so that Gradio notices them.
//
// The server ends the stream when it knows of no other event. Gradio would never hear of an event that the page has submitted while
// this end was on its way, such as a run that is found again when the page is loaded. This script then continues with a new stream.
(() => {
  const SILENCE_MS = 40000; // the server sends something every 15 s
  const LOOK_MS = 5000;

  const submitting = new Set(); // promises, for events whose number the server has not told yet
  const submitted = new Set(); // the numbers of the events whose end has not arrived
  const ended = new Set(); // the numbers of events that ended before the server told their number
  const submit = async (request) => {
    const answer = fetch(...request);
    const noting = answer
      .then((response) => response.clone().json())
      .then(({ event_id: number }) => number && !ended.delete(number) && submitted.add(number))
      .catch(() => {}) // which is reported by `answer`
      .finally(() => submitting.delete(noting));
    submitting.add(noting);
    await noting;
    return answer;
  };

  const opened = async (request) => {
    const response = await fetch(...request);
    return response.ok && response.body ? watched(response, request) : response;
  };

  const watched = (response, request) => {
    let heardAt = performance.now();
    let looking;
    let controller;
    let unread = ""; // the beginning of a message
    let broken = false;
    let isLast = false;
    let decoder = new TextDecoder();
    const encoder = new TextEncoder();
    let reader = response.body.getReader();
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
    const continues = async () => {
      // Gradio aborts a stream at its last message, and a server that is still sending takes that for a visitor who leaves.
      while (!(await reader.read()).done);
      await Promise.all(submitting);
      return submitted.size > 0;
    };
    const reopen = async () => {
      const next = await fetch(...request);
      if (!next.ok || !next.body) throw new TypeError("The event stream could not be continued.");
      reader = next.body.getReader();
      [unread, decoder] = ["", new TextDecoder()];
      if (broken) reader.cancel().catch(() => {});
    };
    // Passes messages on, and returns whether there were any.
    const read = async () => {
      const { done, value } = await reader.read();
      if (broken) return true;
      heardAt = performance.now();
      if (done && !isLast) return breakOff(), true;
      if (done) return stop(), controller.close(), true;
      const messages = (unread + decoder.decode(value, { stream: true })).split("\n\n");
      unread = messages.pop();
      for (const message of messages) {
        const { msg, event_id: number } = JSON.parse(message.slice("data:".length));
        if (msg === "close_stream") {
          if (await continues()) return await reopen(), false;
          isLast = true;
        }
        if (msg === "process_completed" && !submitted.delete(number)) ended.add(number);
        if (broken) return true;
        controller.enqueue(encoder.encode(`${message}\n\n`));
      }
      return messages.length > 0;
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
          while (!(await read())); // the browser does not ask again before it has got something
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
    if (address.includes("/queue/join")) return submit(request);
    if (!address.includes("/queue/data?")) return fetch(...request);
    try {
      return await opened(request);
    } catch (error) {
      if (error.name !== "AbortError") throw error;
      return new Promise(() => {}); // the page is being closed, which Gradio would report as a lost connection
    }
  };
})();
