-- Adds the subtitles of a film to mpv while it plays. playswarm appends a line for each to a file as soon as it is on
-- this machine: its place in the order, its URL, its language and its title; a line without a URL ends the list.

local list = LIST
local taken, chosen, places, queue = 0, nil, {}, {}
local timer, adding

-- How far in front a track stands: by the user's languages (--slang), then in the order of the list.
local function rank(track)
    local place = track.external and places[track["external-filename"]]
    if not place then return nil end
    for i, language in ipairs(mp.get_property_native("slang") or {}) do
        local lang = track.lang or ""
        if lang == language or lang:sub(1, #language + 1) == language .. "-" then return i * 100000 + place end
    end
    return 1e9 + place
end

-- Shows the subtitle that stands in front, as mpv does with subtitles that it knows from the start, unless the user or
-- the film chose another.
local function choose()
    if mp.get_property("options/sid") ~= "auto" or mp.get_property_number("sid") ~= chosen then return end
    local best, first
    for _, track in ipairs(mp.get_property_native("track-list") or {}) do
        local r = track.type == "sub" and rank(track)
        if r and (not first or r < first) then best, first = track.id, r end
    end
    if best and best ~= chosen then
        chosen = best
        mp.set_property_number("sid", best)
    end
end

-- Adds one after the other, so that the first in the list is there first. On a thread of mpv's: the film goes on.
local function add()
    local command = not adding and table.remove(queue, 1)
    if not command then return end
    adding = true
    mp.command_native_async(command, function()
        adding = false
        choose()
        add()
    end)
end

local function look()
    local file = io.open(list, "r")
    if not file then return end
    local lines = 0
    for line in file:read("*a"):gmatch("([^\n]*)\n") do
        lines = lines + 1
        if lines > taken then
            taken = lines
            local place, url, language, title = line:match("^(%d+)\t([^\t]+)\t([^\t]*)\t(.*)$")
            if not url then
                timer:kill()
                break
            end
            places[url] = tonumber(place)
            queue[#queue + 1] = {"sub-add", url, "auto", title, language}
        end
    end
    file:close()
    add()
end

mp.register_event("playback-restart", function()
    if not timer then
        timer = mp.add_periodic_timer(0.25, look)
        look()
    end
end)
