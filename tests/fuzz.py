"""Random damage for the page: mutated files and mutated calls, sent over HTTP to the real page of the toy model.

python -m tests.fuzz --cases 10000

Nothing that a visitor sends may be an error of the server: no HTTP 5xx, no traceback in the log, a sentence with every refusal, and no file
that is not deleted in time. A case is named by the seed and its index, and is always the same.
"""

import argparse
import contextlib
import io
import json
import logging
import os
import random
import tempfile
from pathlib import Path

import httpx


NAMES = ("dress.png", "dress.jpg", "a b.HEIC", "x" * 300, "..", "連衣裙.webp", "a\r\nb.png", "%00", "clip.mp4", "")
ODD = (
    None,
    True,
    "",
    "7",
    "abc",
    -1,
    0,
    1,
    1.5,
    2**31,
    2**63,
    1e308,
    float("nan"),
    [],
    [[]],
    {},
    {"path": 7},
    "\0",
    "x" * 3000,
)
SMALL = {"steps": (1, 2), "frames": (4, 5), "seeds": (1,), "interpolation": (1, 2), "guidance": (1, 2)}
"""Good values of which a clip is made at once; the others are drawn from `GOOD` or are odd."""

GOOD = SMALL | {
    "motion": ("spin", "walk", "turn-left", "surprise-me"),
    "more_motions": ([], ["walk"]),
    "turn_angle": (-30, 45),
    "seed": (-1, 7),
    "sampler": ("dpm++", "ddim"),
    "frame_rate": (8, 24),
    "quality": (18, 51),
    "memory": ("auto", "lean"),
    "zoom": (0.5, 1, 3.9),
    "across": (-1, 0.5),
    "down": (0, 1),
}
SETTINGS = ("motion", "turn_angle", "steps", "frames", "seed", "sampler", "guidance", "frame_rate", "interpolation")
PARAMETERS = {
    "check_photo": ("photo", "zoom", "across", "down"),
    "settings_of": ("clip",),
    "estimate": ("steps", "frames", "guidance", "interpolation", "memory"),
    "job": ("number",),
    "submit": (
        "photo",
        *SETTINGS,
        "quality",
        "memory",
        "zoom",
        "across",
        "down",
        "more_motions",
        "seeds",
        "back_photo",
    ),
    "animate": ("photo", *SETTINGS, "quality", "memory", "zoom", "across", "down", "back_photo"),
}
FILES = ("photo", "back_photo", "clip")
ALWAYS = {"steps": 1, "frames": 4}
"""What a call has for whatever it leaves out, so that no clip takes long."""


def corpus() -> dict[str, bytes]:
    """A good file of every kind that the page reads, by its suffix."""
    import numpy as np
    import pillow_heif

    from fashionflow.photo.reading import FORMATS
    from fashionflow.video.export import Export, export
    from fashionflow.video.io import write_clip

    from . import tiny

    pillow_heif.register_heif_opener()
    files, photo = {}, tiny.photo()
    turned = photo.getexif()
    turned[0x0112] = 6
    for name in FORMATS:
        file = io.BytesIO()
        further = {"save_all": True, "append_images": [photo]} if name in ("MPO", "GIF", "WEBP", "TIFF") else {}
        photo.save(
            file, name, **further | ({"exif": turned.tobytes()} if name in ("JPEG", "PNG", "WEBP", "AVIF") else {})
        )
        files[name] = file.getvalue()
    with tempfile.TemporaryDirectory() as folder:
        settings = {"model": "tiny", "seed": 7, "steps": 1, "frames": 4, "motion": "spin"}
        frames = np.stack([np.asarray(photo)] * 4)
        clip = write_clip(Path(folder) / "clip.mp4", frames, 8, settings)
        files["mp4"] = clip.read_bytes()
        for kind in ("gif", "webp", "zip"):
            files[f"clip.{kind}"] = export(clip, Export(kind), folder).read_bytes()
    return files


def damaged(content: bytes, other: bytes, draw: random.Random) -> bytes:
    """The file with some bytes changed, put in, taken out or taken from another file; rarely as it is."""
    data = bytearray(content)
    for _ in range(draw.choice((0, 1, 1, 2, 5, 40))):
        # Headers are at the beginning, so half of all damage is there.
        at = draw.randrange(min(len(data), 200) if draw.random() < 0.5 else len(data)) if data else 0
        size = draw.choice((1, 2, 4, 100))
        match draw.randrange(7):
            case 0:
                data[at : at + 1] = bytes([draw.randrange(256)])
            case 1:
                data[at : at + size] = draw.choice((b"\0", b"\xff", b"\x7f", b"%")) * size
            case 2:
                data[at : at + size] = b""
            case 3:
                data[at:at] = draw.randbytes(size)
            case 4:
                del data[at:]
            case 5:
                data[at:at] = data[at : at + 500]
            case 6:
                place = draw.randrange(len(other))
                data[at : at + 500] = other[place : place + 500]
    return bytes(data)


