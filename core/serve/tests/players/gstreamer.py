"""Plays a URL in GStreamer's playbin: pauses, resumes and jumps twice. Prints the position after each."""

import sys
import time

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

url, protocol, *targets = sys.argv[1:]
Gst.init(None)
player = Gst.ElementFactory.make("playbin", None)
player.set_property("uri", url)
for name in ("video-sink", "audio-sink"):
    sink = Gst.ElementFactory.make("fakesink", None)
    sink.set_property("sync", True)
    player.set_property(name, sink)


def configure(_player, source):
    source.set_property("protocols", {"udp": 1, "tcp": 4}[protocol])
    source.set_property("latency", 200)


def run(seconds):
    """Fails with the player."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        message = player.get_bus().timed_pop_filtered(int(left * Gst.SECOND), Gst.MessageType.ERROR)
        if message:
            sys.exit(str(message.parse_error()))
    print("AT", player.query_position(Gst.Format.TIME)[1] / Gst.SECOND, flush=True)


player.connect("source-setup", configure)
player.set_state(Gst.State.PLAYING)
run(3)
player.set_state(Gst.State.PAUSED)
run(0.5)
run(1.5)
player.set_state(Gst.State.PLAYING)
run(2)
for target in targets:
    player.seek_simple(Gst.Format.TIME, Gst.SeekFlags.FLUSH, int(float(target) * Gst.SECOND))
    run(2)
player.set_state(Gst.State.NULL)
