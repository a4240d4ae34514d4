"""How good a model's clips are, on clips that it was never trained on.

    python -m fashionflow.evaluation runway/clips --out scores

Each held-out clip's first frame is the photo and its true motion is given, so the sampled frames can be compared with the true
ones. Beside the model stand two baselines: the still photo repeated, and the true clip passed through the autoencoder, which
is the best that any denoiser could reach. Prints a table; `--out` also gets it as JSON, with a contact sheet of the clips.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio
from tqdm import tqdm

from .hub import load_pipeline
from .motion import rows
from .pipelines import FashionFlowPipeline
from .playback import decode_frames, keyframes
from .training.loop import is_held_out
from .training.prepare import read_labels, walked_distance
from .video import contact_sheet, read_frames


def garment_region(frame: np.ndarray) -> np.ndarray:
    """Where the upper garment is in a full-length studio picture, bool [height, width].

    The body is what differs from the background (taken from the picture's left and right borders, row by row); the garment
    is the middle half of the body's width, between 22 and 45 % of its height: under the neckline and above the hands.
    """
    picture = frame.astype(np.float32)
    background = np.concatenate([picture[:, :6], picture[:, -6:]], axis=1).mean(1, keepdims=True)  # [height, 1, 3]
    body = np.abs(picture - background).max(-1) > 20
    lines, columns = np.flatnonzero(body.sum(1) > 3), np.flatnonzero(body.sum(0) > 3)
    region = np.zeros(body.shape, dtype=bool)
    if len(lines) and len(columns):
        top, tall = lines[0], lines[-1] - lines[0]
        left, wide = columns[0], columns[-1] - columns[0]
        region[top + int(0.22 * tall) : top + int(0.45 * tall), left + int(0.25 * wide) : left + int(0.75 * wide)] = (
            True
        )
    return region & body


def colour_difference(frame: np.ndarray, reference: np.ndarray) -> float:
    """CIE Delta E 2000 between the median garment colours of two frames, uint8 [height, width, 3]."""
    colours = [np.median(rgb2lab(picture[garment_region(picture)]), axis=0) for picture in (frame, reference)]
    return float(deltaE_ciede2000(*colours))


def pixel_colour_difference(frame: np.ndarray, reference: np.ndarray) -> float:
    """The median over the garment's pixels of CIE Delta E 2000 between two aligned frames."""
    region = garment_region(reference)
    return float(np.median(deltaE_ciede2000(rgb2lab(frame[region]), rgb2lab(reference[region]))))


def mean_psnr(frames: np.ndarray, reference: np.ndarray) -> float:
    """Mean over frames of the peak signal to noise ratio in dB; uint8 [F, height, width, 3]."""
    pairs = zip(frames, reference, strict=True)
    return float(np.mean([peak_signal_noise_ratio(true, frame, data_range=255) for frame, true in pairs]))


@torch.no_grad()
def autoencode(pipe: FashionFlowPipeline, frames: np.ndarray) -> np.ndarray:
    """Frames, uint8 [F, height, width, 3], through the autoencoder and back."""
    latents = [pipe.encode_image(Image.fromarray(frame))[1] for frame in frames]  # [1, C, 1, H, W] each
    return np.stack(list(decode_frames(pipe, torch.cat(latents, dim=2))))


def evaluate_clip(
    pipe: FashionFlowPipeline, frames: np.ndarray, label: dict, clip_rate: float, steps: int, sampler: str | None
) -> tuple[dict[str, float], np.ndarray, np.ndarray]:
    """The scores of one clip at `clip_rate` frames a second, its true keyframes and the sampled ones."""
    stride = max(1, round(clip_rate / pipe.config.frame_rate))
    num_frames = min(pipe.config.default_num_frames, (len(frames) - 1) // stride + 1)
    kept = slice(0, (num_frames - 1) * stride + 1, stride)
    truth = np.stack([np.asarray(pipe.fit_photo(Image.fromarray(frame))) for frame in frames[kept]])
    motion = rows(np.array(label["yaw"])[kept], walked_distance(label, len(frames))[kept])
    photo = Image.fromarray(truth[0])
    latents = pipe(
        photo,
        num_frames=num_frames,
        num_inference_steps=steps,
        motion=motion,
        sampler=sampler,
        generator=torch.Generator().manual_seed(0),
        output_type="latent",
    ).frames
    sampled = np.stack(list(keyframes(pipe, latents, photo)))
    ceiling = autoencode(pipe, truth)
    still = np.broadcast_to(truth[:1], truth.shape)
    scores = {
        "autoencoder_first_frame_psnr": mean_psnr(ceiling[:1], truth[:1]),
        "autoencoder_first_frame_delta_e": pixel_colour_difference(ceiling[0], truth[0]),
        "psnr": mean_psnr(sampled[1:], truth[1:]),
        "psnr_still_photo": mean_psnr(still[1:], truth[1:]),
        "psnr_autoencoder": mean_psnr(ceiling[1:], truth[1:]),
        "garment_delta_e": float(
            np.median([colour_difference(*pair) for pair in zip(sampled, truth, strict=True)][1:])
        ),
        "garment_delta_e_last_frame": colour_difference(sampled[-1], truth[-1]),
    }
    return scores, truth, sampled


def summarise(scores: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Median, worst and best of every score over clips."""
    return {
        name: {
            "median": round(float(np.median([score[name] for score in scores])), 2),
            "lowest": round(float(min(score[name] for score in scores)), 2),
            "highest": round(float(max(score[name] for score in scores)), 2),
        }
        for name in scores[0]
    }


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, help="folder of labelled clips; those whose name ends in 7 are scored")
    parser.add_argument("--model", help="a pipeline folder or Hub id; the shipped weights by default")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--sampler", help="the model's own by default")
    parser.add_argument("--limit", type=int, default=0, help="clips to score; 0 for all")
    parser.add_argument("--clip-rate", type=float, default=8.0, help="frames a second of the clips")
    parser.add_argument("--out", type=Path, help="folder for scores.json and contact_sheet.jpg")
    args = parser.parse_args(argv)
    clips = [clip for clip in sorted(args.clips.glob("*.mp4")) if is_held_out(clip)]
    clips = clips[: args.limit or None]
    if not clips:
        parser.error(f"`clips` must hold .mp4 files whose name ends in 7, got {str(args.clips)!r}.")
    labels = read_labels(args.clips)
    pipe = load_pipeline(args.model)
    pipe.set_progress_bar_config(disable=True)

    scores, sheet = [], []
    for clip in tqdm(clips):
        score, truth, sampled = evaluate_clip(
            pipe, read_frames(clip), labels[clip.stem], args.clip_rate, args.steps, args.sampler
        )
        scores.append(score)
        sheet += [np.asarray(contact_sheet(frames, 6)) for frames in (truth, sampled)]
    summary = summarise(scores)
    print(f"{len(scores)} held-out clips, {args.steps} steps")
    print(f"{'':32}{'median':>8}{'lowest':>8}{'highest':>8}")
    for name, row in summary.items():
        print(f"{name:32}{row['median']:8.2f}{row['lowest']:8.2f}{row['highest']:8.2f}")
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        by_clip = {clip.stem: score for clip, score in zip(clips, scores, strict=True)}
        (args.out / "scores.json").write_text(json.dumps({"summary": summary, "clips": by_clip}, indent=1))
        Image.fromarray(np.concatenate(sheet)).save(args.out / "contact_sheet.jpg", quality=88)


if __name__ == "__main__":
    main()
