"""The page's components, and which event goes to which handler."""

from dataclasses import dataclass

import gradio as gr

from ..animation import DEFAULT_STEPS, LARGEST_SEED, MOST_FRAMES
from ..motion import LARGEST_TURN, PRESETS, SURPRISE
from ..schedulers import SAMPLERS
from ..studio import KEEP_SECONDS, SWEEP_SECONDS, Studio
from ..video import ffmpeg_on_path
from . import wording
from .handlers import EXAMPLES, OUTPUTS, Handlers, Visit, default_motion
from .streams import sweep_while_open


@dataclass(frozen=True)
class Controls:
    """What a visitor sets."""

    photo: gr.Image
    first_frame: gr.Image
    note: gr.HTML
    motion: gr.Radio
    turn_angle: gr.Slider
    animate: gr.Button
    stop: gr.Button
    steps: gr.Slider
    frames: gr.Slider
    sampler: gr.Dropdown
    seed: gr.Number
    die: gr.Button


def build_page(studio: Studio) -> gr.Blocks:
    """The page for one studio. Launch it with `LAUNCH_SETTINGS`."""
    live = ffmpeg_on_path()
    handlers = Handlers(studio, live)
    # Gradio's copies go one sweep early, as the studio's do.
    with gr.Blocks(
        title="FashionFlow",
        analytics_enabled=False,
        delete_cache=(SWEEP_SECONDS, KEEP_SECONDS - SWEEP_SECONDS),
    ) as page:
        visit = gr.State(Visit())
        gr.HTML(wording.INTRODUCTION, padding=False)
        with gr.Row(elem_id="workplace"):
            with gr.Column(scale=6, min_width=320, elem_id="controls"):
                controls = build_controls(studio)
            with gr.Column(scale=5, min_width=320, elem_id="result"):
                stage = build_stage(live)
        connect(page, handlers, controls, stage, visit)
        build_endpoint(handlers)
    sweep_while_open(page)
    return page


def build_controls(studio: Studio) -> Controls:
    pipe = studio.pipe
    with gr.Row(elem_id="photos"):
        photo = gr.Image(
            label="Your photo",
            sources=["upload", "clipboard", "webcam"],
            type="filepath",
            buttons=[],
            min_width=140,
            elem_id="photo",
        )
        first_frame = gr.Image(
            label="First frame",
            interactive=False,
            format="jpeg",
            buttons=[],
            min_width=140,
            elem_id="first-frame",
        )
    note = gr.HTML(visible=False, elem_id="note", padding=False)
    build_examples(photo)
    motions = [(preset.label, name) for name, preset in PRESETS.items()] + [("Surprise me", SURPRISE)]
    motion = gr.Radio(motions, value=default_motion(studio), label="Motion", visible=pipe.has_motion, elem_id="motion")
    with gr.Row(elem_id="buttons"):
        animate = gr.Button("Animate", variant="primary", scale=3, min_width=120, elem_id="animate")
        stop = gr.Button("Stop", variant="stop", interactive=False, scale=1, min_width=80, elem_id="stop")
    with gr.Accordion("Advanced", open=False, elem_id="advanced"):
        turn_angle = gr.Slider(
            -LARGEST_TURN,
            LARGEST_TURN,
            next(iter(PRESETS.values())).angle,
            step=5,
            label="Turn angle",
            info="Degrees: negative turns to the left, positive to the right of the picture.",
            visible=pipe.has_motion,
            elem_id="turn-angle",
        )
        with gr.Row():
            steps = gr.Slider(
                4,
                50,
                DEFAULT_STEPS,
                step=1,
                label="Steps",
                info="The shipped model needs few, the released one 20 or more.",
                min_width=140,
            )
            frames = frames_slider(studio)
        with gr.Row(elem_id="seed-row"):
            sampler = gr.Dropdown(list(SAMPLERS), label="Sampler", min_width=100)
            seed = gr.Number(
                0, label="Seed", precision=0, minimum=0, maximum=LARGEST_SEED, min_width=120, elem_id="seed"
            )
            die = gr.Button("⚄ New seed", min_width=130, scale=0, elem_id="die")
    return Controls(photo, first_frame, note, motion, turn_angle, animate, stop, steps, frames, sampler, seed, die)


