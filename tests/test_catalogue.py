"""A catalogue but for Ray: what is to be made, what is made again, the manifest, places that are full or far away, and the page.

The clips are made by the real code for one clip, in this process.
"""

import contextlib
import csv
import os
import re
import sys

import fsspec
import numpy as np
import pytest

from fashionflow import catalogue
from fashionflow.evaluation.catalogue import workers
from fashionflow.evaluation.catalogue.entries import Names
from fashionflow.evaluation.catalogue.errors import CatalogueError
from fashionflow.evaluation.catalogue.making import DIED, MOST_ATTEMPTS, ClipMaker
from fashionflow.evaluation.catalogue.manifest import TYPES, Manifest
from fashionflow.evaluation.catalogue.page import write_page
from fashionflow.evaluation.catalogue.store import Store
from fashionflow.evaluation.catalogue.tasks import Task
from fashionflow.evaluation.fidelity import COLOUR_LIMITS, SIMILARITY_LIMITS, Fidelity
from fashionflow.runtime.loading import load_pipeline
from fashionflow.video.files import UNFINISHED
from fashionflow.video.io import read_settings

from . import tiny
from .browser import PHONE, visitors


pyarrow = pytest.importorskip(
    "pyarrow", reason="pyarrow is not installed: pip install --requirement requirements-ray.txt"
)
parquet = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("ray", reason="Ray is not installed: pip install --requirement requirements-ray.txt")


@pytest.fixture(scope="module")
def pipe(model):
    pipe = load_pipeline(model, "cpu")
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "summer").mkdir(parents=True)
    tiny.photo().save(folder / "blue dress.png")
    tiny.photo().rotate(90, expand=True).save(folder / "summer" / "red#1.jpg", quality=95)
    (folder / "summer" / "broken.jpg").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("no photo")
    (folder / "._blue dress.png").write_bytes(b"macOS")
    return folder


@pytest.fixture
def make(model, pipe, tmp_path, monkeypatch):
    """`make(photos, *options)` runs the command with workers in this process, and returns its progress and its rows by name."""
    begun = []

    def here(tasks, store, options):
        maker = ClipMaker(pipe, store)
        for task in tasks:
            begun.append(task.name)
            yield maker.make(task)
            run.after_each()

    monkeypatch.setattr(workers, "make_with_ray", here)

    def run(photos, *options, out=tmp_path / "out"):
        begun.clear()
        given = [str(photos), str(out), "--model", str(model), "--steps", "1", *options]
        progress = catalogue.run(catalogue.make_parser().parse_args(given))
        return progress, Manifest(Store(str(out))).rows

    run.begun, run.after_each = begun, lambda: None
    return run


def state(folder) -> dict:
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*.*") if path.suffix == ".mp4"
    }


def write_table(path, *rows: dict):
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_every_photo_below_a_folder_becomes_a_clip_or_a_row_that_says_why_not(make, photos, tmp_path):
    progress, rows = make(photos, "--seed", "5")
    assert sorted(rows) == ["blue dress.png", "summer/broken.jpg", "summer/red_1.jpg"]
    assert (progress.made, progress.failed, progress.kept) == (2, 1, 0)
    table = parquet.read_table(tmp_path / "out" / "manifest.parquet")
    assert table.column_names == list(TYPES) and table.num_rows == 3
    broken = rows["summer/broken.jpg"]
    assert broken["error"].startswith("The file is not a picture") and broken["clip"] is None
    for name in ("blue dress.png", "summer/red_1.jpg"):
        row, clip = rows[name], tmp_path / "out" / rows[name]["clip"]
        inside = read_settings(clip)
        assert row["error"] is None and row["seed"] == inside["seed"] == 5 and row["motion"] == inside["motion"]
        assert row["model_hash"] == inside["model_hash"] and row["clip_bytes"] > clip.stat().st_size
        assert (
            0 <= row["score"] <= 1
            and 0 <= row["similarity"] <= 1
            and row["verdict"] in ("kept", "slightly off", "lost")
        )
        assert (tmp_path / "out" / row["thumb"]).is_file() and row["seconds"] > 0 and row["attempts"] == 1
    left = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert left == {"manifest.parquet", "index.html", "index-data.js", "blue dress.png.mp4", "blue dress.png.webp", "red_1.jpg.mp4", "red_1.jpg.webp"}  # fmt: skip


