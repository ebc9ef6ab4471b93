-- Adds the subtitles of a film to mpv while it plays. playswarm appends a line for each to a file as soon as it is on
-- this machine: its place in the order, its URL, its language and its title; a line without a URL ends the list.

local list = LIST
local taken, chosen, places = 0, nil, {}
local timer

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
            -- On a thread of its own: the film goes on.
            mp.command_native_async({"sub-add", url, "auto", title, language}, choose)
        end
    end
    file:close()
end

mp.register_event("playback-restart", function()
    if not timer then
        timer = mp.add_periodic_timer(0.25, look)
        look()
    end
end)
