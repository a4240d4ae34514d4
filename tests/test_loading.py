"""A model from a folder, from the Hub, or a sentence that says why not."""

import json
import shutil
import subprocess
import sys
import threading

import huggingface_hub
import pytest
import torch
from diffusers import AutoencoderTiny
from diffusers.utils import logging as diffusers_logging
from safetensors.torch import load_file, save_file

from fashionflow import FashionFlowPipeline
from fashionflow.generation.events import Waiting
from fashionflow.generation.queue import JobQueue
from fashionflow.generation.request import ClipRequest
from fashionflow.generation.settings import ClipSettings
from fashionflow.models.layers import SpaceTimeAttention
from fashionflow.runtime import loading, model_folder
from fashionflow.runtime.acceleration import PLAIN, Switches, number_format
from fashionflow.runtime.loading import choose_device, device_report, load_pipeline, running_report
from fashionflow.runtime.model_folder import ModelDescription, ModelError, describe_model
from fashionflow.video.preview import Preview

from . import tiny
from .waiting import wait_until_idle


UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return tiny.saved(tmp_path_factory, tiny.pipeline())


@pytest.fixture
def copied(saved, tmp_path):
    """A copy to break."""
    return shutil.copytree(saved, tmp_path / "copied")


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*arguments, **_):
        raise AssertionError(f"connected to {arguments[1:]}")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


def same_weights(pipe: FashionFlowPipeline, folder) -> bool:
    saved = load_file(folder / UNET)
    return all(torch.equal(tensor, saved[name].to(tensor)) for name, tensor in pipe.unet.state_dict().items())


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_a_folder_is_loaded_without_a_network_and_without_a_word(saved, no_network, capfd, kind):
    pipe = load_pipeline(kind(saved), "cpu")
    assert same_weights(pipe, saved)
    assert pipe.device.type == "cpu" and pipe.unet.dtype == number_format(pipe.device)
    assert not pipe.unet.training
    assert capfd.readouterr() == ("", "")
    assert diffusers_logging.is_progress_bar_enabled()  # as it was


def test_the_loaded_pipeline_makes_the_same_clip_as_the_saved_one(saved):
    expected = tiny.pipeline()(**tiny.inputs()).frames
    pipe = load_pipeline(saved, "cpu", PLAIN)
    pipe.set_progress_bar_config(disable=True)
    assert torch.allclose(pipe(**tiny.inputs()).frames, expected, atol=1e-5)
    pipe = load_pipeline(saved, "cpu", Switches("bfloat16"))
    pipe.set_progress_bar_config(disable=True)
    frames = pipe(**tiny.inputs()).frames
    assert (frames - expected).square().mean() < 1e-4  # 40 dB
    assert frames.dtype == torch.float32


def test_the_environment_variable_names_the_default(saved, monkeypatch):
    monkeypatch.setenv("FASHIONFLOW_MODEL", str(saved))
    assert same_weights(load_pipeline(device="cpu"), saved)


def test_without_a_name_the_shipped_model_is_meant(saved, monkeypatch):
    monkeypatch.delenv("FASHIONFLOW_MODEL", raising=False)
    assert model_folder.SHIPPED_MODEL.parts[-3:] == ("assets", "models", "fashionflow-mini")
    monkeypatch.setattr(model_folder, "SHIPPED_MODEL", saved)
    assert same_weights(load_pipeline(device="cpu"), saved)
    monkeypatch.setattr(model_folder, "SHIPPED_MODEL", saved / "absent")
    with pytest.raises(ModelError, match="clone the repository whole"):
        load_pipeline(device="cpu")


@pytest.fixture
def hub_cache(saved, tmp_path, monkeypatch):
    """A Hub cache as a download leaves it, which is all that there is: no network."""
    repository = tmp_path / "hub" / "models--someone--garments"
    for revision, commit in (("main", "a" * 40), ("v2", "b" * 40)):
        shutil.copytree(saved, repository / "snapshots" / commit)
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / revision).write_text(commit)
    (repository / "snapshots" / ("b" * 40) / "unet" / "config.json").write_text("{")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def test_a_hub_id_is_downloaded_and_loaded(hub_cache, saved, no_network):
    assert same_weights(load_pipeline("someone/garments", "cpu"), saved)
    assert same_weights(load_pipeline("someone/garments@main", "cpu"), saved)
    with pytest.raises(ModelError, match="someone/garments@v2.*unet/config.json"):  # the revision that is damaged
        load_pipeline("someone/garments@v2", "cpu")


@pytest.mark.parametrize("name", ["someone/else", "someone/garments@v3"])
def test_a_hub_id_that_is_not_there_gets_one_sentence(hub_cache, name):
    with pytest.raises(ModelError, match=f"There is no folder '{name}' here, and the Hugging Face Hub") as caught:
        load_pipeline(name, "cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["absent", "/tmp/absent/model", "./some/model", "a/b/c", "no where/model", "https://x.org/y"]
)
def test_a_name_that_cannot_be_on_the_hub_is_not_looked_up(name, no_network):
    with pytest.raises(ModelError, match="There is no model folder at"):
        load_pipeline(name, "cpu")


