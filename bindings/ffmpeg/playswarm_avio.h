/* A playswarm stream as FFmpeg's AVIOContext. Copy this and playswarm_avio.c into your program. */
#ifndef PLAYSWARM_AVIO_H
#define PLAYSWARM_AVIO_H

#include <libavformat/avio.h>
#include <playswarm.h>

/* A context that reads and seeks this stream, of which it takes a reference; NULL without memory or for a stream that is not
 * alive. Give it to AVFormatContext.pb. A read that is cancelled (playswarm_stream_cancel, from any thread) ends with AVERROR_EXIT. */
AVIOContext *playswarm_avio_new(playswarm_stream *stream);

/* Frees it and gives the reference back; after avformat_close_input, which leaves a context of yours alone. *avio becomes NULL. */
void playswarm_avio_free(AVIOContext **avio);

#endif
