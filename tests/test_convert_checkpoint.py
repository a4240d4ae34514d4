"""The released checkpoint becomes a pipeline folder, and nothing else is taken for it."""

import pickle
import subprocess
import sys

import pytest
import torch
from diffusers import AutoencoderKL
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionModel

from fashionflow import FashionFlowPipeline
from fashionflow.pipelines.convert_checkpoint import convert, main, unet_and_conditioner

from . import released


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A folder with the checkpoint, and the autoencoder and image encoder that go with it."""
    folder = tmp_path_factory.mktemp("sources")
    torch.save(
        {**released.checkpoint(), "opt": {"state": {0: {"step": 1.0}}, "param_groups": []}}, folder / "released.pth"
    )
    released.vae().save_pretrained(folder / "stable-diffusion" / "vae")
    released.image_encoder().save_pretrained(folder / "clip-vision")
    return folder


@pytest.fixture(scope="module")
def converted(sources):
    """The folder that the command writes."""
    folder = sources / "pipeline"
    arguments = ["--vae", str(sources / "stable-diffusion"), "--image-encoder", str(sources / "clip-vision")]
    assert main([str(sources / "released.pth"), str(folder), *arguments]) == 0
    return folder


def test_the_command_writes_a_pipeline_that_loads_with_every_quirk(sources, converted):
    pipe = FashionFlowPipeline.from_pretrained(converted)
    assert pipe.config.frame_rate == 25
    assert pipe.config.default_num_frames == 70
    assert pipe.config.signed_pixels is False
    assert pipe.config.photo_fit == "stretch"
    assert pipe.image_processor.rescale_factor == pytest.approx(1 / 255**2)
    assert pipe.scheduler.config.prediction_type == "epsilon"
    assert len(pipe.scheduler.config.trained_betas) == 1000
    assert (pipe.height, pipe.width) == (640, 512)
    assert not pipe.has_motion
    unet, conditioner = unet_and_conditioner(released.checkpoint())
    expected_parts = {
        "unet": unet,
        "conditioner": conditioner,
        "vae": AutoencoderKL.from_pretrained(sources / "stable-diffusion", subfolder="vae"),
        "image_encoder": CLIPVisionModel.from_pretrained(sources / "clip-vision"),
    }
    for name, expected in expected_parts.items():
        loaded = getattr(pipe, name).state_dict()
        assert loaded.keys() == expected.state_dict().keys()
        assert all(torch.equal(loaded[key], tensor) for key, tensor in expected.state_dict().items()), name


def test_every_released_number_arrives():
    checkpoint = released.checkpoint()
    unet, conditioner = unet_and_conditioner(checkpoint)
    for part, model in (("net", unet), ("adapter", conditioner)):
        expected = sum(tensor.numel() for tensor in checkpoint[part].values())
        assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_half_precision_and_the_optimiser_are_accepted():
    checkpoint = released.checkpoint()
    checkpoint["adapter"] = {key: tensor.half() for key, tensor in checkpoint["adapter"].items()}
    _, conditioner = unet_and_conditioner({**checkpoint, "opt": "anything"})
    assert conditioner.dtype == torch.float32
    assert torch.equal(conditioner.token_mix.weight, checkpoint["adapter"]["linear1.weight"].float())


@pytest.mark.parametrize("part", ["net", "adapter"])
def test_a_missing_a_surplus_and_a_misshapen_tensor_are_named(part):
    key = {"net": "downs.3.2.spatial_attn.to_kv.weight", "adapter": "vae2clip.bias"}[part]
    checkpoint = released.checkpoint()
    tensor = checkpoint[part].pop(key)
    with pytest.raises(ValueError, match=f"lacks '{key}'"):
        unet_and_conditioner(checkpoint)
    checkpoint[part][key] = tensor[:-1]
    with pytest.raises(ValueError, match=rf"'{key}' must have shape \({len(tensor)},.*got \({len(tensor) - 1},"):
        unet_and_conditioner(checkpoint)
    checkpoint[part][key] = tensor.tolist()
    with pytest.raises(ValueError, match=f"'{key}' must be a tensor, got list"):
        unet_and_conditioner(checkpoint)
    checkpoint[part] |= {key: tensor, f"module.{key}": tensor}
    with pytest.raises(ValueError, match=f"got also 'module.{key}'"):
        unet_and_conditioner(checkpoint)


def test_a_tensor_of_the_right_size_and_another_shape_is_refused():
    checkpoint = released.checkpoint()
    key = "conv_in.temporal_conv.weight"
    checkpoint["net"][key] = checkpoint["net"][key].transpose(1, 2).contiguous()
    with pytest.raises(ValueError, match=key):
        unet_and_conditioner(checkpoint)


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        ({"net": {}}, "lacks"),
        ({"adapter": {}}, "must have a state dict 'net'"),
        ({"net": {}, "adapter": {}, "ema": {}}, "got also 'ema'"),
        ([1, 2], "must be a dictionary with 'net' and 'adapter', got list"),
    ],
)
def test_another_structure_is_refused(checkpoint, message):
    if message == "lacks":
        checkpoint = {**released.checkpoint(), **checkpoint}
    with pytest.raises(ValueError, match=message):
        unet_and_conditioner(checkpoint)


class Trap:
    """Unpickled, it would make a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("save", [torch.save, lambda tree, path: path.write_bytes(pickle.dumps(tree))])
