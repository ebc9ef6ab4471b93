#!/usr/bin/env bash
# Installs the C library with nothing but cargo: libplayswarm, its headers, the files for pkg-config and CMake.
# `cargo cinstall -p playswarm-c` (cargo-c) does the same, and knows more systems.
#
#   bash scripts/install-c.sh PREFIX            builds it (--release) and installs it below PREFIX
#   bash scripts/install-c.sh PREFIX LIBRARIES  takes libplayswarm_c.so (and .a) from that folder instead of building
set -euo pipefail
[ $# = 1 ] || [ $# = 2 ] || {
    echo 'usage: install-c.sh PREFIX [LIBRARIES]' >&2
    exit 2
}
mkdir -p "$1"
prefix=$(cd "$1" && pwd)
libraries=${2:+$(cd "$2" && pwd)}
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
if [ -z "$libraries" ]; then
    cargo build --release --locked -p playswarm-c
    libraries=${CARGO_TARGET_DIR:-target}/release
fi

mkdir -p "$prefix/lib/pkgconfig" "$prefix/include" "$prefix/share/playswarm/cmake"
cp "$libraries/libplayswarm_c.so" "$prefix/lib/libplayswarm.so.$version"
ln -sf "libplayswarm.so.$version" "$prefix/lib/libplayswarm.so.0"
ln -sf libplayswarm.so.0 "$prefix/lib/libplayswarm.so"
if [ -e "$libraries/libplayswarm_c.a" ]; then
    cp "$libraries/libplayswarm_c.a" "$prefix/lib/libplayswarm.a"
fi
cp include/playswarm.h bindings/cpp/playswarm.hpp "$prefix/include/"
cp ffi-c/cmake/*.cmake "$prefix/share/playswarm/cmake/"
cat >"$prefix/lib/pkgconfig/playswarm.pc" <<PC
prefix=$prefix
libdir=\${prefix}/lib
includedir=\${prefix}/include

Name: playswarm
Description: Plays the video of a swarm while it downloads, with instant seek
Version: $version
Libs: -L\${libdir} -lplayswarm
Libs.private: -lgcc_s -lutil -lrt -lpthread -lm -ldl -lc
Cflags: -I\${includedir}
PC
