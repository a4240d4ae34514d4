"""From one photo to a clip's frames: the diffusion pipeline, noise schedules, motions, and the warp of the photo's layers that guides it.

May import `models` and `photo`. Files and playing rates belong to `video`, devices to `runtime`, jobs to `generation`.
"""

import lazy_loader


__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "guide": ["ClipGuide"],
        "pipeline_fashionflow": ["FashionFlowPipeline", "FashionFlowPipelineOutput"],
    },
)
