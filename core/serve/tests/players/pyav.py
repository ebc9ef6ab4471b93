"""Prints time and hash of some pictures that PyAV decodes, from the start and after each jump."""

import hashlib
import itertools
import sys

import av

url, transport, *targets = sys.argv[1:]
options = {"rtsp_transport": transport} if url.startswith("rtsp:") else {}
with av.open(url, options=options, timeout=30) as film:

    def show():
        for picture in itertools.islice(film.decode(video=0), 5):
            print(picture.time, hashlib.md5(picture.to_ndarray().tobytes()).hexdigest())

    show()
    for target in targets:
        print("JUMP")
        film.seek(int(float(target) * av.time_base), backward=True)
        show()
