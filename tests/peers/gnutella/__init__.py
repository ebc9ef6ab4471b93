"""The parts of servent.py, a Gnutella servent for tests, written apart from the codec of core/proto."""
