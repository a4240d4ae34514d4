import pytest
import torch
from diffusers import PyramidAttentionBroadcastConfig
from torch import nn

from fashionflow import SpaceTimeUNet
from fashionflow.models.layers import FeedForward, PseudoConv3d, RelativePositionBias, SpaceTimeAttention

from . import tiny


def call(unet, frames=6, seed=0, **kwargs):
    generator = torch.Generator().manual_seed(seed)
    sample = torch.randn(2, unet.config.in_channels, frames, 8, 8, generator=generator)
    context = torch.randn(2, 5, tiny.CONTEXT_CHANNELS, generator=generator)
    return unet(sample, torch.tensor([10, 900]), context, **kwargs)


@pytest.mark.parametrize("unet", [tiny.unet, tiny.released_unet])
def test_output_matches_input_shape(unet):
    unet = unet()
    assert call(unet).sample.shape == (2, unet.config.in_channels, 6, 8, 8)
    torch.testing.assert_close(call(unet, return_dict=False)[0], call(unet).sample)


@pytest.mark.parametrize("timestep", [500, 500.0, torch.tensor(500)])
def test_one_timestep_serves_the_whole_batch(timestep):
    unet, generator = tiny.unet(), torch.Generator().manual_seed(0)
    sample = torch.randn(2, tiny.LATENT_CHANNELS, 2, 8, 8, generator=generator)
    context = torch.randn(2, 5, tiny.CONTEXT_CHANNELS, generator=generator)
    expected = unet(sample, torch.tensor([500, 500]), context).sample
    torch.testing.assert_close(unet(sample, timestep, context).sample, expected)


def test_a_guide_must_fit_the_clip_and_the_model():
    channels = tiny.LATENT_CHANNELS + 4
    unet = tiny.unet(guide_channels=channels)
    guide = torch.randn(2, channels, 6, 8, 8, generator=torch.Generator().manual_seed(1))
    assert call(unet, guide=guide).sample.shape == (2, tiny.LATENT_CHANNELS, 6, 8, 8)
    with pytest.raises(ValueError, match=rf"`guide` must be given, with {channels} channels, got None"):
        call(unet)
    for wrong in (guide[:1], guide[:, :-1], guide[:, :, :-1], guide[..., :4]):
        with pytest.raises(ValueError, match=rf"`guide` must have shape \(2, {channels}, 6, 8, 8\), got \("):
            call(unet, guide=wrong)
    with pytest.raises(ValueError, match=r"`guide` must be None for a model without guide channels, got \(2, 12, 6"):
        call(tiny.unet(), guide=guide)
    with pytest.raises(ValueError, match="`guide_channels` must be 0, or at least `in_channels`, 8, got 4"):
        tiny.unet(guide_channels=4)


