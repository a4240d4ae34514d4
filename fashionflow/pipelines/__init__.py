from .guide import ClipGuide
from .pipeline_fashionflow import FashionFlowPipeline, FashionFlowPipelineOutput


__all__ = ["ClipGuide", "FashionFlowPipeline", "FashionFlowPipelineOutput"]
