"""A small DHT of its own (BEP 5) for tests: many libtorrent nodes in one process.

    dht_nodes.py LISTEN_IP FIRST_PORT COUNT

The nodes listen on successive ports of one address. Prints {"ready": true, "known": N} as a JSON line when each of them
knows others (the least of them N). It ends when stdin does.
"""

import json
import sys
import time

import libtorrent as lt

# Each is told of so many others. Nodes learn of more by themselves, but slowly.
TOLD = 16


def node(ip, port):
    return lt.session(
        {
            "listen_interfaces": f"{ip}:{port}",
            "enable_dht": True,
            "dht_bootstrap_nodes": "",
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            # One address is the whole internet here, so the guards against many nodes at one address are off.
            "dht_restrict_routing_ips": False,
            "dht_restrict_search_ips": False,
            "dht_enforce_node_id": False,
            "dht_prefer_verified_node_ids": False,
            "dht_ignore_dark_internet": False,
            "alert_mask": lt.alert.category_t.stats_notification,
        }
    )


def known(session):
    """How many nodes are in its routing table."""
    session.post_session_stats()
    end = time.monotonic() + 2
    while time.monotonic() < end:
        session.wait_for_alert(100)
        for alert in session.pop_alerts():
            if isinstance(alert, lt.session_stats_alert):
                return alert.values["dht.dht_nodes"]
    return 0


def main():
    ip, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    nodes = [node(ip, first + i) for i in range(count)]
    for i, session in enumerate(nodes):
        for step in range(1, min(TOLD, count - 1) + 1):
            session.add_dht_node((ip, first + (i + step) % count))
    wanted, least, end = min(4, count - 1), 0, time.monotonic() + 20
    while least < wanted and time.monotonic() < end:
        time.sleep(0.2)
        least = min(known(session) for session in nodes)
    print(json.dumps({"ready": True, "known": least}), flush=True)
    for _ in sys.stdin:
        pass


main()
