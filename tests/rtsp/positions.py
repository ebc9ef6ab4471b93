"""Plays a URL in GStreamer's playbin, and prints its position twice a second."""

import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

Gst.init(None)
player = Gst.ElementFactory.make("playbin", None)
player.set_property("uri", sys.argv[1])
for name in ("video-sink", "audio-sink"):
    sink = Gst.ElementFactory.make("fakesink", None)
    sink.set_property("sync", True)
    player.set_property(name, sink)
player.connect("source-setup", lambda _, source: source.set_property("protocols", 4))
player.set_state(Gst.State.PLAYING)
while True:
    if message := player.get_bus().timed_pop_filtered(Gst.SECOND // 2, Gst.MessageType.ERROR | Gst.MessageType.EOS):
        sys.exit(f"{message.type}: {message.parse_error() if message.type == Gst.MessageType.ERROR else ''}")
    print("AT", player.query_position(Gst.Format.TIME)[1] / Gst.SECOND, flush=True)