def test_only_what_has_changed_is_made_again(make, photos, tmp_path, pipe, monkeypatch):
    table = write_table(
        photos / "shop.csv",
        {"photo": "blue dress.png", "seed": 1, "product_number": "A-1", "motion": "", "angle": ""},
        {"photo": "summer/red#1.jpg", "seed": 2, "product_number": "A-2", "motion": "turn-right", "angle": "30"},
        {"photo": "summer/broken.jpg", "seed": 2, "product_number": "A-3", "motion": "", "angle": ""},
    )
    _, rows = make(table)
    assert make.begun == ["A-1", "A-2", "A-3"] and (rows["A-2"]["motion"], rows["A-2"]["turn_angle"]) == (
        "turn-right",
        30,
    )
    before = state(tmp_path / "out")
    progress, again = make(table)
    assert make.begun == [] and progress.kept == 3 and again == rows

    os.utime(photos / "blue dress.png")  # another time, and the same content
    progress, again = make(table)
    assert (
        make.begun == ["A-1"]
        and state(tmp_path / "out") == before
        and again["A-1"]["made_at"] == rows["A-1"]["made_at"]
    )
    make(table)
    assert make.begun == []

    table.write_text(table.read_text().replace("red#1.jpg,2", "red#1.jpg,3"))
    make(table)
    assert make.begun == ["A-2"]
    tiny.photo().rotate(180).save(photos / "blue dress.png")
    make(table)
    assert make.begun == ["A-1"] and read_settings(tmp_path / "out" / "clips" / "A-2.mp4")["seed"] == 3
    (tmp_path / "out" / "clips" / "A-1.mp4").unlink()
    make(table)
    assert make.begun == ["A-1"]
    tiny.photo().save(photos / "summer" / "broken.jpg")
    _, rows = make(table)
    assert make.begun == ["A-3"] and rows["A-3"]["error"] is None
    monkeypatch.setattr(pipe, "model_hash", "f" * 16)
    monkeypatch.setattr("fashionflow.evaluation.catalogue.run.model_hash", lambda folder: "f" * 16)
    make(table)
    assert make.begun == ["A-1", "A-2", "A-3"]


def test_a_failure_is_tried_again_only_where_that_is_asked_for(make, photos):
    make(photos)
    make(photos)
    assert make.begun == []
    progress, _ = make(photos, "--retry-failed")
    assert make.begun == ["summer/broken.jpg"] and progress.failed == 1


def test_a_row_that_is_wrong_fails_with_its_sentence_and_the_others_are_made(make, photos):
    table = write_table(
        photos / "shop.csv",
        {"photo": "blue dress.png", "seed": "7"},
        {"photo": "blue dress.png", "seed": "7", "product_number": "x/../y"},
        {"photo": "blue dress.png", "motion": "dance"},
        {"photo": "blue dress.png", "angle": "steep"},
        {"photo": "blue dress.png", "seed": "1.5"},
        {"photo": "", "seed": "1"},
        {"photo": "gone.jpg"},
        {"photo": "blue dress.png", "back_photo": "blue dress.png"},
    )
    progress, rows = make(table)
    assert progress.made == 2 and sorted(name for name in rows if rows[name]["error"] is None) == [
        "blue dress.png",
        "x/y",
    ]
    errors = [row["error"] for row in rows.values() if row["error"]]
    for said in ("`motion` must be one of", "`angle` must be between", "`seed` must be a whole", "names no photo", "There is no photo at", "`back_photo` must be empty"):  # fmt: skip
        assert len([error for error in errors if said in error]) == 1, said
    assert all(error.count("\n") == 0 and error.endswith(".") for error in errors)


def test_a_csv_of_excel_and_a_parquet_table_give_the_same_clips(make, photos, tmp_path):
    tiny.photo().save(photos / "näher.png")
    (photos / "shop.csv").write_bytes(
        "photo;angle;seed;product_number\r\nnäher.png;12,5;3;0042\r\n".encode("utf-8-sig")
    )
    columns = {"photo": ["näher.png"], "angle": [12.5], "seed": [3.0], "product_number": ["0042"], "motion": [None]}
    parquet.write_table(pyarrow.table(columns), photos / "shop.parquet")
    _, rows = make(photos / "shop.csv")
    assert make.begun == ["0042"] and (rows["0042"]["turn_angle"], rows["0042"]["seed"]) == (12.5, 3)
    assert make(photos / "shop.parquet")[1] == rows and make.begun == []