def test_an_untrained_model_repeats_its_guide_and_a_trained_one_sees_every_channel():
    channels = tiny.LATENT_CHANNELS + 4
    unet = tiny.unet(guide_channels=channels)
    guide = torch.randn(2, channels, 6, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        answer = call(unet, guide=guide).sample
        for channel in range(channels):
            changed = guide.clone()
            changed[:, channel, 3] += 1
            assert (call(unet, guide=changed).sample - answer).abs().max() > 1e-4
        nn.init.zeros_(unet.conv_out.spatial.weight)
        assert torch.equal(call(unet, guide=guide).sample, guide[:, : tiny.LATENT_CHANNELS])


def test_pseudo_convolution_is_a_spatial_then_a_temporal_convolution():
    conv = PseudoConv3d(3, 4)
    nn.init.normal_(conv.temporal.weight)
    clip = torch.randn(1, 5, 8, 8, 3)  # [B, F, H, W, C]
    frames = conv.spatial(clip[0].permute(0, 3, 1, 2))  # [F, C, H, W]
    along_time = nn.functional.conv1d(
        frames.permute(2, 3, 1, 0).flatten(0, 1), conv.temporal.weight[..., 0], conv.temporal.bias, padding=1
    )  # [H*W, C, F]
    expected = along_time.unflatten(0, (8, 8)).permute(3, 0, 1, 2)[None]  # [1, F, H, W, C]
    torch.testing.assert_close(conv(clip), expected, atol=1e-5, rtol=1e-4)


def test_untrained_pseudo_convolution_keeps_frames_apart():
    conv, clip = PseudoConv3d(3, 4), torch.randn(1, 6, 8, 8, 3)
    alone = torch.cat([conv(clip[:, i : i + 1]) for i in range(6)], dim=1)
    torch.testing.assert_close(conv(clip), alone, atol=1e-5, rtol=1e-4)


def test_position_bias_is_the_network_of_every_offset():
    module = RelativePositionBias(2, 8, 2)
    bias = module((3, 5), torch.zeros(1))
    positions = torch.cartesian_prod(torch.arange(3.0), torch.arange(5.0))  # [15, 2]
    offsets = positions[:, None] - positions[None]  # [15, 15, 2]
    silu = nn.functional.silu
    expected = module.linear_3(silu(module.linear_2(silu(module.linear_1(offsets))))).permute(2, 0, 1)[None]
    torch.testing.assert_close(bias, expected)
    assert bias.stride()[-2:] == (16, 1), "xFormers wants rows padded to a multiple of 8"
    assert module((4, 4), torch.zeros(1)).stride()[-2:] == (16, 1)


def test_xformers_can_be_switched_off_again():
    unet = tiny.unet()
    for layer in unet.modules():
        if isinstance(layer, SpaceTimeAttention):
            layer.set_attention_backend("xformers")
    unet.disable_xformers_memory_efficient_attention()
    assert {processor._attention_backend for processor in unet.attn_processors.values()} == {None}
    call(unet)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_xformers_on_a_gpu_equals_native_attention():
    unet = tiny.unet(attention_head_channels=8).to("cuda", torch.float16)
    sample = torch.randn(1, tiny.LATENT_CHANNELS, 6, 8, 8, device="cuda", dtype=torch.float16)
    context = torch.randn(1, 5, tiny.CONTEXT_CHANNELS, device="cuda", dtype=torch.float16)
    with torch.no_grad():
        native = unet(sample, 500, context).sample
        unet.enable_xformers_memory_efficient_attention()
        torch.testing.assert_close(unet(sample, 500, context).sample, native, atol=1e-2, rtol=1e-2)


def test_feed_forward_looks_one_frame_back_and_no_further():
    layer, clip = FeedForward(6), torch.randn(1, 5, 2, 2, 6)
    changed = clip.clone()
    changed[:, 1] += 1
    moved = (layer(clip) - layer(changed)).abs().amax((0, 2, 3, 4)) > 1e-6
    assert moved.tolist() == [False, True, True, False, False]


def test_untrained_model_repeats_the_photo():
    torch.manual_seed(0)
    config = {
        "in_channels": 4,
        "stem_channels": 8,
        "block_channels": (8, 16),
        "attention_levels": (),
        "time_levels": (),
    }
    unet = SpaceTimeUNet(**config, cross_attention_heads=(1, 1), context_channels=16, gated_skips=True)
    sample = torch.randn(1, 4, 3, 8, 8)
    context = torch.randn(1, 5, 16)
    torch.testing.assert_close(unet(sample, 500, context).sample, sample[:, :, :1].expand_as(sample))
    nn.init.constant_(unet.skip_gates.bias[:4], 0.25)  # of the noisy latents
    nn.init.constant_(unet.skip_gates.bias[4:8], -0.5)  # of the photo, beside the 1 that it starts with
    torch.testing.assert_close(unet(sample, 500, context).sample, 0.25 * sample + 0.5 * sample[:, :, :1])
    nn.init.normal_(unet.conv_out.spatial.weight[:4])  # the layers' own word
    change = unet(sample, 500, context).sample - 0.25 * sample - 0.5 * sample[:, :, :1]
    nn.init.constant_(unet.skip_gates.bias[8:], 1)  # beside the 1 that it starts with
    torch.testing.assert_close(
        unet(sample, 500, context).sample, 0.25 * sample + 0.5 * sample[:, :, :1] + 2 * change, atol=1e-4, rtol=1e-4
    )
    nn.init.constant_(unet.conv_out.temporal.bias[4:], -30)  # "nothing moves here": no noise may come through
    torch.testing.assert_close(unet(sample, 500, context).sample, sample[:, :, :1] + 2 * change, atol=1e-4, rtol=1e-4)


def test_photo_reaches_a_far_frame_without_layers_over_time():
    """Only `first_frame_everywhere` can carry it: one frame further than every temporal path of this model reaches."""
    sample = torch.randn(1, tiny.LATENT_CHANNELS, 2, 8, 8)
    other = sample.clone()
    other[:, :, 0] += 1
    context = torch.randn(1, 5, tiny.CONTEXT_CHANNELS)
    for everywhere in (True, False):
        unet = tiny.unet(first_frame_everywhere=everywhere, gated_skips=False, attention_levels=())
        for module in unet.modules():
            if isinstance(module, PseudoConv3d):
                nn.init.dirac_(module.temporal.weight)
        seen = []
        hook = unet.conv_in.register_forward_hook(lambda module, args, output, seen=seen: seen.append(output[:, 1]))
        for clip in (sample, other):
            unet(clip, 500, context)
        hook.remove()
        assert (seen[0] - seen[1]).abs().max().item() > 1e-3 if everywhere else torch.equal(seen[0], seen[1])


def test_motion_of_one_frame_changes_the_clip_and_zeros_leave_it_to_the_model():
    unet = tiny.unet()
    motion = torch.randn(2, 6, 3)
    assert (call(unet, motion=motion).sample - call(unet, motion=motion.flip(1)).sample).abs().max() > 1e-3
    torch.testing.assert_close(call(unet).sample, call(unet, motion=torch.zeros(2, 6, 3)).sample)


def test_motion_follows_time_compression():
    unet = tiny.unet(time_levels=(0,))
    motion = torch.randn(2, 6, 3)
    swapped = motion.unflatten(1, (3, 2)).flip(2).flatten(1, 2)  # within a pair: the coarse level must not notice
    seen = []
    hook = unet.mid_block.register_forward_pre_hook(lambda module, args: seen.append(args[1]))
    for rows in (motion, swapped):
        call(unet, motion=rows)
    hook.remove()
    assert seen[0].shape == (2, 3, 32)
    torch.testing.assert_close(seen[0], seen[1])


def test_gradient_checkpointing_changes_nothing():
    plain, checkpointed = tiny.unet().train(), tiny.unet().train()
    checkpointed.enable_gradient_checkpointing()
    for unet in (plain, checkpointed):
        call(unet, motion=torch.ones(2, 6, 3)).sample.square().mean().backward()
    for (name, left), right in zip(plain.named_parameters(), checkpointed.parameters(), strict=True):
        torch.testing.assert_close(left.grad, right.grad, msg=name)


def test_group_offload_reaches_every_stage():
    unet, plain = tiny.unet(), call(tiny.unet()).sample
    unet.enable_group_offload("cpu", offload_type="block_level", num_blocks_per_group=1)
    torch.testing.assert_close(call(unet).sample, plain)
    hooked = {name for name, module in unet.named_modules() if hasattr(module, "_diffusers_hook")}
    assert {"down_blocks.0", "down_blocks.1", "up_blocks.0", "up_blocks.1"} <= hooked


def test_compile_traces_without_a_graph_break():
    unet = tiny.unet(block_channels=(8,), attention_levels=(0,), cross_attention_heads=(1,))
    motion = torch.randn(2, 6, 3)
    plain = call(unet, motion=motion).sample
    unet.compile(fullgraph=True, backend="eager")
    torch.testing.assert_close(call(unet, motion=motion).sample, plain, atol=1e-5, rtol=1e-4)


def test_pyramid_attention_broadcast_finds_every_attention_layer():
    unet = tiny.unet()
    unet.enable_cache(
        PyramidAttentionBroadcastConfig(
            spatial_attention_block_skip_range=2,
            temporal_attention_block_skip_range=2,
            cross_attention_block_skip_range=2,
            spatial_attention_block_identifiers=("spatial_attn",),
            temporal_attention_block_identifiers=("temporal_attn",),
            cross_attention_block_identifiers=("cross_attn",),
            current_timestep_callback=lambda: 500,
        )
    )
    hooked = [name for name, module in unet.named_modules() if hasattr(module, "_diffusers_hook") and "attn" in name]
    assert len(hooked) == len(unet.attn_processors)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"norm_groups": 3}, "multiple of norm_groups=3, got 8"),
        ({"cross_attention_heads": (1,)}, "one entry for each of the 2"),
        ({"attention_levels": (2,)}, "`attention_levels` must be levels from 0 to 1"),
    ],
)
def test_bad_config_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny.unet(**arguments)


