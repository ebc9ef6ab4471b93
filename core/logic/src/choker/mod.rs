//! Whom to upload to (BEP 3): slots, tit-for-tat and an optimistic slot.
