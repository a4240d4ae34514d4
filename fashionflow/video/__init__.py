"""Frames in time: decoding latents to frames, frames between keyframes, previews, files in and out, what a file says of itself, exports.

May import `models`, `photo` and `pipelines`. What denoises belongs to `pipelines`, what schedules work to `generation`.
"""