def test_bad_shapes_are_refused():
    unet, context = tiny.released_unet(), torch.zeros(1, 5, tiny.CONTEXT_CHANNELS)
    with pytest.raises(ValueError, match="multiples of 4, got 6 x 8"):
        unet(torch.zeros(1, 4, 2, 6, 8), 0, context)
    with pytest.raises(ValueError, match="multiple of 2, got 3"):
        unet(torch.zeros(1, 4, 3, 8, 8), 0, context)
    with pytest.raises(ValueError, match="without a motion input"):
        unet(torch.zeros(1, 4, 2, 8, 8), 0, context, motion=torch.zeros(1, 2, 3))
    with pytest.raises(ValueError, match=r"`motion` must have shape \(1, 2, 3\), got \(1, 4, 3\)"):
        tiny.unet()(torch.zeros(1, 8, 2, 8, 8), 0, context, motion=torch.zeros(1, 4, 3))


def test_deep_features_stand_in_for_the_coarser_levels():
    unet = tiny.unet(block_channels=(8, 16, 16), attention_levels=(2,), cross_attention_heads=(1, 2, 2))
    draw = torch.Generator().manual_seed(0)
    sample, context, motion = (
        torch.randn(shape, generator=draw) for shape in ((1, 8, 4, 16, 8), (1, 5, tiny.CONTEXT_CHANNELS), (1, 4, 3))
    )
    ran = []
    hooks = [
        block.register_forward_pre_hook(lambda block, _: ran.append(block))
        for block in (*unet.down_blocks, unet.mid_block, *unet.up_blocks)
    ]
    with torch.no_grad():
        whole = unet(sample, 500, context, motion=motion)
        everything, ran[:] = list(ran), []
        again = unet(sample, 500, context, motion=motion, deep_features=whole.deep_features)
        other = unet(sample, 500, context, motion=motion, deep_features=whole.deep_features + 1)
    for hook in hooks:
        hook.remove()
    assert len(everything) == 7 and ran[:2] == [unet.down_blocks[0], unet.up_blocks[-1]] and len(ran) == 4
    assert torch.equal(again.sample, whole.sample)  # at the same step they are what would have been computed
    assert not torch.allclose(other.sample, whole.sample)
