"""Wrong arguments over HTTP: each gets a sentence that names it, and none an error on the server's side."""

import json
import os

import httpx
import pytest

from fashionflow.page import wrong_numbers
from fashionflow.page.api.known_calls import UNKNOWN
from fashionflow.page.api.wrong_arguments import LONGEST_GIVEN
from fashionflow.page.languages import ENGLISH
from fashionflow.page.mcp_server import NOT_UPLOADED
from fashionflow.video.io import read_settings

from . import tiny


@pytest.fixture
def photo(url, dress) -> dict:
    """An uploaded photo, as the README's curl names it."""
    return {"path": httpx.post(f"{url}gradio_api/upload", files={"files": dress.read_bytes()}).json()[0]}


def answer(
    url: str, endpoint: str, named: dict | None = None, listed: list | None = None, **headers
) -> tuple[str, object]:
    """How a call ends, and with what: its outputs, or what was said."""
    form = f"v2/{endpoint}" if listed is None else endpoint
    values = named if listed is None else {"data": listed}
    call = httpx.post(f"{url}gradio_api/call/{form}", json=values, headers=headers)
    if call.status_code != 200:
        return str(call.status_code), call.json()["error"]
    told = httpx.get(f"{url}gradio_api/call/{endpoint}/{call.json()['event_id']}", timeout=60).text
    event, data = told.strip().split("\n")[-2:]
    data = json.loads(data.removeprefix("data: "))
    return event.removeprefix("event: "), data["error"] if "error" in event else data


@pytest.mark.parametrize("seed", ["7", "abc", [1], 7.5, 2**40])
@pytest.mark.parametrize("endpoint", ["submit", "animate"])
def test_a_seed_that_is_none_is_named(url, photo, endpoint, seed):
    end, said = answer(url, endpoint, {"photo": photo, "steps": 1, "seed": seed})
    assert end == "error" and "`seed` must be a whole number" in said and repr(seed) in said


def test_an_argument_that_is_missing_or_unknown_is_named(url, photo):
    assert answer(url, "check_photo", {}) == ("400", "`photo` is missing; check_photo needs it.")
    end, said = answer(url, "check_photo", {"photo": photo, "colour": "red"})
    assert end == "400" and said.startswith("`colour` is not a parameter of check_photo")


@pytest.mark.parametrize("given", ["dress.png", 7, {"name": "dress.png"}, {"path": None}, "x" * 999])
def test_a_file_that_is_none_is_named(url, given):
    for answered in (answer(url, "check_photo", {"photo": given}), answer(url, "submit", listed=[given])):
        end, said = answered
        assert end == "error" and said.startswith("`photo` must be an uploaded file") and len(said) < 250
        assert repr(given)[:LONGEST_GIVEN] in said


@pytest.mark.parametrize(
    "path",
    [
        "zero\0byte",
        "{folder}/zero\0byte",
        "{folder}/" + "x" * 300,
        "/etc/hostname",
        "absent.png",
        "{folder}",
        "{folder}/server.lock",
        "{folder}/absent/../server.lock",
    ],
)
def test_a_path_that_no_upload_can_have_is_refused_in_a_sentence(url, site, path, capfd):
    file = {"path": path.format(folder=site.job_queue.folder)}
    for answered in (answer(url, "check_photo", {"photo": file}), answer(url, "settings_of", {"clip": file})):
        assert answered == ("error", NOT_UPLOADED)
    assert "Traceback" not in capfd.readouterr().err
    named = {os.path.normpath(each) for files in site.page.temp_file_sets for each in files}
    assert os.path.normpath(file["path"]) not in named, "Gradio would delete it in time, and end at a folder"


def test_an_endpoint_that_there_is_not_is_named(url):
    for answered in (answer(url, "dance", {}), answer(url, "dance", listed=[])):
        assert answered == ("404", "There is no endpoint named 'dance'; see the page's API documentation.")


def test_an_outcome_is_told_once_and_whoever_asks_again_is_told_so(url):
    event = httpx.post(f"{url}gradio_api/call/v2/job", json={"number": "K7QM3F2PX"}).json()["event_id"]
    address = f"{url}gradio_api/call/job"
    assert "event: error" in httpx.get(f"{address}/{event}", timeout=60).text
    for asked in (f"{address}/{event}", f"{address}/absent", f"{url}gradio_api/call/v2/job/absent"):
        answered = httpx.get(asked, timeout=60)
        assert (answered.status_code, answered.json()["error"]) == (404, UNKNOWN)


def test_a_path_alone_is_enough_for_a_file(url, photo, site, tmp_path):
    end, (advice, _) = answer(url, "check_photo", {"photo": photo})
    assert end == "complete" and advice is not None
    _, (clip, _) = answer(url, "animate", {"photo": photo, "steps": 1, "frames": tiny.FRAMES, "seed": 5})
    copy = tmp_path / "clip.mp4"
    copy.write_bytes(httpx.get(clip["url"]).content)
    uploaded = httpx.post(f"{url}gradio_api/upload", files={"files": ("clip.mp4", copy.read_bytes())}).json()[0]
    for end, outputs in (
        answer(url, "settings_of", {"clip": {"path": uploaded}}),
        answer(url, "settings_of", listed=[{"path": uploaded}]),
    ):
        assert end == "complete" and outputs[0]["seed"] == read_settings(copy)["seed"] == 5


def test_no_address_is_fetched_and_no_file_of_the_machine_is_read(url, dress):
    end, said = answer(url, "settings_of", {"clip": {"path": "https://example.com/clip.mp4"}})
    assert end == "error" and "Nothing is fetched" in said
    end, said = answer(url, "check_photo", {"photo": {"path": str(dress)}})
    assert end == "error" and str(dress) not in str(said)


def test_whoever_tries_many_numbers_has_to_wait_and_nobody_else(url, photo, monkeypatch):
    def tries(number: str, address: str = "203.0.113.7") -> tuple[str, object]:
        return answer(url, "job", {"number": number}, **{"X-Forwarded-For": address})

    monkeypatch.setattr(wrong_numbers, "MOST_WRONG", 3)
    mine, other = (answer(url, "submit", {"photo": photo, "steps": 1, "frames": 4})[1][0] for _ in range(2))
    assert tries(mine)[0] == "complete"
    for number in ("K7QM3F2PX", "K7QM3F2PY", "K7QM3F2PZ"):
        assert "There is no" in tries(number)[1]
    for number in ("K7QM3F2PW", other):
        assert tries(number) == ("error", ENGLISH("job.too_many_wrong"))
    assert tries(mine)[0] == tries(other, "203.0.113.8")[0] == "complete"
    monkeypatch.setattr(wrong_numbers, "SECONDS", 0)  # as if the time had passed
    assert tries(other)[0] == "complete"
