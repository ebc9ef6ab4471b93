-- Lets mpv play magnet links, torrent files and live channels: `mpv 'magnet:?xt=…'`,
-- `mpv film.torrent`, `mpv 'playswarm:KEY?at=…'`.
--
-- It starts the program `playswarm`, which serves the film on this machine, and ends the program
-- with the film. Copy this file to ~/.config/mpv/scripts.
-- Options, in ~/.config/mpv/script-opts/playswarm.conf or as --script-opts=playswarm-…:
--   binary=playswarm   path of the program
--   args=              further arguments for `playswarm stream`, separated by spaces:
--                      --dir /var/tmp/films --file 3
--   wait_s=90          longest wait for the peers of a magnet link, in seconds

local options = { binary = "playswarm", args = "", wait_s = 90 }
require("mp.options").read_options(options, "playswarm")

-- The program that serves the open file: its command, and the file with its output.
local running

local function stop()
    if running then
        local r = running
        running = nil
        mp.abort_async_command(r.command)
        os.remove(r.output)
    end
end

local function is_ours(url)
    return url:find("^[mM][aA][gG][nN][eE][tT]:%?") or url:find("^playswarm:") or url:find("%.torrent$") or url:find("^https?://[^?#]*%.torrent[?#]")
end

local function said(path)
    local file = io.open(path, "r")
    if not file then
        return ""
    end
    local text = file:read("*a")
    file:close()
    return text
end

mp.add_hook("on_load", 5, function(hook)
    local source = mp.get_property("stream-open-filename", "")
    if not is_ours(source) then
        return
    end
    stop()
    local output = os.tmpname()
    -- The shell redirects the output to a file. mpv returns the output of a program only after it
    -- ends, but this one keeps running.
    local args = { "sh", "-c", 'out=$1; shift; exec "$@" >"$out"', "playswarm", output, options.binary, "stream", "--quiet", source }
    for word in options.args:gmatch("%S+") do
        args[#args + 1] = word
    end
    local this = { output = output }
    running = this
    this.command = mp.command_native_async({ name = "subprocess", args = args, playback_only = false }, function(_, result, why)
        this.ended = why or (result and ("it ended with " .. tostring(result.status))) or "it ended"
    end)
    hook:defer()
    local waited, timer = 0, nil
    timer = mp.add_periodic_timer(0.02, function()
        waited = waited + 0.02
        local url = said(output):match("url: (%S+)")
        if url then
            timer:kill()
            mp.msg.info("plays " .. url)
            mp.set_property("stream-open-filename", url)
            hook:cont()
        elseif running ~= this or this.ended or waited > options.wait_s then
            timer:kill()
            mp.msg.error("playswarm gave no film: " .. (this.ended or "it found no peers in time"))
            stop()
            hook:cont()
        end
    end)
end)

mp.register_event("end-file", stop)
mp.register_event("shutdown", stop)
