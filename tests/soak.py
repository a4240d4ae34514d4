"""A day on a stage in fast motion: real Chromium in stage mode, one visit after another, and what memory does meanwhile.

python -m tests.soak --visits 500

A visit chooses a photo, animates it on the toy model, sees it finished and is reset. The server is a process of its own, so that its
memory can be told from the browser's. Memory must be flat once everything has been in use.
"""

import argparse
import gc
import json
import logging
import os
import subprocess
import sys
import threading
import time


SMALL = {"width": 480, "height": 270}  # pixels are drawn without a GPU here

COLUMNS = {
    "visits": "visits",
    "minutes": "minutes",
    "server_mib": "server MiB",
    "browser_mib": "browser MiB",
    "heap_mib": "JS heap MiB",
    "nodes": "DOM nodes",
    "jobs": "jobs",
    "streams": "streams",
    "sessions": "sessions",
    "threads": "threads",
    "files": "files",
    "files_mib": "files MiB",
}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--visits", type=int, default=500)
    parser.add_argument("--every", type=int, default=50, help="visits between two lines of figures; 50")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)  # what the server's process is told
    args = parser.parse_args(argv)
    if args.serve:
        serve()
    else:
        soak(args.visits, args.every)


def soak(visits: int, every: int) -> None:
    from .browser import started_browser

    server = subprocess.Popen(
        [sys.executable, "-m", "tests.soak", "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        url = answer(server)["url"]
        with started_browser() as browser:
            page = browser.new_context(viewport=SMALL).new_page()
            page.set_default_timeout(180_000)  # the machine may be busy
            problems = []
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("console", lambda message: message.type == "error" and problems.append(message.text))
            page.goto(f"{url}?stage=1&reset=2")
            begun_at = time.monotonic()
            print(" | ".join(COLUMNS.values()), flush=True)
            for visit in range(visits + 1):
                page.wait_for_selector("#stage-screen .screen[data-seen]", state="attached")
                if visit % every == 0:
                    server.stdin.write("report\n")
                    server.stdin.flush()
                    figures = {"visits": visit, "minutes": (time.monotonic() - begun_at) / 60}
                    figures |= answer(server) | browser_figures(page)
                    cells = [f"{figures[name]:.1f}".removesuffix(".0") for name in COLUMNS]
                    print(" | ".join(cells), *problems, flush=True)
                    problems.clear()
                if visit < visits:
                    be_a_visitor(page, waits=visit % 10 == 9)
    finally:
        server.stdin.close()
        server.wait(timeout=60)


def answer(server: subprocess.Popen) -> dict:
    """The next line that `serve` printed; Gradio prints others."""
    return json.loads(next(line for line in server.stdout if line.startswith("{")))


def be_a_visitor(page, waits: bool) -> None:
    """One visit. `waits`: it is ended by the stage itself, and not by a key."""
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#first-frame img", state="attached")
    page.keyboard.press("Space")
    with page.expect_navigation():
        page.wait_for_function("document.documentElement.dataset.phase === 'finished'", polling=50)
        if not waits:
            page.keyboard.press("r")


def browser_figures(page) -> dict[str, float]:
    """Of the page after its garbage was collected, and of all processes of the browser (their proportional set sizes)."""
    import psutil

    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    metrics = {metric["name"]: metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]}
    session.detach()
    size = 0
    for process in psutil.Process().children(recursive=True):
        try:
            if "chrom" in process.name():
                size += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return {"browser_mib": size / 2**20, "heap_mib": metrics["JSHeapUsedSize"] / 2**20, "nodes": metrics["Nodes"]}


def serve() -> None:
    """The page on the toy model. For every line on standard input it prints figures of this process, as JSON."""
    import psutil

    from fashionflow.generation.queue import JobQueue
    from fashionflow.page import LAUNCH_SETTINGS, build_page

    from . import tiny
    from .waiting import files_below

    logging.disable(logging.INFO)
    job_queue = JobQueue(tiny.pipeline())
    os.environ["GRADIO_TEMP_DIR"] = str(job_queue.folder)
    page = build_page(job_queue)
    app, url, _ = page.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", **LAUNCH_SETTINGS)
    print(json.dumps({"url": url}), flush=True)
    for _ in sys.stdin:
        gc.collect()
        files = files_below(job_queue.folder)
        figures = {
            "server_mib": psutil.Process().memory_info().rss / 2**20,
            "jobs": len(job_queue.jobs),
            "streams": sum(len(runs) for runs in page.pending_streams.values()),
            "sessions": len(app.state_holder.session_data),
            "threads": threading.active_count(),
            "files": len(files),
            "files_mib": sum(path.stat().st_size for path in files) / 2**20,
        }
        print(json.dumps(figures), flush=True)
    page.close(verbose=False)


if __name__ == "__main__":
    main()
