"""Toy-size but real components, shared by every test."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL
from PIL import Image
from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModel

from fashionflow import FashionFlowPipeline, GarmentAutoencoder, GarmentConditioner, SpaceTimeUNet
from fashionflow.models import GarmentGeometry
from fashionflow.models.guide_fusion import KNOWN_CHANNELS
from fashionflow.pipelines.schedulers import make_scheduler, training_scheduler


HEIGHT, WIDTH, FRAMES = 96, 64, 6
LATENT_CHANNELS, CONTEXT_CHANNELS = 8, 16


def unet(**overrides) -> SpaceTimeUNet:
    torch.manual_seed(0)
    config = {
        "in_channels": LATENT_CHANNELS,
        "stem_channels": 8,
        "block_channels": (8, 16),
        "attention_levels": (1,),
        "time_levels": (),
        "attention_heads": 2,
        "attention_head_channels": 4,
        "cross_attention_heads": (1, 2),
        "context_channels": CONTEXT_CHANNELS,
        "motion_channels": 3,
        "first_frame_everywhere": True,
        "gated_skips": True,
    }
    unet = SpaceTimeUNet(**config | overrides).eval()
    torch.nn.init.normal_(unet.conv_out.spatial.weight, std=0.1)  # a trained model's output is not zero either
    return unet


def released_unet(**overrides) -> SpaceTimeUNet:
    """The structure of the released model, with its time compression and without our inputs."""
    return unet(
        **{
            "in_channels": 4,
            "time_levels": (1,),
            "motion_channels": 0,
            "first_frame_everywhere": False,
            "gated_skips": False,
        }
        | overrides
    )


def autoencoder(**overrides) -> GarmentAutoencoder:
    torch.manual_seed(0)
    vae = GarmentAutoencoder(
        latent_channels=LATENT_CHANNELS,
        block_size=8,
        block_channels=(8, 8),
        num_encoder_blocks=1,
        num_decoder_blocks=1,
        **overrides,
    )
    vae.start_from_principal_components(torch.rand(64, 3, 16, 16) * 2 - 1)
    return vae.eval()


def kl_autoencoder() -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        norm_num_groups=4,
    ).eval()


def image_encoder() -> CLIPVisionModel:
    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=CONTEXT_CHANNELS,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
        patch_size=16,
    )
    return CLIPVisionModel(config).eval()


def pipeline(**overrides) -> FashionFlowPipeline:
    """The shipped pipeline's structure: motion input, our autoencoder, pixels in [-1, 1]."""
    torch.manual_seed(0)
    components = {
        "image_encoder": image_encoder(),
        "image_processor": CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        "conditioner": GarmentConditioner(5, CONTEXT_CHANNELS, LATENT_CHANNELS, (HEIGHT // 8, WIDTH // 8)).eval(),
        "unet": unet(),
        "vae": autoencoder(),
        "scheduler": make_scheduler("dpm++", training_scheduler("sample").config),
        "frame_rate": 8.0,
        "default_num_frames": FRAMES,
        "signed_pixels": True,
        "photo_fit": "crop",
    }
    pipe = FashionFlowPipeline(**components | overrides)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def released_pipeline() -> FashionFlowPipeline:
    """The released pipeline's structure and quirks: SD's kind of autoencoder, pixels in [0, 1], a stretched photo."""
    return pipeline(
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, rescale_factor=1 / 255**2
        ),
        conditioner=GarmentConditioner(5, CONTEXT_CHANNELS, 4, (HEIGHT // 8, WIDTH // 8)).eval(),
        unet=released_unet(),
        vae=kl_autoencoder(),
        scheduler=training_scheduler("epsilon"),
        frame_rate=25.0,
        signed_pixels=False,
        photo_fit="stretch",
    )


@torch.no_grad()
def geometry() -> GarmentGeometry:
    """A geometry network whose weights are set by hand: it sees a lens in the middle of every photo, and nothing else of it.

    The two channels that say where a cell is, across and down, go past all blocks; SiLU(x) + SiLU(-x) is about |x|.
    """
    torch.manual_seed(0)
    network = GarmentGeometry(block_channels=(8, 16), sample_size=(HEIGHT, WIDTH)).eval()
    last = network.up_blocks[-1]
    for layer in (network.conv_in, last.conv2, last.shortcut, network.conv_out):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    steepness = 12.0
    for channel, (place, sign) in enumerate(((49, 1), (49, -1), (48, 1), (48, -1))):  # across, across, down, down
        network.conv_in.weight[channel, place, 1, 1] = sign * steepness
        last.shortcut.weight[channel, 16 + channel] = (
            1  # behind the 16 channels of the coarser level come those of the skip
        )
    cells = network.conv_out.weight.unflatten(0, (4, 16))  # coverage, front, back, axis; 4 x 4 pixels each
    cells[0, :, :4, 1, 1], cells[1, :, :4, 1, 1], cells[2, :, :4, 1, 1] = -2.0, -0.02, 0.02
    cells[3, :, 0, 1, 1], cells[3, :, 1, 1, 1] = WIDTH / 2 / 64 / steepness, -WIDTH / 2 / 64 / steepness
    network.conv_out.bias.unflatten(0, (4, 16))[0] = 2.0 * 0.7 * steepness
    network.conv_out.bias.unflatten(0, (4, 16))[1:3] = torch.tensor([[0.2], [-0.2]])
    return network


def guided_pipeline(**overrides) -> FashionFlowPipeline:
    """The structure of a pipeline with geometry: a guide for every frame, and clips twice as large as the autoencoder's pictures."""
    components = {
        "unet": unet(guide_channels=LATENT_CHANNELS + KNOWN_CHANNELS),
        "vae": autoencoder(guided=True),
        "geometry": geometry(),
        "clip_scale": 2,
    }
    return pipeline(**components | overrides)


def photo() -> Image.Image:
    """A picture with a different colour in each corner, 96 x 128."""
    corners = Image.new("RGB", (2, 2))
    corners.putdata([(230, 40, 40), (40, 200, 60), (40, 60, 220), (240, 230, 90)])
    return corners.resize((96, 128), Image.Resampling.BILINEAR)


def inputs(**overrides) -> dict:
    return {
        "image": photo(),
        "num_frames": FRAMES,
        "num_inference_steps": 2,
        "generator": torch.Generator().manual_seed(0),
        "output_type": "pt",
        **overrides,
    }


def saved(tmp_path_factory, pipe: FashionFlowPipeline) -> Path:
    """A model folder with this pipeline; its name is "tiny"."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    pipe.save_pretrained(folder)
    return folder
