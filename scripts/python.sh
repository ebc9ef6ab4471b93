#!/usr/bin/env bash
# The Python module as it is in this checkout: builds it for the interpreters of this machine and tries it.
#
#   bash scripts/python.sh build            puts the built module into the package's source folder
#   bash scripts/python.sh lint             format, lints, mypy, pyright, the stubs against the built module
#   bash scripts/python.sh test [ARGS]      the tests, with pytest's own arguments
#
# After `bash scripts/setup.sh --test`. PLAYSWARM_PYTHON_PROFILE (dev) names the cargo profile.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

profile=${PLAYSWARM_PYTHON_PROFILE:-dev}
package=ffi-python/python
bin=$PWD/.venv/bin

build() {
    local folder=$profile
    [ "$folder" = dev ] && folder=debug
    cargo build --quiet --locked --package playswarm-python --profile "$profile"
    # By a rename: a module that is in use keeps what it has.
    cp "${CARGO_TARGET_DIR:-target}/$folder/lib_playswarm.so" "$package/playswarm/.built"
    mv "$package/playswarm/.built" "$package/playswarm/_playswarm.abi3.so"
}

case ${1:-} in
    build) build ;;
    lint)
        build
        "$bin/ruff" format --check
        "$bin/ruff" check
        "$bin/mypy"
        "$bin/pyright"
        PYTHONPATH=$package MYPYPATH=$package "$bin/python" -m mypy.stubtest playswarm --mypy-config-file pyproject.toml
        ;;
    test)
        build
        shift
        "$bin/pytest" "$@"
        ;;
    *)
        echo 'python: use build, lint or test' >&2
        exit 2
        ;;
esac
