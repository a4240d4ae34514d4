"""Gradio's deletion of old files goes on whatever is in its way."""

import gradio as gr
from gradio import route_utils

import fashionflow.page  # noqa: F401  (which replaces it)


def test_what_cannot_be_deleted_keeps_nothing_else(tmp_path):
    folder, impossible, gone = tmp_path / "folder", "zero\0byte", tmp_path / "gone.png"
    folder.mkdir()
    photos = [tmp_path / f"{number}.png" for number in range(20)]
    for photo in photos:
        photo.touch()
    with gr.Blocks() as page:
        shown = gr.Image()
        shown.keep_in_cache = {str(photos[0])}
    named = {str(folder), impossible, str(gone), *map(str, photos)}
    page.temp_file_sets.append(named)
    route_utils.delete_files_created_by_app(page, 3600)
    assert all(photo.exists() for photo in photos)
    route_utils.delete_files_created_by_app(page, -1)
    assert [photo for photo in photos if photo.exists()] == photos[:1]
    assert named == {str(folder), impossible, str(photos[0])}, "what has gone is forgotten"