def test_what_is_wrong_with_all_of_it_is_said_in_one_sentence_before_any_work(make, photos, tmp_path):
    for name, text in (
        ("no-photo.csv", "picture\nx\n"),
        ("unknown.csv", "photo,colour\nx,red\n"),
        ("empty.csv", "photo\n"),
        ("damaged.parquet", "photo\n"),
        ("list.txt", "x"),
    ):
        (tmp_path / name).write_text(text)
    file = tmp_path / "list.txt"
    for given, options, out, said in (
        (tmp_path / "no-photo.csv", (), tmp_path / "out", "has a column 'picture'"),
        (tmp_path / "unknown.csv", (), tmp_path / "out", "has a column 'colour'"),
        (tmp_path / "empty.csv", (), tmp_path / "out", "has no rows"),
        (tmp_path / "damaged.parquet", (), tmp_path / "out", "cannot be read"),
        (tmp_path / "list.txt", (), tmp_path / "out", "must be a folder or a table"),
        (tmp_path / "nothing", (), tmp_path / "out", "There is nothing at"),
        ("nowhere://x", (), tmp_path / "out", "cannot be reached"),
        (photos, ("--frames", "0"), tmp_path / "out", "`frames` must be"),
        (photos, ("--workers", "0"), tmp_path / "out", "`--workers` must be"),
        (photos, (), file, "a file"),
        (photos, (), "/proc/catalogue", "/proc/catalogue"),
    ):
        with pytest.raises((CatalogueError, ValueError), match=re.escape(said)) as refused:
            make(given, *options, out=out)
        assert str(refused.value).count("\n") == 0 and make.begun == []


