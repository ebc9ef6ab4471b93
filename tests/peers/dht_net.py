"""A DHT of real libtorrent nodes for tests: one session each, all in this process, no torrents.

    dht_net.py IP COUNT

Every node has a port of its own at IP, or, where IP ends with .0, an address of its own from that /16 (IPv4) on.
Prints one JSON object a line: {"ready": true, "nodes": [{"addr": "IP:PORT", "id": HEX}, …], "known": N} once each node
knows at least N others, a quarter of them or 20. It ends when stdin does.
"""

import ipaddress
import json
import os
import random
import sys
import time

import libtorrent as lt


def start(ip, port):
    host = f"[{ip}]" if ip.version == 6 else ip
    return lt.session(
        {
            "listen_interfaces": f"{host}:{port}",
            "enable_dht": True,
            "dht_bootstrap_nodes": "",
            # All nodes are on one machine, so the limits on nodes per address are off.
            "dht_restrict_routing_ips": False,
            "dht_restrict_search_ips": False,
            "dht_enforce_node_id": False,
            "dht_prefer_verified_node_ids": False,
            "dht_ignore_dark_internet": False,
            "dht_block_ratelimit": 1_000_000,
            "dht_upload_rate_limit": 1_000_000,
            # A DHT node only, with little memory.
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "enable_outgoing_tcp": False,
            "enable_incoming_utp": False,
            "enable_outgoing_utp": False,
            "aio_threads": 1,
            "hashing_threads": 1,
            "alert_queue_size": 10,
            "alert_mask": 0,
        }
    )


def least_known(sessions):
    for session in sessions:
        session.post_session_stats()
    least = None
    for session in sessions:
        known = None
        while known is None:
            session.wait_for_alert(1000)
            for alert in session.pop_alerts():
                if isinstance(alert, lt.session_stats_alert):
                    known = alert.values["dht.dht_nodes"]
        least = known if least is None else min(least, known)
    return least


def node_id(session):
    flag = lt.save_state_flags_t.save_dht_state
    state = lt.write_session_params(session.session_state(flag), flag)
    return state[b"dht state"][b"node-id"][0][:20].hex()


def main():
    ip, count = ipaddress.ip_address(sys.argv[1]), int(sys.argv[2])
    apart = ip.version == 4 and int(ip) & 0xFF == 0
    # From .1 to .250 in each /24.
    ips = [ip + (i // 250 << 8) + 1 + i % 250 if apart else ip for i in range(count)]
    sessions = [start(at, 6881 if apart else 0) for at in ips]
    addrs = [(str(at), session.listen_port()) for at, session in zip(ips, sessions)]
    for session in sessions:
        for other in random.sample(addrs, min(8, count)):
            session.add_dht_node(other)
    enough = min(20, count // 4)
    while (least := least_known(sessions)) < enough:
        for session in sessions:
            session.dht_get_peers(lt.sha1_hash(os.urandom(20)))
        time.sleep(1)
    nodes = [
        {"addr": f"[{host}]:{port}" if ip.version == 6 else f"{host}:{port}", "id": node_id(session)}
        for (host, port), session in zip(addrs, sessions)
    ]
    print(json.dumps({"ready": True, "nodes": nodes, "known": least}), flush=True)
    sys.stdin.read()
    # An orderly shutdown of two hundred sessions takes long and is not needed.
    os._exit(0)


main()
