import numpy as np
import pytest
import torch
from accelerate.hooks import ModelHook, add_hook_to_module
from diffusers import AutoencoderKL
from PIL import Image

from fashionflow import FashionFlowPipeline
from fashionflow.pipelines.motions import motion_rows
from fashionflow.pipelines.schedulers import SAMPLERS

from . import tiny


@pytest.fixture(scope="module")
def pipe():
    return tiny.pipeline()


@pytest.fixture(scope="module")
def released():
    return tiny.released_pipeline()


@pytest.mark.parametrize("make", [tiny.pipeline, tiny.released_pipeline])
def test_frames_have_the_requested_shape_and_range(make):
    frames = make()(**tiny.inputs()).frames
    assert frames.shape == (1, tiny.FRAMES, 3, tiny.HEIGHT, tiny.WIDTH)
    assert frames.min() >= 0 and frames.max() <= 1


def test_output_types_show_the_same_clip(pipe):
    expected = pipe(**tiny.inputs()).frames  # [1, F, 3, height, width]
    array = pipe(**tiny.inputs(output_type="np")).frames
    np.testing.assert_allclose(array, expected.permute(0, 1, 3, 4, 2).numpy())
    pictures = pipe(**tiny.inputs(output_type="pil")).frames
    assert len(pictures[0]) == tiny.FRAMES and pictures[0][0].size == (tiny.WIDTH, tiny.HEIGHT)
    assert np.abs(np.asarray(pictures[0][3]) / 255 - array[0, 3]).max() < 0.003
    latents = pipe(**tiny.inputs(output_type="latent")).frames
    torch.testing.assert_close(torch.cat(list(pipe.decode_latents(latents)), 2).transpose(1, 2), expected)
    assert isinstance(pipe(**tiny.inputs(return_dict=False)), tuple)


def test_same_seed_same_clip_and_another_seed_another(pipe):
    clip = pipe(**tiny.inputs()).frames
    torch.testing.assert_close(pipe(**tiny.inputs()).frames, clip, atol=0, rtol=0)
    other = pipe(**tiny.inputs(generator=torch.Generator().manual_seed(1))).frames
    assert (other - clip).abs().max() > 0.01


def test_noise_scale_is_that_of_the_noise_that_the_sampler_starts_from(pipe):
    _, first_frame = pipe.encode_image(tiny.photo())
    starts = []
    for scale in (1.0, 0.25):
        other = tiny.pipeline(noise_scale=scale)
        generator = torch.Generator().manual_seed(0)
        starts.append(other.prepare_latents(first_frame, tiny.FRAMES, other.scheduler, generator))
    torch.testing.assert_close(starts[1], 0.25 * starts[0])
    given = torch.ones_like(starts[0])
    torch.testing.assert_close(other.prepare_latents(first_frame, tiny.FRAMES, other.scheduler, latents=given), given)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("make", [tiny.pipeline, tiny.released_pipeline])
def test_denoiser_always_sees_the_clean_photo_in_frame_0(make, sampler):
    pipe = make()
    _, photo = pipe.encode_image(tiny.photo(), torch.Generator().manual_seed(0))
    seen = []
    hook = pipe.unet.register_forward_pre_hook(lambda module, args: seen.append(args[0][:, :, :1]))
    clip = pipe(**tiny.inputs(num_inference_steps=3, sampler=sampler, output_type="latent")).frames
    hook.remove()
    assert len(seen) >= 3
    for first_frame in [*seen, clip[:, :, :1]]:
        torch.testing.assert_close(first_frame, photo)


def test_frame_0_is_the_photo_as_the_autoencoder_keeps_it(pipe):
    photo = torch.from_numpy(np.array(pipe.fit_photo(tiny.photo()))).permute(2, 0, 1)[None] / 127.5 - 1
    kept = (pipe.vae(photo).sample[0] + 1) / 2
    torch.testing.assert_close(pipe(**tiny.inputs()).frames[0, 0], kept.clamp(0, 1), atol=1e-5, rtol=0)


