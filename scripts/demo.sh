#!/usr/bin/env bash
# Prepares the machine, builds playswarm and runs its main job without any internet: a clip from a swarm on this machine.
#
#   bash scripts/demo.sh            plays it, or prints its URL where there is no player
#   bash scripts/demo.sh --check    needs no player: reads, jumps about, compares every byte
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup.sh --run
exec cargo run --release --locked -p playswarm-cli -- demo "$@"
