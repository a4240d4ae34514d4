"""Memory modes: what they take, which one is chosen, and clips that are finished although memory ran out, for real."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from fashionflow import GarmentConditioner
from fashionflow.generation.queue import JobQueue
from fashionflow.generation.request import ClipRequest
from fashionflow.generation.settings import ClipSettings
from fashionflow.page.context import PageContext
from fashionflow.page.settings import Settings
from fashionflow.runtime.free_memory import NO_LIMIT, _left_in_container
from fashionflow.runtime.memory import TILED_PIXELS, MemoryFallback, applied, is_out_of_memory, peak_bytes
from fashionflow.runtime.memory_modes import DECODED_AT_ONCE, LEANEST, OutOfMemory

from . import tiny


MIB = 2**20


@pytest.fixture(scope="module")
def outcomes():
    """What `tests/out_of_memory.py` went through."""
    if sys.platform != "linux":
        pytest.skip("ulimit -v is Linux's")
    # pandas loads pyarrow where Ray is installed, and its threads would take what the program leaves free.
    start = "import runpy, sys; sys.modules['pyarrow'] = None; runpy.run_module('tests.out_of_memory', run_name='__main__')"
    command = [sys.executable, "-c", start]
    result = subprocess.run(
        command,
        cwd=Path(__file__).parents[1],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout)


def request(**changes) -> ClipRequest:
    return ClipRequest(tiny.photo(), ClipSettings(**{"frames": 20, "steps": 2, "seed": 7, "motion": "spin"} | changes))


def test_every_way_of_saying_that_memory_ran_out_is_understood(outcomes):
    ways = {"torch": True, "python": True, "numpy": True, "cv2": True, "other": False, "missing": False}
    assert outcomes["ways"] == ways
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert is_out_of_memory(RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later."))
    assert is_out_of_memory(OSError(12, "Cannot allocate memory")) and not is_out_of_memory(OutOfMemory("no"))


def test_the_mode_is_chosen_by_what_the_shell_leaves_free(outcomes):
    choices = outcomes["choices"]
    assert choices["plenty"] == "normal" and choices["little"] == "lean" and 0 < choices["free"] < 80 * MIB


def test_decoding_that_runs_out_of_memory_goes_on_from_the_frame_reached(outcomes):
    made = outcomes["decoding"]
    assert made["state"] == "finished" and made["memory"] == "normal" and made["stepped_down"]
    assert made["told"].count("Step") == 2 and made["told"].count("SteppedDown") == 1
    assert made["decoded"] == [4, 4, 16, 16, 16, 4, 4, 4, 4]  # two previews, then the clip
    assert made["reached"][0] > 0
    assert made["frames"] == [48, 48] and made["difference"] <= 1 and made["pieces"] < 6
    assert made["unlimited"] == ["fast", False]


def test_a_step_that_runs_out_of_memory_is_made_again_in_the_leanest_mode(outcomes):
    made = outcomes["denoising"]
    assert made["state"] == "finished" and made["memory"] == "lean" and made["stepped_down"]
    assert made["told"][:4] == ["Waiting", "Step", "SteppedDown", "Step"] and made["steps"] == [1, 1, 2]
    assert made["passes"] == [False, False, True, True] and not made["slicing_afterwards"]
    assert made["frames"] == [16, 16] and made["difference"] <= 1


def test_the_page_says_that_memory_ran_out_until_the_clip_is_done(outcomes):
    for name, mode in (("decoding", "Normal"), ("denoising", "Lean")):
        sentence = f"Memory ran out, so this clip is made in the leaner mode “{mode}”."
        said = outcomes[name]["said"]
        first = next(index for index, status in enumerate(said) if sentence in status)
        assert not any("Memory" in status for status in said[:first])
        assert all(sentence in status for status in said[first:]) and "Done" in said[-1] and "problem" not in said[-1]


def test_what_fits_in_no_mode_ends_with_one_sentence(outcomes):
    made = outcomes["nothing_fits"]
    assert made["state"] == "failed" and not made["holds"]
    assert made["error"].startswith(
        "The memory of this computer ran out in the leanest mode too: a clip of 200 frames takes"
    )
    assert made["error"].endswith("choose fewer frames, or close other programs.")
    assert "Memory ran out even in the leanest mode; choose fewer frames." in made["said"][-1]


def test_where_no_leaner_mode_helps_a_clip_ends_with_one_sentence_and_the_next_one_works(outcomes):
    made = outcomes["writing"]
    assert made["state"] == "failed" and not made["holds"]
    assert "Memory ran out even in the leanest mode; choose fewer frames." in made["said"][-1]
    assert all(outcomes[name]["next"] for name in ("decoding", "denoising", "nothing_fits", "writing"))


def test_the_command_steps_down_and_says_so(outcomes):
    ended = outcomes["command"]
    assert ended["status"] == 2 and not ended["there"] and "Traceback" not in ended["printed"]
    assert "\nMemory ran out; the clip is made in the mode lean.\n" in f"\n{ended['printed']}"
    assert ended["printed"].count("ran out in the leanest mode too") == 1


def assert_same_frames(pipe, frames: np.ndarray, expected: np.ndarray, start: int = 0) -> None:
    """The same up to rounding. In the noise that the toy AutoencoderKL draws, a rounding error can make optical flow find another way
    for a few pixels between two keyframes."""
    difference = np.abs(frames - expected)
    is_keyframe = np.arange(start, start + len(frames)) % 3 == 0
    assert difference[is_keyframe].max(initial=0) <= 1
    if isinstance(pipe.vae, AutoencoderKL):
        assert (difference > 1).mean() < 0.01 and difference.mean() < 0.05
    else:
        assert difference.max() <= 1


@pytest.mark.parametrize("make", [tiny.pipeline, tiny.released_pipeline, tiny.guided_pipeline])
def test_every_mode_makes_the_same_clip_and_any_frame_can_be_gone_on_from(make):
    pipe = make()
    asked = request(motion="spin" if pipe.has_motion else None, interpolation=3)
    clips, guide = {}, asked.guide(pipe)
    for mode in DECODED_AT_ONCE:
        with MemoryFallback(pipe, asked.settings.frames, mode) as fallback:
            latents = fallback.make(lambda: asked.denoise(pipe, guide))
            frames = fallback.frames(asked.decoder(pipe, latents, guide))
            clips[mode] = np.stack(list(frames)).astype(int)
        assert fallback.mode == mode and not fallback.stepped_down
    for clip in clips.values():
        assert clip.shape == (58, pipe.height, pipe.width, 3)
        assert_same_frames(pipe, clip, clips["normal"])
    for start in (1, 11, 12, 38, 57):
        rest = np.stack(list(asked.decoder(pipe, latents, guide).frames(start))).astype(int)
        assert len(rest) == 58 - start
        assert_same_frames(pipe, rest, clips["normal"][start:], start)


def test_the_leanest_mode_decodes_one_frame_at_once_and_leaves_no_trace():
    pipe = tiny.pipeline()
    with applied(pipe, LEANEST):
        assert pipe.vae.use_slicing and not pipe.vae.use_tiling
    assert not pipe.vae.use_slicing
    with applied(pipe, "fast"):
        assert not pipe.vae.use_slicing


def test_only_large_frames_of_diffusers_autoencoder_are_tiled():
    cells = int((TILED_PIXELS / 64) ** 0.5)
    conditioner = GarmentConditioner(5, tiny.CONTEXT_CHANNELS, 4, (cells, cells))
    large = tiny.pipeline(vae=tiny.kl_autoencoder(), conditioner=conditioner)
    with applied(large, LEANEST):
        assert large.vae.use_tiling
    assert not large.vae.use_tiling
    ours = tiny.pipeline(conditioner=conditioner)
    for pipe in (ours, tiny.released_pipeline()):
        with applied(pipe, LEANEST):
            assert not pipe.vae.use_tiling


def test_a_container_leaves_what_its_tightest_group_does(tmp_path):
    """Version 2 of Linux's control groups, as in Docker, and version 1, as Linux writes them."""
    membership = tmp_path / "membership"
    statistics = f"anon 5\ninactive_file {10 * MIB}\nactive_file {20 * MIB}\nshmem 7\n"
    mounted = tmp_path / "cgroup"
    for folder, most in (("", None), ("outer", 500 * MIB), ("outer/inner", None)):
        group = mounted / folder
        group.mkdir(exist_ok=True)
        if folder:  # the root has no limit
            (group / "memory.max").write_text(f"{most or 'max'}\n")
            (group / "memory.current").write_text(f"{300 * MIB}\n")
        (group / "memory.stat").write_text(statistics)
    membership.write_text("0::/outer/inner\n")
    assert _left_in_container(mounted, membership) == 230 * MIB

    group = mounted / "memory" / "job"
    group.mkdir(parents=True)
    (group / "memory.limit_in_bytes").write_text(f"{400 * MIB}\n")
    (group / "memory.usage_in_bytes").write_text(f"{350 * MIB}\n")
    (group / "memory.stat").write_text(f"inactive_file 3\ntotal_inactive_file {MIB}\ntotal_active_file {MIB}\n")
    membership.write_text("5:cpu,cpuacct:/\n4:memory:/job\n0::/\n")
    assert _left_in_container(mounted, membership) == 52 * MIB
    assert _left_in_container(mounted, tmp_path / "nowhere") == NO_LIMIT