def test_photo_keeps_its_aspect_or_is_stretched_as_the_config_says(pipe, released):
    tall = Image.new("RGB", (60, 240), "white")
    tall.paste("black", (0, 90, 60, 150))  # a square in the middle
    shapes = []
    for pipeline in (pipe, released):
        dark = np.asarray(pipeline.fit_photo(tall).convert("L")) < 128
        shapes.append((dark.sum(0).max(), dark.sum(1).max()))
    (height, width), (stretched_height, stretched_width) = shapes
    assert abs(height - width) <= 2
    assert stretched_height < 0.6 * stretched_width


def test_pixels_reach_each_autoencoder_in_its_own_range(pipe, released):
    for pipeline, lowest in ((pipe, -1), (released, 0)):
        seen = []
        encode = pipeline.vae.encode
        pipeline.vae.encode = lambda pixels, encode=encode, seen=seen: seen.append(pixels) or encode(pixels)
        pipeline.encode_image(Image.new("RGB", (64, 96), "black"))
        pipeline.vae.encode = encode
        assert seen[0].min() == seen[0].max() == lowest


def test_released_conditioner_gets_a_posterior_sample_of_its_own(released):
    seen = []
    hook = released.conditioner.register_forward_pre_hook(lambda module, args: seen.append(args[1]))
    _, first_frame = released.encode_image(tiny.photo(), torch.Generator().manual_seed(0))
    hook.remove()
    assert (seen[0] - first_frame[:, :, 0]).abs().max() > 1e-6


@pytest.mark.parametrize("make", [tiny.pipeline, tiny.released_pipeline])
def test_save_and_load_gives_the_same_clip(make, tmp_path):
    pipe = make()
    pipe.save_pretrained(tmp_path)
    loaded = FashionFlowPipeline.from_pretrained(tmp_path)
    loaded.set_progress_bar_config(disable=True)
    for name in ("frame_rate", "default_num_frames", "signed_pixels", "photo_fit", "noise_scale"):
        assert loaded.config[name] == pipe.config[name]
    torch.testing.assert_close(loaded(**tiny.inputs()).frames, pipe(**tiny.inputs()).frames)


def test_half_precision_is_the_same_clip_nearly(pipe):
    clip = pipe(**tiny.inputs()).frames
    half = tiny.pipeline().to(torch.bfloat16)
    assert (half(**tiny.inputs()).frames - clip).abs().mean() < 0.02


def test_named_motion_is_its_rows(pipe):
    named = pipe(**tiny.inputs(motion="spin", turn_angle=90)).frames
    rows = motion_rows("spin", tiny.FRAMES, 90)
    torch.testing.assert_close(pipe(**tiny.inputs(motion=rows)).frames, named)
    assert (pipe(**tiny.inputs(motion="walk")).frames - named).abs().max() > 1e-3


def test_a_named_motion_leaves_torchs_own_seed_alone(pipe):
    clips = []
    for _ in range(2):
        torch.manual_seed(5)
        clips.append(pipe(**tiny.inputs(generator=None, motion="surprise-me")).frames)
    torch.testing.assert_close(clips[0], clips[1], atol=0, rtol=0)


@pytest.mark.parametrize("autoencoder", [tiny.autoencoder, tiny.kl_autoencoder])
def test_offload_hooks_fire_when_the_autoencoder_encodes_and_decodes(autoencoder):
    class Count(ModelHook):
        calls = 0

        def pre_forward(self, module, *args, **kwargs):
            Count.calls += 1
            return args, kwargs

    vae = autoencoder()
    add_hook_to_module(vae, Count())
    with torch.no_grad():
        vae.encode(torch.zeros(1, 3, 64, 64))
        vae.decode(torch.zeros(1, vae.config.latent_channels, 8, 8))
    assert Count.calls == 2


