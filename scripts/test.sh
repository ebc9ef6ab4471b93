#!/usr/bin/env bash
# Prepares the machine and passes every test: set-up, format, lints, all tests, doc tests, Python, licences, fuzzing.
#
#   bash scripts/test.sh
#
# With CI=true nothing may be skipped, and a test of real time may be tried twice. FUZZ_SECONDS (10) is the time for
# each fuzz target; 0 leaves them out.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
failed=()
began=$SECONDS

# Runs a step, shows what it says, and notes whether it failed; the others are run all the same.
step() {
    local name=$1 start=$SECONDS
    shift
    printf '\n==== %s\n' "$name"
    if "$@" 2>&1 | tee "$logs/${name// /-}"; then
        printf '==== %s: passed in %d s\n' "$name" $((SECONDS - start))
    else
        failed+=("$name")
        printf '==== %s: FAILED in %d s\n' "$name" $((SECONDS - start))
    fi
}

export PLAYSWARM_TEST_SKIPS=$logs/skips
: >"$PLAYSWARM_TEST_SKIPS"
profile=default
if [ "${CI:-}" = true ]; then
    profile=ci
    export PLAYSWARM_TEST_REQUIRE=1
    # Panics name their line without debug information, which would take minutes to write.
    export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=0 CARGO_TERM_COLOR=never
fi

# One fuzz target, for its time. The parsers are safe Rust: without the address sanitizer they try far more inputs in the
# same time, and libFuzzer still bounds memory and the time of each. RUSTC_BOOTSTRAP lets the stable compiler instrument them.
fuzz_one() {
    local target=$1 seconds=${FUZZ_SECONDS:-10} seeds=()
    # The containers' readers are small and have 100,000 mutations of real files among their tests beside this.
    [[ $target == media_* || $target == samples_* ]] && seconds=$((seconds / 3))
    [ -d "fuzz/seeds/$target" ] && seeds=("fuzz/seeds/$target")
    mkdir -p "fuzz/corpus/$target"
    RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none "$target" "fuzz/corpus/$target" "${seeds[@]}" -- \
        -max_total_time="$seconds" -rss_limit_mb=1024 -malloc_limit_mb=512 -timeout=10 -verbosity=0 \
        -print_final_stats=1 || return 1
    echo "fuzz target $target: nothing found in $seconds s"
}
export -f fuzz_one

# Two at a time: each is one thread.
fuzz() {
    RUSTC_BOOTSTRAP=1 cargo fuzz build --sanitizer none || return 1
    cargo fuzz list | xargs -P 2 -I '{}' bash -c 'fuzz_one {}'
}

step 'set-up' bash scripts/setup.sh --test
PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
step 'format' cargo fmt --all --check
step 'lints' cargo clippy --workspace --all-targets --locked -- -D warnings
# Whole-system tests start the programs themselves, so these are built first.
step 'build' cargo build --workspace --bins --locked
step 'tests' cargo nextest run --workspace --locked --profile "$profile"
step 'doc tests' cargo test --workspace --doc --locked
step 'Python types' bash scripts/python.sh lint
step 'Python tests' bash scripts/python.sh test -q
step 'licences' cargo deny --locked check licenses bans sources
[ "${FUZZ_SECONDS:-10}" = 0 ] || step 'fuzzing' fuzz

printf '\n==== totals\n'
grep -hE '^ *Summary \[' "$logs/tests" | tail -n 1
awk '/^test result:/ { passed += $4; failed += $6 } END { printf "     Doc tests: %d passed, %d failed\n", passed, failed }' \
    "$logs/doc-tests"
grep -hE '^[0-9]+ passed|, [0-9]+ passed' "$logs/Python-tests" | tail -n 1 | sed 's/^/     Python tests: /'
grep -h '^fuzz target' "$logs/fuzzing" 2>/dev/null | sed 's/^/     /'
if [ -s "$PLAYSWARM_TEST_SKIPS" ]; then
    printf '     Skipped for want of something:\n'
    sort -u "$PLAYSWARM_TEST_SKIPS" | sed 's/^/       /'
fi
printf '     Time: %d min %d s\n' $(((SECONDS - began) / 60)) $(((SECONDS - began) % 60))
if [ ${#failed[@]} != 0 ]; then
    printf '==== FAILED: %s\n' "${failed[@]}"
    exit 1
fi
echo '==== all passed'
