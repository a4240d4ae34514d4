"""The page's endpoints with the programs that people use them with: gradio_client and curl."""

import json
import shutil
import subprocess
import time

import httpx
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from fashionflow.generation.queue import AVAILABLE_SECONDS
from fashionflow.generation.settings import LIMITS
from fashionflow.page import context
from fashionflow.video.io import read_frames, read_settings

from . import tiny
from .programs import ADDRESSES, ENDPOINTS, QUICK, looked_up, named_queue, note_look_ups, refusal
from .serve import serve


# What `animate` took first, in this order, and what it takes now.
FIRST_PARAMETERS = ["photo", "motion", "turn_angle", "steps", "frames", "seed", "sampler"]
PARAMETERS = [
    *FIRST_PARAMETERS,
    "guidance",
    "frame_rate",
    "interpolation",
    "quality",
    "memory",
    "zoom",
    "across",
    "down",
    "back_photo",
]


@pytest.fixture(scope="module")
def job_queue():
    return named_queue()


@pytest.fixture(scope="module")
def url(job_queue):
    with serve(job_queue) as url:
        note_look_ups()
        yield url


@pytest.fixture(scope="module")
def client(url, tmp_path_factory):
    return Client(url, verbose=False, download_files=tmp_path_factory.mktemp("downloads"), analytics_enabled=False)


@pytest.fixture(scope="module")
def finished(client, dress) -> str:
    """The number of a job of four clips."""
    number, clips, seed = client.predict(
        handle_file(dress), motion="walk", more_motions=["spin"], seeds=2, **QUICK, api_name="/submit"
    )
    assert (clips, seed) == (4, 3)
    wait_until_ended(client, number)
    return number


def wait_until_ended(client, number: str) -> str:
    while (state := client.predict(number, api_name="/job")[0]) in ("waiting", "working"):
        time.sleep(0.05)
    return state


def test_exactly_the_named_endpoints_are_public_and_each_parameter_is_documented(client):
    described = client.view_api(return_format="dict")
    assert sorted(described["named_endpoints"]) == sorted(f"/{name}" for name in ENDPOINTS)
    assert not described["unnamed_endpoints"]
    for name, endpoint in described["named_endpoints"].items():
        for parameter in endpoint["parameters"]:
            assert f"{parameter['parameter_name']}: " in endpoint["description"], (name, parameter["parameter_name"])
        for returned in endpoint["returns"]:
            assert f"{returned['label']}: " in endpoint["description"], (name, returned["label"])
    assert "available URL" not in json.dumps(
        [endpoint["parameters"] for endpoint in described["named_endpoints"].values()]
    )
    animate = described["named_endpoints"]["/animate"]
    assert "the seed" in animate["description"] and "1 to 1000" in animate["description"]
    assert [parameter["parameter_name"] for parameter in animate["parameters"]] == PARAMETERS
    submit = described["named_endpoints"]["/submit"]
    names = [parameter["parameter_name"] for parameter in submit["parameters"]]
    assert names == [*PARAMETERS[:-1], "more_motions", "seeds", PARAMETERS[-1]]
    types = {parameter["parameter_name"]: parameter["python_type"]["type"] for parameter in animate["parameters"]}
    assert types["seed"] == "int" and types["guidance"] == "float" and types["memory"].startswith("Literal['auto'")


def test_the_defaults_are_those_of_the_page(client, job_queue):
    defaults = {
        parameter["parameter_name"]: parameter["parameter_default"]
        for parameter in client.view_api(return_format="dict")["named_endpoints"]["/animate"]["parameters"]
        if parameter["parameter_has_default"]
    }
    assert defaults["frame_rate"] == job_queue.pipe.config.frame_rate and defaults["interpolation"] == 3
    assert defaults["motion"] == "turn-left" and defaults["memory"] == "auto" and defaults["quality"] == 18
    assert defaults["steps"] == 4 and defaults["guidance"] == 1 and defaults["turn_angle"] is None


def test_values_by_place_go_on_working_and_the_new_ones_reach_the_clip(client, dress):
    clip, seed = client.predict(handle_file(dress), "spin", None, 1, 4, 5, "ddim", api_name="/animate")
    first = read_frames(clip)[0]
    assert seed == 5 and read_settings(clip)["sampler"] == "ddim" and read_settings(clip)["turn_angle"] is None
    new = {"guidance": 2.5, "frame_rate": 4.0, "interpolation": 1, "quality": 30, "memory": "lean"}
    clip, _ = client.predict(handle_file(dress), "spin", **QUICK, **new, zoom=2, across=1, api_name="/animate")
    settings = read_settings(clip)
    assert {name: settings[name] for name in new} == new and len(read_frames(clip)) == 4
    assert abs(read_frames(clip)[0].astype(int) - first).mean() > 10, "the crop was not used"