def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path, capsys, save):
    file, footprint = tmp_path / "trap.pth", tmp_path / "footprint"
    save({"net": {}, "adapter": {}, "opt": Trap(footprint)}, file)
    assert main([str(file), str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert "code" in message and "was not opened" in message and message.count("\n") == 1
    assert not footprint.exists()
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_checkpoint_gets_one_sentence(tmp_path, capsys, sources):
    whole = (sources / "released.pth").read_bytes()
    contents = {"truncated.pth": whole[: len(whole) // 2], "empty.pth": b"", "text.pth": b"hello there\n" * 100}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    for name in (*contents, "absent.pth"):
        assert main([str(tmp_path / name), str(tmp_path / "out")]) == 2
        message = capsys.readouterr().err
        assert name in message and message.count("\n") == 1, message


def test_a_folder_with_something_in_it_is_left_alone(tmp_path, capsys, sources):
    (tmp_path / "notes.txt").write_text("mine")
    assert main([str(sources / "released.pth"), str(tmp_path)]) == 2
    assert "new or empty folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_the_autoencoder_may_be_the_folder_itself_and_clip_may_be_whole(tmp_path, sources):
    text = CLIPTextConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, vocab_size=16
    )
    vision = released.vision_config()
    whole = CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict())).eval()
    whole.save_pretrained(tmp_path / "clip")
    pipe = convert(
        sources / "released.pth",
        tmp_path / "out",
        vae=str(sources / "stable-diffusion" / "vae"),
        image_encoder=str(tmp_path / "clip"),
    )
    expected = whole.vision_model.state_dict()
    loaded = pipe.image_encoder.state_dict()
    assert {key.removeprefix("vision_model.") for key in loaded} == expected.keys()
    pixels = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        assert torch.equal(pipe.image_encoder(pixels).last_hidden_state, whole.vision_model(pixels).last_hidden_state)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (
            lambda folder: released.vae(latent_channels=8).save_pretrained(folder / "vae"),
            "must have 4 latent channels",
        ),
        (
            lambda folder: (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink(),
            "autoencoder cannot be loaded",
        ),
        (lambda folder: released.image_encoder(patch_size=56).save_pretrained(folder / "clip"), "50 tokens of 768"),
        (lambda folder: (folder / "clip" / "config.json").write_text("{"), "image encoder cannot be loaded"),
    ],
)
def test_unfit_parts_are_refused_before_anything_is_written(tmp_path, capsys, sources, break_it, message):
    released.vae().save_pretrained(tmp_path / "vae")
    released.image_encoder().save_pretrained(tmp_path / "clip")
    break_it(tmp_path)
    capsys.readouterr()
    arguments = ["--vae", str(tmp_path / "vae"), "--image-encoder", str(tmp_path / "clip")]
    assert main([str(sources / "released.pth"), str(tmp_path / "out"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_python_m_prints_one_sentence_and_no_traceback(tmp_path):
    command = [
        sys.executable,
        "-m",
        "fashionflow.pipelines.convert_checkpoint",
        str(tmp_path / "absent.pth"),
        str(tmp_path / "out"),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr == f"There is no checkpoint at '{tmp_path / 'absent.pth'}'.\n"
