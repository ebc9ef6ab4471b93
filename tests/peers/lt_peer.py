"""A libtorrent peer for tests, with the behaviour of qBittorrent and Deluge on the wire.

    lt_peer.py LISTEN_IP:PORT [--dht HOST:PORT] [--pex] [--upload BYTES_PER_S] [--slots N]

Prints one JSON object a line. First {"ready": true, "port": N}; then, as they happen, {"finished": NAME},
{"metadata": NAME} and {"error": TEXT}; and an answer to each command. Commands are JSON objects, a line each, on stdin:

    {"do": "add", "torrent": PATH, "dir": DIR, "seed": true|false, "keep": [[FIRST, LAST], …],
     "super": true|false}
    {"do": "add", "magnet": URI, "dir": DIR}
    {"do": "connect", "peer": "IP:PORT"}      dial a peer for every torrent
    {"do": "limit", "upload": BYTES_PER_S}    0 for none
    {"do": "status"}                          figures of the first torrent

It ends when stdin does.
"""

import argparse
import json
import sys
import threading

import libtorrent as lt


# Answers and alerts come from two threads, and print() writes a line and its end separately.
speaking = threading.Lock()


def say(**what):
    with speaking:
        print(json.dumps(what), flush=True)


def settings(options):
    chosen = {
        "listen_interfaces": options.listen,
        "enable_dht": options.dht is not None,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "allow_multiple_connections_per_ip": True,
        "unchoke_slots_limit": options.slots,
        "choking_algorithm": lt.choking_algorithm_t.fixed_slots_choker,
        # Upload slots are assigned at the end of each interval. The default of 15 s would delay every test.
        "unchoke_interval": 1,
        "close_redundant_connections": False,
        "connections_limit": 300,
        "max_failcount": 100,
        "min_reconnect_time": 1,
        "alert_mask": lt.alert.category_t.status_notification
        | lt.alert.category_t.error_notification
        | lt.alert.category_t.storage_notification,
    }
    if options.dht is not None:
        # All nodes are on one machine, so the limits on nodes per address are off.
        chosen.update(
            {
                "dht_bootstrap_nodes": options.dht,
                "dht_restrict_routing_ips": False,
                "dht_restrict_search_ips": False,
                "dht_enforce_node_id": False,
                "dht_prefer_verified_node_ids": False,
                "dht_ignore_dark_internet": False,
            }
        )
    return chosen


def make_session(options):
    session = lt.session(settings(options))
    # Rate limits exempt local peers by default, so every address is put into the global class.
    everyone = lt.ip_filter()
    everyone.add_rule("0.0.0.0", "255.255.255.255", 1 << int(lt.session.global_peer_class_id))
    session.set_peer_class_filter(everyone)
    session.set_peer_class(lt.session.global_peer_class_id, limit_of(session, options.upload))
    return session


def limit_of(session, upload):
    peer_class = session.get_peer_class(lt.session.global_peer_class_id)
    peer_class["upload_limit"] = upload
    return peer_class


def add(session, options, command):
    if "magnet" in command:
        parameters = lt.parse_magnet_uri(command["magnet"])
    else:
        parameters = lt.add_torrent_params()
        parameters.ti = lt.torrent_info(command["torrent"])
    parameters.save_path = command["dir"]
    parameters.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    if not options.pex:
        parameters.flags |= lt.torrent_flags.disable_pex
    if command.get("keep"):
        have = [False] * parameters.ti.num_pieces()
        for first, last in command["keep"]:
            for piece in range(first, last + 1):
                have[piece] = True
        parameters.have_pieces = have
        parameters.flags |= lt.torrent_flags.upload_mode
    elif command.get("seed"):
        parameters.flags |= lt.torrent_flags.seed_mode
    if command.get("super"):
        parameters.flags |= lt.torrent_flags.super_seeding
    return session.add_torrent(parameters)


def status(handle):
    now = handle.status()
    return {
        "uploaded": now.total_payload_upload,
        "downloaded": now.total_payload_download,
        "progress": now.progress,
        "peers": now.num_peers,
        "state": str(now.state),
        "seeding": now.is_seeding,
    }


def watch(session):
    """Prints the alerts that tests wait for."""
    while True:
        session.wait_for_alert(500)
        for alert in session.pop_alerts():
            if isinstance(alert, lt.torrent_finished_alert):
                say(finished=alert.handle.status().name)
            elif isinstance(alert, lt.metadata_received_alert):
                say(metadata=alert.handle.status().name)
            elif isinstance(alert, (lt.listen_failed_alert, lt.torrent_error_alert, lt.file_error_alert)):
                say(error=alert.message())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("listen")
    parser.add_argument("--dht")
    parser.add_argument("--pex", action="store_true")
    parser.add_argument("--upload", type=int, default=0)
    parser.add_argument("--slots", type=int, default=100)
    options = parser.parse_args()
    session = make_session(options)
    threading.Thread(target=watch, args=(session,), daemon=True).start()
    say(ready=True, port=session.listen_port())
    handles = []
    for line in sys.stdin:
        command = json.loads(line)
        try:
            match command["do"]:
                case "add":
                    handles.append(add(session, options, command))
                    say(added=True)
                case "connect":
                    ip, _, port = command["peer"].rpartition(":")
                    for handle in handles:
                        handle.connect_peer((ip.strip("[]"), int(port)))
                    say(dialled=command["peer"])
                case "limit":
                    session.set_peer_class(lt.session.global_peer_class_id, limit_of(session, command["upload"]))
                    say(limited=command["upload"])
                case "status":
                    say(status=status(handles[0]))
                case other:
                    say(error=f"there is no command {other}")
        except Exception as problem:  # the test reads it and decides
            say(error=str(problem))


main()