def test_the_estimate_grows_with_the_work(client):
    short, ahead, wait = client.predict(steps=1, frames=4, api_name="/estimate")
    long, _, _ = client.predict(steps=50, frames=12, guidance=2, api_name="/estimate")
    assert 0 < short < long and (ahead, wait) == (0, 0)
    assert "`steps`" in refusal(client, steps=0, api_name="/estimate")


def test_a_submitted_job_goes_on_by_itself_and_its_clips_are_fetched_by_its_number(client, finished):
    state, made, clips, left, kept = client.predict(finished, api_name="/job")
    assert (state, made, clips, left) == ("finished", 4, 4, 0)
    assert AVAILABLE_SECONDS - 60 < kept <= AVAILABLE_SECONDS
    results = [client.predict(finished.lower(), clip, api_name="/result") for clip in range(4)]
    assert [seed for _, seed in results] == [3, 4, 3, 4]
    assert [read_settings(path)["motion"] for path, _ in results] == ["walk", "walk", "spin", "spin"]
    assert "whole number from 0 to 3" in refusal(client, finished, 4, api_name="/result")


def test_nobody_gets_anything_without_the_number(client, finished):
    wrong = "AAAAAAAAA" if finished != "AAAAAAAAA" else "BBBBBBBBB"
    for endpoint in ("/job", "/result", "/stop", "/export", "/fidelity"):
        assert "no clip with the number AAA-AAA-AAA" in refusal(client, wrong, api_name=endpoint)
        assert "Type the number" in refusal(client, "", api_name=endpoint)


def test_stop_ends_a_job_that_nobody_watches(client, job_queue, dress):
    number, _, _ = client.predict(handle_file(dress), steps=1000, frames=12, api_name="/submit")
    state, _, _, left, kept = client.predict(number, api_name="/job")
    assert state in ("waiting", "working") and left > 0 and kept is None
    assert "not made yet" in refusal(client, number, api_name="/result")
    assert client.predict(number, api_name="/stop") in ("working", "stopped")
    assert wait_until_ended(client, number) == "stopped"
    assert job_queue.in_line == 0


def test_a_full_line_takes_no_jobs(client, dress, monkeypatch):
    monkeypatch.setattr(context, "MOST_AT_ONCE", 0)
    assert "Too many clips" in refusal(client, handle_file(dress), api_name="/submit")
    monkeypatch.undo()
    assert "24 clips at most" in refusal(
        client, handle_file(dress), more_motions=["spin"], seeds=13, api_name="/submit"
    )


def test_a_photo_is_checked_and_shown_as_the_model_sees_it(client, tmp_path):
    photo = tmp_path / "small.png"
    tiny.photo().save(photo)
    told, frame = client.predict(handle_file(photo), zoom=4, api_name="/check_photo")
    small = next(advice for advice in told if advice["kind"] == "too-small")
    assert small["remedy"] == "zoom-out" and 1 <= small["crop"]["zoom"] < 4 and small["sentence"].endswith(".")
    with Image.open(frame) as seen:
        assert seen.size == (tiny.WIDTH, tiny.HEIGHT)
    Image.new("RGB", (300, 400), "white").save(photo)
    told, _ = client.predict(handle_file(photo), api_name="/check_photo")
    assert [advice["kind"] for advice in told] == ["no-garment"]
    assert "`zoom`" in refusal(client, handle_file(photo), zoom=9, api_name="/check_photo")
    assert "`zoom`" in refusal(client, handle_file(photo), zoom="near", api_name="/check_photo")


def test_a_clip_is_exported_and_tells_its_settings(client, finished):
    path = client.predict(finished, 2, format="webp", play="boomerang", mark=True, api_name="/export")
    with Image.open(path) as picture:
        assert picture.format == "WEBP" and picture.n_frames > 4
    settings = client.predict(handle_file(path), api_name="/settings_of")
    assert settings["motion"] == "spin" and settings["seed"] == 3 and set(LIMITS) <= set(settings)
    assert "`format`" in refusal(client, finished, format="exe", api_name="/export")


def test_only_clips_of_ours_tell_settings(client, dress):
    assert "not made by FashionFlow" in refusal(client, handle_file(dress), api_name="/settings_of")


