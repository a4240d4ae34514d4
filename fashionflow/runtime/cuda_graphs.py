"""CUDA graphs: a denoising step is recorded once and replayed, so that one call starts its thousand kernels.

This is an advantage if the GPU waits for the processor to start kernels: at small sizes, or with a busy processor.
"""

from collections import OrderedDict
from collections.abc import Callable

import torch

from ..models import SpaceTimeUNet
from ..models.unet_space_time import SpaceTimeUNetOutput


MOST_RECORDINGS = 4
"""The maximum number of recorded kinds of steps. A clip has two kinds if `deep_interval` is above 1, and each clip length has its own."""
WARMING_UP = 2
"""Normal passes before the recorded pass, on the same stream. In them, the libraries choose their kernels and allocate their workspaces."""


class RecordedSteps:
    """Replaces a U-Net's `forward` on a CUDA GPU. On other devices, with gradients, and while the model is offloaded, every call goes
    to the original `forward`; the weights of an offloaded model have a different address each time.

    Args:
        unet: a denoiser; its `forward` is replaced.
    """

    def __init__(self, unet: SpaceTimeUNet):
        self._unet, self._forward = unet, unet.forward
        self._recordings: OrderedDict[tuple, _Recording] = OrderedDict()
        self._stream = self._pool = None  # one of each for all recordings, on the device of the first recording
        unet.forward = self

    def __call__(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor | float | int,
        encoder_hidden_states: torch.Tensor,
        motion: torch.Tensor | None = None,
        return_dict: bool = True,
        deep_features: torch.Tensor | None = None,
        guide: torch.Tensor | None = None,
    ) -> SpaceTimeUNetOutput | tuple[torch.Tensor]:
        """Returns the output of `SpaceTimeUNet.forward`, in new tensors."""
        inputs = {
            "sample": sample,
            "timestep": timestep,
            "encoder_hidden_states": encoder_hidden_states,
            "motion": motion,
            "deep_features": deep_features,
            "guide": guide,
        }
        # Tensors that are recorded in inference mode cannot be written to outside of it.
        not_recorded = torch.is_grad_enabled() or torch.is_inference_mode_enabled()
        if not sample.is_cuda or not_recorded or hasattr(self._unet, "_hf_hook"):
            return self._forward(**inputs, return_dict=return_dict)
        inputs["timestep"] = torch.as_tensor(timestep, device=sample.device)
        inputs = {name: tensor for name, tensor in inputs.items() if tensor is not None}
        # A graph reads the weights at their addresses during the recording.
        kind = (
            tuple(parameter.data_ptr() for parameter in self._unet.parameters()),
            *((name, tuple(tensor.shape), tensor.dtype) for name, tensor in inputs.items()),
        )
        if kind in self._recordings:
            self._recordings.move_to_end(kind)
        else:
            while len(self._recordings) >= MOST_RECORDINGS:
                self._recordings.popitem(last=False)
            with torch.cuda.device(sample.device):
                self._stream = self._stream or torch.cuda.Stream()
                self._pool = self._pool or torch.cuda.graph_pool_handle()
                self._recordings[kind] = _Recording(self._forward, inputs, self._stream, self._pool)
        output = self._recordings[kind].play(inputs)
        return output if return_dict else (output.sample,)

    def forget(self) -> None:
        """Drops the recordings and the memory that they hold; the next steps are recorded again."""
        self._recordings.clear()
        self._pool = None


class _Recording:
    """One kind of step: a graph, the tensors that it reads, and those that it writes.

    Recordings may share a memory pool, because they never run at the same time, and their output is copied before the next one runs.
    """

    def __init__(
        self,
        forward: Callable[..., SpaceTimeUNetOutput],
        inputs: dict[str, torch.Tensor],
        side: torch.cuda.Stream,
        pool: tuple[int, int],
    ):
        self._inputs = {name: tensor.clone() for name, tensor in inputs.items()}
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARMING_UP):
                forward(**self._inputs)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        # Other threads may decode during the recording.
        with torch.cuda.graph(self._graph, pool=pool, stream=side, capture_error_mode="thread_local"):
            self._output = forward(**self._inputs)

    def play(self, inputs: dict[str, torch.Tensor]) -> SpaceTimeUNetOutput:
        for name, tensor in inputs.items():
            self._inputs[name].copy_(tensor)
        self._graph.replay()
        # Copies, because the next replay overwrites the graph's own tensors.
        return SpaceTimeUNetOutput(
            sample=self._output.sample.clone(), deep_features=self._output.deep_features.clone()
        )