def test_without_ray_one_sentence_says_what_to_install(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert catalogue.main([str(photos), str(tmp_path / "out")]) == 2
    printed = capsys.readouterr().err
    assert (
        "requirements-ray.txt" in printed
        and "python -m fashionflow FOLDER OUT" in printed
        and printed.count("\n") == 1
    )


def test_photos_and_clips_of_an_object_store_are_reached_by_their_addresses(make, photos):
    store = fsspec.filesystem("memory")
    store.store.clear()
    store.put(f"{photos}/", "/shop", recursive=True)
    store.pipe("/shop.csv", b"photo\nmemory://shop/blue dress.png\nshop/summer/red#1.jpg\n")
    progress, rows = make("memory://shop.csv", out="memory://made")
    assert progress.made == 2 and sorted(rows) == ["blue dress.png", "shop/summer/red_1.jpg"]
    assert store.cat(f"/made/{rows['blue dress.png']['clip']}")[4:8] == b"ftyp"
    assert {"/made/index.html", "/made/index-data.js", "/made/manifest.parquet"} <= set(store.find("/made"))
    assert make("memory://shop.csv", out="memory://made")[0].kept == 2 and make.begun == []
    store.pipe("/shop/blue dress.png", store.cat("/shop/summer/red#1.jpg"))
    make("memory://shop.csv", out="memory://made")
    assert make.begun == ["blue dress.png"]
    store.store.clear()


def test_a_full_disk_ends_it_in_one_sentence_and_what_is_finished_stays(make, photos, small_disk):
    out, filler = small_disk / "out", small_disk / "filler"

    def fill():
        with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    make.after_each = fill
    with pytest.raises(CatalogueError, match="is full; make room and run the same command again"):
        make(photos, out=out)
    assert make.begun == ["blue dress.png", "summer/broken.jpg"]  # even a row has no room any more
    assert not list(small_disk.rglob(f"{UNFINISHED}*"))
    finished = state(out)
    assert len(finished) == 1 and list(Manifest(Store(str(out))).rows) == ["blue dress.png"]
    make.after_each = lambda: None
    filler.unlink()
    progress, _ = make(photos, out=out)
    assert make.begun == ["summer/broken.jpg", "summer/red_1.jpg"] and progress.kept == 1
    assert state(out).items() >= finished.items()


def test_a_photo_that_kills_its_workers_becomes_a_row(pipe, photos, tmp_path):
    task = Task("dress", str(photos / "blue dress.png"), {"frames": 6, "steps": 1, "seed": 1, "motion": "spin"})
    outcome = ClipMaker(pipe, Store(str(tmp_path / "out"))).make(task, MOST_ATTEMPTS + 1)
    assert outcome.row["error"] == DIED and outcome.row["attempts"] == MOST_ATTEMPTS + 1
    assert Manifest(Store(str(tmp_path / "out"))).rows["dress"] == outcome.row


def test_names_are_given_once_and_possible_everywhere():
    names = Names()
    given = [names.new(name) for name in ("4711", "4711", "4711-2", "a/../b:c", "A/B_C", "", "..", "x" * 300)]
    assert given == ["4711", "4711-2", "4711-2-2", "a/b_c", "A/B_C-2", "clip", "clip-2", "x" * 120]


def test_the_score_is_that_of_the_verdict():
    def judged(colour: float, similarity: float) -> Fidelity:
        return Fidelity(np.arange(4), np.arange(4.0), np.full(4, colour), np.full(4, similarity), True)

    assert judged(0, 1).score == 1 and judged(50, 1).score == 0
    for step, verdict in ((-0.01, "kept"), (0.01, "slightly off")):
        assert judged(COLOUR_LIMITS[0] + step, 1).verdict == verdict == judged(0, SIMILARITY_LIMITS[0] - step).verdict
        assert (judged(COLOUR_LIMITS[0] + step, 1).score > 2 / 3) == (verdict == "kept")
        assert (judged(0, SIMILARITY_LIMITS[0] - step).score > 2 / 3) == (verdict == "kept")


def test_the_cores_of_a_cluster_are_shared_out():
    assert workers.cores_for_each([8], 1) == 8 and workers.cores_for_each([8], 3) == 2
    assert workers.cores_for_each([8, 8], 3) == 4 and workers.cores_for_each([8, 1], 3) == 2
    assert workers.cores_for_each([2], 3) == 0 and workers.cores_for_each([], 1) == 0


@pytest.mark.browser
def test_the_worst_are_found_on_the_page_of_a_large_catalogue(make, photos, browser, tmp_path):
    out = tmp_path / "out"
    _, rows = make(photos)
    one, broken = rows["summer/red_1.jpg"], rows["summer/broken.jpg"]
    many = [one | {"name": f"{number}", "product_number": f"P{number:04}", "score": number / 1000, "verdict": "kept"} for number in range(1, 1001)]  # fmt: skip
    many[499] |= {"verdict": "lost", "product_number": "<b>odd</b>"}
    write_page(Store(str(out)), [*many, broken])
    with visitors(browser) as visit:
        page = visit((out / "index.html").as_uri(), until="#cards li", viewport=PHONE)
        assert "1,001 clips: 999 kept, 0 slightly off, 1 lost, 1 failed" in page.inner_text("#summary")
        names = lambda: page.locator("#cards .name").all_inner_texts()  # noqa: E731
        assert len(names()) == 48 and names()[:3] == ["summer/broken.jpg", "P0001", "P0002"]
        assert "The file is not a picture" in page.inner_text("#cards li.failure")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        page.select_option("#kind", "worst")
        assert page.inner_text("#count") == "1 to 48 of 100" and names()[0] == "P0001"
        page.click("#after")
        page.click("#after")
        assert names()[-1] == "P0100" and page.is_disabled("#after")
        page.select_option("#kind", "lost")
        assert names() == ["<b>odd</b>"]
        page.select_option("#kind", "all")
        page.fill("#search", "p0007")
        assert names() == ["P0007"]
        page.fill("#search", "")
        page.locator("#score").evaluate("(range) => { range.value = 2; range.dispatchEvent(new Event('input')); }")
        assert len(names()) == 24 and "24 of 24" in page.inner_text("#count")
        assert page.locator("video").count() == 0
        page.locator(".play").first.click()
        page.wait_for_function("document.querySelector('video')?.readyState > 1")
        page.wait_for_function("document.querySelector('.play img').naturalWidth > 0")
        page.locator(".play").nth(1).click()
        assert page.locator("video").count() == 1