def test_fidelity_judges_each_frame(client, finished):
    verdict, sentence, frames = client.predict(finished, 1, api_name="/fidelity")
    assert verdict in ("kept", "slightly off", "lost") and sentence.endswith(".")
    lengths = {len(frames[name]) for name in ("seconds", "colour_difference", "similarity")}
    assert len(lengths) == 1 and lengths.pop() >= 4 and frames["similarity"][0] > 0.5


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_address_is_fetched_for_a_program(client, url, address):
    looked_up.clear()
    assert "Nothing is fetched" in refusal(client, handle_file(address), **QUICK, api_name="/animate")
    assert "Nothing is fetched" in refusal(client, handle_file(address), api_name="/check_photo")
    assert "Nothing is fetched" in refusal(client, handle_file(address), api_name="/settings_of")
    assert not {"169.254.169.254", "example.com"} & set(looked_up)


@pytest.mark.parametrize("endpoint", ["animate", "submit", "check_photo", "settings_of"])
def test_no_file_of_the_server_is_opened_for_a_program(url, dress, endpoint):
    for file in ({"path": str(dress)}, {"path": str(dress), "meta": {"_type": "gradio.FileData"}}):
        name = "clip" if endpoint == "settings_of" else "photo"
        call = httpx.post(f"{url}gradio_api/call/v2/{endpoint}", json={name: file})
        told = httpx.get(f"{url}gradio_api/call/{endpoint}/{call.json()['event_id']}", timeout=60).text
        assert "event: error" in told and str(dress) not in told


# These two are in the README; the page's address and the photo's name are put in below.
PROGRAM = """
import time
from gradio_client import Client, handle_file

page = Client("http://127.0.0.1:7860")
clip, seed = page.predict(handle_file("dress.jpg"), motion="turn-left", api_name="/animate")  # waits; clip is an mp4 file

number, clips, seed = page.predict(
    handle_file("dress.jpg"), motion="walk", more_motions=["spin"], seeds=2, api_name="/submit"  # does not wait
)
while page.predict(number, api_name="/job")[0] in ("waiting", "working"):
    time.sleep(1)
clip, seed = page.predict(number, 2, api_name="/result")  # clips count from 0
gif = page.predict(number, 2, format="gif", shape="9:16", play="boomerang", api_name="/export")
"""
CURL = """
photo=$(curl -s -F files=@dress.jpg http://127.0.0.1:7860/gradio_api/upload | tr -d '[]"')
event=$(curl -s http://127.0.0.1:7860/gradio_api/call/v2/animate -H 'Content-Type: application/json' \\
  -d '{"photo": {"path": "'$photo'"}, "motion": "spin", "seed": 7}' | cut -d '"' -f 4)
curl -sN http://127.0.0.1:7860/gradio_api/call/animate/$event
"""


def test_a_program_does_what_the_readme_shows(url, dress, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    monkeypatch.setattr("gradio_client.client.DEFAULT_TEMP_DIR", str(tmp_path))
    names: dict = {}
    exec(PROGRAM.replace("http://127.0.0.1:7860", url).replace("dress.jpg", str(dress)), names)
    assert (names["clips"], names["seed"]) == (4, read_settings(names["clip"])["seed"])
    assert read_settings(names["clip"])["motion"] == "spin"
    with Image.open(names["gif"]) as picture:
        assert picture.format == "GIF" and picture.height / picture.width == pytest.approx(16 / 9, rel=0.01)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_gets_a_clip(url, dress, tmp_path):
    commands = CURL.replace("http://127.0.0.1:7860/", url).replace("dress.jpg", str(dress))
    told = subprocess.run(["sh", "-c", commands], capture_output=True, text=True, timeout=60, check=True).stdout
    clip, seed = json.loads(told.split("event: complete\ndata: ")[1].splitlines()[0])
    (tmp_path / "clip.mp4").write_bytes(httpx.get(clip["url"]).content)
    assert seed == 7 and read_settings(tmp_path / "clip.mp4")["motion"] == "spin"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_reaches_the_quick_endpoints_too_and_may_leave_out_what_comes_last(url, finished):
    def ask(endpoint: str, *values) -> list:
        post = ["curl", "-s", f"{url}gradio_api/call/{endpoint}", "-H", "Content-Type: application/json"]
        event = subprocess.check_output([*post, "-d", json.dumps({"data": values})], timeout=30)
        get = ["curl", "-sN", f"{url}gradio_api/call/{endpoint}/{json.loads(event)['event_id']}"]
        return json.loads(subprocess.check_output(get, text=True, timeout=30).split("data: ")[1].splitlines()[0])

    assert ask("job", finished)[:3] == ["finished", 4, 4]
    assert ask("result", finished)[1] == 3
    assert len(ask("estimate")) == 3
