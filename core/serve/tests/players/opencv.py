"""Prints hashes of some pictures that OpenCV decodes, from the start and after each jump."""

import hashlib
import os
import sys

url, transport, *targets = sys.argv[1:]
os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = f"rtsp_transport;{transport}"

import cv2  # noqa: E402

film = cv2.VideoCapture(url, cv2.CAP_FFMPEG)


def show():
    for _ in range(5):
        found, picture = film.read()
        print(hashlib.md5(picture.tobytes()).hexdigest() if found else None)


show()
for target in targets:
    print("JUMP")
    film.set(cv2.CAP_PROP_POS_MSEC, float(target) * 1000)
    show()
