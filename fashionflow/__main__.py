"""Clips from the command line.

python -m fashionflow dress.jpg dress.mp4
python -m fashionflow photos clips
"""

import argparse

from .generation.settings import DEFAULT_QUALITY, DEFAULT_STEPS, LIMITS, RANDOM_SEED
from .pipelines.motions import MOTIONS
from .pipelines.schedulers import SAMPLERS
from .runtime.memory_modes import AUTOMATIC, MEMORY_CHOICES
from .runtime.model_folder import MODEL_VARIABLE


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        """Prints one sentence, as for every other error; `--help` says more."""
        self.exit(2, f"{message[0].upper()}{message[1:]}; see --help.\n")


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m fashionflow", description="Turns the photo of a garment into a short clip of it in motion."
    )
    parser.add_argument(
        "photo", nargs="?", help="a picture of one person or garment: JPEG, PNG, WebP ..., or a folder of them"
    )
    parser.add_argument(
        "clip",
        nargs="?",
        help="the file of the clip: a name ending in .mp4, in a folder that exists; a folder, for a folder of photos",
    )
    parser.add_argument(
        "--back", metavar="PHOTO", help="a picture of the back, for turns that show it; by default the back is guessed"
    )
    parser.add_argument(
        "--seed",
        type=int,
        help=f"{LIMITS['seed'].range}; the same seed gives the same clip; by default, and for {RANDOM_SEED}, it is drawn at random and printed",
    )
    add_clip_settings(parser)
    parser.add_argument("--tiny-decoder", help="folder or Hub id of a small decoder for the previews; by default none")
    parser.add_argument(
        "--tiny-clips", action="store_true", help="decode the clip with the tiny decoder, too: softer but sooner"
    )
    parser.add_argument(
        "--device-report", action="store_true", help="report the device that the model would run on, and end"
    )
    return parser


def add_clip_settings(parser: Parser) -> None:
    """Adds what every command that makes clips can be told, but for the seed."""
    parser.add_argument(
        "--frames",
        type=int,
        help=f"frames that the model makes, {LIMITS['frames'].range}; by default the model's own number",
    )
    parser.add_argument(
        "--steps",
        type=int,
        default=DEFAULT_STEPS,
        help=f"denoising steps, {LIMITS['steps'].range}; by default {DEFAULT_STEPS}",
    )
    parser.add_argument(
        "--motion",
        choices=MOTIONS,
        help=f"what the person does, for a model with a motion input; by default {MOTIONS[0]}",
    )
    parser.add_argument(
        "--turn-angle",
        type=float,
        help=f"degrees of the turn, {LIMITS['turn_angle'].range}; by default the motion's own angle",
    )
    parser.add_argument(
        "--sampler", choices=SAMPLERS, default=next(iter(SAMPLERS)), help=f"by default {next(iter(SAMPLERS))}"
    )
    parser.add_argument(
        "--guidance",
        type=float,
        default=1.0,
        help=f"push towards the motion, {LIMITS['guidance'].range}; by default 1, which is no push",
    )
    parser.add_argument(
        "--frame-rate",
        type=float,
        help=f"frames of the model shown per second, {LIMITS['frame_rate'].range}; by default the model's own rate",
    )
    parser.add_argument(
        "--interpolation",
        type=int,
        help=f"frames shown for each frame of the model, {LIMITS['interpolation'].range}; by default a number that looks smooth",
    )
    parser.add_argument(
        "--memory",
        choices=MEMORY_CHOICES,
        default=AUTOMATIC,
        help="lean takes the least memory and the most time; every mode makes the same clip; by default auto, by the free memory",
    )
    parser.add_argument(
        "--model", help=f"a model folder or a Hub id; by default ${MODEL_VARIABLE}, or else the shipped model"
    )
    parser.add_argument("--compile", action="store_true", help="compile the model first, for many clips on a GPU")
    parser.add_argument("--device", default="auto", help="cuda, mps or cpu; by default the best available")
    parser.add_argument(
        "--quality",
        type=int,
        default=DEFAULT_QUALITY,
        help=f"1 (best, largest) to 51 (smallest); by default {DEFAULT_QUALITY}",
    )


def main(argv: list[str] | None = None) -> int:
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if not arguments.device_report and (arguments.photo is None or arguments.clip is None):
        parser.error("a photo and a name for the clip are needed")
    from .generation.command import run  # PyTorch takes seconds to import, and `--help` needs none of it

    return run(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
