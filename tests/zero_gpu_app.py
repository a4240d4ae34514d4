"""app.py as on ZeroGPU, with all that `spaces` does to PyTorch there, but on a machine without CUDA: tests/test_zero_gpu.py starts it.

Before there is a GPU, `spaces` keeps what is on "cuda" in the processor's memory, and on the disk once the page is served. That is all real
here. Replaced is what needs a card: three things that PyTorch has only where it was built with CUDA, and in the worker the first use
of the card and the way of the weights to it. There the weights stay in memory, so that the models run on the processor.
"""

import os
import sys

import fashionflow  # noqa: F401  (before PyTorch, as in app.py)


def main() -> None:
    import torch

    torch.version.cuda = torch.version.cuda or "12.8"
    torch._C._cuda_init = getattr(torch._C, "_cuda_init", None)
    torch.cuda._is_in_bad_fork = bool  # can be pickled, and says no

    import spaces.zero.torch as emulation
    from spaces.zero.torch.patching import cuda_aliases

    weights, pack = [], emulation.pack

    def pack_and_keep() -> int:
        weights.extend((fake, original.clone()) for fake, original in cuda_aliases.items() if original is not None)
        print(f"Waiting for a GPU: {len(weights)} tensors", flush=True)
        return pack()

    def move(callback: object = None) -> None:
        for fake, original in weights:
            fake.data = original

    emulation.pack, emulation.move, emulation.init = pack_and_keep, move, lambda uuid: None
    import app

    app.main(sys.argv[1:])


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    main()
