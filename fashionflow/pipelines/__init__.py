"""From one photo to a clip's frames: the diffusion pipeline, noise schedules, motions, and the warp of the photo's layers that guides it.

May import `models` and `photo`. Files and playing rates belong to `video`, devices to `runtime`, jobs to `generation`.
"""

from .guide import ClipGuide
from .pipeline_fashionflow import FashionFlowPipeline, FashionFlowPipelineOutput


__all__ = ["ClipGuide", "FashionFlowPipeline", "FashionFlowPipelineOutput"]
