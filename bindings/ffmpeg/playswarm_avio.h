/* A playswarm stream as FFmpeg's AVIOContext. Copy this file and playswarm_avio.c into your
 * program. */
#ifndef PLAYSWARM_AVIO_H
#define PLAYSWARM_AVIO_H

#include <libavformat/avio.h>
#include <playswarm.h>

/* Returns a context that reads and seeks the stream, and takes a reference to it. Returns NULL
 * without memory or if the stream is not alive. Assign it to AVFormatContext.pb. A read that is
 * cancelled (playswarm_stream_cancel, from any thread) fails with AVERROR_EXIT. */
AVIOContext *playswarm_avio_new(playswarm_stream *stream);

/* Frees the context and releases its reference. Call it after avformat_close_input, which does not
 * free custom contexts. *avio becomes NULL. */
void playswarm_avio_free(AVIOContext **avio);

#endif
