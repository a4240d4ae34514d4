"""Loads a pipeline from the shipped model, a folder or the Hugging Face Hub, and chooses the device that it runs on."""

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import diffusers
import torch
import transformers
from diffusers import AutoencoderTiny, ModelMixin
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.utils.import_utils import is_xformers_available
from safetensors import safe_open

from ..pipelines import FashionFlowPipeline
from ..video.metadata import model_hash
from .acceleration import DEFAULTS, Switches, number_format, prepare
from .memory import is_out_of_memory
from .model_folder import ModelError, check_files, find_folder, model_name, named, not_loadable


XFORMERS_LAST_CAPABILITY = (9, 0)
"""xFormers' only kernel for attention with a position bias runs on cards up to this compute capability (Hopper)."""

AUTOMATIC_DEVICE = (None, "auto")

NO_KERNELS = ("no kernel image is available", "invalid device function")
"""What CUDA says if PyTorch was built for other cards. Copying to such a card works; the first computation on it does not."""

logger = logging.getLogger(__name__)


class DeviceError(ValueError):
    """The models cannot run on a device that is there. The message says why in one sentence, and what to do."""


def load_pipeline(
    model: str | Path | None = None,
    device: str | None = None,
    switches: Switches = DEFAULTS,
    tiny_decoder: str | Path | None = None,
    tiny_clips: bool = False,
) -> FashionFlowPipeline:
    """Loads a pipeline that is ready to run, with the best number format and the best attention for the device.

    Args:
        model: a pipeline folder, or a Hub id "owner/name", optionally followed by "@revision". The default is the value of the
            environment variable FASHIONFLOW_MODEL, or else the shipped model. A folder needs no network.
        device: "cuda", "mps" or "cpu", optionally with a number; by default ("auto") the best available device, and the processor if
            the model does not fit there.
        switches: the optimisations to apply. With any of them, the same seed gives the same clip up to rounding.
        tiny_decoder: folder or Hub id of an `AutoencoderTiny` that decodes previews, such as "madebyollin/taesd" for Stable
            Diffusion's latents.
        tiny_clips: whether the tiny decoder decodes the clips, too: they are softer, and much sooner ready if the autoencoder is
            Stable Diffusion's.

    Raises:
        ModelError: if there is no such model, or it is incomplete, damaged or of another kind, or `tiny_clips` is set without a
            tiny decoder.
        DeviceError: if the device cannot be used, or has too little memory.
        ValueError: if there is no such device, or no such number format.
    """
    chosen = choose_device(device)
    try:
        return _load_onto(chosen, model, switches, tiny_decoder, tiny_clips)
    except DeviceError as error:
        if device not in AUTOMATIC_DEVICE or chosen.type == "cpu":
            raise
        _tell_of_processor(error)
    gc.collect()  # what was on the device already, and is no longer held by the error
    torch.cuda.empty_cache()
    return _load_onto(torch.device("cpu"), model, switches, tiny_decoder, tiny_clips)


def _load_onto(
    chosen: torch.device,
    model: str | Path | None,
    switches: Switches,
    tiny_decoder: str | Path | None,
    tiny_clips: bool,
) -> FashionFlowPipeline:
    dtype = number_format(chosen, switches.number_format)
    given = named(model)
    folder = find_folder(given)
    try:
        check_files(folder)
        with _quiet():
            pipe = FashionFlowPipeline.from_pretrained(
                folder, dtype=dtype, use_safetensors=True, local_files_only=True
            )
        _check_tensors(pipe, folder)
    except Exception as error:  # the two libraries raise many kinds of errors for damaged files
        reason = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
        raise not_loadable(given, reason) from error
    pipe.model_name, pipe.model_hash = model_name(model), model_hash(folder)
    with _device_errors(chosen):
        pipe.to(chosen)
        for part in (pipe.unet, pipe.vae):
            prepare(part, switches)
    if tiny_decoder is not None:
        decoder = _load_tiny_decoder(tiny_decoder, pipe, dtype)
        with _device_errors(chosen):
            pipe.tiny_decoder = prepare(decoder.to(chosen), switches)
        pipe.tiny_clips = tiny_clips
    elif tiny_clips:
        raise ModelError("`tiny_clips` needs a tiny decoder; name one, or leave out `tiny_clips`.")
    if switches.xformers and attention_choice(chosen)[0] == "xformers":
        pipe.unet.enable_xformers_memory_efficient_attention()
    return pipe


