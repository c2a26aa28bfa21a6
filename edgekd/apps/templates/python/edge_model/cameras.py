"""Frames of a camera: a Raspberry Pi's own by picamera2, any other by OpenCV."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from .errors import ModelError

Frame = np.ndarray[Any, Any]
SIZE = (640, 480)
MISSING = (
    "a camera takes picamera2 (a Raspberry Pi's own camera: sudo apt install python3-picamera2, and a venv made with "
    "--system-site-packages) or OpenCV (any camera: pip install opencv-python-headless)"
)


class Source(Protocol):
    """Something that gives frames, uint8 (height, width, 3) in the order red, green, blue."""

    def read(self) -> Frame | None: ...

    def close(self) -> None: ...


class PiCamera:
    """A Raspberry Pi's own camera."""

    def __init__(self, module: Any, number: int) -> None:
        self._camera = module.Picamera2(number)
        # libcamera's name tells the order in a word: in memory BGR888 is red, green, blue
        main = {"format": "BGR888", "size": SIZE}
        self._camera.configure(self._camera.create_preview_configuration(main=main))
        self._camera.start()

    def read(self) -> Frame | None:
        """The newest frame."""
        frame: Frame = np.ascontiguousarray(self._camera.capture_array("main")[..., :3])
        return frame

    def close(self) -> None:
        """Let others have the camera."""
        self._camera.stop()
        self._camera.close()


class OpenCvCamera:
    """A camera that OpenCV finds. Raises ModelError where there is none of that number."""

    def __init__(self, module: Any, number: int) -> None:
        self._camera = module.VideoCapture(number)
        if not self._camera.isOpened():
            self._camera.release()
            raise ModelError(f"OpenCV finds no camera {number}")

    def read(self) -> Frame | None:
        """The next frame; OpenCV gives blue, green, red."""
        there, frame = self._camera.read()
        return np.ascontiguousarray(frame[..., ::-1]) if there else None

    def close(self) -> None:
        """Let others have the camera."""
        self._camera.release()


def opened(number: int) -> Source:
    """A camera by its number. Raises ModelError where there is none."""
    pi = _module("picamera2")
    if pi is not None and number < len(pi.Picamera2.global_camera_info()):
        return PiCamera(pi, number)
    other = _module("cv2")
    if other is not None:
        return OpenCvCamera(other, number)
    raise ModelError(MISSING if pi is None else f"picamera2 finds no camera {number}; {MISSING}")


def frames(source: Source) -> Iterator[Frame]:
    """Frames as they come, until there are no more; the camera is let go of in any case."""
    try:
        while True:
            frame = source.read()
            if frame is None:
                return
            yield frame
    finally:
        source.close()


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