def edit(folder, name, **changes):
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(content | changes))


def drop_tensor(folder, name):
    tensors = load_file(folder / name)
    del tensors[sorted(tensors)[0]]
    save_file(tensors, folder / name)


BREAKS = {
    "no index": (lambda folder: (folder / "model_index.json").unlink(), "'model_index.json' is missing"),
    "index no JSON": (lambda folder: (folder / "model_index.json").write_text('{"_class'), "cannot be read as JSON"),
    "index a list": (lambda folder: (folder / "model_index.json").write_text("[]"), "cannot be read as settings"),
    "another kind": (
        lambda folder: edit(folder, "model_index.json", _class_name="StableDiffusionPipeline"),
        "of the kind 'StableDiffusionPipeline'",
    ),
    "part absent": (lambda folder: shutil.rmtree(folder / "conditioner"), "'conditioner/config.json' is missing"),
    "scheduler absent": (lambda folder: shutil.rmtree(folder / "scheduler"), "scheduler_config.json' is missing"),
    "weights absent": (lambda folder: (folder / UNET).unlink(), "its part 'unet' has no weights"),
    "weights pickled": (
        lambda folder: (folder / UNET).rename(folder / "unet" / "weights.bin"),
        "'unet' has no weights",
    ),
    "weights cut off": (
        lambda folder: (folder / UNET).write_bytes((folder / UNET).read_bytes()[:9999]),
        "was cut off",
    ),
    "weights empty": (lambda folder: (folder / UNET).write_bytes(b""), f"'{UNET}' is damaged"),
    "a tensor absent": (lambda folder: drop_tensor(folder, UNET), "its part 'unet' lacks 1 of its tensors"),
    "a CLIP tensor absent": (
        lambda folder: drop_tensor(folder, "image_encoder/model.safetensors"),
        "'image_encoder' lacks",
    ),
    "config damaged": (
        lambda folder: (folder / "vae/config.json").write_text("{"),
        "'vae/config.json' cannot be read",
    ),
    "config of another size": (lambda folder: edit(folder, "unet/config.json", block_channels=[8, 24]), "shape"),
    "config nonsense": (lambda folder: edit(folder, "unet/config.json", norm_groups=5), "norm_groups"),
    "part not in the index": (lambda folder: edit(folder, "model_index.json", vae=None), "vae"),
}


@pytest.mark.parametrize("how", BREAKS)
def test_a_folder_that_is_half_there_or_another_kind_gets_one_sentence(copied, how):
    break_it, reason = BREAKS[how]
    break_it(copied)
    with pytest.raises(ModelError) as caught:
        load_pipeline(copied, "cpu")
    message = str(caught.value)
    assert str(copied) in message and reason in message and "again" in message
    assert torch.get_default_dtype() == torch.float32  # the libraries leave the model's behind
    assert "\n" not in message


def test_a_file_is_not_taken_for_a_folder(copied):
    with pytest.raises(ModelError, match="is a file; give the folder"):
        load_pipeline(copied / UNET, "cpu")


@pytest.mark.parametrize("device", ["gpu", "", 3.5, "xpu", "meta"])
def test_a_device_of_an_unknown_kind_is_refused_before_anything_is_loaded(device):
    with pytest.raises(ValueError, match="`device` must be auto, cuda, mps or cpu, got"):
        load_pipeline("/absent", device)


@pytest.mark.parametrize("device", ["cuda:99", "mps:9"])
def test_a_device_that_is_not_here_is_refused(device):
    with pytest.raises(ValueError, match=f"'{device}' is not; choose cpu"):
        choose_device(device)


def test_the_report_says_device_numbers_and_attention():
    report = device_report("cpu")
    numbers = str(number_format(torch.device("cpu"))).removeprefix("torch.")
    assert "cpu" in report and numbers in report and "PyTorch's own (xFormers needs a CUDA GPU)" in report


def test_the_page_and_the_log_say_which_attention_really_runs(saved):
    pipe = load_pipeline(saved, "cpu", PLAIN)
    assert running_report(pipe) == f"{saved.name} · {pipe.width} x {pipe.height} · cpu · float32 · attention: PyTorch"
    for layer in pipe.unet.modules():
        if isinstance(layer, SpaceTimeAttention):
            layer.set_attention_backend("xformers")
    assert running_report(pipe).endswith("attention: xFormers")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU")
def test_xformers_without_cuda_is_an_error_and_not_a_silent_nothing():
    pytest.importorskip("xformers")
    with pytest.raises(ValueError, match="only available for GPU"):
        tiny.pipeline().enable_xformers_memory_efficient_attention()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU")
def test_on_cuda_the_model_runs_in_half_precision_with_the_attention_reported(saved):
    pipe = load_pipeline(saved, "cuda")
    assert pipe.unet.dtype == torch.float16
    frames = pipe(**tiny.inputs(generator=torch.Generator("cuda").manual_seed(0))).frames
    assert frames.isfinite().all()
    attention, _ = loading.attention_choice(torch.device("cuda"))
    backends = {processor._attention_backend for processor in pipe.unet.attn_processors.values()}
    assert backends == {"xformers" if attention == "xformers" else None}


