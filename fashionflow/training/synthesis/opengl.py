"""OpenGL without a screen, for every module that draws."""

import os

from .errors import SynthesisError


def open_context():
    """Opens a new moderngl context on EGL. It belongs to the thread that opened it.

    Raises:
        SynthesisError: if moderngl is not installed, or there is no OpenGL without a screen.
    """
    try:
        import moderngl
    except ImportError as error:
        raise SynthesisError(
            "Rendering needs the package 'moderngl': run `pip install 'fashionflow[synthesis]'`."
        ) from error
    os.environ.setdefault("LP_NUM_THREADS", "1")  # Mesa's software GL otherwise takes every core of the machine
    try:
        return moderngl.create_standalone_context(backend="egl")
    except Exception as error:  # moderngl raises a bare Exception
        raise SynthesisError(
            "There is no OpenGL without a screen (EGL) on this machine: on Debian or Ubuntu, run "
            "`apt-get install libegl1 libgl1-mesa-dri`."
        ) from error