def test_leaner_modes_take_less_and_longer_clips_more():
    pipe = tiny.pipeline()
    lean, normal, fast = (peak_bytes(pipe, 16, mode) for mode in DECODED_AT_ONCE)
    assert lean <= normal < fast
    assert peak_bytes(pipe, 280, LEANEST) > lean


def test_the_page_says_what_each_mode_takes_in_the_visitors_language():
    settings = Settings(PageContext(JobQueue(tiny.pipeline()), live=False))
    german = SimpleNamespace(headers={"accept-language": "de-AT,de;q=0.9"})
    names = [name for name, _ in settings.memory_costs(german, 16.0)["choices"]]
    assert names == ["Automatisch", "Sparsam · etwa 0,1 GB", "Normal · etwa 0,1 GB", "Schnell · etwa 0,1 GB"]
    long = settings.memory_costs(german, None)["choices"]
    assert [value for _, value in long] == ["auto", *DECODED_AT_ONCE]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_on_a_gpu_the_leanest_mode_keeps_only_the_part_at_work_there():
    pipe = tiny.pipeline().to("cuda")
    expected = request().denoise(pipe, None)
    with MemoryFallback(pipe, 20, LEANEST) as fallback:
        assert pipe.unet.device.type == "cpu"
        torch.testing.assert_close(
            fallback.make(lambda: request().denoise(pipe, None)), expected, atol=1e-3, rtol=1e-3
        )
    assert all(part.device.type == "cuda" for part in (pipe.unet, pipe.vae, pipe.image_encoder, pipe.conditioner))
    torch.testing.assert_close(request().denoise(pipe, None), expected, atol=1e-3, rtol=1e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_on_a_gpu_without_memory_a_clip_is_finished_in_a_leaner_mode():
    conditioner = GarmentConditioner(5, tiny.CONTEXT_CHANNELS, tiny.LATENT_CHANNELS, (64, 64)).eval()
    job_queue = JobQueue(tiny.pipeline(conditioner=conditioner).to("cuda"))
    list(job_queue.submit(request()).follow())  # the first call of anything takes memory that it keeps
    latents = request(frames=64).denoise(job_queue.pipe, None)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    for _ in job_queue.pipe.decode_latents(latents, chunk_frames=4):
        pass
    most = torch.cuda.max_memory_allocated() + 32 * MIB
    total = torch.cuda.get_device_properties(0).total_memory
    try:
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(most / total)
        finished = list(job_queue.submit(request(frames=20, memory="fast")).follow())[-1]
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert finished.whole and finished.stepped_down and finished.memory in ("normal", "lean")