def choose_device(device: str | None = None) -> torch.device:
    """The device of this name, or the best available device for `None` or "auto": the processor, if there is a GPU that cannot be used.

    Raises:
        DeviceError: if a GPU of this name cannot be used.
        ValueError: if there is no such device here.
    """
    if device in AUTOMATIC_DEVICE:
        if torch.cuda.is_available():
            try:
                return _tried(torch.device("cuda"))
            except DeviceError as error:
                _tell_of_processor(error)
                return torch.device("cpu")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError):
        chosen = None
    if chosen is None or chosen.type not in ("cuda", "mps", "cpu"):
        raise ValueError(f"`device` must be auto, cuda, mps or cpu, got {device!r}.")
    available = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available()), "cpu": 1}
    if (chosen.index or 0) >= available[chosen.type]:
        raise ValueError(
            f"`device` must be a device that PyTorch finds here, but {str(device)!r} is not; choose cpu, or auto for the best."
        )
    return _tried(chosen)


def _tried(device: torch.device) -> torch.device:
    """The device, after a computation on it if it is a CUDA GPU."""
    if device.type == "cuda":
        with _device_errors(device):
            torch.ones(8, device=device).sum().item()
    return device


@contextmanager
def _device_errors(device: torch.device) -> Iterator[None]:
    """Turns what PyTorch raises about a device into a `DeviceError`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        if is_out_of_memory(error):
            where = "this machine" if device.type == "cpu" else f"the device {device}"
            else_use = "or choose a smaller model" if device.type == "cpu" else "or choose the device cpu"
            sentence = f"The model does not fit into the memory of {where} that is free now; end other programs that use it, {else_use}."
        elif any(text in said for text in NO_KERNELS):
            sentence = (
                f"PyTorch {torch.__version__} has no kernels for the GPU {device}; install a PyTorch that is built for it, or choose "
                "the device cpu."
            )
        elif "CUDA" in said:
            sentence = f"The device {device} cannot be used ({said}); make it free or mend its driver, or choose the device cpu."
        else:
            raise
        raise DeviceError(sentence) from error


def _tell_of_processor(error: DeviceError) -> None:
    logger.warning("%s The processor is used instead.", error)


def attention_choice(device: torch.device) -> tuple[str, str]:
    """Which attention runs on the device, "xformers" or "native" (PyTorch's own), and why."""
    if device.type != "cuda":
        return "native", "xFormers needs a CUDA GPU"
    if not is_xformers_available():
        return "native", "xFormers is not installed"
    capability = torch.cuda.get_device_capability(device)
    if capability > XFORMERS_LAST_CAPABILITY:
        return "native", f"xFormers has no kernel for compute capability {capability[0]}.{capability[1]}"
    try:  # an xFormers built for another PyTorch is installed, but cannot run
        query = torch.zeros(1, 8, 1, 8, device=device, dtype=number_format(device))  # [B, N, A, D]
        bias = query.new_zeros(1, 1, 8, 8)
        dispatch_attention_fn(query, query, query, attn_mask=bias, backend="xformers")
    except Exception as error:
        return "native", f"xFormers cannot run ({(str(error).strip() or type(error).__name__).splitlines()[0]})"
    return "xformers", "installed and fit for this GPU"


def running_report(pipe: FashionFlowPipeline) -> str:
    """A line on the device and the setup of a loaded pipeline: "fashionflow-mini · 256 x 320 · cpu · bfloat16 · attention: PyTorch"."""
    backends = {processor._attention_backend for processor in pipe.unet.attn_processors.values()}
    names = sorted({None: "PyTorch", "xformers": "xFormers"}.get(backend, str(backend)) for backend in backends)
    parts = [
        pipe.model_name or type(pipe).__name__,
        f"{pipe.width} x {pipe.height}",
        str(pipe.device),
        str(pipe.unet.dtype).removeprefix("torch."),
        f"attention: {', '.join(names)}",
    ]
    return " · ".join(parts)


def device_report(device: str | None = None) -> str:
    """A readable report on the device that the models would run on, and on the setup there.

    Raises:
        ValueError: if there is no such device here.
    """
    chosen = choose_device(device)
    name = f"{torch.get_num_threads()} threads"
    if chosen.type == "cuda":
        card = torch.cuda.get_device_properties(chosen)
        name = f"{card.name}, {card.total_memory / 2**30:.0f} GiB, compute capability {card.major}.{card.minor}"
    attention, reason = attention_choice(chosen)
    label = {"native": "PyTorch's own", "xformers": "xFormers"}[attention]
    lines = {
        "Device": f"{chosen} ({name})",
        "Numbers": str(number_format(chosen)).removeprefix("torch."),
        "Attention": f"{label} ({reason})",
        "PyTorch": torch.__version__,
    }
    return "\n".join(f"{title + ':':<11}{text}" for title, text in lines.items())


def _load_tiny_decoder(given: str | Path, pipe: FashionFlowPipeline, dtype: torch.dtype) -> AutoencoderTiny:
    folder = find_folder(given)
    try:
        with _quiet():
            decoder = AutoencoderTiny.from_pretrained(folder, dtype=dtype, use_safetensors=True, local_files_only=True)
    except Exception as error:
        raise ModelError(
            f"The tiny decoder {str(given)!r} cannot be loaded; it must be a folder or Hub id with an AutoencoderTiny as "
            "safetensors."
        ) from error
    channels, expected = decoder.config.latent_channels, pipe.unet.config.in_channels
    scale = 2 ** (len(decoder.config.decoder_block_out_channels) - 1)
    if (channels, scale) != (expected, pipe.vae_scale_factor):
        raise ModelError(
            f"The tiny decoder {str(given)!r} takes latents of {channels} channels and enlarges them {scale} times, but this model "
            f"needs {expected} channels and {pipe.vae_scale_factor} times; name a tiny decoder for this model, or none."
        )
    return decoder


def _check_tensors(pipe: FashionFlowPipeline, folder: Path) -> None:
    """Raises a `ValueError` if tensors of a part are absent, because both libraries fill absent tensors with random numbers."""
    for part, model in pipe.components.items():
        if not isinstance(model, torch.nn.Module):
            continue
        saved = set()
        for file in (folder / part).glob("*.safetensors"):
            with safe_open(file, framework="pt") as tensors:
                saved |= set(tensors.keys())
        wanted = set(model.state_dict())
        if not isinstance(model, ModelMixin):  # older CLIP files have one more level of names
            saved, wanted = ({name.removeprefix("vision_model.") for name in names} for names in (saved, wanted))
        if absent := sorted(wanted - saved):
            raise ValueError(f"its part {part!r} lacks {len(absent)} of its tensors, {absent[0]!r} first")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the progress bars and the advice of both libraries off the terminal; errors are still raised. After an error, the libraries
    leave their own number format for new tensors set; the previous one is restored here."""
    libraries = (diffusers.utils.logging, transformers.utils.logging)
    default_dtype = torch.get_default_dtype()
    before = [(library.get_verbosity(), library.is_progress_bar_enabled()) for library in libraries]
    for library in libraries:
        library.set_verbosity(logging.CRITICAL)
        library.disable_progress_bar()
    try:
        yield
    finally:
        torch.set_default_dtype(default_dtype)
        for library, (verbosity, had_bar) in zip(libraries, before, strict=True):
            library.set_verbosity(verbosity)
            if had_bar:
                library.enable_progress_bar()
