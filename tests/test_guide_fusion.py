"""What is taken of a guide: its certain pixels always, of the rest what was learnt."""

import pytest
import torch

from fashionflow.models.guide_fusion import KNOWN_CHANNELS, GuideFrames, certainty, with_certainty

from . import tiny


def inputs(known: list[float], frames: int = 3, seed: int = 0) -> tuple[torch.Tensor, GuideFrames]:
    """Latents of random pictures, and a guide of other ones, known alike everywhere."""
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(frames, tiny.LATENT_CHANNELS, 6, 4, generator=generator)
    pixels = torch.rand(frames, 3, 48, 32, generator=generator) * 2 - 1
    return latents, GuideFrames(pixels, torch.tensor(known)[:, None, None].expand(frames, KNOWN_CHANNELS, 48, 32))


@torch.no_grad()
def trained_autoencoder():
    """An autoencoder whose fusion has weights that mean something else everywhere."""
    vae = tiny.autoencoder(guided=True)
    last = vae.guide_fusion.fuse[-2]
    torch.nn.init.normal_(last.weight, std=0.3)
    torch.nn.init.normal_(last.bias, std=0.3)
    return vae


def test_certain_pixels_are_the_guides_own_whatever_was_learnt():
    vae = trained_autoencoder()
    for known in ([1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.25, 0.0, 0.75, 0.0]):
        latents, guide = inputs(known)
        with torch.no_grad():
            assert torch.equal(vae.decode(latents, guide=guide).sample, guide.pixels)


def test_only_the_certain_pixels_of_a_frame_are():
    vae = trained_autoencoder()
    latents, guide = inputs([0.0, 1.0, 0.0, 0.0])
    known = guide.known.clone()
    known[..., :16] = torch.tensor([1.0, 0.0, 0.0, 0.0])[:, None, None]
    with torch.no_grad():
        shown = vae.decode(latents, guide=GuideFrames(guide.pixels, known)).sample
    assert torch.equal(shown[..., :16], guide.pixels[..., :16])
    assert (shown[..., 16:] - guide.pixels[..., 16:]).abs().mean() > 0.02


def test_an_untrained_fusion_takes_most_of_a_guess_and_little_of_what_is_unknown():
    vae = tiny.autoencoder(guided=True)
    for known, share in (([0.0, 1.0, 0.0, 0.0], 0.953), ([0.0, 0.0, 0.0, 1.0], 0.953), ([0.0, 0.0, 0.0, 0.0], 0.047)):
        latents, guide = inputs(known)
        with torch.no_grad():
            drawn, belief = vae.decode_guided(latents, guide)
            assert torch.allclose(drawn, vae.decode(latents).sample, atol=1e-5), "nothing is mended yet"
            expected = share * guide.pixels + (1 - share) * drawn
            assert belief.mean().item() == pytest.approx(share, abs=0.005)
            assert (vae.decode(latents, guide=guide).sample - expected).abs().max() < 0.01


def test_latents_decide_where_nothing_is_known_and_nowhere_that_is_certain():
    vae = trained_autoencoder()
    with torch.no_grad():
        for known, changes in (([0.0, 0.0, 0.0, 0.0], True), ([1.0, 0.0, 0.0, 0.0], False)):
            latents, guide = inputs(known)
            change = vae.decode(latents + 1, guide=guide).sample - vae.decode(latents, guide=guide).sample
            assert (change.abs().mean() > 0.1) == changes


def test_certainty_is_the_photos_own_share_and_the_rest_is_believed():
    known = torch.tensor([0.3, 0.2, 0.4, 0.1])[None, :, None, None]
    torch.testing.assert_close(certainty(known), torch.full((1, 1, 1, 1), 0.7))
    belief = torch.tensor([0.0, 0.5, 1.0])[:, None, None, None]
    torch.testing.assert_close(with_certainty(belief, known).flatten(), torch.tensor([0.7, 0.85, 1.0]))


def test_slices_give_the_same_pictures():
    vae = trained_autoencoder()
    latents, guide = inputs([0.2, 0.4, 0.1, 0.2])
    with torch.no_grad():
        whole = vae.decode(latents, guide=guide).sample
        vae.enable_slicing()
        torch.testing.assert_close(vae.decode(latents, guide=guide).sample, whole, atol=1e-5, rtol=1e-4)


def test_an_autoencoder_without_fusion_takes_no_guide():
    latents, guide = inputs([1.0, 0.0, 0.0, 0.0])
    with pytest.raises(ValueError, match="`guide` needs an autoencoder with `guided=True`, got one without"):
        tiny.autoencoder().decode(latents, guide=guide)
