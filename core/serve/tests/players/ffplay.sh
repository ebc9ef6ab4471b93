# Plays a URL in ffplay, which needs a display: pauses, resumes, and jumps ten seconds forward and back by its keys.
# Marks on stderr divide what it says about its position.
ffplay -v error -stats -rtsp_transport "$1" "$2" &
xdotool search --sync --class ffplay windowfocus >/dev/null
mark() {
    sleep "$1"
    printf '\rMARK\r' >&2
    [ -z "$2" ] || xdotool key "$2"
}
mark 3 p
mark 2 p
mark 2 Right
mark 2 Left
mark 2 q
wait $!
