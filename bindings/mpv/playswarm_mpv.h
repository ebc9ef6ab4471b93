/* The protocol playswarm:// for libmpv. Copy this and playswarm_mpv.c into your player. */
#ifndef PLAYSWARM_MPV_H
#define PLAYSWARM_MPV_H

#include <mpv/client.h>
#include <playswarm.h>

typedef struct playswarm_mpv playswarm_mpv;

/* From now on this mpv plays playswarm://SOURCE from this session, of which a reference is taken: a magnet link, a path or URL of a
 * torrent file, an info-hash; with #FILE at its end the file of that number or name, else the largest that can be played. NULL where
 * it cannot be. Free it after mpv_terminate_destroy, not before. */
playswarm_mpv *playswarm_mpv_register(mpv_handle *mpv, playswarm_session *session);

/* Ends an open that waits for peers, and lets later ones through: call it when the user stops. (What mpv plays already it cancels
 * itself.) From any thread. */
void playswarm_mpv_stop_opening(playswarm_mpv *protocol);

void playswarm_mpv_free(playswarm_mpv *protocol);

#endif