class Fuzzer:
    """Sends cases to a page.

    Args:
        site: the page, of which no other job may run.
        seed: which cases are drawn.
    """

    def __init__(self, site, seed: int):
        self._site, self._seed, self._corpus = site, seed, corpus()
        self._problems: list[str] = []
        # Wrong numbers are counted by address, and those of the fuzzer are nobody else's.
        self._web = httpx.Client(timeout=120, base_url=site.url, headers={"X-Forwarded-For": "203.0.113.99"})

    def run(self, cases: int, say=lambda text: None) -> list[str]:
        """Sends so many cases. Returns what was wrong, one sentence each, with the case's index."""
        folder = self._site.job_queue.folder
        before = _files(folder)
        log = io.StringIO()
        handler = logging.StreamHandler(log)
        logging.getLogger().addHandler(handler)
        try:
            with contextlib.redirect_stderr(log):
                for index in range(cases):
                    self._draw = random.Random(f"{self._seed}/{index}")
                    self._case = index
                    self._kept: list[Path] = []
                    self._one()
                    self._clear()
                    if "Traceback" in log.getvalue() or "Error" in log.getvalue():
                        self._found(f"the log says {log.getvalue()[-3000:]}")
                    log.seek(0)
                    log.truncate()
                    if index % 500 == 499:
                        say(f"{index + 1} cases, {len(self._problems)} problems")
        finally:
            logging.getLogger().removeHandler(handler)
        known = {os.path.normpath(each) for files in self._site.page.temp_file_sets for each in files}
        for path in sorted(_files(folder) - before):
            if str(path) not in known:
                self._found(f"{path} is left, and nothing deletes it in time")
        return self._problems

    def _found(self, problem: str) -> None:
        self._problems.append(f"Case {self._seed}/{self._case}: {problem}")

    def _clear(self) -> None:
        for job in self._site.job_queue.jobs:
            self._site.job_queue.discard(job)
        for path in self._kept:
            path.unlink(missing_ok=True)

    def _one(self) -> None:
        endpoint = self._draw.choice(("check_photo", "check_photo", "settings_of", *PARAMETERS))
        values = {}
        for name in PARAMETERS[endpoint]:
            if name in FILES:
                values[name] = self._file(odd=name != "back_photo" and self._draw.random() < 0.2)
            elif name == "number":
                values[name] = self._draw.choice((*ODD, "K7QM3F2PX", "k7q m3f", "' or 1=1"))
            elif self._draw.random() < 0.5:
                values[name] = self._draw.choice(ODD if self._draw.random() < 0.15 else GOOD[name])
        if endpoint in ("submit", "animate"):
            values = ALWAYS | {name: value for name, value in values.items() if value is not None}
        if self._draw.random() < 0.05:
            values[self._draw.choice(("colour", "", "photo\0"))] = self._draw.choice(ODD)
        listed = self._draw.random() < 0.3
        body = json.dumps({"data": list(values.values())} if listed else values).encode()
        if self._draw.random() < 0.1:
            body = damaged(body, b'{"data": [null]}', self._draw)
        self._call(endpoint if listed else f"v2/{endpoint}", endpoint, body)

    def _file(self, odd: bool) -> object:
        """An upload of a damaged file, as a program names it."""
        if odd:
            return self._draw.choice(ODD)
        kind, other = self._draw.choice(list(self._corpus)), self._draw.choice(list(self._corpus))
        content = damaged(self._corpus[kind], self._corpus[other], self._draw)
        if self._draw.random() < 0.1:
            form = (
                b'--B\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
                + content
                + b"\r\n--B--\r\n"
            )
            sent = {
                "content": damaged(form, b"--B--\r\n", self._draw),
                "headers": {"content-type": "multipart/form-data; boundary=B"},
            }
        else:
            sent = {"files": {"files": (self._draw.choice(NAMES), content)}}
        answer = self._web.post("gradio_api/upload", **sent)
        if answer.status_code != 200:
            self._check_refusal(answer)
            return None
        self._kept += map(Path, answer.json())
        return {"path": answer.json()[0]}

    def _call(self, address: str, endpoint: str, body: bytes) -> None:
        answer = self._web.post(
            f"gradio_api/call/{address}", content=body, headers={"content-type": "application/json"}
        )
        if answer.status_code != 200:
            self._check_refusal(answer)
            return
        answer = self._web.get(f"gradio_api/call/{endpoint}/{answer.json()['event_id']}")
        event, _, data = answer.text.strip().rpartition("\n")
        if answer.status_code != 200 or not data.startswith("data: "):
            self._check_refusal(answer)
        elif event.endswith("event: error"):
            said = json.loads(data.removeprefix("data: "))
            said = said.get("error") if isinstance(said, dict) else said
            if not isinstance(said, str) or " " not in said or not said.endswith((".", ".'")):
                self._found(f"{endpoint} was refused without a sentence: {said!r}; {body[:300]!r}")
        elif not event.endswith("event: complete"):
            self._found(f"{endpoint} ended with {event!r}; {body[:300]!r}")

    def _check_refusal(self, answer: httpx.Response) -> None:
        said = answer.text
        with contextlib.suppress(ValueError):
            said = answer.json()
            said = said.get("error") or said.get("detail") if isinstance(said, dict) else said
        if answer.status_code >= 500 or not isinstance(said, str) or " " not in said:
            self._found(f"HTTP {answer.status_code} and {answer.text[:300]!r} for {str(answer.request.url)[-60:]}")


def _files(folder: Path) -> set[Path]:
    from .waiting import files_below

    return files_below(folder)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    from fashionflow.generation.queue import JobQueue

    from . import tiny
    from .serve import served

    with served(JobQueue(tiny.pipeline())) as site:
        problems = Fuzzer(site, args.seed).run(args.cases, lambda text: print(text, flush=True))
    print(*problems, f"{len(problems)} problems in {args.cases} cases.", sep="\n")
    return int(bool(problems))


if __name__ == "__main__":
    raise SystemExit(main())
