"""What is said to people whose photo or clip cannot be used."""

__all__ = [
    "NOT_WRITTEN",
    "NO_GPU",
    "NO_WORKER",
    "SENTENCES",
    "NoGPU",
    "NoWorker",
    "NotWritten",
    "PhotoError",
    "UploadError",
]


_SMALLER_COPY = (
    "and {most} million is the most; save a copy with about 4,000 pixels on its longer side and choose that."
)

SENTENCES = {
    "no-photo": "No photo was given; choose a photo first.",
    "not-there": "There is no photo at {path}; check the name and choose it again.",
    "empty": "The file is empty; choose the photo again.",
    "too-many-pixels": "The photo has {width} x {height} pixels, " + _SMALLER_COPY,
    "far-too-many-pixels": "The photo has more pixels than can be opened safely, " + _SMALLER_COPY,
    "too-small": (
        "The photo is {width} x {height} pixels, too small to show a garment; "
        "choose one with at least {least} pixels on each side."
    ),
    "damaged": (
        "The photo is damaged or was cut off while it was copied; save or export it again and choose the new file."
    ),
    "video": "The file is a video, not a photo; choose a still picture such as a JPEG or PNG.",
    "no-picture": "The file is not a picture that can be read here; choose a JPEG, PNG or WebP photo.",
    "gone": "The photo has been deleted in the meantime; choose it again.",
    "cut-off": "The upload was cut off before the file had arrived; send it again.",
    "no-room": "The file could not be stored, because the disk of this server is full or cannot be written to; try again later.",
    "damaged-on-its-way": "The photo was damaged on its way here; choose it again.",
    "no-garment": "No garment was found; use a photo of one garment on a ground of another colour.",
    "no-figure": (
        "The background was left as it is, because what was found as the garment covers {part} of the photo; "
        "choose a photo of one garment on a ground of another colour."
    ),
    "not-ours": (
        "This clip was not made by FashionFlow, or its settings were removed; drop the file as it was downloaded, or "
        "choose the photo and the settings by hand."
    ),
    "changed": "This clip's settings were changed: its `{name}` is {value}; set them by hand.",
}
"""What an `UploadError` says, in English, by its `key`; the names in braces are in its `values`."""


class UploadError(ValueError):
    """A file cannot be used; the message tells its owner why, and what to do, in one English sentence.

    Args:
        key: which of `SENTENCES` says it. The page has the same sentences in other languages.
        values: what stands in the sentence's braces.
    """

    def __init__(self, key: str, **values):
        super().__init__(SENTENCES[key].format(**values))
        self.key, self.values = key, values


class PhotoError(UploadError):
    """The same of a photo."""


NO_GPU = {
    "quota": "Your time on Hugging Face's GPUs is used up for now; log in to Hugging Face, or try again later.",
    "too-long": "The clip would need a GPU for longer than Hugging Face lends one; choose fewer frames or fewer steps.",
    "busy": "Hugging Face had no free GPU; try again in a few minutes.",
    "taken": (
        "Hugging Face took the GPU back before the clip was finished; try again, or choose fewer frames or fewer steps."
    ),
    "unknown": "Hugging Face no longer knows who you are; reload the page and try again.",
    "away": "Hugging Face's GPUs could not be asked for; try again later.",
}
"""What a `NoGPU` says, in English, by its `key`."""


class NoGPU(RuntimeError):
    """There was no GPU for a clip, or not for long enough. The message says so in one English sentence, and what to do.

    Args:
        key: which of `NO_GPU` says it. The page has the same sentences in other languages.
    """

    def __init__(self, key: str):
        super().__init__(NO_GPU[key])
        self.key = key


NO_WORKER = {
    "lost": (
        "The clip was begun three times, and each time the device that made it broke off; try again later, or choose fewer frames."
    ),
    "away": "None of the devices that make the clips can be reached; try again later, or tell whoever runs this page.",
}
"""What a `NoWorker` says, in English, by its `key`."""


class NoWorker(RuntimeError):
    """The workers of the page could not make a clip. The message says so in one English sentence, and what to do.

    Args:
        key: which of `NO_WORKER` says it. The page has the same sentences in other languages.
    """

    def __init__(self, key: str):
        super().__init__(NO_WORKER[key])
        self.key = key


NOT_WRITTEN = {
    "no-room": (
        "The clip could not be stored, because the disk of this server is full or cannot be written to; try again later."
    ),
    "encoder": (
        "The clip could not be made into a video file, because ffmpeg broke off or did not answer; try again, or tell "
        "whoever runs this page."
    ),
}
"""What a `NotWritten` says, in English, by its `key`."""


class NotWritten(RuntimeError):
    """The frames of a clip could not be made into a file. The message says so in one English sentence, and what to do.

    Args:
        key: which of `NOT_WRITTEN` says it. The page has the same sentences in other languages.
    """

    def __init__(self, key: str):
        super().__init__(NOT_WRITTEN[key])
        self.key = key

    def __reduce__(self) -> tuple:  # it may come from another process
        return NotWritten, (self.key,)