def test_callback_sees_every_step_and_can_replace_the_latents(pipe):
    seen = []

    def zero(pipeline, step, timestep, tensors):
        seen.append((step, tensors["latents"].shape))
        assert pipeline.current_timestep == timestep
        return {"latents": torch.zeros_like(tensors["latents"])}

    latents = pipe(**tiny.inputs(output_type="latent", callback_on_step_end=zero)).frames
    assert [step for step, _ in seen] == [0, 1]
    assert seen[0][1] == (1, tiny.LATENT_CHANNELS, tiny.FRAMES - 1, tiny.HEIGHT // 8, tiny.WIDTH // 8)
    assert latents[:, :, 1:].abs().max() == 0


def test_interrupt_ends_after_the_step_and_does_not_stick(pipe):
    calls = []

    def stop(pipeline, step, timestep, tensors):
        calls.append(step)
        pipeline._interrupt = len(calls) == 1
        return tensors

    pipe(**tiny.inputs(num_inference_steps=5, callback_on_step_end=stop))
    assert calls == [0]
    pipe(**tiny.inputs(num_inference_steps=3, callback_on_step_end=stop))
    assert calls == [0, 0, 1, 2]


def test_decoding_never_holds_more_frames_than_asked(pipe):
    sizes = []
    decode = pipe.vae.decode
    pipe.vae.decode = lambda latents, **kwargs: sizes.append(len(latents)) or decode(latents, **kwargs)
    latents = torch.randn(1, tiny.LATENT_CHANNELS, 7, 12, 8)
    chunks = pipe.decode_latents(latents, chunk_frames=3)
    assert next(chunks).shape == (1, 3, 3, 96, 64) and sizes == [3], "the next chunk is decoded only when asked for"
    assert [chunk.shape[2] for chunk in chunks] == [3, 1]
    pipe.vae.decode = decode
    whole = torch.cat(list(pipe.decode_latents(latents, chunk_frames=7)), 2)
    torch.testing.assert_close(torch.cat(list(pipe.decode_latents(latents, chunk_frames=2)), 2), whole)


@pytest.mark.parametrize("autoencoder", [tiny.autoencoder, tiny.kl_autoencoder])
def test_slicing_changes_nothing(autoencoder):
    vae = autoencoder()
    latents = torch.randn(3, vae.config.latent_channels, 4, 4)
    with torch.no_grad():
        plain = vae.decode(latents).sample
        vae.enable_slicing()
        torch.testing.assert_close(vae.decode(latents).sample, plain, atol=1e-5, rtol=1e-4)


def test_tiling_bounds_the_decoder_and_nearly_changes_nothing():
    vae = tiny.autoencoder()
    vae.register_to_config(tile_cells=8)
    latents = torch.randn(1, tiny.LATENT_CHANNELS, 20, 12)
    seen = []
    hook = vae.decoder.register_forward_pre_hook(lambda module, args: seen.append(args[0].shape[-2:]))
    with torch.no_grad():
        plain = vae.decode(latents).sample
        vae.enable_tiling()
        tiled = vae.decode(latents).sample
    hook.remove()
    assert seen[0] == (20, 12) and set(seen[1:]) == {(8, 8)} and len(seen) == 1 + 3 * 2
    assert tiled.shape == plain.shape
    assert (tiled - plain).abs().mean() < 0.02 * plain.abs().mean()


def test_components_can_be_swapped(pipe):
    other = FashionFlowPipeline(**{**pipe.components, "frame_rate": 4.0, "signed_pixels": True, "photo_fit": "pad"})
    assert other.config.frame_rate == 4.0
    assert isinstance(tiny.released_pipeline().vae, AutoencoderKL)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"image": "dress.png"}, TypeError, "`image` must be a PIL image, got str"),
        ({"num_frames": 1}, ValueError, "`num_frames` must be at least 2, got 1"),
        ({"num_frames": 2.5}, ValueError, "`num_frames` must be at least 2, got 2.5"),
        ({"num_inference_steps": 0}, ValueError, "`num_inference_steps` must be between 1 and 1000, got 0"),
        ({"num_inference_steps": 1001}, ValueError, "between 1 and 1000, got 1001"),
        ({"motion": "fly"}, ValueError, "`motion` must be one of turn-left, .*, got 'fly'"),
        ({"motion": torch.zeros(4, 3)}, ValueError, r"`motion` must have shape \(6, 3\), got \(4, 3\)"),
        ({"turn_angle": 20}, ValueError, "`turn_angle` needs `motion` to be the name of a motion, got None"),
        (
            {"motion": "spin", "turn_angle": 720},
            ValueError,
            "`turn_angle` must be between -360 and 360 degrees, got 720",
        ),
        ({"motion": ["spin"]}, TypeError, "`motion` must be a name, a tensor or None, got list"),
        ({"motion": "spin", "turn_angle": "far"}, TypeError, "`turn_angle` must be a number of degrees, got 'far'"),
        ({"sampler": ["euler"]}, ValueError, r"`sampler` must be one of dpm.*, got \['euler'\]"),
        ({"generator": 5}, TypeError, "`generator` must be one torch.Generator, got int"),
        ({"latents": 3}, TypeError, "`latents` must be a tensor, got int"),
        ({"sampler": "magic"}, ValueError, "`sampler` must be one of dpm.*, got 'magic'"),
        ({"output_type": "gif"}, ValueError, "`output_type` must be one of np, pt, pil, latent, got 'gif'"),
        ({"latents": torch.zeros(1, 8, 6, 12, 8)}, ValueError, r"`latents` must have shape \(1, 8, 5, 12, 8\)"),
        (
            {"callback_on_step_end_tensor_inputs": ("image",)},
            ValueError,
            r"must be among \['latents'\], got \['image'\]",
        ),
    ],
)
def test_wrong_input_says_what_to_change(pipe, arguments, error, message):
    with pytest.raises(error, match=message):
        pipe(**tiny.inputs(**arguments))


