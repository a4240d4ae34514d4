"""The names of the memory modes, and the error if memory does not suffice in any; `memory` applies them."""

DECODED_AT_ONCE = {"lean": 1, "normal": 4, "fast": 16}
"""Memory modes, leanest first, and the number of frames that each decodes at once. The leanest mode also keeps only the running part
of the model on a CUDA GPU, and decodes large frames in tiles if the autoencoder is diffusers' `AutoencoderKL`."""

LEANEST = next(iter(DECODED_AT_ONCE))

AUTOMATIC = "auto"
MEMORY_CHOICES = (AUTOMATIC, *DECODED_AT_ONCE)
"""The choices for a request: a mode, or the fastest mode that the free memory allows."""


class OutOfMemory(MemoryError):
    """A clip does not fit into memory even in the leanest mode. The message says so in one sentence, and what to do."""
