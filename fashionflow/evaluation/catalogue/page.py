"""The contact sheet of a catalogue: `index.html`, and its data in a file of their own. It opens from a folder and needs no network."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from .store import Store


PAGE, DATA = "index.html", "index-data.js"

SHOWN = (
    *("name", "product_number", "photo", "clip", "thumb", "error", "advice", "verdict", "score"),
    *("colour_difference", "similarity", "motion", "seed"),
)
"""The columns of the manifest that the page gets."""

HTML = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>FashionFlow catalogue</title>
<link rel="icon" href="data:,">
<style>
{css}</style>
</head>
<body>
<header>
<h1>Catalogue</h1>
<p id="summary"></p>
</header>
<main>
<form>
<label>Show <select id="kind">
<option value="all">all</option><option value="worst">the worst 100</option><option>lost</option>
<option>slightly off</option><option>kept</option><option>failed</option>
</select></label>
<label>Order <select id="order">
<option value="worst">worst first</option><option value="colour">worst colours first</option>
<option value="pattern">worst patterns first</option><option value="best">best first</option><option value="name">by name</option>
</select></label>
<label><span>Score at most <output id="score-shown">100</output></span>
<input id="score" type="range" min="0" max="100" value="100"></label>
<label>Find <input id="search" type="search" placeholder="name, number, motion"></label>
</form>
<p id="count" role="status"></p>
<ul id="cards"></ul>
<nav aria-label="Pages"><button id="before" type="button">Back</button><span id="page"></span>
<button id="after" type="button">Next</button></nav>
</main>
<footer>
<p>The score compares the garment in the clip with the photo: 100 is the photo itself, from 67 on its colours and its pattern are kept, below
33 one of them is lost. It is that of the worst quarter of the frames, and the picture is the worst frame. Colour is a difference (CIE Delta E
2000, 1 is just visible), pattern a similarity from 0 to 1. The score is a help to find bad clips, and no judgement of its own. All clips are
AI-generated with FashionFlow.</p>
</footer>
<script src="{data}"></script>
<script>
{script}</script>
</body>
</html>
"""


def write_page(store: Store, rows: Iterable[dict]) -> None:
    """
    Args:
        rows: of the manifest.

    Raises:
        CatalogueError: if the page cannot be written; an earlier one stays.
    """
    data = {"columns": SHOWN, "rows": [[_rounded(row.get(column)) for column in SHOWN] for row in rows]}
    store.write(f"window.catalogue = {json.dumps(data, separators=(',', ':'))};\n".encode(), DATA)
    parts = Path(__file__).parent / "sheet"
    css, script = ((parts / name).read_text(encoding="utf-8") for name in ("sheet.css", "sheet.js"))
    store.write(HTML.format(css=css, script=script, data=DATA).encode(), PAGE)


def _rounded(value: object) -> object:
    return round(value, 3) if isinstance(value, float) else value