def build_examples(photo: gr.Image) -> None:
    """Photos to begin with, where there are any."""
    examples = sorted(str(path) for path in EXAMPLES.glob("*.jpg"))
    if not examples:
        return
    gr.set_static_paths([EXAMPLES])  # they are nobody's secret, and must not be deleted with the visitors' photos
    gr.Examples(
        examples,
        photo,
        label="Or try one of these",
        cache_examples=False,
        api_visibility="private",
        examples_per_page=12,
        elem_id="examples",
    )


def frames_slider(studio: Studio) -> gr.Slider:
    config, multiple = studio.pipe.config, studio.pipe.unet.frame_multiple
    default = config.default_num_frames
    most = min(MOST_FRAMES, 2 * default)
    return gr.Slider(
        max(2, multiple),
        most - most % multiple,
        default,
        step=multiple,
        label="Frames",
        info=f"{default} frames last {default / config.frame_rate:.1f} s.",
        min_width=140,
    )


def build_stage(live: bool) -> dict[str, gr.components.Component]:
    """Where the clip appears. The picture has its place to itself; everything that is said stands below it."""
    stage = {}
    with gr.Column(elem_id="stage"):
        stage["preview"] = gr.Image(
            label="Clip", show_label=False, interactive=False, format="jpeg", buttons=[], elem_id="preview"
        )
        # A streaming player can feed no other event and saves no settings, so the download has a button of its own.
        stage["player"] = gr.Video(
            label="Clip",
            show_label=False,
            streaming=True,
            autoplay=True,
            loop=True,
            interactive=False,
            buttons=[],
            visible=False,
            elem_id="player",
        )
        stage["clip"] = gr.Video(
            label="Clip",
            show_label=False,
            autoplay=True,
            loop=True,
            interactive=False,
            buttons=[],
            visible=False,
            elem_id="clip",
        )
    stage["status"] = gr.HTML(
        wording.status("", wording.BEFORE_ANY_CLIP if live else wording.NO_LIVE_PLAYBACK),
        padding=False,
        elem_id="status",
    )
    stage["download"] = gr.DownloadButton("Download the clip", visible=False, elem_id="download")
    return stage


def connect(
    page: gr.Blocks,
    handlers: Handlers,
    controls: Controls,
    stage: dict[str, gr.components.Component],
    visit: gr.State,
) -> None:
    # Small helpers stand in no queue, are no public endpoints, and draw nothing over what they change.
    helper = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}
    controls.photo.change(
        handlers.show_photo,
        controls.photo,
        [controls.photo, controls.first_frame, controls.note],
        preprocess=False,
        **helper,
    )
    controls.photo.clear(handlers.forget_photo, None, [controls.first_frame, controls.note], **helper)
    gr.on([controls.die.click, page.load], handlers.draw_seed, None, controls.seed, **helper)
    by_name = {**stage, "animate": controls.animate, "stop": controls.stop}
    controls.animate.click(
        handlers.animate,
        [
            controls.photo,
            controls.motion,
            controls.turn_angle,
            controls.steps,
            controls.frames,
            controls.seed,
            controls.sampler,
            visit,
        ],
        [by_name[name] for name in OUTPUTS],
        preprocess=False,
        show_progress="hidden",
        trigger_mode="once",
        concurrency_limit=None,  # nobody waits unseen in Gradio's queue; see MOST_AT_ONCE
        api_name="watch",  # private names count too, and "animate" is the endpoint's
        api_visibility="private",
    )
    # On a phone the clip is below the buttons; the page moves just as far as is needed to see it.
    controls.animate.click(None, js=wording.SCROLL_TO_THE_CLIP, api_visibility="private")
    controls.motion.change(handlers.own_angle, controls.motion, controls.turn_angle, **helper)
    controls.stop.click(handlers.stop, visit, controls.stop, **helper)


def build_endpoint(handlers: Handlers) -> None:
    """`/animate` for gradio_client. Its components are never shown; they tell programs the names, types and defaults."""
    config = handlers.studio.pipe.config
    with gr.Column(visible=False):
        inputs = [
            gr.Image(label="photo"),
            gr.Textbox(default_motion(handlers.studio), label="motion"),
            gr.Number(label="turn_angle"),
            gr.Number(DEFAULT_STEPS, label="steps"),
            gr.Number(config.default_num_frames, label="frames"),
            gr.Number(label="seed"),
            gr.Textbox(next(iter(SAMPLERS)), label="sampler"),
        ]
        outputs = [gr.File(label="clip"), gr.Number(label="seed")]
        gr.Button().click(
            handlers.animate_for_programs,
            inputs,
            outputs,
            api_name="animate",
            preprocess=False,
            concurrency_limit=None,
        )
