import numpy as np
import pytest
import torch

from fashionflow import GarmentAutoencoder
from fashionflow.models.photo_guidance import PhotoGuidance, warp
from fashionflow.playback import keyframes

from . import tiny


def guided_autoencoder() -> GarmentAutoencoder:
    """The toy autoencoder with a guidance whose last layers say something, as trained ones do."""
    vae = tiny.autoencoder(photo_guided=True)
    torch.manual_seed(1)
    for last in (vae.guidance.find_flow[-2], vae.guidance.fuse[-2]):
        torch.nn.init.normal_(last.weight, std=0.1)
    return vae


@pytest.fixture(scope="module")
def guidance() -> PhotoGuidance:
    torch.manual_seed(0)
    return PhotoGuidance(coarse_channels=8, fine_channels=8, block_size=16, compared_channels=8, channels=8)


def test_warp_looks_up_to_the_right_and_down_for_positive_flow():
    picture = torch.rand(1, 3, 8, 12)
    flow = torch.zeros(1, 2, 8, 12)
    flow[:, 0] = 2
    flow[:, 1] = 1
    warped = warp(picture, flow)
    torch.testing.assert_close(warped[..., :-1, :-2], picture[..., 1:, 2:], atol=1e-5, rtol=0)
    torch.testing.assert_close(warped[..., -1, -1], picture[..., -1, -1], atol=1e-5, rtol=0)  # the edge goes on


def test_cells_that_moved_right_and_up_are_found_to_the_left_and_below(guidance):
    photo = torch.randn(1, 64, 10, 12)
    frame = photo.roll((-1, 3), dims=(2, 3))  # one cell up, three to the right
    scores, places = guidance.compare_places(frame, photo)
    assert scores.shape == (1, 45, 10, 12)
    inner = places[..., 2:-2, 4:-4]
    torch.testing.assert_close(inner[:, 0], torch.full_like(inner[:, 0], -3), atol=0.3, rtol=0)
    torch.testing.assert_close(inner[:, 1], torch.full_like(inner[:, 1], 1), atol=0.3, rtol=0)


def test_untrained_guidance_adds_nothing_but_a_share_of_the_photo_found():
    vae = tiny.autoencoder(photo_guided=True)
    photo = torch.rand(1, 3, 32, 32) * 2 - 1
    latents = vae.encode(photo).latents
    guided, alone, flow = vae.decode_guided(latents, vae.guide(photo, latents))
    found = warp(photo, torch.nn.functional.interpolate(flow, scale_factor=4, mode="bilinear"))
    torch.testing.assert_close(guided, (found + alone) / 2)
    torch.testing.assert_close(alone, vae.decode(latents).sample)


def test_decoding_with_a_guide_uses_the_photo_and_slices_change_nothing():
    vae = guided_autoencoder()
    photo, other = torch.rand(2, 1, 3, 32, 32) * 2 - 1
    latents = torch.randn(3, tiny.LATENT_CHANNELS, 4, 4)
    first = vae.encode(photo).latents
    decoded = vae.decode(latents, guide=vae.guide(photo, first)).sample
    assert (decoded - vae.decode(latents, guide=vae.guide(other, first)).sample).abs().mean() > 0.01
    vae.enable_slicing()
    torch.testing.assert_close(vae.decode(latents, guide=vae.guide(photo, first)).sample, decoded)
    one_each = vae.guide(photo.expand(3, -1, -1, -1), first.expand(3, -1, -1, -1))
    torch.testing.assert_close(vae.decode(latents, guide=one_each).sample, decoded)


def test_guide_without_a_guidance_is_one_sentence():
    with pytest.raises(ValueError, match="photo_guided=True"):
        tiny.autoencoder().guide(torch.zeros(1, 3, 32, 32), torch.zeros(1, tiny.LATENT_CHANNELS, 4, 4))


def test_clip_begins_with_the_photo_and_goes_on_guided_by_it():
    pipe = tiny.pipeline(vae=guided_autoencoder())
    photo = tiny.photo()
    latents = pipe(photo, num_inference_steps=1, output_type="latent").frames
    guided, alone = (np.stack(list(keyframes(pipe, latents, image))) for image in (photo, None))
    np.testing.assert_array_equal(guided[0], np.asarray(pipe.fit_photo(photo)))
    assert np.abs(guided[1:].astype(int) - alone[1:]).mean() > 1


def test_clip_whose_first_frame_is_not_given_keeps_it_and_is_guided_by_the_photo_all_the_same():
    pipe = tiny.pipeline(vae=guided_autoencoder(), first_frame_given=False)
    photo = tiny.photo()
    latents = pipe(photo, num_inference_steps=1, output_type="latent").frames
    shown = next(keyframes(pipe, latents, photo))
    assert np.abs(shown.astype(int) - np.asarray(pipe.fit_photo(photo))).mean() > 1
    other = latents.clone()
    other[:, :, 0] += 1
    decoded, expected = (torch.cat(list(pipe.decode_latents(clip, photo)), dim=2) for clip in (other, latents))
    torch.testing.assert_close(decoded[:, :, 1:], expected[:, :, 1:])


def test_guided_autoencoder_is_saved_and_loaded(tmp_path):
    vae = guided_autoencoder()
    vae.save_pretrained(tmp_path)
    loaded = GarmentAutoencoder.from_pretrained(tmp_path)
    photo = torch.rand(1, 3, 32, 32) * 2 - 1
    latents = vae.encode(photo).latents
    torch.testing.assert_close(
        loaded.decode(latents, guide=loaded.guide(photo, latents)).sample,
        vae.decode(latents, guide=vae.guide(photo, latents)).sample,
    )