def test_released_model_has_even_frames_and_no_motion(released):
    with pytest.raises(ValueError, match="`num_frames` must be a multiple of 2 and at least 2, got 5"):
        released(**tiny.inputs(num_frames=5))
    with pytest.raises(ValueError, match="`motion` must be None"):
        released(**tiny.inputs(motion="spin"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_offload_on_a_gpu_is_the_same_clip():
    expected = tiny.pipeline()(**tiny.inputs()).frames
    for enable in ("enable_model_cpu_offload", "enable_sequential_cpu_offload"):
        pipe = tiny.pipeline()
        getattr(pipe, enable)()
        torch.testing.assert_close(pipe(**tiny.inputs()).frames.cpu(), expected, atol=2e-2, rtol=0)


def test_offload_without_an_accelerator_says_so(pipe):
    if torch.cuda.is_available():
        pytest.skip("there is an accelerator")
    with pytest.raises(RuntimeError, match="accelerator"):
        tiny.pipeline().enable_model_cpu_offload()


@pytest.mark.parametrize(("interval", "runs"), [(1, 4), (2, 2), (3, 2), (9, 1)])
def test_the_coarser_levels_run_at_every_so_many_steps(interval, runs):
    pipe = tiny.pipeline(deep_interval=interval)
    count = []
    pipe.unet.mid_block.register_forward_hook(lambda *_: count.append(1))
    frames = pipe(**tiny.inputs(num_inference_steps=4)).frames
    assert len(count) == runs and frames.isfinite().all()
    count.clear()
    guided = {"motion": "spin", "motion_guidance": 2.0, "deep_interval": 2}
    pipe(**tiny.inputs(num_inference_steps=4, **guided))
    assert len(count) == 4  # both passes, each with its own
    pipe(**tiny.inputs(num_inference_steps=4, deep_interval=1))
    assert len(count) == 8
    with pytest.raises(ValueError, match="`deep_interval` must be a whole number from 1 on, got 0"):
        pipe(**tiny.inputs(deep_interval=0))


def test_both_passes_of_guidance_keep_features_of_their_own():
    """With the other pass's features, a push of 1 + almost nothing would no longer be the plain prediction."""
    pipe = tiny.pipeline(deep_interval=2)
    arguments = {"motion": "spin", "num_inference_steps": 4}
    plain = pipe(**tiny.inputs(**arguments)).frames
    barely = pipe(**tiny.inputs(**arguments, motion_guidance=1.0001)).frames
    assert (plain - barely).abs().max() < 1e-3
