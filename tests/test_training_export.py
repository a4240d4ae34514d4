import pytest
import torch

from fashionflow import FashionFlowPipeline
from fashionflow.training import export

from . import tiny


def test_export_keeps_the_first_layers_of_the_image_encoder(tmp_path):
    pipe = tiny.pipeline()
    pipe.save_pretrained(tmp_path / "pipeline")
    export.export(tmp_path / "pipeline", tmp_path / "out", image_layers=0)
    shorter = FashionFlowPipeline.from_pretrained(tmp_path / "out", dtype=torch.float32).image_encoder
    pixels = torch.randn(1, 3, 32, 32)
    pipe.image_encoder.encoder.layers = torch.nn.ModuleList()
    expected = pipe.image_encoder(pixels).last_hidden_state
    torch.testing.assert_close(shorter(pixels).last_hidden_state, expected, atol=1e-2, rtol=0)


@pytest.mark.parametrize("flags", [[], ["--image-layers", "9"], ["--frames", "1"]])
def test_a_wrong_folder_or_number_is_told_in_a_sentence(flags, tmp_path):
    if flags:
        tiny.pipeline().save_pretrained(tmp_path / "pipeline")
    with pytest.raises(SystemExit) as stopped:
        export.main([str(tmp_path / "pipeline"), str(tmp_path / "out"), *flags])
    message = stopped.value.code
    assert "\n" not in message and message.endswith(
        f"got {flags[-1]}." if flags else f"got {str(tmp_path / 'pipeline')!r}."
    )


def test_exported_pipeline_is_half_as_large_in_small_parts_and_the_same_model(tmp_path):
    pipe = tiny.pipeline(unet=tiny.unet(stem_channels=64, block_channels=(96, 192), cross_attention_heads=(2, 4)))
    pipe.save_pretrained(tmp_path / "pipeline")
    pipe.vae.decoder[0].bias.data += 0.1
    pipe.vae.save_pretrained(tmp_path / "vae")
    export.export(
        tmp_path / "pipeline", tmp_path / "out", tmp_path / "vae", num_frames=2 * tiny.FRAMES, image_layers=1
    )
    parts = list((tmp_path / "out" / "unet").glob("*.safetensors"))
    assert len(parts) > 1 and max(part.stat().st_size for part in parts) < 10e6
    loaded = FashionFlowPipeline.from_pretrained(tmp_path / "out", dtype=torch.float32)
    loaded.set_progress_bar_config(disable=True)
    assert (loaded.config.default_num_frames, loaded.config.frame_rate) == (2 * tiny.FRAMES, 16.0)
    difference = loaded(**tiny.inputs()).frames - pipe(**tiny.inputs()).frames
    assert difference.abs().max() < 0.02
    pipe.vae.linear_encoder.bias.data += 0.1
    pipe.vae.save_pretrained(tmp_path / "vae")
    with pytest.raises(ValueError, match="`vae` must have the code that the denoiser was trained on"):
        export.export(tmp_path / "pipeline", tmp_path / "other", tmp_path / "vae")