@pytest.fixture
def tiny_decoder(tmp_path):
    """A folder as the Hub's small decoders of Stable Diffusion's latents have it."""
    torch.manual_seed(0)
    widths = {"encoder_block_out_channels": (8,) * 4, "decoder_block_out_channels": (8,) * 4}
    blocks = {"num_encoder_blocks": (1,) * 4, "num_decoder_blocks": (1,) * 4}
    decoder = AutoencoderTiny(**widths, **blocks)
    decoder.save_pretrained(tmp_path / "decoder", safe_serialization=True)
    return tmp_path / "decoder"


def test_a_tiny_decoder_draws_previews_and_if_told_so_clips(tmp_path, tiny_decoder):
    tiny.released_pipeline().save_pretrained(tmp_path / "released")
    latents = torch.randn(1, 4, 2, tiny.HEIGHT // 8, tiny.WIDTH // 8)
    drawn = AutoencoderTiny.from_pretrained(tiny_decoder).decode(latents[0].transpose(0, 1)).sample.clamp(0, 1)
    pipes = {
        clips: load_pipeline(tmp_path / "released", "cpu", PLAIN, tiny_decoder, tiny_clips=clips) for clips in (0, 1)
    }
    for clips, pipe in pipes.items():
        (frames,) = pipe.decode_latents(latents)
        assert torch.allclose(frames[0].transpose(0, 1), drawn, atol=1e-5) == bool(clips)
        pipe.set_progress_bar_config(disable=True)
        with Preview(pipe) as preview:
            result = pipe(**tiny.inputs(num_inference_steps=1, output_type="latent")).frames
            preview.picture()
            seen = preview._pixels(result)
        (expected,) = pipe.decode_latents(result, chunk_frames=99, tiny=True)
        assert torch.equal(seen, expected)


def test_a_tiny_decoder_of_other_latents_is_refused(saved, tiny_decoder, tmp_path):
    with pytest.raises(
        ModelError, match="latents of 4 channels and enlarges them 8 times, but this model needs 8 channels"
    ):
        load_pipeline(saved, "cpu", tiny_decoder=tiny_decoder)
    with pytest.raises(ModelError, match="must be a folder or Hub id with an AutoencoderTiny"):
        load_pipeline(saved, "cpu", tiny_decoder=saved)
    with pytest.raises(ModelError, match="name one"):
        load_pipeline(saved, "cpu", tiny_clips=True)


@pytest.mark.parametrize("make", [tiny.pipeline, tiny.released_pipeline, tiny.guided_pipeline])
def test_a_folder_says_of_its_model_what_the_loaded_pipeline_says(make, tmp_path):
    make().save_pretrained(tmp_path / "model")
    assert describe_model(tmp_path / "model") == ModelDescription.of(load_pipeline(tmp_path / "model", "cpu", PLAIN))


def test_a_folder_that_describes_no_model_gets_one_sentence(saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "model")
    edit(folder, "model_index.json", _class_name="StableDiffusionPipeline")
    with pytest.raises(ModelError, match="of the kind 'StableDiffusionPipeline' and not 'FashionFlowPipeline'"):
        describe_model(folder)
    edit(folder, "model_index.json", _class_name="FashionFlowPipeline", frame_rate=None)
    (folder / "unet" / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="its settings lack 'time_levels'; copy or download its folder again"):
        describe_model(folder)


@pytest.mark.parametrize("module", ["fashionflow", "fashionflow.__main__", "fashionflow.page"])
def test_the_page_and_the_help_do_not_wait_for_pytorch(module):
    code = f"import {module}, sys; print({{'torch', 'diffusers', 'transformers'}} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_a_job_waits_for_a_model_that_is_still_being_loaded():
    pipe = tiny.pipeline()
    asked = ClipRequest(tiny.photo(), ClipSettings(4, 1, 0))
    job_queue = JobQueue(ModelDescription.of(pipe), measure=True)
    assert not job_queue.is_loaded
    with pytest.raises(ValueError, match="`frames` must be"):
        job_queue.submit(ClipRequest(tiny.photo(), ClipSettings(1, 1, 0)))
    job = job_queue.submit(asked)
    assert next(job.follow()) == Waiting(0, 0.0) and not job.has_ended
    job_queue.use(pipe)
    assert list(job.follow())[-1].path.is_file() and job_queue.pipe is pipe
    assert job_queue.time_estimator.is_known


def test_a_pipeline_and_a_job_that_come_together_start_one_worker():
    pipe = tiny.pipeline()
    job_queue = JobQueue(ModelDescription.of(pipe), measure=True)
    with job_queue._changed:  # as while a job is being submitted
        bringing = threading.Thread(target=job_queue.use, args=(pipe,))
        bringing.start()
        bringing.join(0.3)
        assert job_queue.is_loaded and not job_queue._threads
    bringing.join()
    assert len(job_queue._threads) == 1
    wait_until_idle(job_queue)
