from .pipeline_fashionflow import FashionFlowPipeline, FashionFlowPipelineOutput


__all__ = ["FashionFlowPipeline", "FashionFlowPipelineOutput"]
