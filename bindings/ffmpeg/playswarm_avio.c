/* A playswarm stream as FFmpeg's AVIOContext. */
#include "playswarm_avio.h"

#include <libavutil/error.h>
#include <libavutil/mem.h>

/* Bytes per read of FFmpeg. Large enough that the cost of a call is negligible, small enough that
 * probing reads little. */
enum { BUFFER_BYTES = 64 << 10 };

static int error_of(playswarm_code code) {
    switch (code) {
    case PLAYSWARM_CANCELLED:
    case PLAYSWARM_CLOSED:
        return AVERROR_EXIT;
    case PLAYSWARM_TIMED_OUT:
        return AVERROR(ETIMEDOUT);
    case PLAYSWARM_BAD_ARGUMENT:
        return AVERROR(EINVAL);
    default:
        return AVERROR(EIO);
    }
}

/* Never returns 0, which FFmpeg would repeat at once. */
static int read_packet(void *opaque, uint8_t *buffer, int capacity) {
    size_t n = 0;
    playswarm_error *error = NULL;
    playswarm_code code = playswarm_stream_read(opaque, buffer, (size_t)capacity, &n, &error);
    if (code != PLAYSWARM_OK) {
        if (code != PLAYSWARM_CANCELLED && code != PLAYSWARM_CLOSED)
            av_log(NULL, AV_LOG_ERROR, "playswarm: %s\n", playswarm_error_message(error));
        playswarm_error_unref(error);
        return error_of(code);
    }
    return n > 0 ? (int)n : AVERROR_EOF;
}

static int64_t seek(void *opaque, int64_t offset, int whence) {
    uint64_t at = 0;
    playswarm_code code;
    whence &= ~AVSEEK_FORCE;
    if (whence == AVSEEK_SIZE)
        code = playswarm_stream_size(opaque, &at);
    else
        code = playswarm_stream_seek(opaque, offset, whence, &at, NULL);
    return code == PLAYSWARM_OK ? (int64_t)at : error_of(code);
}

AVIOContext *playswarm_avio_new(playswarm_stream *stream) {
    if (playswarm_stream_ref(stream) != PLAYSWARM_OK)
        return NULL;
    uint64_t size = 0;
    /* Without a seek function, as for a live channel, FFmpeg does not seek. */
    int is_seekable = playswarm_stream_size(stream, &size) == PLAYSWARM_OK;
    unsigned char *buffer = av_malloc(BUFFER_BYTES);
    AVIOContext *avio = buffer ? avio_alloc_context(buffer, BUFFER_BYTES, 0, stream, read_packet, NULL,
                                                    is_seekable ? seek : NULL)
                               : NULL;
    if (!avio) {
        av_free(buffer);
        playswarm_stream_unref(stream);
    }
    return avio;
}

void playswarm_avio_free(AVIOContext **avio) {
    if (!*avio)
        return;
    playswarm_stream_unref((*avio)->opaque);
    /* FFmpeg may have replaced the buffer. */
    av_freep(&(*avio)->buffer);
    avio_context_free(avio);
}
