/* The protocol playswarm:// for libmpv. Copy this file and playswarm_mpv.c into your player. */
#ifndef PLAYSWARM_MPV_H
#define PLAYSWARM_MPV_H

#include <mpv/client.h>
#include <playswarm.h>

typedef struct playswarm_mpv playswarm_mpv;

/* Registers playswarm://SOURCE with this mpv and takes a reference to the session. SOURCE is a
 * magnet link, an info-hash, or the path or URL of a torrent file. A suffix #FILE selects a file by
 * index or name; by default it is the largest playable file. Returns NULL on failure. Free the
 * result after mpv_terminate_destroy, not before. */
playswarm_mpv *playswarm_mpv_register(mpv_handle *mpv, playswarm_session *session);

/* Ends an open that waits for peers; later opens are not affected. Call it when the user stops. mpv
 * itself cancels streams that it plays already. Callable from any thread. */
void playswarm_mpv_stop_opening(playswarm_mpv *protocol);

void playswarm_mpv_free(playswarm_mpv *protocol);

#endif
